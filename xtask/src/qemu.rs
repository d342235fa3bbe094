// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots an image in QEMU and follows its serial line.
//!
//! The guest ends the machine through the debug-exit device: the value it writes becomes QEMU's exit code, `value << 1
//! | 1`. Any other end, such as a triple fault or silence, is told apart from it. When its time is over, the guest is
//! asked over the serial line what is running, and has a moment to tell.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::cli::MachineOptions;
use crate::failure::Reason;
use crate::host::find_command;
use crate::image::Image;
use crate::shell;

/// What the guest writes to the debug-exit device, as QEMU's exit code.
const EXIT_SUCCESS: i32 = 0x10 << 1 | 1;
const EXIT_FAILURE: i32 = 0x11 << 1 | 1;
const EXIT_PANIC: i32 = 0x12 << 1 | 1;

/// Memory that a machine needs beside kernel and image: firmware, page tables, and a root task that can work.
const SPARE_MIB: u64 = 24;

const MIB: u64 = 1 << 20;

/// Asks the root task what is running: Ctrl-T, as at a terminal of BSD.
const QUESTION: &[u8] = b"\x14";

/// What each line of the answer begins with; no client's line begins so.
const ANSWER: &str = "running: ";

/// Time for the answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The emulator.
const PROGRAM: &str = "qemu-system-x86_64";

/// Where QEMU waits for gdb: not for the whole network.
pub(crate) const GDB_ADDRESS: &str = "127.0.0.1:1234";

/// Why QEMU does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QemuError {
    /// The program cannot be started.
    #[error("qemu-system-x86_64 cannot be started ({cause}); run `cargo xtask setup`")]
    Start { cause: io::Error },
    /// What it is to read cannot be written.
    #[error("a temporary file cannot be written ({cause}); check the free space in {}", std::env::temp_dir().display())]
    Write { cause: io::Error },
    /// QEMU refuses the machine.
    #[error("QEMU refuses the machine ({message}); {}", advice(message))]
    Refused { message: String },
    /// Somebody else waits at the debugger's port.
    #[error("{GDB_ADDRESS} cannot be used for gdb ({cause}); end what has it, such as another run with --gdb")]
    Gdb { cause: io::Error },
    /// There is no KVM.
    #[error("/dev/kvm cannot be opened ({cause}); use --accel tcg")]
    NoKvm { cause: io::Error },
    /// The image does not fit into the memory.
    #[error("--memory {given} is too little for kernel and image; give at least --memory {least}")]
    Memory { given: u32, least: u64 },
    /// The image cannot be measured.
    #[error("{} cannot be read ({cause}); build again", path.display())]
    Image { path: PathBuf, cause: io::Error },
}

impl Reason for QemuError {
    fn is_request(&self) -> bool {
        matches!(self, Self::Gdb { .. })
    }
}

/// Returns what helps against a message of QEMU.
fn advice(message: &str) -> &'static str {
    const KNOWN: [(&str, &str); 6] = [
        ("CPU model", "change --cpu"),
        ("CPU feature", "change --cpu"),
        ("accel", "change --accel"),
        ("memory", "change --memory"),
        ("Address already in use", "end what has the port, such as another run with --gdb"),
        ("Failed to find an available port", "end what has the port, such as another run with --gdb"),
    ];
    KNOWN.iter().find(|(part, _)| message.contains(part)).map_or("see what it names", |(_, advice)| advice)
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The guest reported success.
    Success,
    /// The guest reported failure.
    Failure,
    /// The root task panicked or faulted.
    Panic,
    /// The machine reset itself, as after a triple fault, or was switched off.
    Reset,
    /// The guest, or QEMU, ended with an exit code that has no meaning.
    Unknown {
        /// QEMU's exit code; none if a signal ended it.
        code: Option<i32>,
    },
    /// The time was over.
    TimedOut {
        /// Whether the guest had printed nothing.
        silent: bool,
        /// Whether it told what was running.
        told: bool,
    },
}

/// A file that the guest can read through fw_cfg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A text.
    Text { name: String, text: String },
    /// A file of the host.
    File { name: String, path: PathBuf },
    /// Bytes, which QEMU takes from a file only.
    Bytes { name: String, bytes: Vec<u8> },
}

impl Item {
    /// Returns what the guest finds it by.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Text { name, .. } | Self::File { name, .. } | Self::Bytes { name, .. } => name,
        }
    }
}

/// What a machine boots from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    /// Kernel and root task, loaded by QEMU.
    Direct,
    /// An ISO, through GRUB.
    Iso(PathBuf),
}

/// A machine that is about to boot.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) options: MachineOptions,
    pub(crate) boot: Boot,
    pub(crate) items: Vec<Item>,
    /// Waits for gdb at the first instruction.
    pub(crate) gdb: bool,
    /// Further arguments for QEMU.
    pub(crate) extra: Vec<OsString>,
}

impl Machine {
    /// Describes a machine that boots the image directly and hands nothing to it.
    pub(crate) fn new(options: &MachineOptions) -> Self {
        Self { options: options.clone(), boot: Boot::Direct, items: Vec::new(), gdb: false, extra: Vec::new() }
    }

    /// Boots the image and hands each line of the serial port to `each_line`.
    ///
    /// `timeout` bounds the whole run; none waits for ever.
    pub(crate) fn run(
        &self,
        image: &Image,
        timeout: Option<Duration>,
        mut each_line: impl FnMut(&str),
    ) -> Result<Ending, QemuError> {
        self.check(image)?;
        // What was written for them goes when the machine has ended.
        let items: io::Result<Vec<_>> = self.items.iter().map(fw_cfg).collect();
        let items = items.map_err(|cause| QemuError::Write { cause })?;
        let mut child = self.command(image, &items).spawn().map_err(|cause| QemuError::Start { cause })?;
        let lines = follow(&mut child);
        let errors = collect_errors(&mut child);
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut silent = true;
        loop {
            match receive(&lines, deadline) {
                Ok(line) => {
                    silent = false;
                    each_line(&line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let told = ask(&mut child, &lines, ANSWER_TIME, &mut each_line);
                    // The child is ours and not yet waited for, so neither call can fail for a reason that matters.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Ok(Ending::TimedOut { silent, told });
                }
            }
        }
        let status = child.wait().map_err(|cause| QemuError::Start { cause })?;
        let message = errors.join().unwrap_or_default();
        // Exit code 1 is QEMU's own, and the guest's when it writes 0, which it never does. A signal is a failed assertion.
        match (status.code(), message.lines().next_back()) {
            (Some(1) | None, Some(message)) => {
                let message = message.trim_start_matches("qemu-system-x86_64: ").to_owned();
                Err(QemuError::Refused { message })
            }
            _ => Ok(ending(status)),
        }
    }

    /// Checks what QEMU would say in a worse way, or not at all.
    fn check(&self, image: &Image) -> Result<(), QemuError> {
        if self.options.accel.starts_with("kvm") {
            let opened = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
            opened.map(drop).map_err(|cause| QemuError::NoKvm { cause })?;
        }
        let size = |path: &PathBuf| {
            std::fs::metadata(path)
                .map(|data| data.len())
                .map_err(|cause| QemuError::Image { path: path.clone(), cause })
        };
        let mut needed = least_memory(image.prefix.image().end, size(&image.root_task)?);
        for item in &self.items {
            if let Item::File { path, .. } = item {
                needed += size(path)?.div_ceil(MIB);
            }
        }
        if u64::from(self.options.memory) < needed {
            return Err(QemuError::Memory { given: self.options.memory, least: needed });
        }
        Ok(())
    }

    /// Returns the line that boots the image in a shell.
    ///
    /// # Errors
    /// As [`Machine::run`], where the image does not fit the machine.
    pub(crate) fn line(&self, image: &Image) -> Result<String, QemuError> {
        self.check(image)?;
        let words = self.arguments(image);
        let words = words.iter().map(|word| shell::quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
        let folder = split(&image.root_task).0.to_string_lossy();
        Ok(match self.boot {
            Boot::Direct => format!("(cd {} && {PROGRAM} {words})", shell::quoted(&folder)),
            Boot::Iso(_) => format!("{PROGRAM} {words}"),
        })
    }

    /// Returns the arguments that make the machine and boot it, in the folder of the image.
    fn arguments(&self, image: &Image) -> Vec<OsString> {
        let MachineOptions { memory, cpu, accel } = &self.options;
        let memory = format!("{memory}M");
        let fixed = ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"];
        let fixed = fixed.into_iter().chain(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        let chosen = ["-m", &memory, "-cpu", cpu, "-accel", accel];
        let mut arguments: Vec<OsString> = fixed.chain(chosen).map(OsString::from).collect();
        match &self.boot {
            // `-initrd` takes a space and a comma for its own separators, and has no way to write them otherwise: so it
            // gets the name alone, and QEMU runs in the folder.
            Boot::Direct => arguments.extend([
                "-kernel".into(),
                image.kernel.clone().into_os_string(),
                "-initrd".into(),
                split(&image.root_task).1.to_owned(),
            ]),
            Boot::Iso(path) => arguments.extend(["-cdrom".into(), path.clone().into_os_string()]),
        }
        arguments
    }

    fn command(&self, image: &Image, items: &[Handed]) -> Command {
        // Where util-linux has it, QEMU ends together with this tool, even if that is killed.
        let mut qemu = if find_command("setpriv").is_some() {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--pdeathsig", "KILL", PROGRAM]);
            setpriv
        } else {
            Command::new(PROGRAM)
        };
        qemu.args(self.arguments(image)).current_dir(split(&image.root_task).0);
        for item in items {
            qemu.arg("-fw_cfg").arg(&item.argument);
        }
        if self.items.len() > 8 {
            // QEMU reserves a fixed number of places, and takes some of them itself.
            qemu.arg("-global").arg(format!("fw_cfg.x-file-slots={}", self.items.len() + 32));
        }
        if self.gdb {
            qemu.args(["-gdb", &format!("tcp:{GDB_ADDRESS}"), "-S"]);
        }
        qemu.args(&self.extra).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        qemu
    }
}

/// Splits a path into its folder and its name.
fn split(path: &Path) -> (&Path, &OsStr) {
    (path.parent().unwrap_or(Path::new(".")), path.file_name().unwrap_or_default())
}

/// Returns the memory, in MiB, below which an image cannot work.
///
/// The boot loader places the root task's file behind the kernel, the kernel loads it from there, and both copies
/// exist for a while.
fn least_memory(kernel_end: u64, root_task: u64) -> u64 {
    (kernel_end + 2 * root_task).div_ceil(MIB) + SPARE_MIB
}

/// An item as QEMU's option has it, and the file that was written for it, if one was.
struct Handed {
    argument: OsString,
    _written: Option<NamedTempFile>,
}

fn fw_cfg(item: &Item) -> io::Result<Handed> {
    let mut file = None;
    let (name, kind, value) = match item {
        Item::Text { name, text } => (name, "string", OsString::from(text)),
        // QEMU runs in another folder.
        Item::File { name, path } => (name, "file", std::path::absolute(path).unwrap_or(path.clone()).into_os_string()),
        Item::Bytes { name, bytes } => {
            let mut written = NamedTempFile::new()?;
            written.write_all(bytes)?;
            let path = written.path().as_os_str().to_owned();
            file = Some(written);
            (name, "file", path)
        }
    };
    let mut argument = OsString::from(format!("name={name},{kind}="));
    argument.push(without_commas(&value));
    Ok(Handed { argument, _written: file })
}

/// Writes a value as QEMU's option parser wants it: a comma is doubled.
fn without_commas(value: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let double = |&byte: &u8| if byte == b',' { vec![byte; 2] } else { vec![byte] };
    OsString::from_vec(value.as_bytes().iter().flat_map(double).collect())
}

fn ending(status: ExitStatus) -> Ending {
    match status.code() {
        Some(EXIT_SUCCESS) => Ending::Success,
        Some(EXIT_FAILURE) => Ending::Failure,
        Some(EXIT_PANIC) => Ending::Panic,
        Some(0) => Ending::Reset,
        code => Ending::Unknown { code },
    }
}

/// Reads the serial port in a thread of its own, line by line.
fn follow(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut bytes = Vec::new();
            while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_matches(['\r', '\n']).to_owned();
                bytes.clear();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}

/// Collects QEMU's own messages in a thread of its own.
fn collect_errors(child: &mut Child) -> thread::JoinHandle<String> {
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            // What was read until an error is all there is to tell.
            let _ = stderr.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Asks the guest what is running, hands its lines to `each_line` for that time, and says whether it answered.
fn ask(child: &mut Child, lines: &Receiver<String>, time: Duration, each_line: &mut impl FnMut(&str)) -> bool {
    if let Some(serial) = &mut child.stdin {
        // A QEMU that takes no byte gives no answer either.
        let _ = serial.write_all(QUESTION);
    }
    let deadline = Some(Instant::now() + time);
    let mut told = false;
    while let Ok(line) = receive(lines, deadline) {
        told |= line.starts_with(ANSWER);
        each_line(&line);
    }
    told
}

fn receive(lines: &Receiver<String>, deadline: Option<Instant>) -> Result<String, RecvTimeoutError> {
    match deadline {
        Some(deadline) => lines.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Checks that a machine can wait for a debugger.
pub(crate) fn check_gdb() -> Result<(), QemuError> {
    std::net::TcpListener::bind(GDB_ADDRESS).map(drop).map_err(|cause| QemuError::Gdb { cause })
}

/// Returns the line to type for a debugger on a machine that waits for one.
pub(crate) fn gdb_line(image: &Image, client: Option<&Path>) -> String {
    let symbols = |path: &Path| {
        let command = format!("add-symbol-file {}", shell::for_gdb(&path.to_string_lossy()));
        format!(" -ex {}", shell::quoted(&command))
    };
    let client = client.map(symbols).unwrap_or_default();
    let root_task = symbols(&image.guest.root_task);
    let kernel = shell::quoted(&image.prefix.kernel().to_string_lossy());
    format!("gdb {kernel} -ex 'target remote {GDB_ADDRESS}'{root_task}{client}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_comma_in_a_path_is_no_separator() {
        let item = Item::File { name: "opt/sbm/input/0".into(), path: "/a,b".into() };
        assert_eq!(fw_cfg(&item).unwrap().argument, "name=opt/sbm/input/0,file=/a,,b");
    }

    #[test]
    fn advice_is_for_what_qemu_says() {
        assert_eq!(advice("unable to find CPU model 'x'"), "change --cpu");
        assert_eq!(advice("-accel x: invalid accelerator x"), "change --accel");
        assert_eq!(advice("Failed to open file '/a'"), "see what it names");
    }

    #[test]
    fn a_relative_file_is_told_as_absolute() {
        let item = Item::File { name: "opt/x".into(), path: "a".into() };
        let here = std::env::current_dir().unwrap();
        assert_eq!(fw_cfg(&item).unwrap().argument, *format!("name=opt/x,file={}/a", here.display()));
    }

    #[test]
    fn a_text_is_handed_over_as_string() {
        let item = Item::Text { name: "opt/sbm/test".into(), text: "hang".into() };
        assert_eq!(fw_cfg(&item).unwrap().argument, "name=opt/sbm/test,string=hang");
    }

    #[test]
    fn bytes_lie_in_a_file_as_long_as_the_item() {
        let handed = fw_cfg(&Item::Bytes { name: "opt/x".into(), bytes: vec![0, b',', 0xff] }).unwrap();
        let path = handed._written.as_ref().unwrap().path().to_owned();
        assert_eq!(handed.argument, *format!("name=opt/x,file={}", path.display()));
        assert_eq!(std::fs::read(&path).unwrap(), [0, b',', 0xff]);
        drop(handed);
        assert!(!path.exists());
    }

    #[test]
    fn the_guests_exit_values_have_meanings() {
        use std::os::unix::process::ExitStatusExt as _;
        let ended = |code: i32| ending(ExitStatus::from_raw(code << 8));
        assert_eq!(ended(33), Ending::Success);
        assert_eq!(ended(35), Ending::Failure);
        assert_eq!(ended(37), Ending::Panic);
        assert_eq!(ended(0), Ending::Reset);
        assert_eq!(ended(99), Ending::Unknown { code: Some(99) });
        assert_eq!(ending(ExitStatus::from_raw(9)), Ending::Unknown { code: None });
    }

    /// Asks a shell in QEMU's place, and returns whether it answered and its lines.
    fn asked(script: &str, time: Duration) -> (bool, Vec<String>) {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        let (serial, mut lines) = (follow(&mut child), Vec::new());
        let told = ask(&mut child, &serial, time, &mut |line| lines.push(line.to_owned()));
        child.kill().unwrap();
        child.wait().unwrap();
        (told, lines)
    }

    #[test]
    fn a_guest_that_is_asked_tells_what_is_running() {
        let script = r#"[ "$(head -c 1 | od -An -tx1)" = " 14" ] && echo "x| y" && echo "running: x""#;
        let lines = vec!["x| y".to_owned(), "running: x".to_owned()];
        assert_eq!(asked(script, Duration::from_secs(60)), (true, lines));
    }

    #[test]
    fn another_ones_line_is_no_answer() {
        let told = asked("echo 'x| running: x'", Duration::from_secs(60));
        assert_eq!(told, (false, vec!["x| running: x".to_owned()]));
    }

    #[test]
    fn a_guest_that_does_not_answer_is_not_waited_for() {
        assert_eq!(asked("exec sleep 60", Duration::from_millis(50)), (false, Vec::new()));
    }

    #[test]
    fn an_image_needs_room_for_two_copies() {
        assert_eq!(least_memory(9 * MIB, 2 * MIB), 13 + SPARE_MIB);
    }
}

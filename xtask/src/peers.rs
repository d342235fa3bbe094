// SPDX-License-Identifier: MIT OR Apache-2.0
//! The alternatives to a sandbox: boots Linux with `tests/peers` as its init and reads the rows.
//!
//! The kernel is Debian's, unpacked from its package and not installed; the machine is the one that the seL4 image runs
//! in. Random numbers and the clock of the machine are fixed, so that a second run prints the same figures: with free
//! ones the scheduler's choices differ, and with them some medians.
//!
//! ```text
//! target/peers/linux/      the package's files          apt-get download, dpkg-deb
//! target/peers/cargo/      the programs                 cargo build
//! target/peers/initramfs   /init /null /keyring         cpio
//! ```

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, PipeReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Debian's name for its newest kernel that needs no hardware beyond a virtual machine's.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
/// The same target as everywhere, so that the C library can be linked statically.
const RUST_TARGET: &str = "x86_64-unknown-linux-gnu";
/// What Linux is told. The mitigations cost much, and mean nothing in an emulator that does not speculate.
const COMMAND_LINE: &str = "console=ttyS0 quiet mitigations=off panic=-1";
/// Begins the line that names the kernel, before the first row.
const NAME_LINE: &str = "peers linux ";
/// The line after the last row.
const LAST_LINE: &str = "peers done";
/// Begins a row.
const ROW_LINE: &str = "bench ";
/// How much of the console an error shows.
const LINES_OF_CONSOLE: usize = 5;

/// Where things are, and how long to wait. The paths are absolute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The checkout.
    pub(crate) workspace: &'a Path,
    /// The folder for what is built; only `peers` in it is used.
    pub(crate) target: &'a Path,
    /// The keyring for the parser's rows, which say that there is none without it.
    pub(crate) keyring: Option<&'a Path>,
    /// How long the machine may run.
    pub(crate) time_limit: Duration,
}

/// What was measured, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peers {
    /// The release of the kernel that ran.
    pub(crate) linux: String,
    /// The rows, in the order in which they were measured.
    pub(crate) rows: Vec<Row>,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    /// What was measured.
    Measured { name: String, unit: String, count: u64, min: u64, median: u64, p99: u64 },
    /// Why it was not.
    Failed { name: String, error: String },
}

/// Why there are no rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeersError {
    /// A program of the host does not start.
    #[error("{program} cannot be started ({cause}); Debian has it in the package {package}")]
    Start { program: &'static str, package: &'static str, cause: io::Error },
    /// The host's lists of packages name no kernel.
    #[error("apt knows no {KERNEL_PACKAGE}, where Linux is taken from; on Debian, type: apt-get update")]
    NoPackage,
    /// The package does not arrive.
    #[error("{package} cannot be downloaded ({message}); if the lists are old, type: apt-get update")]
    Download { package: String, message: String },
    /// The package does not unpack.
    #[error("{package} cannot be unpacked ({message})")]
    Unpack { package: String, message: String },
    /// The package is not what it should be.
    #[error("no boot/vmlinuz in {folder}; remove that folder and try again")]
    NoKernel { folder: PathBuf },
    /// The programs do not compile.
    #[error("tests/peers does not build: {message}")]
    Build { message: String },
    /// A file or folder cannot be read or written.
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
    /// The machine ran for too long.
    #[error("Linux in QEMU did not finish within {} s; its console ends with: {console}", limit.as_secs())]
    TimeOut { limit: Duration, console: String },
    /// The machine ended before the program did.
    #[error("Linux in QEMU ended early; its console ends with: {console}")]
    EndedEarly { console: String },
    /// A line is no row.
    #[error("the row \"{line}\" cannot be read: {cause}")]
    Malformed { line: String, cause: serde_json::Error },
}

/// Measures the peers. `progress` is told what is being done, and each row when it is there.
///
/// # Errors
/// Returns what is missing on the host, what does not build, or how the run went wrong. A row that the machine could
/// not measure is no error; see [`Row::Failed`].
pub(crate) fn run(request: &Request<'_>, progress: &mut dyn FnMut(&str)) -> Result<Peers, PeersError> {
    let folder = request.target.join("peers");
    create_folder(&folder)?;
    let kernel = kernel(&folder, progress)?;
    progress("building tests/peers");
    let programs = programs(request.workspace, &folder.join("cargo"))?;
    let initramfs = folder.join("initramfs");
    write_initramfs(&initramfs, &programs, request.keyring)?;
    progress("measuring Linux in QEMU");
    boot(&kernel, &initramfs, request.time_limit, progress)
}

/// Returns the kernel, from an earlier run or from Debian.
fn kernel(folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, PeersError> {
    let unpacked = folder.join("linux");
    if !unpacked.exists() {
        let package = package_name()?;
        progress(&format!("downloading {package}"));
        // Unpacked beside and renamed, so that an interrupted run leaves nothing that looks whole.
        let partial = folder.join("linux.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(at(&partial))?;
        }
        create_folder(&partial)?;
        download(&package, &partial)?;
        fs::rename(&partial, &unpacked).map_err(at(&unpacked))?;
    }
    find(&unpacked.join("boot"), "vmlinuz-", "")?.ok_or(PeersError::NoKernel { folder: unpacked })
}

/// Returns the name of the package that holds the kernel itself, which changes with each version.
fn package_name() -> Result<String, PeersError> {
    let output = Command::new("apt-cache")
        .args(["show", "--no-all-versions", KERNEL_PACKAGE])
        .output()
        .map_err(|cause| PeersError::Start { program: "apt-cache", package: "apt", cause })?;
    depended_kernel(&String::from_utf8_lossy(&output.stdout)).ok_or(PeersError::NoPackage)
}

/// Finds the kernel's package among what the package of that record depends on.
fn depended_kernel(record: &str) -> Option<String> {
    let depends = record.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let mut names = depends.split(',').filter_map(|item| item.split_whitespace().next());
    names.find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

/// Downloads a package and unpacks it, both into `folder`.
fn download(package: &str, folder: &Path) -> Result<(), PeersError> {
    let output = Command::new("apt-get")
        // apt's own user may not be able to write here.
        .args(["download", "--option", "APT::Sandbox::User=root", package])
        .current_dir(folder)
        .output()
        .map_err(|cause| PeersError::Start { program: "apt-get", package: "apt", cause })?;
    let message = || last_line(&output.stderr);
    let archive = match find(folder, package, ".deb")? {
        Some(archive) if output.status.success() => archive,
        _ => return Err(PeersError::Download { package: package.to_owned(), message: message() }),
    };
    let output = Command::new("dpkg-deb")
        .arg("--extract")
        .args([&archive, folder])
        .output()
        .map_err(|cause| PeersError::Start { program: "dpkg-deb", package: "dpkg", cause })?;
    if !output.status.success() {
        return Err(PeersError::Unpack { package: package.to_owned(), message: last_line(&output.stderr) });
    }
    fs::remove_file(&archive).map_err(at(&archive))
}

/// What [`programs`] builds.
struct Programs {
    init: PathBuf,
    null: PathBuf,
}

/// Builds the static programs.
fn programs(workspace: &Path, target: &Path) -> Result<Programs, PeersError> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
        .args(["build", "--quiet", "--release", "--package", "peers", "--target", RUST_TARGET, "--target-dir"])
        .arg(target)
        .current_dir(workspace)
        // These two would win over the next one, and the guest's flags are not for Linux.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-C target-feature=+crt-static -C relocation-model=static",
        )
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .output()
        .map_err(|cause| PeersError::Start { program: "cargo", package: "rustup", cause })?;
    if !output.status.success() {
        return Err(PeersError::Build { message: error_line(&output.stderr) });
    }
    let folder = target.join(RUST_TARGET).join("release");
    Ok(Programs { init: folder.join("peers"), null: folder.join("peers-null") })
}

/// Writes the archive that becomes Linux's root folder.
fn write_initramfs(archive: &Path, programs: &Programs, keyring: Option<&Path>) -> Result<(), PeersError> {
    const EXECUTABLE: u32 = 0o100_755;
    const READABLE: u32 = 0o100_644;
    let mut files = vec![("init", EXECUTABLE, programs.init.as_path()), ("null", EXECUTABLE, programs.null.as_path())];
    files.extend(keyring.map(|keyring| ("keyring", READABLE, keyring)));

    // Linux itself makes /dev/console, which becomes the standard output.
    let mut output = BufWriter::new(File::create(archive).map_err(at(archive))?);
    for (inode, (name, mode, path)) in (1..).zip(files) {
        let content = fs::read(path).map_err(at(path))?;
        append(&mut output, inode, name, mode, &content).map_err(at(archive))?;
    }
    let mut output = cpio::newc::trailer(output).map_err(at(archive))?;
    output.flush().map_err(at(archive))
}

fn append(output: &mut impl Write, inode: u32, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut entry = cpio::NewcBuilder::new(name).ino(inode).mode(mode).write(output, length);
    entry.write_all(content)?;
    entry.finish().map(|_output| ())
}

/// Boots Linux and collects what its init prints.
fn boot(kernel: &Path, initramfs: &Path, limit: Duration, progress: &mut dyn FnMut(&str)) -> Result<Peers, PeersError> {
    // The emulator's own complaints belong to the console.
    let (output, input) = io::pipe().map_err(at(Path::new("pipe")))?;
    let errors = input.try_clone().map_err(at(Path::new("pipe")))?;
    let child = Command::new("qemu-system-x86_64")
        .args(["-nographic", "-no-reboot", "-nic", "none", "-m", "512", "-accel", "tcg", "-cpu", "max"])
        .args(["-icount", "shift=0,sleep=off", "-seed", "1", "-rtc", "base=2024-01-01,clock=vm"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", COMMAND_LINE])
        .stdin(Stdio::null())
        .stdout(input)
        .stderr(errors)
        .spawn()
        .map_err(|cause| PeersError::Start { program: "qemu-system-x86_64", package: "qemu-system-x86", cause })?;
    let _machine = Machine(child);
    let lines = console_lines(output);
    let mut console = Console::default();
    let end = Instant::now() + limit;
    while !console.is_complete {
        let left = end.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Some(row) = console.take(&line)? {
                    progress(row.name());
                }
            }
            Err(RecvTimeoutError::Timeout) => return Err(PeersError::TimeOut { limit, console: console.end() }),
            Err(RecvTimeoutError::Disconnected) => return Err(PeersError::EndedEarly { console: console.end() }),
        }
    }
    Ok(Peers { linux: console.linux, rows: console.rows })
}

/// A running emulator, which ends with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads lines in a thread of their own, so that waiting for one can have an end.
fn console_lines(output: PipeReader) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What the console has said so far.
#[derive(Debug, Default)]
struct Console {
    linux: String,
    rows: Vec<Row>,
    is_complete: bool,
    last: Vec<String>,
}

impl Console {
    /// Takes a line, and returns its row if it is one.
    fn take(&mut self, line: &str) -> Result<Option<&Row>, PeersError> {
        if let Some(text) = line.strip_prefix(ROW_LINE) {
            let row = serde_json::from_str(text)
                .map_err(|cause| PeersError::Malformed { line: line.escape_default().to_string(), cause })?;
            self.rows.push(row);
            return Ok(self.rows.last());
        }
        // The firmware leaves its own text, without an end, before the first line of the program.
        if let Some((_firmware, release)) = line.split_once(NAME_LINE) {
            release.clone_into(&mut self.linux);
        } else if line == LAST_LINE {
            self.is_complete = true;
        } else if !line.is_empty() {
            if self.last.len() == LINES_OF_CONSOLE {
                self.last.remove(0);
            }
            self.last.push(line.escape_default().to_string());
        }
        Ok(None)
    }

    /// Returns the last lines that were neither rows nor empty.
    fn end(&self) -> String {
        self.last.join(" / ")
    }
}

impl Row {
    /// Returns the name of the row.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Measured { name, .. } | Self::Failed { name, .. } => name,
        }
    }
}

/// Finds the first file, by name, that begins and ends so.
fn find(folder: &Path, begin: &str, end: &str) -> Result<Option<PathBuf>, PeersError> {
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    let is_wanted = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(begin) && name.to_string_lossy().ends_with(end))
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(is_wanted).min())
}

fn create_folder(folder: &Path) -> Result<(), PeersError> {
    fs::create_dir_all(folder).map_err(at(folder))
}

/// Names the file of an error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> PeersError {
    let path = path.to_owned();
    move |cause| PeersError::File { path, cause }
}

/// Returns the last line of what a program said.
fn last_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().lines().next_back().unwrap_or("no message").to_owned()
}

/// Returns the first error of what a compiler said.
fn error_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().find(|line| line.starts_with("error")).map_or_else(|| last_line(output), str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROW: &str =
        r#"bench {"name":"linux_getpid","unit":"guest instructions","count":2,"min":1,"median":2,"p99":3}"#;

    #[test]
    fn kernel_package_is_found_among_the_dependencies() {
        let record =
            "Package: linux-image-cloud-amd64\nDepends: a (= 1), linux-image-6.1.0-9-cloud-amd64 (= 6.1.2-3)\n";
        assert_eq!(depended_kernel(record).as_deref(), Some("linux-image-6.1.0-9-cloud-amd64"));
    }

    #[test]
    fn record_without_a_kernel_among_the_dependencies_names_none() {
        assert_eq!(depended_kernel("Package: linux-image-cloud-amd64\nDepends: a, b\n"), None);
        assert_eq!(depended_kernel(""), None);
    }

    #[test]
    fn console_yields_release_rows_and_end() {
        let mut console = Console::default();
        for line in ["Booting from ROM..\u{1b}cpeers linux 6.1.0-9-cloud-amd64", ROW, "peers done"] {
            assert!(!console.is_complete);
            console.take(line).unwrap();
        }
        assert!(console.is_complete);
        assert_eq!(console.linux, "6.1.0-9-cloud-amd64");
        assert_eq!(console.rows.first().map(Row::name), Some("linux_getpid"));
    }

    #[test]
    fn row_with_an_error_is_a_row() {
        let mut console = Console::default();
        let row = console.take(r#"bench {"name":"pgp_fork","error":"no keyring"}"#).unwrap().cloned();
        assert_eq!(row, Some(Row::Failed { name: "pgp_fork".to_owned(), error: "no keyring".to_owned() }));
    }

    #[test]
    fn row_that_is_cut_short_is_refused() {
        let mut console = Console::default();
        assert!(matches!(console.take(r#"bench {"name":"linux_get"#), Err(PeersError::Malformed { .. })));
    }

    #[test]
    fn only_the_end_of_the_console_is_kept_and_made_printable() {
        let mut console = Console::default();
        for line in ["1", "2", "3", "4", "5", "", "\u{1b}[2J6"] {
            console.take(line).unwrap();
        }
        assert_eq!(console.end(), "2 / 3 / 4 / 5 / \\u{1b}[2J6");
    }

    #[test]
    fn archive_holds_the_programs_and_a_keyring_only_when_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let programs = Programs { init: file("a"), null: file("b") };
        let archive = folder.path().join("archive");
        let names = |keyring: Option<&Path>| {
            write_initramfs(&archive, &programs, keyring).unwrap();
            let mut names = Vec::new();
            let mut input = File::open(&archive).unwrap();
            loop {
                let reader = cpio::NewcReader::new(input).unwrap();
                if reader.entry().is_trailer() {
                    return names;
                }
                names.push(reader.entry().name().to_owned());
                input = reader.skip().unwrap();
            }
        };
        assert_eq!(names(None), ["init", "null"]);
        assert_eq!(names(Some(&file("c"))), ["init", "null", "keyring"]);
    }
}

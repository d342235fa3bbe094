// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `bench`: what operations cost, in guest instructions, and beside them what the alternatives cost in Linux.
//!
//! The machine counts instructions instead of time, so the same image gives the same figures everywhere. The client
//! `bench` prints a row for each operation; [`peers`] prints the same for Linux.
//!
//! ```text
//!   client bench ─┐
//!                 ├─▶ rows ─▶ table, with goals     rows ─▶ report (JSON), plot (SVG), baseline (what may not grow)
//!   peers ────────┘
//! ```

mod baseline;
mod goals;
mod plot;
mod project;
mod report;
mod table;
mod turns;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sel4_kernel::Selection;

pub(crate) use self::baseline::suite;
pub(crate) use self::project::verb as project_verb;
use self::report::Report;
use crate::cli::{BenchOptions, KernelConfig, MachineOptions};
use crate::console::Console;
use crate::failure::{Failure, Reason};
use crate::host::{Host, Need};
use crate::image::Image;
use crate::kernel;
use crate::peers::{self, Peers, PeersError, Row};
use crate::qemu::Machine;
use crate::run;
use crate::system::Description;
use crate::ui::Step;
use crate::workspace::Workspace;

/// The client that measures, and the suite that compares its rows with the baseline.
pub(crate) const BENCH: &str = "bench";

/// The client that measures parsers, and what it reads, relative to the checkout.
const PARSERS: &str = "bench-parsers";
const PARSED: [&str; 2] = ["clients/apparmor/testdata/sample.policy", "clients/ext4/testdata/sample.img"];

/// Begins a row.
const ROW_LINE: &str = "bench ";

/// The unit of most rows.
const INSTRUCTIONS: &str = "guest instructions";

/// One tick of the machine's clock for each instruction, and none while it waits.
const ICOUNT: &str = "shift=0,sleep=off";

/// Makes the machine independent of the host's clock and random numbers.
const FIXED: [&str; 4] = ["-seed", "1", "-rtc", "base=2024-01-01,clock=vm"];

/// The keyring of Debian itself: a real one, which hosts of this tool mostly have.
const SYSTEM_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A keyring that is always there, relative to the checkout.
const OWN_KEYRING: &str = "clients/pgp/testdata/demo.pgp";

/// Why there are no figures, or nothing came of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// No row is called so.
    #[error("no row's name contains one of: {names}; name none to see all")]
    NoRows { names: String },
    /// No program of a project says what is to be measured.
    #[error(
        "{programs} measures nothing; have its main begin with: if let Some(bench) = env.bench() {{ return \
         bench.measure(\"parse\", |sbm| sbm.call(parse, (copy_in(SAMPLE),))); }}; see the guide, 7"
    )]
    Nothing { programs: String },
    /// The option is about what this tree measures.
    #[error("{option} is for SBM's own tree, where `./x bench` measures the system itself; leave it out here")]
    NotHere { option: &'static str },
    /// The keyring cannot be read.
    #[error("--keyring {} cannot be read ({cause}); name a file that can", path.display())]
    Keyring { path: PathBuf, cause: io::Error },
    /// The baseline is for another kernel.
    #[error("the baseline is for the default kernel; leave out SEL4_PREFIX and --kernel-config debug")]
    OtherKernel,
    /// A line is no row.
    #[error("the row \"{line}\" cannot be read ({cause}); see clients/bench/src/clock.rs")]
    Malformed { line: String, cause: serde_json::Error },
    /// A file cannot be written.
    #[error("{} cannot be written ({cause}); name another file", path.display())]
    Write { path: PathBuf, cause: io::Error },
    /// A file of the checkout, or of the kernel, cannot be read.
    #[error("{} cannot be read ({cause}); restore it", path.display())]
    Read { path: PathBuf, cause: io::Error },
    /// The picture cannot be drawn.
    #[error("the picture cannot be drawn ({message}); measure without --plot")]
    Plot { message: String },
    /// Linux cannot be measured.
    #[error(transparent)]
    Peers(#[from] PeersError),
}

impl Reason for BenchError {
    fn is_request(&self) -> bool {
        match self {
            Self::NoRows { .. }
            | Self::Nothing { .. }
            | Self::NotHere { .. }
            | Self::Keyring { .. }
            | Self::OtherKernel => true,
            Self::Malformed { .. } | Self::Write { .. } | Self::Read { .. } | Self::Plot { .. } | Self::Peers(_) => {
                false
            }
        }
    }
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &BenchOptions) -> Result<(), Failure> {
    let keyring = keyring(workspace, options)?;
    if options.write_baseline && !is_default_kernel(options.kernel.kernel_config())? {
        return Err(BenchError::OtherKernel.into());
    }
    kernel::check_machine(&options.kernel, "tcg")?;
    Image::require(workspace, host, &options.kernel, &[Need::Qemu])?;
    let image = Image::build(workspace, host, &options.kernel)?;
    let wanted = Wanted { quick: options.write_baseline, rows: &options.rows };
    let mut rows = measure_all(workspace, &image, &wanted, &keyring, options.timeout)?;
    rows.extend(turns::measure(workspace, &image, &wanted, &keyring, options.timeout)?);
    let peers = if options.peers { Some(measure_peers(workspace, &keyring, options)?) } else { None };
    if rows.is_empty() && peers.as_ref().is_none_or(|peers| peers.rows.is_empty()) {
        return Err(BenchError::NoRows { names: options.rows.join(", ") }.into());
    }

    let report = Report { kernel: &image.prefix, rows: &rows, peers: peers.as_ref(), keyring: Some(&keyring) };
    table::print(&report);
    if let Some(path) = &options.json {
        write(path, &report.json()?)?;
    }
    if let Some(path) = &options.plot {
        write(path, &plot::draw(&report)?)?;
    }
    if options.write_baseline {
        let path = workspace.root().join(baseline::FILE);
        write(&path, &baseline::text(&rows))?;
        eprintln!("written: {}", baseline::FILE);
    }
    Ok(())
}

/// What to measure.
struct Wanted<'a> {
    /// A tenth of the runs, and no row that takes long.
    quick: bool,
    /// Parts of names; none means all rows.
    rows: &'a [String],
}

impl Wanted<'_> {
    fn arguments(&self) -> Vec<&str> {
        let quick = self.quick.then_some("quick");
        quick.into_iter().chain(self.rows.iter().map(String::as_str)).collect()
    }

    fn includes(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| name.contains(row.as_str()))
    }
}

/// Boots the image for each of this tree's clients that measure, and collects their rows.
fn measure_all(
    workspace: &Workspace,
    image: &Image,
    wanted: &Wanted<'_>,
    keyring: &Path,
    seconds: u64,
) -> Result<Vec<Row>, Failure> {
    let parsed = PARSED.map(|path| workspace.root().join(path));
    let mut rows = Vec::new();
    for (program, inputs) in [(BENCH, &[keyring.to_owned()][..]), (PARSERS, &parsed)] {
        rows.extend(measure(workspace, image, &system(program, wanted, inputs), seconds)?);
    }
    Ok(rows)
}

/// Boots the image and collects the rows of the client.
fn measure(workspace: &Workspace, image: &Image, system: &Description, seconds: u64) -> Result<Vec<Row>, Failure> {
    let step = Step::start(format!("measuring seL4 {}", kernel_name(&image.prefix)));
    let mut machine = machine();
    machine.items = system.items()?;
    let console = Console::new(&image.guest, workspace.home(), system);
    let mut rows: Vec<Row> = Vec::new();
    let mut malformed = None;
    let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
    let ending = machine.run(image, timeout, |line| {
        let line = console.read(line).text;
        match line.strip_prefix(ROW_LINE) {
            Some(text) if text.starts_with('{') => match serde_json::from_str::<Row>(text) {
                Ok(row) => {
                    step.detail(row.name());
                    rows.push(row);
                }
                Err(cause) => malformed = Some(BenchError::Malformed { line, cause }),
            },
            _ => step.above(|| eprintln!("{line}")),
        }
    })?;
    step.done();
    // A row that cannot be read is told before what it may have led to.
    malformed.map_or(Ok(()), Err)?;
    run::outcome(ending, seconds)?;
    Ok(rows)
}

/// Returns QEMU's arguments that make its instruction counter the machine's clock.
pub(crate) fn instruction_clock() -> Vec<OsString> {
    ["-icount", ICOUNT].into_iter().chain(FIXED).map(OsString::from).collect()
}

/// Describes the machine that figures are for.
fn machine() -> Machine {
    let mut machine = Machine::new(&MachineOptions { memory: 512, cpu: "max".to_owned(), accel: "tcg".to_owned() });
    machine.extra = instruction_clock();
    machine
}

/// Describes what runs on it.
fn system(program: &str, wanted: &Wanted<'_>, inputs: &[PathBuf]) -> Description {
    let inputs = inputs.iter().map(|path| (file_name(path), path.clone())).collect();
    Description::of_one(Some(program), &wanted.arguments(), inputs)
}

/// Measures Linux, on the same keyring.
fn measure_peers(workspace: &Workspace, keyring: &Path, options: &BenchOptions) -> Result<Peers, BenchError> {
    let step = Step::start("measuring Linux");
    let request = peers::Request {
        workspace: workspace.root(),
        target: workspace.target(),
        keyring: Some(keyring),
        time_limit: Duration::from_secs(if options.timeout == 0 { u64::from(u32::MAX) } else { options.timeout }),
    };
    let mut peers = peers::run(&request, &mut |text| step.detail(text))?;
    step.done();
    let wanted = Wanted { quick: false, rows: &options.rows };
    peers.rows.retain(|row| wanted.includes(row.name()));
    Ok(peers)
}

/// Chooses the keyring. What the baseline is measured with comes from the checkout.
fn keyring(workspace: &Workspace, options: &BenchOptions) -> Result<PathBuf, BenchError> {
    let own = workspace.root().join(OWN_KEYRING);
    let system = PathBuf::from(SYSTEM_KEYRING);
    let keyring = match &options.keyring {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        None if options.write_baseline || !system.is_file() => own,
        None => system,
    };
    match fs::read(&keyring) {
        Ok(_) => Ok(keyring),
        Err(cause) => Err(BenchError::Keyring { path: keyring, cause }),
    }
}

/// Tells whether the environment and the options choose the kernel that the baseline is for.
fn is_default_kernel(config: KernelConfig) -> Result<bool, Failure> {
    Ok(Selection::from_environment()?.is_none() && config == KernelConfig::Release)
}

/// Returns what to call the kernel: the last part of the folder that it is installed in.
fn kernel_name(prefix: &sel4_kernel::Prefix) -> String {
    file_name(prefix.name())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(|cause| BenchError::Write { path: path.to_owned(), cause })
}

/// Returns the median of the row of that name, if it was measured.
fn median(rows: &[Row], wanted: &str) -> Option<u64> {
    rows.iter().find_map(|row| match row {
        Row::Measured { name, median, .. } if name == wanted => Some(*median),
        Row::Measured { .. } | Row::Failed { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_handed_to_the_client_as_arguments() {
        let wanted = Wanted { quick: true, rows: &["null".to_owned()] };
        let system = system(BENCH, &wanted, &["/a/ring.pgp".into()]);
        assert_eq!(
            (&*system.clients[0].program, &system.clients[0].arguments[..]),
            ("bench", &["quick".to_owned(), "null".to_owned()][..])
        );
        assert_eq!(system.inputs, [("ring.pgp".to_owned(), "/a/ring.pgp".into())]);
        assert!(machine().extra.starts_with(&["-icount".into(), ICOUNT.into()]));
    }

    #[test]
    fn without_rows_there_is_no_argument() {
        let wanted = Wanted { quick: false, rows: &[] };
        assert!(system(BENCH, &wanted, &["ring.pgp".into()]).clients[0].arguments.is_empty());
    }

    #[test]
    fn a_part_of_a_name_chooses_a_row() {
        let names = ["copy".to_owned()];
        let wanted = Wanted { quick: false, rows: &names };
        assert!(wanted.includes("sbm_call_copy_1k"));
        assert!(!wanted.includes("sbm_call_null"));
        assert!(Wanted { quick: false, rows: &[] }.includes("sbm_call_null"));
    }
}

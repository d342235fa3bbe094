// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites that run in the guest: one boot each, or one in each of the systems that they are a part of.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use super::Tally;
use crate::bench;
use crate::cli::TestOptions;
use crate::console::{Console, Line};
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::{Ending, Item, Machine, QemuError};
use crate::run;
use crate::system::{self, Description};
use crate::workspace::{Client, Workspace};

/// Most characters that are shown of a line of another client than the suite's.
const SHOWN: usize = 200;

/// Boots the guest for one suite, in each of its systems, and counts its tests.
pub(super) fn run(
    workspace: &Workspace,
    image: &Image,
    options: &TestOptions,
    suite: &Client,
) -> Result<Tally, Failure> {
    if suite.systems.is_empty() {
        let mut system = Description::of_programs([suite.program.as_str()]);
        for mib in &suite.inputs {
            match make_input(workspace, *mib) {
                Ok(path) => system.add_input(path),
                Err(why) => {
                    let mut tally = Tally::default();
                    say!("test {} ... FAILED: an input of {mib} MiB cannot be made ({why})", suite.program);
                    tally.count(false);
                    return Ok(tally);
                }
            }
        }
        return run_in(workspace, image, options, suite, &system);
    }
    let mut tally = Tally::default();
    for path in &suite.systems {
        let system = system::read(path, &workspace.program_names(), system::machine(options.machine.memory))?;
        tally.add(run_in(workspace, image, options, suite, &system)?);
    }
    Ok(tally)
}

/// Makes a file of so many MiB, each of which begins with its number. The rest takes no space: it is all hole.
fn make_input(workspace: &Workspace, mib: u32) -> std::io::Result<PathBuf> {
    let path = workspace.target().join("inputs").join(format!("{mib}"));
    std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let mut file = std::fs::File::create(&path)?;
    file.set_len(u64::from(mib) << 20)?;
    for number in 0..mib {
        file.seek(SeekFrom::Start(u64::from(number) << 20))?;
        file.write_all(&number.to_le_bytes())?;
    }
    Ok(path)
}

fn run_in(
    workspace: &Workspace,
    image: &Image,
    options: &TestOptions,
    suite: &Client,
    system: &Description,
) -> Result<Tally, Failure> {
    let (is_root, exact) = (suite.root, suite.exact);
    let mut machine = options.machine.clone();
    machine.memory = machine.memory.max(suite.memory);
    let mut machine = Machine::new(&machine);
    let suite = suite.program.as_str();
    let are_several = system.are_several();
    // A suite in the root task's place has no clients, and reads what it knows.
    machine.items = if is_root { numbers() } else { system.items()? };
    if exact {
        machine.extra = bench::instruction_clock();
    }
    let console = Console::new(&image.guest, workspace.home(), system);
    // A suite in the root task's place is nobody's client.
    let writer = (!is_root).then_some(suite);
    let mut tally = Tally::default();
    let timeout = Some(Duration::from_secs(options.timeout));
    let ending = machine.run(image, timeout, |line| {
        let line = console.read(line);
        match verdict(&line, writer, suite) {
            Some(Outcome::Passed) => tally.count(true),
            Some(Outcome::Failed) => tally.count(false),
            Some(Outcome::Skipped) => tally.skipped += 1,
            None => {}
        }
        // A verdict looks the same in every suite.
        if are_several && !line.is_of(suite) { say!("{line:.SHOWN$}") } else { say!("{}", line.text) }
    });
    if let Some(report) = unfinished(ending, tally, options.timeout)? {
        say!("test {suite} ... {report}");
        tally.count(false);
    }
    Ok(tally)
}

/// Makes a short file, and one that is longer than what fw_cfg transfers at once, and whose every byte tells where it
/// belongs.
fn numbers() -> Vec<Item> {
    let text = |name: &str, text: String| Item::Text { name: format!("opt/sbm/{name}"), text };
    vec![text("name", "root".to_owned()), text("numbers", (0..4000).map(|number| format!("{number}\n")).collect())]
}

/// What a test came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It cannot be run here, and says why.
    Skipped,
}

/// Reads the line of one test of a suite, if its own program wrote it.
fn verdict(line: &Line, writer: Option<&str>, suite: &str) -> Option<Outcome> {
    if line.client.as_deref() != writer {
        return None;
    }
    let (name, verdict) = line.text.strip_prefix("test ")?.split_once(" ... ")?;
    let belongs = name.strip_prefix(suite)?.starts_with("::");
    match verdict {
        "ok" if belongs => Some(Outcome::Passed),
        _ if belongs && verdict.starts_with("FAILED") => Some(Outcome::Failed),
        _ if belongs && verdict.starts_with("skipped: ") => Some(Outcome::Skipped),
        _ => None,
    }
}

/// Says what is wrong with the suite as a whole, beyond its tests.
fn unfinished(ending: Result<Ending, QemuError>, tally: Tally, seconds: u64) -> Result<Option<String>, Failure> {
    Ok(match ending? {
        Ending::Success if tally == Tally::default() => Some("FAILED: it ran no test".to_owned()),
        Ending::Success => None,
        // The suite reports failure because a test failed, and that is counted.
        Ending::Failure if tally.failed > 0 => None,
        Ending::TimedOut { .. } => Some(format!("TIMED OUT after {seconds} s")),
        other => run::outcome(other, seconds).err().map(|error| format!("FAILED: {error}")),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tally(passed: u32, failed: u32) -> Tally {
        Tally { passed, failed, skipped: 0 }
    }

    fn report(ending: Ending, tally: Tally) -> Option<String> {
        unfinished(Ok(ending), tally, 9).unwrap()
    }

    fn line(client: Option<&str>, text: &str) -> Line {
        Line { client: client.map(str::to_owned), text: text.to_owned() }
    }

    #[test]
    fn verdicts_of_the_suite_are_read() {
        let verdict = |text| verdict(&line(Some("soak"), text), Some("soak"), "soak");
        assert_eq!(verdict("test soak::many ... ok"), Some(Outcome::Passed));
        assert_eq!(verdict("test soak::many ... FAILED: lost 3"), Some(Outcome::Failed));
        assert_eq!(verdict("test soak::many ... skipped: no soap"), Some(Outcome::Skipped));
    }

    #[test]
    fn other_lines_are_no_verdicts() {
        let verdict = |text| verdict(&line(Some("soak"), text), Some("soak"), "soak");
        assert_eq!(verdict("test other::many ... ok"), None);
        assert_eq!(verdict("test soaking::many ... ok"), None);
        assert_eq!(verdict("test soak::many ... perhaps"), None);
        assert_eq!(verdict("latest soak::many ... ok"), None);
    }

    #[test]
    fn only_the_suite_tells_its_verdicts() {
        let text = "test soak::many ... ok";
        assert_eq!(verdict(&line(Some("neighbour"), text), Some("soak"), "soak"), None);
        assert_eq!(verdict(&line(None, text), Some("soak"), "soak"), None);
        assert_eq!(verdict(&line(None, text), None, "soak"), Some(Outcome::Passed));
    }

    #[test]
    fn a_suite_that_ends_well_adds_nothing() {
        assert_eq!(report(Ending::Success, tally(1, 0)), None);
        assert_eq!(report(Ending::Failure, tally(1, 1)), None);
    }

    #[test]
    fn a_suite_that_ends_badly_is_a_failure_of_its_own() {
        assert!(report(Ending::Success, Tally::default()).is_some());
        assert!(report(Ending::Failure, tally(3, 0)).is_some());
        assert!(report(Ending::Panic, tally(3, 1)).is_some());
        assert!(report(Ending::Reset, tally(3, 0)).is_some());
        let timed_out = report(Ending::TimedOut { silent: false, told: true }, tally(3, 0));
        assert_eq!(timed_out.as_deref(), Some("TIMED OUT after 9 s"));
    }
}

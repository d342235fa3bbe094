// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `systems`: the guide's system of two clients, described by a file and run as it says.

use std::path::Path;
use std::time::Duration;

use super::Tally;
use crate::cli::TestOptions;
use crate::console::{Console, Line};
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::{Ending, Machine};
use crate::system;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// The guide's description, relative to the checkout.
const GUIDE: &str = "clients/hello/system.toml";

/// A test of the lines as they were read.
struct Test {
    name: &'static str,
    run: fn(&[Line]) -> Verdict,
}

const TESTS: &[Test] = &[
    Test { name: "each_client_of_the_guides_system_does_its_work_under_its_name", run: both_work },
    Test { name: "a_client_that_ends_well_is_started_again_as_often_as_the_file_says", run: lives },
    Test { name: "a_fault_in_a_sandbox_is_told_with_the_line_of_its_clients_program", run: fault },
];

/// Boots the guide's system once and looks at its lines.
pub(super) fn run(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let path = workspace.root().join(Path::new(GUIDE));
    let system = system::read(&path, &workspace.program_names(), system::machine(options.machine.memory))?;
    let mut machine = Machine::new(&options.machine);
    machine.items = system.items()?;
    let console = Console::new(&image.guest, workspace.root(), &system);
    let mut lines = Vec::new();
    let timeout = Some(Duration::from_secs(options.timeout));
    let ending = machine.run(image, timeout, |line| lines.push(console.read(line)))?;
    let mut tally = Tally::default();
    for test in TESTS {
        let ended = if ending == Ending::Success { Ok(()) } else { Err(format!("it ended as {ending:?}")) };
        let verdict = ended.and_then(|()| (test.run)(&lines));
        match &verdict {
            Ok(()) => say!("test {}::{} ... ok", super::SYSTEMS, test.name),
            Err(why) => say!("test {}::{} ... FAILED: {why}", super::SYSTEMS, test.name),
        }
        tally.count(verdict.is_ok());
    }
    Ok(tally)
}

/// Counts the lines of a client that contain a text.
fn count(lines: &[Line], client: &str, text: &str) -> usize {
    lines.iter().filter(|line| line.is_of(client) && line.text.contains(text)).count()
}

fn both_work(lines: &[Line]) -> Verdict {
    let keys = count(lines, "keys", "parses demo.pgp again");
    let words = count(lines, "words", "hello from words, a client of the sandbox service");
    match (keys, words) {
        (1, 1..) => Ok(()),
        _ => Err(format!("keys came to its end {keys} times, words began {words} times")),
    }
}

fn lives(lines: &[Line]) -> Verdict {
    let lives = count(lines, "words", "the sandbox counted 11 words");
    let told =
        lines.iter().filter(|line| line.client.is_none() && line.text.contains("words has ended and is started"));
    match (lives, told.count()) {
        (3, 2) => Ok(()),
        (lives, told) => Err(format!("words lived {lives} times, and {told} starts are told")),
    }
}

fn fault(lines: &[Line]) -> Verdict {
    match count(lines, "words", " at hello::follow (clients/hello/src/main.rs:") {
        3 => Ok(()),
        faults => Err(format!("{faults} faults of words are told with their line")),
    }
}

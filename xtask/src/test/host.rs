// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tests that run on the host, under `cargo test`.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Stdio};
use std::thread;

use super::Tally;
use crate::failure::Failure;
use crate::guest::GuestError;
use crate::ui::Step;
use crate::workspace::{CargoError, Workspace};

/// Runs the tests of all packages for the host.
pub(super) fn run(workspace: &Workspace) -> Result<Tally, Failure> {
    let step = Step::start("testing on the host");
    let started = |cause| GuestError::Cargo { what: "the host's tests", cause: CargoError::Start { cause } };
    let mut cargo = workspace.own_cargo();
    cargo.args(["test", "--no-fail-fast"]);
    for package in workspace.host_tested() {
        cargo.arg("--package").arg(package);
    }
    cargo.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cargo.spawn().map_err(started)?;
    let messages = collect(&mut child);
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(result) = result(&line) {
                tally.add(result);
            } else if is_telling(&line) {
                step.above(|| say!("{line}"));
            }
        }
    }
    let status = child.wait().map_err(started)?;
    let messages = messages.join().unwrap_or_default();
    if !status.success() && tally.failed == 0 {
        step.above(|| eprintln!("{messages}"));
        say!("test host::build ... FAILED: cargo test failed, see its messages");
        tally.count(false);
    }
    step.done();
    Ok(tally)
}

/// Collects cargo's messages while its standard output is read.
fn collect(child: &mut Child) -> thread::JoinHandle<String> {
    let stderr = child.stderr.take();
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            // What was read until an error is all there is to tell.
            let _ = stderr.read_to_string(&mut text);
        }
        text
    })
}

/// Reads the summary of one test program, such as `test result: ok. 3 passed; 0 failed; ..`.
fn result(line: &str) -> Option<Tally> {
    let rest = line.strip_prefix("test result: ")?;
    let count = |word: &str| -> Option<u32> {
        let before = rest.split(';').find_map(|part| part.trim().strip_suffix(word))?;
        before.rsplit(' ').find(|part| !part.is_empty())?.parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

/// Tells whether a line is more than the frame around the tests.
fn is_telling(line: &str) -> bool {
    let is_frame = line.starts_with("running ") && line.contains(" test");
    !is_frame && !line.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_counted() {
        let line = "test result: FAILED. 38 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(result(line), Some(Tally { passed: 38, failed: 2, skipped: 1 }));
    }

    #[test]
    fn a_test_is_no_summary() {
        assert_eq!(result("test a::b ... ok"), None);
        assert_eq!(result("test result: nonsense"), None);
    }

    #[test]
    fn frames_are_not_shown() {
        assert!(!is_telling("running 40 tests"));
        assert!(!is_telling(""));
        assert!(is_telling("test a ... ok"));
    }
}

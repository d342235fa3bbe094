// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tests of a project outside of this tree: those on the host, and each of its programs in the guest.
//!
//! A program that is no suite has one test: with no input and no argument it runs to a good end.

use std::time::Duration;

use super::{HOST, TestError, host, suites};
use crate::cli::TestOptions;
use crate::console::Console;
use crate::failure::Failure;
use crate::host::{Host, Need};
use crate::image::Image;
use crate::kernel;
use crate::qemu::Machine;
use crate::run;
use crate::system::Description;
use crate::tally::Tally;
use crate::workspace::{Client, Workspace};

/// Runs the tests that are chosen; all but the slow ones if none is.
pub(super) fn run(workspace: &Workspace, on: &Host, options: &TestOptions) -> Result<Tally, Failure> {
    let clients = workspace.clients();
    let known: Vec<&str> = [HOST].into_iter().chain(clients.iter().map(|client| client.program.as_str())).collect();
    if let Some(name) = options.suites.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(TestError::UnknownSuite { name: name.clone(), known: known.join(", ") }.into());
    }
    let is_chosen = |name: &str, slow: bool| {
        if options.suites.is_empty() { !slow } else { options.suites.iter().any(|chosen| chosen == name) }
    };
    let chosen: Vec<_> = clients.iter().filter(|client| is_chosen(&client.program, client.slow)).collect();
    let mut tally = Tally::default();
    if !chosen.is_empty() {
        kernel::check_machine(&options.kernel, &options.machine.accel)?;
        Image::require(workspace, on, &options.kernel, &[Need::Qemu])?;
    }
    if is_chosen(HOST, false) {
        tally.add(host::run(workspace)?);
    }
    if chosen.is_empty() {
        return Ok(tally);
    }
    let image = Image::build(workspace, on, &options.kernel)?;
    for client in chosen {
        if client.suite {
            tally.add(suites::run(workspace, &image, options, client)?);
        } else {
            tally.count(runs(workspace, &image, options, client)?);
        }
    }
    Ok(tally)
}

/// Boots one program, and tells whether it ended well.
fn runs(workspace: &Workspace, image: &Image, options: &TestOptions, client: &Client) -> Result<bool, Failure> {
    let mut machine = Machine::new(&options.machine);
    let system = Description::of_programs([client.program.as_str()]);
    machine.items = system.items()?;
    let console = Console::new(&image.guest, workspace.home(), &system);
    let timeout = Some(Duration::from_secs(options.timeout));
    let ending = machine.run(image, timeout, |line| say!("{}", console.read(line).text))?;
    let outcome = run::outcome(ending, options.timeout);
    match &outcome {
        Ok(()) => say!("test {}::runs_in_the_guest ... ok", client.program),
        Err(why) => say!("test {}::runs_in_the_guest ... FAILED: {why}", client.program),
    }
    Ok(outcome.is_ok())
}

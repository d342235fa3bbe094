// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `test`: the host's tests, the guest's suites, and what must fail.
//!
//! Each test is one line, `test <suite>::<name> ... ok`, `.. FAILED: <why>` or `.. skipped: <why>`; the closing line is
//! `N passed, N failed`, and `, N skipped` if there are any.
//! A suite that does not come to its end is a failure of its own, told apart from a test that failed.

mod apparmor;
mod console;
mod disk;
mod ext4;
mod failures;
mod guest;
mod host;
mod image;
mod outside;
mod pgp;
mod project;
mod stream;
mod suites;
mod systems;

use sel4_kernel::Debugging;

use crate::bench::{self, BENCH};
use crate::cli::TestOptions;
use crate::failure::{Failure, Reason};
use crate::host::{Host, Need};
use crate::image::Image;
use crate::kernel;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// This tool, as a program to start: also where its file has been replaced meanwhile, which the tests on the host do.
const TOOL: &str = "/proc/self/exe";

/// The suite that `cargo test` runs.
const HOST: &str = "host";

/// The suite of what reaches the serial port.
const CONSOLE: &str = "console";

/// The suite of a project that is not in this tree.
const OUTSIDE: &str = "outside";

/// The suite of images that carry what they run.
const IMAGE: &str = "image";

/// The suite of systems that files describe.
const SYSTEMS: &str = "systems";

/// The suite of what must fail.
const FAILURES: &str = "failures";

/// The suite of what a full disk comes to.
const DISK: &str = "disk";

/// The suite that compares what the client of this name lists.
const PGP_KEYS: &str = "pgp-keys";

/// The suite that compares what the client of this name lists.
const APPARMOR: &str = "apparmor";

/// The suite that compares what the client of this name reads.
const EXT4: &str = "ext4";

/// The suite of a list that is larger than its sandbox, and its client.
const STREAM: &str = "stream";

/// Needs of programs whose lists are compared with ours: in the host's tests, and in the suite beside them.
const PEERS: [(Need, &str); 3] = [(Need::Gpg, PGP_KEYS), (Need::AppArmor, APPARMOR), (Need::Ext4, EXT4)];

/// Why tests are not run, or did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    /// No such suite.
    #[error("there is no suite {name}; choose from: {known}")]
    UnknownSuite { name: String, known: String },
    /// Tests failed, which the closing line has said.
    #[error("tests failed")]
    Failed,
}

impl Reason for TestError {
    fn is_request(&self) -> bool {
        matches!(self, Self::UnknownSuite { .. })
    }

    fn is_told(&self) -> bool {
        matches!(self, Self::Failed)
    }
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &TestOptions) -> Result<(), Failure> {
    verb_then(workspace, host, options, || Ok(()))
}

/// Runs the verb for a project outside of this tree.
pub(crate) fn project_verb(workspace: &Workspace, host: &Host, options: &TestOptions) -> Result<(), Failure> {
    let tally = project::run(workspace, host, options)?;
    say!("{tally}");
    if tally.failed > 0 { Err(TestError::Failed.into()) } else { Ok(()) }
}

/// Runs the tests and something else, and closes with the tests' result.
pub(crate) fn verb_then(
    workspace: &Workspace,
    host: &Host,
    options: &TestOptions,
    then: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let tally = run(workspace, host, options)?;
    let other = then();
    if let Err(failure) = &other {
        eprintln!("error: {failure}");
    }
    say!("{tally}");
    if tally.failed > 0 || other.is_err() { Err(TestError::Failed.into()) } else { Ok(()) }
}

fn run(workspace: &Workspace, host: &Host, options: &TestOptions) -> Result<Tally, Failure> {
    let suites = workspace.suites();
    check_names(options, suites.iter().map(|suite| suite.program.as_str()))?;
    let is_chosen = |name: &str, slow: bool| {
        if options.suites.is_empty() { !slow } else { options.suites.iter().any(|chosen| chosen == name) }
    };
    let mut tally = Tally::default();
    let chosen = suites.into_iter().filter(|suite| is_chosen(&suite.program, suite.slow));
    let is_debug = options.kernel.debugging() == Debugging::Allowed;
    let (left_out, chosen): (Vec<_>, Vec<_>) = chosen.partition(|suite| is_debug && suite.contained);
    for suite in left_out {
        say!("{} is left out: on a debug kernel its sandboxes could stop the machine", suite.program);
    }
    let (alone, chosen): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|suite| suite.root);
    let needs_image = [CONSOLE, SYSTEMS, FAILURES, DISK, IMAGE, OUTSIDE, PGP_KEYS, APPARMOR, EXT4, STREAM, BENCH]
        .iter()
        .any(|name| is_chosen(name, false))
        || !chosen.is_empty();
    let compared = PEERS.iter().filter(|(_, suite)| [HOST, suite].iter().any(|name| is_chosen(name, false)));
    let peers: Vec<_> = compared.map(|(need, _)| *need).collect();
    if needs_image || !alone.is_empty() {
        kernel::check_machine(&options.kernel, &options.machine.accel)?;
        Image::require(workspace, host, &options.kernel, &[&[Need::Qemu], &peers[..]].concat())?;
    } else {
        host.require(&peers)?;
    }
    if is_chosen(HOST, false) {
        tally.add(host::run(workspace)?);
    }
    if needs_image {
        let image = Image::build(workspace, host, &options.kernel)?;
        for suite in &chosen {
            tally.add(suites::run(workspace, &image, options, suite)?);
        }
        if is_chosen(CONSOLE, false) {
            tally.add(console::run(workspace, &image, options)?);
        }
        if is_chosen(SYSTEMS, false) {
            tally.add(systems::run(workspace, &image, options)?);
        }
        if is_chosen(PGP_KEYS, false) {
            tally.add(pgp::run(workspace, &image, options)?);
        }
        if is_chosen(APPARMOR, false) {
            tally.add(apparmor::run(workspace, &image, options)?);
        }
        if is_chosen(EXT4, false) {
            tally.add(ext4::run(workspace, &image, options)?);
        }
        if is_chosen(STREAM, false) {
            tally.add(stream::run(workspace, &image, options)?);
        }
        if is_chosen(BENCH, false) {
            tally.add(bench::suite(workspace, &image, options)?);
        }
    }
    for suite in &alone {
        let image = Image::build_alone(workspace, host, &options.kernel, suite)?;
        tally.add(suites::run(workspace, &image, options, suite)?);
    }
    if is_chosen(FAILURES, false) {
        tally.add(failures::run(workspace, options));
    }
    if is_chosen(DISK, false) {
        host.require(&[Need::Iso])?;
        tally.add(disk::run(workspace, options));
    }
    if is_chosen(IMAGE, false) {
        host.require(&[Need::Iso])?;
        tally.add(image::run(workspace, options));
    }
    if is_chosen(OUTSIDE, false) {
        tally.add(outside::run(workspace, options));
    }
    Ok(tally)
}

fn check_names<'a>(options: &TestOptions, suites: impl Iterator<Item = &'a str>) -> Result<(), TestError> {
    let own = [HOST, CONSOLE, SYSTEMS, FAILURES, DISK, IMAGE, OUTSIDE, PGP_KEYS, APPARMOR, EXT4, STREAM, BENCH];
    let known: Vec<_> = own.into_iter().chain(suites).collect();
    match options.suites.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(TestError::UnknownSuite { name: name.clone(), known: known.join(", ") }),
        None => Ok(()),
    }
}

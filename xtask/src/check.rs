// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `check`: formatting, lints, documentation, with warnings denied, and the tests that documents name.
//!
//! Packages for the guest are checked for the guest: with its target, its flags and a kernel's headers.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::archive;
use crate::claims;
use crate::cli::KernelOptions;
use crate::failure::{Failure, Reason};
use crate::guest;
use crate::host::{Host, Need};
use crate::kernel::Kernel;
use crate::ui::Step;
use crate::workspace::{CLIENT_TARGET, CargoError, ROOT_TARGET, Workspace, run_cargo};

/// Why checks failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Cargo did not come to checking anything.
    #[error(transparent)]
    Cargo(#[from] CargoError),
    /// The claims, or the tests that they name, cannot be read.
    #[error("the claims of docs/security.md cannot be checked ({cause}); restore the file")]
    Claims { cause: io::Error },
    /// Checks failed, each of which was told.
    #[error("these checks failed: {checks}; see the messages above")]
    Failed { checks: String },
}

impl Reason for CheckError {
    fn is_request(&self) -> bool {
        false
    }
}

/// Runs the verb: all checks, also when one fails.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<(), Failure> {
    host.require(&[Need::Guest])?;
    let kernel = Kernel::choose(workspace, host, options)?;
    // The root task includes the archive at compile time; an empty one is enough to check it.
    let archive = guest::archive_path(workspace, &kernel);
    if !fs::exists(&archive).unwrap_or(false) {
        archive::write(&[], &[], &archive)?;
    }

    let mut failed = Vec::new();
    if !is_formatted(workspace)? {
        failed.push("format".to_owned());
    }
    let faults = claims::faults(workspace.root()).map_err(|cause| CheckError::Claims { cause })?;
    if !faults.is_empty() {
        faults.iter().for_each(|fault| eprintln!("{fault}"));
        failed.push("claims".to_owned());
    }
    for side in [Side::Host, Side::Guest, Side::Root] {
        let mut clippy = cargo(workspace, &kernel, side, "clippy")?;
        if side == Side::Host {
            clippy.arg("--all-targets");
        }
        clippy.args(["--keep-going", "--", "--deny", "warnings"]);

        let mut doc = cargo(workspace, &kernel, side, "doc")?;
        doc.args(["--keep-going", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");

        for (tool, command) in [("clippy", clippy), ("rustdoc", doc)] {
            failed.extend(failure(format!("{tool} for the {}", side.name()), command)?);
        }
    }
    // Without a variable, the headers of the default kernel are found where it was built.
    if kernel.is_default() {
        let mut editor = workspace.cargo();
        editor.args(["check", "--workspace", "--all-targets", "--keep-going"]);
        editor.env_remove("SEL4_PREFIX").env_remove("SEL4_INCLUDE_DIRS").env_remove("SBM_ARCHIVE");
        failed.extend(failure("cargo check, as an editor calls it".to_owned(), editor)?);
    }
    kernel.finish()?;
    if failed.is_empty() { Ok(()) } else { Err(CheckError::Failed { checks: failed.join(", ") }.into()) }
}

/// Runs one check, and returns its name if it fails.
fn failure(name: String, command: Command) -> Result<Option<String>, CheckError> {
    let step = Step::maybe(&name);
    match run_cargo(command, &step) {
        Ok(()) => {
            step.done();
            Ok(None)
        }
        Err(CargoError::Failed) => Ok(Some(name)),
        Err(cause) => Err(cause.into()),
    }
}

/// Where a package runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Host,
    Guest,
    /// In the guest, in the root task's place.
    Root,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
            Self::Root => "root task",
        }
    }
}

/// Prepares a call of cargo for all packages of one side.
fn cargo(workspace: &Workspace, kernel: &Kernel, side: Side, verb: &str) -> Result<Command, Failure> {
    let [clients, roots] = workspace.guest_packages();
    let (mut cargo, packages) = match side {
        Side::Guest => (guest::cargo(workspace, kernel, CLIENT_TARGET, verb)?, clients),
        Side::Root => (guest::cargo(workspace, kernel, ROOT_TARGET, verb)?, roots),
        Side::Host => {
            let mut cargo = workspace.cargo();
            cargo.arg(verb);
            (cargo, workspace.host_packages())
        }
    };
    for package in packages {
        cargo.arg("--package").arg(workspace.package_spec(package));
    }
    Ok(cargo)
}

/// Tells whether all files are formatted, and prints those that are not.
fn is_formatted(workspace: &Workspace) -> Result<bool, CheckError> {
    let mut fmt = workspace.cargo();
    fmt.args(["fmt", "--all", "--", "--check", "--files-with-diff"]);
    let output = fmt.output().map_err(|cause| CheckError::Cargo(CargoError::Start { cause }))?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let path = Path::new(line).strip_prefix(workspace.root()).unwrap_or(Path::new(line));
        eprintln!("{} is not formatted; run `cargo fmt --all`", path.display());
    }
    Ok(output.status.success())
}

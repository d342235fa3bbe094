// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `check`: formatting, lints and documentation, with warnings denied.
//!
//! Packages for the guest are checked for the guest: with its target, its flags and a kernel's headers.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::archive;
use crate::cli::KernelOptions;
use crate::failure::Failure;
use crate::guest;
use crate::host::{Host, Need};
use crate::kernel::Kernel;
use crate::ui::Step;
use crate::workspace::{CargoError, Workspace, run_cargo};

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// Cargo failed.
    #[error("{what} failed; {cause}")]
    Cargo { what: String, cause: CargoError },
    /// rustfmt cannot be started.
    #[error("cargo fmt cannot be started ({cause}); install rustup from https://rustup.rs")]
    Start { cause: io::Error },
    /// Files are not formatted.
    #[error("{files} are not formatted; run `cargo fmt --all`")]
    Format { files: String },
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<(), Failure> {
    check_format(workspace)?;
    host.require(&[Need::Guest])?;
    let kernel = Kernel::choose(workspace, host, options)?;
    // The root task includes the archive at compile time; an empty one is enough to check it.
    let archive = guest::archive_path(workspace, &kernel);
    if !fs::exists(&archive).unwrap_or(false) {
        archive::write(&[], &archive)?;
    }
    let cargo = |on_guest: bool, verb: &str| -> Result<Command, Failure> {
        let (mut cargo, packages) = if on_guest {
            (guest::cargo(workspace, &kernel, verb)?, workspace.guest_packages())
        } else {
            let mut cargo = workspace.cargo();
            cargo.arg(verb);
            (cargo, workspace.host_packages())
        };
        for package in packages {
            cargo.arg("--package").arg(workspace.package_spec(package));
        }
        Ok(cargo)
    };
    for (on_guest, side) in [(false, "host"), (true, "guest")] {
        let mut clippy = cargo(on_guest, "clippy")?;
        if !on_guest {
            clippy.arg("--all-targets");
        }
        clippy.args(["--", "--deny", "warnings"]);
        run(&format!("clippy for the {side}"), clippy)?;

        let mut doc = cargo(on_guest, "doc")?;
        doc.args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");
        run(&format!("rustdoc for the {side}"), doc)?;
    }
    kernel.finish().map(drop)
}

fn check_format(workspace: &Workspace) -> Result<(), CheckError> {
    let mut fmt = workspace.cargo();
    fmt.args(["fmt", "--all", "--", "--check", "--files-with-diff"]);
    let output = fmt.output().map_err(|cause| CheckError::Start { cause })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let inside = |line| Path::new(line).strip_prefix(workspace.root()).unwrap_or(Path::new(line)).display().to_string();
    let files: Vec<_> = text.lines().map(inside).collect();
    Err(CheckError::Format { files: files.join(", ") })
}

fn run(what: &str, command: Command) -> Result<(), CheckError> {
    let step = Step::maybe(what);
    run_cargo(command, &step).map_err(|cause| CheckError::Cargo { what: what.to_owned(), cause })?;
    step.done();
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `check`: formatting, lints and documentation, with warnings denied.
//!
//! Packages for the guest are checked for the guest: with its target, its flags and a kernel's headers.

use std::fs;
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
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, host: &Host, options: &KernelOptions) -> Result<(), Failure> {
    let mut fmt = workspace.cargo();
    fmt.args(["fmt", "--all", "--check"]);
    run("checking the format: run `cargo fmt`, it", fmt)?;

    host.require(&[Need::Guest])?;
    let kernel = Kernel::choose(workspace, host, options)?;
    // The root task includes the archive at compile time; an empty one is enough to check it.
    let archive = guest::archive_path(&workspace.target().join("guest").join(kernel.name()));
    if !fs::exists(&archive).unwrap_or(false) {
        archive::write(&[], &archive)?;
    }
    let cargo = |on_guest: bool, verb: &str| {
        let (mut cargo, packages) = if on_guest {
            (guest::cargo(workspace, &kernel, verb), workspace.guest_packages())
        } else {
            let mut cargo = workspace.cargo();
            cargo.arg(verb);
            (cargo, workspace.host_packages())
        };
        for package in packages {
            cargo.arg("--package").arg(workspace.package_spec(package));
        }
        cargo
    };
    for (on_guest, side) in [(false, "host"), (true, "guest")] {
        let mut clippy = cargo(on_guest, "clippy");
        if !on_guest {
            clippy.arg("--all-targets");
        }
        clippy.args(["--", "--deny", "warnings"]);
        run(&format!("clippy for the {side}"), clippy)?;

        let mut doc = cargo(on_guest, "doc");
        doc.args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");
        run(&format!("rustdoc for the {side}"), doc)?;
    }
    kernel.finish().map(drop)
}

fn run(what: &str, command: Command) -> Result<(), CheckError> {
    let step = Step::maybe(what);
    run_cargo(command, &step).map_err(|cause| CheckError::Cargo { what: what.to_owned(), cause })?;
    step.done();
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `doc`: the documentation of the client library, as HTML.

use crate::cli::DocOptions;
use crate::failure::{Failure, Reason};
use crate::ui::Step;
use crate::workspace::{CargoError, Workspace, run_cargo};

/// The library that clients are written with.
const LIBRARY: &str = "sbm";

/// Why there is no documentation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocError {
    /// Cargo failed.
    #[error("the documentation did not build; {cause}")]
    Cargo { cause: CargoError },
}

impl Reason for DocError {
    fn is_request(&self) -> bool {
        false
    }
}

/// Writes the documentation and prints, or opens, its first page.
pub(crate) fn verb(workspace: &Workspace, options: &DocOptions) -> Result<(), Failure> {
    let step = Step::maybe("writing the documentation");
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--no-deps", "--package"]).arg(workspace.package_spec(LIBRARY));
    // In a project as well, whose folder for what is built is another one.
    cargo.arg("--target-dir").arg(workspace.target());
    if options.open {
        cargo.arg("--open");
    }
    run_cargo(cargo, &step).map_err(|cause| DocError::Cargo { cause })?;
    step.done();
    say!("{}", workspace.target().join("doc").join(LIBRARY).join("index.html").display());
    Ok(())
}

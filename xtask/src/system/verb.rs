// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `system`: says what a description means, and runs nothing.

use std::fs;

use crate::cli::SystemOptions;
use crate::failure::Failure;
use crate::system::{self, SystemError, table};
use crate::workspace::Workspace;

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, options: &SystemOptions) -> Result<(), Failure> {
    let description = system::read(&options.check, &workspace.program_names(), system::machine(options.memory))?;
    if let Some(path) = &options.write {
        fs::write(path, description.bytes()?).map_err(|cause| SystemError::Write { path: path.clone(), cause })?;
    }
    let text = if options.json { table::json(&description) } else { table::table(&description) };
    say!("{}", text.trim_end());
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots an image with what it is to do, for suites that look at what a client prints.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::TestOptions;
use crate::console::Console;
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::{Ending, Machine};
use crate::system::Description;
use crate::workspace::Workspace;

/// One image, booted with different inputs.
pub(super) struct Guest<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) image: &'a Image,
    pub(super) options: &'a TestOptions,
}

impl Guest<'_> {
    /// Runs one client, and returns the lines that it printed, and how it ended.
    ///
    /// # Errors
    /// When the guest cannot be started.
    pub(super) fn boot(
        &self,
        program: &str,
        arguments: &[&str],
        inputs: Vec<(String, PathBuf)>,
    ) -> Result<(Vec<String>, Ending), Failure> {
        let system = Description::of_one(Some(program), arguments, inputs);
        let mut machine = Machine::new(&self.options.machine);
        machine.items = system.items()?;
        let console = Console::new(&self.image.guest, self.workspace.root(), &system);
        let mut lines = Vec::new();
        let timeout = Some(Duration::from_secs(self.options.timeout));
        let ending = machine.run(self.image, timeout, |line| lines.push(console.read(line).text))?;
        Ok((lines, ending))
    }
}

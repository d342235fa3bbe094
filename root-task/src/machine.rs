// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that the root task owns and no client has: memory, slots, address-space ids, window, endpoint, console.

use core::fmt::Write;

use sel4::{Error, cap};

use crate::{asid::Asids, console::Console, memory::Memory, window::Window};

/// What kernel objects are made of, and what belongs to no client.
pub(crate) struct Machine {
    pub(crate) memory: &'static mut Memory,
    pub(crate) asids: Asids,
    pub(crate) window: Window,
    /// The endpoint that all messages to the root task come to.
    pub(crate) endpoint: cap::Endpoint,
    pub(crate) console: Console,
}

impl Machine {
    /// Makes what the root task needs for itself.
    pub(crate) fn new(memory: &'static mut Memory, console: Console) -> Result<Self, Error> {
        let bytes = 1 << sel4::ObjectBlueprint::Endpoint.physical_size_bits();
        let endpoint = memory.block(bytes, 1).map_err(|_| Error::NotEnoughMemory)?.maker().object()?;
        let window = Window::new(memory)?;
        Ok(Self { memory, asids: Asids::new(), window, endpoint, console })
    }

    /// Reports what the root task could not do; its caller gets an error reply.
    pub(crate) fn complain(&self, what: &str, error: Error) {
        if error != Error::NotEnoughMemory {
            let _ = writeln!(self.console.writer(), "root-task: the kernel refused {what}: {error:?}");
        }
    }
}

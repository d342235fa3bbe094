// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that the root task owns, and the server's platform made of it.

use core::fmt::Write;

use sbm_abi::{
    BufferAccess, EntryPoints, Layout, Pages,
    limits::{ARENA_BASE, ARENA_END, MAX_CLIENTS},
};
use sbm_objects::{Ranges, SizeBits, Span};
use sbm_server::{ClientId, Exhausted, Free, MapError, Platform, Restart, SandboxIndex};
use sel4::Error;

use crate::{
    asid::Asids,
    client::Client,
    console::Console,
    cspace::{CSpace, Slot},
    memory::Memory,
    sandbox::Objects,
    window::Window,
};

/// The arenas are handed out in units of 32 KiB, the least span of a sandbox.
const UNIT_BITS: u8 = 15;
const UNITS: u32 = (ARENA_END - ARENA_BASE) >> UNIT_BITS;

/// Kernel objects and memory that belong to no client.
pub(crate) struct Machine {
    pub(crate) cspace: CSpace,
    pub(crate) memory: &'static mut Memory,
    pub(crate) asids: Asids,
    pub(crate) window: Window,
    /// The endpoint that all messages to the root task come to.
    pub(crate) endpoint: Slot,
    pub(crate) console: Console,
}

impl Machine {
    /// Reports what the root task could not do; its caller gets an error reply.
    pub(crate) fn complain(&self, what: &str, error: Error) {
        if error != Error::NotEnoughMemory {
            let _ = writeln!(self.console.writer(), "root-task: the kernel refused {what}: {error:?}");
        }
    }
}

/// The machine, the arenas and the clients.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) arenas: &'static mut Arenas,
    pub(crate) clients: &'static mut Clients,
}

/// The clients, by their place in the server's table.
pub(crate) type Clients = [Option<Client>; MAX_CLIENTS];

/// The arenas' address ranges.
pub(crate) type Arenas = Ranges<{ UNITS.next_power_of_two() as usize }>;

/// Hands the allocator the arenas, once.
pub(crate) fn fill_arenas(arenas: &mut Arenas) -> Result<(), Error> {
    arenas.fill(0..UNITS).map_err(|_| Error::RangeError)
}

impl Platform for World {
    type Sandbox = Objects;

    fn reserve(&mut self, bits: u8) -> Result<u32, Exhausted> {
        let size = SizeBits::new(bits.saturating_sub(UNIT_BITS)).ok_or(Exhausted)?;
        let span = self.arenas.alloc(size).map_err(|_| Exhausted)?;
        Ok(ARENA_BASE + (span.first << UNIT_BITS))
    }

    fn release(&mut self, base: u32, bits: u8) {
        let first = (base - ARENA_BASE) >> UNIT_BITS;
        if let Some(size) = SizeBits::new(bits.saturating_sub(UNIT_BITS)) {
            let _ = self.arenas.free(Span { first, size });
        }
    }

    fn build(
        &mut self,
        client: ClientId,
        index: SandboxIndex,
        layout: &Layout,
        entries: EntryPoints,
    ) -> Result<Objects, Exhausted> {
        let client = self.clients[client.place()].as_mut().ok_or(Exhausted)?;
        self.machine.build_sandbox(client, index, layout, entries)
    }

    fn grow(&mut self, client: ClientId, sandbox: &mut Objects, layout: &Layout) -> Result<(), Exhausted> {
        let client = self.clients[client.place()].as_mut().ok_or(Exhausted)?;
        self.machine.grow_sandbox(client, sandbox, layout)
    }

    fn map(
        &mut self,
        client: ClientId,
        sandbox: &mut Objects,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<(), MapError> {
        let client = self.clients[client.place()].as_ref().ok_or(MapError::NotTheClients)?;
        self.machine.map_into_sandbox(client, sandbox, pages, access)
    }

    fn restart(&mut self, sandbox: &Objects, restart: Restart) {
        self.machine.restart_sandbox(sandbox, restart);
    }

    fn destroy(&mut self, _: ClientId, sandbox: Objects) {
        self.machine.destroy_sandbox(sandbox);
    }

    fn console(&mut self, id: ClientId, text: &[u8]) {
        let name = self.clients[id.place()].as_ref().map_or("?", Client::name);
        self.machine.console.write_of(id, name, text);
    }

    fn free(&self) -> Free {
        Free { bytes: self.machine.memory.free_bytes(), slots: self.machine.memory.free_slot_count() }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server needs of the machine: few methods, each with its obligation.

use sbm_abi::{BufferAccess, EntryPoints, Fault, Layout, Pages};

use crate::{ClientId, SandboxIndex};

/// Memory, slots, address space or address-space ids ran out. The operation left nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// Why a client's own pages were not mapped into its sandbox. The operation left nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// Something ran out.
    Exhausted,
    /// A page is not one that the client holds, or holds with fewer rights than asked.
    NotTheClients,
    /// Something of the sandbox lies at the address already.
    Occupied,
}

/// Where a sandbox's thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// At the entry point that clears what functions left, and waits.
    Reset {
        /// The entry points.
        entries: EntryPoints,
        /// The stack to clear and to start with.
        stack: Pages,
    },
    /// At the entry point that answers the aborted call and waits.
    Abort {
        /// The entry points.
        entries: EntryPoints,
        /// The stack to start with.
        stack: Pages,
        /// What to answer.
        fault: Fault,
    },
}

/// What is free on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes of untyped memory.
    pub bytes: u64,
    /// Capability slots.
    pub slots: u32,
}

/// Carries out what the server decided. All arguments have been checked; none is a client's bare word, except that
/// entry points and contents may be nonsense, which must harm no one but that client's sandboxes.
pub trait Platform {
    /// The kernel objects of one sandbox. Only [`Platform::destroy`] gives them back.
    type Sandbox;

    /// Finds `2^bits` bytes of the arenas, aligned to their size, that no other sandbox of any client uses.
    ///
    /// # Errors
    /// [`Exhausted`] if there are none.
    fn reserve(&mut self, bits: u8) -> Result<u32, Exhausted>;

    /// Takes back what [`Platform::reserve`] gave.
    fn release(&mut self, base: u32, bits: u8);

    /// Makes a sandbox: its memory zeroed and mapped as `layout` says, on the client's side without the stack; the
    /// client's code and nothing else of the client; a thread of the client's priority that starts at `entries.start`;
    /// in its CSpace its own endpoint, to receive, and its fault endpoint, to send; in the client's CSpace the
    /// capability to call it.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn build(
        &mut self,
        client: ClientId,
        index: SandboxIndex,
        layout: &Layout,
        entries: EntryPoints,
    ) -> Result<Self::Sandbox, Exhausted>;

    /// Adds the buffers of `layout`, zeroed, to both sides.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn grow(&mut self, client: ClientId, sandbox: &mut Self::Sandbox, layout: &Layout) -> Result<(), Exhausted>;

    /// Maps pages that the client holds itself into the sandbox, at the same address, for `access`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is left of the attempt.
    fn map(
        &mut self,
        client: ClientId,
        sandbox: &mut Self::Sandbox,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<(), MapError>;

    /// Gives the sandbox's thread new registers, whatever it is doing, and lets it run. Its old registers and its
    /// memory play no part.
    fn restart(&mut self, sandbox: &Self::Sandbox, restart: Restart);

    /// Ends the sandbox and takes back everything, on both sides; memory is cleared before it is used again.
    fn destroy(&mut self, client: ClientId, sandbox: Self::Sandbox);

    /// Writes a client's text to the console.
    fn console(&mut self, client: ClientId, text: &[u8]);

    /// Returns what is free.
    fn free(&self) -> Free;
}

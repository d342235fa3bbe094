// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server knows of each client and each sandbox.

use heapless::Vec;
use sbm_abi::{
    EntryPoints, Errno, Handle, Layout, Pages, Spec,
    limits::{MAX_CLIENTS, MAX_GROWTHS, MAX_MAPPINGS},
};

/// A client, by its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(u8);

impl ClientId {
    /// Names the client at `place`, if the table has it.
    #[must_use]
    pub fn new(place: u64) -> Option<Self> {
        u8::try_from(place).ok().filter(|place| usize::from(*place) < MAX_CLIENTS).map(Self)
    }

    /// Returns the place in the table, below [`MAX_CLIENTS`].
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// A sandbox, by its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SandboxIndex(u16);

impl SandboxIndex {
    /// Names the sandbox at `place` of a table of `length`, if it has it.
    #[must_use]
    pub fn new(place: u64, length: usize) -> Option<Self> {
        u16::try_from(place).ok().filter(|place| usize::from(*place) < length).map(Self)
    }

    /// Returns the place in the table.
    #[must_use]
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn handle(self, generation: u32) -> Handle {
        Handle::new(self.0, generation)
    }
}

/// What a client may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Sandboxes, spare ones included.
    pub sandboxes: u16,
    /// Pages of memory in sandboxes, spare ones included: buffers, stacks, page tables.
    pub pages: u32,
    /// Destroyed sandboxes that are kept ready for the next `sbm_init` of the same shape.
    pub spares: u8,
}

/// What stands at a place of the sandbox table.
///
/// There is no state for a running call: calls do not pass the server, and nothing here depends on one.
///
/// Zero is none of them, so that an empty table is all zeros and takes no room in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// A sandbox that serves calls.
    Ready = 1,
    /// A sandbox that was aborted since its last reset. Its thread waits for calls all the same: that the error sticks is
    /// the client library's doing.
    Faulted,
    /// A sandbox that faulted at its own entry point: it can only be reset or destroyed.
    Stopped,
    /// A sandbox that was destroyed and is kept ready for its client.
    Spare,
}

/// One sandbox, with the kernel objects `S`.
#[derive(Debug)]
pub(crate) struct Sandbox<S> {
    pub(crate) owner: ClientId,
    pub(crate) state: State,
    pub(crate) spec: Spec,
    pub(crate) base: u32,
    pub(crate) bits: u8,
    pub(crate) stack: Pages,
    /// Pages charged to the owner.
    pub(crate) charge: u32,
    /// Spans of the arenas that were added: base and size.
    pub(crate) growths: Vec<(u32, u8), MAX_GROWTHS>,
    pub(crate) mappings: Vec<Pages, MAX_MAPPINGS>,
    pub(crate) objects: S,
}

impl<S> Sandbox<S> {
    /// Tells whether it is what `sbm_init` makes from its spec, so that it can stand in for a new one.
    pub(crate) fn is_as_made(&self) -> bool {
        self.growths.is_empty() && self.mappings.is_empty()
    }
}

/// A place in the sandbox table. The generation counts what stood here.
#[derive(Debug)]
pub(crate) struct Place<S> {
    pub(crate) generation: u32,
    pub(crate) sandbox: Option<Sandbox<S>>,
}

impl<S> Place<S> {
    pub(crate) const EMPTY: Self = Self { generation: 0, sandbox: None };

    pub(crate) fn bump(&mut self) {
        self.generation = (self.generation + 1) % Handle::GENERATIONS;
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) entries: Option<EntryPoints>,
    pub(crate) quota: Quota,
    pub(crate) sandboxes: u16,
    pub(crate) pages: u32,
    pub(crate) spares: Vec<SandboxIndex, MAX_SPARES>,
}

/// Most spare sandboxes of one client.
pub(crate) const MAX_SPARES: usize = 8;

/// Pages of a sandbox beside those of its layout: four paging structures, and one for its thread, CSpace and endpoint.
const FIXED_PAGES: u32 = 5;

impl Client {
    pub(crate) const fn new(quota: Quota) -> Self {
        Self { entries: None, quota, sandboxes: 0, pages: 0, spares: Vec::new() }
    }

    /// Says what `layout` costs, if the quota has room for it and `sandboxes` more.
    pub(crate) fn charge_for(&self, layout: &Layout, sandboxes: u16) -> Result<u32, Errno> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 18 regions")]
        let tables = layout.regions().len() as u32 - 1;
        let pages = layout.memory_pages() + tables + FIXED_PAGES;
        let fits = self.sandboxes + sandboxes <= self.quota.sandboxes && self.pages + pages <= self.quota.pages;
        if fits { Ok(pages) } else { Err(Errno::Quota) }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Brings in what a sandbox touches of its heap, a chunk at a time.
//!
//! A touch is a fault like any other until it was found to be none: only an address in the heap of a sandbox that can be
//! in a call, in a chunk that is not there. The message may be forged; it then brings in what the sandbox could have
//! touched. A second fault at a chunk that is there ends the call.

use sbm_abi::{Fault, FaultKind, Heap, OverQuota};

use crate::{
    Plan, Platform, SandboxIndex, Server, State,
    platform::Exhausted,
    quota::Room,
    table::{Additions, Client, Sandbox},
};

/// Why a chunk could not be brought in.
enum NoChunk {
    Exhausted,
    Quota,
}

impl From<Exhausted> for NoChunk {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

impl From<OverQuota> for NoChunk {
    fn from(_: OverQuota) -> Self {
        Self::Quota
    }
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Brings in the chunk of the heap that a fault has touched, and tells whether it is there now: `None` if the fault is no
    /// touch of the heap.
    pub(crate) fn touch(
        &mut self,
        platform: &mut P,
        index: SandboxIndex,
        fault: Fault,
    ) -> Option<Result<(), FaultKind>> {
        if fault.kind != FaultKind::Page {
            return None;
        }
        loop {
            let sandbox = self.sandboxes.get(index.get())?.sandbox.as_ref()?;
            let heap = sandbox.heap()?;
            let number = heap.chunk_at(fault.address)?;
            if sandbox.chunks.has(number) || !matches!(sandbox.state, State::Ready | State::Faulted) {
                return None;
            }
            let owner = sandbox.owner;
            let room = self.room(owner);
            let entry = &mut self.sandboxes[index.get()];
            let sandbox = entry.sandbox.as_mut()?;
            let client = self.clients[owner.get()].as_mut()?;
            let kind = match add_chunk(platform, client, &room, sandbox, &mut entry.additions, heap, number) {
                Ok(()) => return Some(Ok(())),
                Err(NoChunk::Exhausted) => FaultKind::NoMemory,
                Err(NoChunk::Quota) => FaultKind::OverQuota,
            };
            if !self.drop_spare(platform, owner) {
                return Some(Err(kind));
            }
        }
    }
}

/// Adds a chunk, if there is room for it now.
fn add_chunk<P: Platform>(
    platform: &mut P,
    client: &mut Client<P>,
    room: &Room,
    sandbox: &mut Sandbox<P>,
    additions: &mut Additions<P>,
    heap: Heap,
    number: u8,
) -> Result<(), NoChunk> {
    let pages = heap.chunk(number).ok_or(Exhausted)?;
    if additions.chunks.is_full() {
        return Err(NoChunk::Exhausted);
    }
    let plan = Plan::of_chunk(pages);
    let (charge, _) = plan.charges_of_growth();
    room.admits(client.used(), charge.with(0))?;
    let part = platform.add_pages(&client.objects, &sandbox.objects, &plan)?;
    // There is room: it was looked for above.
    let _ = additions.chunks.push(part);
    sandbox.chunks = sandbox.chunks.with(number);
    sandbox.charge = sandbox.charge.plus(charge);
    client.charge = client.charge.plus(charge);
    Ok(())
}

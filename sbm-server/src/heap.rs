// SPDX-License-Identifier: MIT OR Apache-2.0
//! Brings in what a sandbox touches of its heap and its private statics: a chunk, or some pages of a large one.
//!
//! A touch is a fault like any other until it was found to be none: only an address in such a zone of a sandbox that can be
//! in a call, in a chunk that is not there. The message may be forged; it then brings in what the sandbox could have
//! touched. A second fault at a chunk that is there ends the call.

use sbm_abi::{Access, Fault, FaultKind, OverQuota, ZONE_CHUNKS};

use crate::{
    Handled, KernelFault, Plan, Platform, SandboxIndex, Server, State,
    guarded::Asked,
    platform::{Exhausted, Progress, Shortage},
    quota::Room,
    table::{Additions, Chunk, Client, Sandbox, Zones},
};

/// A chunk that was touched.
struct Touched {
    number: u8,
    /// Whether what was touched is what it is reset from, which comes with it.
    is_ground: bool,
}

/// Why a chunk could not be brought in.
enum NoChunk {
    Exhausted,
    Quota,
    /// It is tried again when its thread goes on.
    NotYet,
}

impl From<Exhausted> for NoChunk {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

impl From<Shortage> for NoChunk {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Exhausted => Self::Exhausted,
            Shortage::NotReady => Self::NotYet,
        }
    }
}

impl From<OverQuota> for NoChunk {
    fn from(_: OverQuota) -> Self {
        Self::Quota
    }
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Does what a fault asks for that may be none: brings in the chunk that it has touched, or its next pages, which the thread
    /// touches again, or does what it asks of a guarded heap. `None` if it is a fault; where there is no room, what is told.
    #[cold]
    pub(crate) fn touch(
        &mut self,
        platform: &mut P,
        index: SandboxIndex,
        message: KernelFault,
        fault: Fault,
    ) -> Option<Result<Handled, Fault>> {
        let (Touched { number, is_ground }, fault) = if fault.kind == FaultKind::Page {
            let sandbox = self.sandboxes.get(index.get())?.sandbox.as_ref()?;
            (touched(sandbox.zones, fault.address)?, fault)
        } else {
            match self.ask_page(platform, index, message)? {
                Asked::Served => return Some(Ok(Handled::Served)),
                Asked::Lacks { number, address } => {
                    // Where there is no room, it is told as a touch would be.
                    let fault = Fault { access: Access::Write, address: address.into(), ..fault };
                    (Touched { number, is_ground: false }, fault)
                }
            }
        };
        let sandbox = self.sandboxes.get(index.get())?.sandbox.as_ref()?;
        let plan = sandbox.zones.plan_of(number)?;
        if !matches!(sandbox.state, State::Ready | State::Faulted) {
            return None;
        }
        let owner = sandbox.owner;
        let room = self.room(owner);
        let entry = &mut self.sandboxes[index.get()];
        let sandbox = entry.sandbox.as_mut()?;
        let client = self.clients[owner.get()].as_mut()?;
        let brought = match entry.additions.chunks.iter_mut().find(|chunk| chunk.number == number) {
            Some(chunk) if chunk.is_whole => return None,
            Some(chunk) => extend_chunk(platform, client, sandbox, chunk, &plan).map_err(NoChunk::from),
            None if is_ground => return None,
            None => add_chunk(platform, client, &room, sandbox, &mut entry.additions, number, &plan),
        };
        let kind = match brought {
            Ok(()) => return Some(Ok(Handled::GoesOn)),
            Err(NoChunk::NotYet) if client.note_touch(index) => return Some(Ok(Handled::Waits)),
            Err(NoChunk::Exhausted | NoChunk::NotYet) => FaultKind::NoMemory,
            Err(NoChunk::Quota) => FaultKind::OverQuota,
        };
        if !self.drop_spare(platform, owner) {
            return Some(Err(Fault { kind, ..fault }));
        }
        // A large spare leaves its room in steps: the touch waits for it. Of others one go has time for one: the thread touches
        // again.
        let waits =
            self.has_doomed(owner) && self.clients[owner.get()].as_mut().is_some_and(|client| client.note_touch(index));
        Some(Ok(if waits { Handled::Waits } else { Handled::GoesOn }))
    }
}

/// Returns the chunk that an address lies in.
fn touched(zones: Zones, address: u64) -> Option<Touched> {
    if let Some(number) = zones.heap.and_then(|(heap, _)| heap.chunk_at(address)) {
        // Of a guarded one no page comes by itself.
        if zones.guarded {
            return None;
        }
        return Some(Touched { number, is_ground: false });
    }
    let (statics, ground) = zones.statics?;
    // Grounds lie in an arena, above all programs.
    let above = ground.checked_sub(statics.pages().address)?;
    let below = address.checked_sub(u64::from(above)).and_then(|address| statics.chunk_at(address));
    let number = below.or_else(|| statics.chunk_at(address))?;
    let number = ZONE_CHUNKS + number;
    Some(Touched { number, is_ground: below.is_some() })
}

/// Adds a chunk, if there is room for it now.
fn add_chunk<P: Platform>(
    platform: &mut P,
    client: &mut Client<P>,
    room: &Room,
    sandbox: &mut Sandbox<P>,
    additions: &mut Additions<P>,
    number: u8,
    plan: &Plan<'_>,
) -> Result<(), NoChunk> {
    if additions.chunks.is_full() {
        return Err(NoChunk::Exhausted);
    }
    let (charge, _) = plan.charges_of_growth();
    room.admits(client.used(), charge.with(0))?;
    let mut part = platform.add_pages(&client.objects, &sandbox.objects, plan)?;
    let is_whole = match platform.extend(&client.objects, &sandbox.objects, &mut part, plan) {
        Ok(progress) => progress == Progress::Done && !plan.is_loose(),
        Err(shortage) => {
            platform.remove(part);
            return Err(shortage.into());
        }
    };
    // There is room: it was looked for above.
    let _ = additions.chunks.push(Chunk { number, is_whole, is_large: plan.has_large(), charge, part });
    sandbox.chunks = sandbox.chunks.with(number);
    sandbox.charge = sandbox.charge.plus(charge);
    client.charge = client.charge.plus(charge);
    Ok(())
}

/// Adds pages to a chunk that does not have all of them.
pub(crate) fn extend_chunk<P: Platform>(
    platform: &mut P,
    client: &Client<P>,
    sandbox: &Sandbox<P>,
    chunk: &mut Chunk<P::Part>,
    plan: &Plan<'_>,
) -> Result<(), Shortage> {
    let progress = platform.extend(&client.objects, &sandbox.objects, &mut chunk.part, plan)?;
    chunk.is_whole = progress == Progress::Done && !plan.is_loose();
    Ok(())
}

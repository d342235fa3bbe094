// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the present state of heap and statics what a reset returns to.
//!
//! What is there of the heap gets a *ground*: a growth that the sandbox alone has, to read, with what the pages hold now.
//! That of the statics is there, and is overwritten. What comes later is reset to what it would have been. A sandbox has one
//! snapshot, and is not kept as a spare afterwards.
//!
//! A job does it, since it takes long: memory first, so that what is refused has changed nothing, then the copies. A thread
//! that runs on meanwhile spoils what is its own.

use sbm_abi::{Chunks, Handle, Pages, Response, ZONE_CHUNKS, Zone, limits::MAX_GROWTHS};

use crate::{
    ClientId, Plan, Platform, Progress, SLICE, Server, Shortage, SnapshotError,
    heap::extend_chunk,
    owned::Owned,
    platform::Exhausted,
    quota::Room,
    table::{Additions, Chunk, Growth},
    work::Job,
};

/// A snapshot that is being taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    pub(crate) handle: Handle,
    /// What was there when it was asked for.
    chunks: Chunks,
    /// Where the heap's ground begins, or 0.
    pub(crate) ground: u32,
    /// Whether all of it is made.
    is_made: bool,
    /// Pages of heap and statics that are copied.
    copied: u32,
}

/// Most pages that are copied in one step: each takes as long as four that are made.
const COPIES: u32 = SLICE / 4;

impl Keeping {
    /// Takes the next pages of a chunk that has so many before it: from which one on, and how many; none if all are copied.
    fn next(&mut self, before: u32, chunk: Pages) -> Option<(u32, u32)> {
        let from = self.copied.checked_sub(before)?;
        let left = chunk.count.checked_sub(from).filter(|left| *left > 0)?;
        self.copied += left.min(COPIES);
        Some((from, left.min(COPIES)))
    }
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Takes the snapshot of a sandbox: by a job.
    pub(crate) fn snapshot(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
    ) -> Result<Option<Response>, SnapshotError> {
        let room = self.room(id);
        let mut owned = self.owned(id, handle)?;
        let chunks = owned.sandbox.chunks;
        match owned.make_ground(platform, &room, chunks) {
            Ok(ground) => {
                self.begin(id, Job::Keep(Keeping { handle, chunks, ground, is_made: false, copied: 0 }));
                Ok(None)
            }
            Err(SnapshotError::Exhausted | SnapshotError::Quota(_)) if self.gives_up_spare(platform, id) => {
                Err(SnapshotError::NotYet)
            }
            Err(error) => Err(error),
        }
    }

    /// Does a step of a snapshot.
    pub(crate) fn keep(&mut self, platform: &mut P, id: ClientId, keeping: &mut Keeping) -> Result<Progress, Shortage> {
        let mut owned = self.owned(id, keeping.handle).map_err(|_| Exhausted)?;
        if owned.make_next(platform, keeping)? || owned.copy_next(platform, keeping)? {
            return Ok(Progress::More);
        }
        if let Some((_, ground)) = &mut owned.sandbox.zones.heap {
            *ground = keeping.ground;
        }
        owned.sandbox.kept = Some(keeping.chunks);
        Ok(Progress::Done)
    }
}

impl<P: Platform> Owned<'_, P> {
    /// Begins to make the ground of what is there of the heap, if there is any and room for it, and returns where; 0 if there
    /// is nothing.
    fn make_ground(&mut self, platform: &mut P, room: &Room, chunks: Chunks) -> Result<u32, SnapshotError> {
        if self.sandbox.zones.guarded {
            return Err(SnapshotError::Guarded);
        }
        if self.sandbox.kept.is_some() {
            return Err(SnapshotError::Taken);
        }
        let Some((heap, _)) = self.sandbox.zones.heap.filter(|_| chunks.of_heap() != 0) else { return Ok(0) };
        if self.additions.growths.is_full() {
            return Err(SnapshotError::Full { limit: MAX_GROWTHS });
        }
        let bits = span_bits(heap.pages());
        let base = self.arena.reserve(bits)?;
        let made = self.make_ground_at(platform, room, heap, chunks, base);
        if made.is_err() {
            self.arena.release(base, bits);
        }
        made.map(|()| base)
    }

    /// Makes pages that are missing of what is kept, or of the heap's ground, and tells whether any were.
    fn make_next(&mut self, platform: &mut P, keeping: &mut Keeping) -> Result<bool, Shortage> {
        let Additions { growths, chunks, .. } = &mut *self.additions;
        let is_missing = |chunk: &&mut Chunk<_>| !chunk.is_whole && keeping.chunks.has(chunk.number);
        if let Some(chunk) = chunks.iter_mut().find(is_missing) {
            let plan = self.sandbox.zones.plan_of(chunk.number).ok_or(Exhausted)?;
            extend_chunk(platform, self.client, self.sandbox, chunk, &plan)?;
            return Ok(true);
        }
        let growth = growths.iter_mut().find(|growth| growth.base == keeping.ground && !keeping.is_made);
        let Some(((heap, _), growth)) = self.sandbox.zones.heap.zip(growth) else { return Ok(false) };
        let plan = Plan::of_ground(heap, keeping.chunks, keeping.ground, |_| false).ok_or(Exhausted)?;
        let progress = platform.extend(&self.client.objects, &self.sandbox.objects, &mut growth.part, &plan)?;
        keeping.is_made = progress == Progress::Done;
        Ok(true)
    }

    /// Copies the next pages to their ground, and tells whether there were any.
    fn copy_next(&self, platform: &mut P, keeping: &mut Keeping) -> Result<bool, Exhausted> {
        let Additions { growths, chunks, .. } = &*self.additions;
        let part_of = |number| chunks.iter().find(|chunk| chunk.number == number).map(|chunk| &chunk.part);
        let (kept, mut before) = (keeping.chunks, 0);
        let growth = growths.iter().find(|growth| growth.base == keeping.ground);
        if let Some(((heap, _), growth)) = self.sandbox.zones.heap.zip(growth) {
            for (number, pages) in heap.chunks(kept) {
                if let Some((from, count)) = keeping.next(before, pages) {
                    let part = part_of(number).ok_or(Exhausted)?;
                    platform.copy((part, from), (&growth.part, before + from), count);
                    return Ok(true);
                }
                before += pages.count;
            }
        }
        let statics = self.sandbox.zones.statics.map(|(statics, _)| statics);
        for (number, pages) in statics.into_iter().flat_map(|statics| statics.chunks(kept.statics())) {
            if let Some((from, count)) = keeping.next(before, pages) {
                let part = part_of(ZONE_CHUNKS + number).ok_or(Exhausted)?;
                // A chunk's ground lies behind it in its part.
                platform.copy((part, from), (part, pages.count + from), count);
                return Ok(true);
            }
            before += pages.count;
        }
        Ok(false)
    }

    fn make_ground_at(
        &mut self,
        platform: &mut P,
        room: &Room,
        heap: Zone,
        chunks: Chunks,
        base: u32,
    ) -> Result<(), SnapshotError> {
        let plan = Plan::of_ground(heap, chunks, base, |table| self.additions.lacks(table)).ok_or(Exhausted)?;
        let (charge, tables) = plan.charges_of_growth();
        room.admits(self.client.used(), charge.plus(tables).with(0))?;
        self.add_tables(platform, &plan.tables)?;
        let begun = platform.add_pages(&self.client.objects, &self.sandbox.objects, &plan);
        let part = begun.inspect_err(|_| self.drop_unused(platform))?;
        // There is room: it was looked for before.
        let _ = self.additions.growths.push(Growth { base, bits: span_bits(heap.pages()), charge, part });
        self.charge(charge);
        Ok(())
    }
}

/// Returns the size of a span that has room for a heap's ground: spans begin and end with guards of their own.
#[expect(clippy::cast_possible_truncation, reason = "at most 24")]
const fn span_bits(heap: Pages) -> u8 {
    heap.bytes().trailing_zeros() as u8
}

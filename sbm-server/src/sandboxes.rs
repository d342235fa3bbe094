// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sandboxes as clients ask for them: made and kept as spares, grown, mapped, reset, destroyed.

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Chunks, EntryPoints, Handle, Layout, LayoutError, Own, Pages, Registers, Response, Spec,
    Zone,
    limits::{MAX_BUFFERS, MAX_GROWTHS, MAX_MAPPING_PAGES, PAGE},
};

use crate::{
    Charge, Exhausted, GrowError, InitError, MapError, Names, NoSandbox, Plan, Platform, Program, Progress, Server,
    ShrinkError, Table,
    arena::Arena,
    owned::{Owned, cover},
    quota::Room,
    table::{Client, ClientId, MAX_SPARES, OWN, Sandbox, SandboxIndex, State, Taken, Zones},
    work::{Addition, Job},
};

impl<P: Platform, const N: usize> Server<P, N> {
    /// `sbm_init`. Returns nothing where a job makes the sandbox.
    pub(crate) fn init(&mut self, platform: &mut P, id: ClientId, spec: &Spec) -> Result<Option<Response>, InitError> {
        let client = self.clients[id.get()].as_ref().ok_or(InitError::NotRegistered)?;
        let entries = client.entries.ok_or(InitError::NotRegistered)?;
        if let Some((index, ready)) = self.take_spare(id, spec, entries) {
            self.put_forward(platform, id, index);
            return Ok(Some(ready));
        }
        let layout = Layout::of_sandbox(spec)?;
        let statics = self.statics_of(id, spec)?;
        let index = match self.vacant_index() {
            None if self.drop_spare(platform, id) => self.vacant_index(),
            index => index,
        };
        let index = match index {
            None if self.has_doomed(id) => return Err(InitError::NotYet),
            index => index.ok_or(InitError::AllInUse { limit: N })?,
        };
        let made = match self.make(platform, id, index, layout, statics, entries) {
            Ok(made) => made,
            Err(error) => {
                self.put_vacant(index);
                // Whatever there was no room for: a spare that is given up may make it.
                let again = error != InitError::NotYet && self.gives_up_spare(platform, id);
                return Err(if again || self.has_doomed(id) { InitError::NotYet } else { error });
            }
        };
        let (layout, bits) = (layout.at(made.base), layout.span_bits());
        let entry = &mut self.sandboxes[index.get()];
        let Made { base, arguments, stack, charge, is_long, objects } = made;
        entry.additions.tables.extend(Table::of_layout(&layout).map(|table| (table, OWN)));
        if let Some(statics) = statics {
            entry.additions.tables.extend(Table::of_zone(statics).map(|table| (table, OWN)));
        }
        entry.sandbox = Some(Sandbox {
            taken: Taken::Yes,
            owner: id,
            state: if is_long { State::Unfinished } else { State::Ready },
            entries,
            spec: spec.clone(),
            base,
            bits,
            arguments,
            stack,
            zones: Zones::of(&layout, statics, spec.own.is_some_and(Own::is_guarded)),
            chunks: Chunks::default(),
            kept: None,
            charge,
            objects,
        });
        let handle = index.handle(entry.generation);
        if let Some(client) = &mut self.clients[id.get()] {
            client.sandboxes += 1;
            client.charge = client.charge.plus(charge);
        }
        if is_long {
            self.begin(id, Job::Fill(index));
        }
        self.put_forward(platform, id, index);
        Ok((!is_long).then_some(Response::Ready { handle, base, used: false }))
    }

    /// Returns where the private statics of a sandbox are, if it is to have them.
    fn statics_of(&self, id: ClientId, spec: &Spec) -> Result<Option<Zone>, InitError> {
        let pages = spec.own.map_or(0, |own| own.statics_pages);
        if pages == 0 {
            return Ok(None);
        }
        let data = self.program(id).map(Program::data).filter(|data| data.count == pages.into());
        Ok(Some(data.and_then(Zone::new).ok_or(LayoutError::Statics { pages })?))
    }

    /// Makes a sandbox if there is room for it now.
    fn make(
        &mut self,
        platform: &mut P,
        id: ClientId,
        index: SandboxIndex,
        layout: Layout<'_>,
        statics: Option<Zone>,
        entries: EntryPoints,
    ) -> Result<Made<P>, InitError> {
        let room = self.room(id);
        let arena = &mut self.arenas[id.get()];
        let client = self.clients[id.get()].as_mut().ok_or(InitError::NotRegistered)?;
        let base = arena.reserve(layout.span_bits())?;
        let names = Names { client: id, index };
        let shape = Shape { layout: layout.at(base), statics, entries };
        let made = make_at(platform, client, arena, &room, names, shape);
        if made.is_err() {
            arena.release(base, layout.span_bits());
        }
        made
    }

    /// Adds buffers. Returns nothing where a job makes them.
    pub(crate) fn grow(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
        buffers: &Vec<BufferSpec, MAX_BUFFERS>,
    ) -> Result<Option<Response>, GrowError> {
        let layout = Layout::of_growth(buffers)?;
        let room = self.room(id);
        let mut owned = self.owned(id, handle)?;
        if owned.additions.growths.is_full() {
            return Err(GrowError::Full { limit: MAX_GROWTHS });
        }
        match owned.grow(platform, &room, layout) {
            Ok((base, Progress::Done)) => Ok(Some(Response::Grown { base })),
            Ok((base, Progress::More)) => {
                self.begin(id, Job::Grow { handle, buffers: buffers.clone(), base });
                Ok(None)
            }
            Err(GrowError::Exhausted | GrowError::Quota(_)) if self.gives_up_spare(platform, id) => {
                Err(GrowError::NotYet)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives buffers back. Returns nothing where a job does.
    pub(crate) fn shrink(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
        base: u32,
    ) -> Result<Option<Response>, ShrinkError> {
        let owned = self.owned(id, handle)?;
        // The ground of a heap is none of the client's.
        let is_ground = owned.sandbox.zones.heap.is_some_and(|(_, ground)| ground == base);
        let is_there = !is_ground && owned.additions.growths.iter().any(|growth| growth.base == base);
        is_there.then_some(()).ok_or(ShrinkError::NoGrowth { base })?;
        let addition = Addition::Growth(base);
        match self.strip(platform, id, handle, addition)? {
            Progress::Done => Ok(Some(Response::Done)),
            Progress::More => {
                self.begin(id, Job::Undo { handle, addition, answer: Response::Done });
                Ok(None)
            }
        }
    }

    /// Maps pages of the client's own. Returns nothing where a job does.
    pub(crate) fn map(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<Option<Response>, MapError> {
        let Pages { address, count } = pages;
        let is_count = (1..=MAX_MAPPING_PAGES).contains(&count);
        let within = is_count && address.checked_add(count * PAGE).is_some();
        if !within || !address.is_multiple_of(PAGE) {
            return Err(MapError::Range { address, pages: count });
        }
        let room = self.room(id);
        match self.owned(id, handle)?.map(platform, &room, pages, access) {
            Ok(Progress::Done) => Ok(Some(Response::Done)),
            Ok(Progress::More) => {
                self.begin(id, Job::Map { handle, pages, access });
                Ok(None)
            }
            Err(MapError::Exhausted | MapError::Quota(_)) if self.gives_up_spare(platform, id) => Err(MapError::NotYet),
            Err(error) => Err(error),
        }
    }

    /// `sbm_reset`. A chunk of heap or statics that is there in part is not what the thread could clear, and a large one would
    /// take it long: a job takes them out first.
    pub(crate) fn reset(&mut self, platform: &mut P, id: ClientId, handle: Handle) -> Result<Progress, NoSandbox> {
        let Owned { index, sandbox, additions, .. } = self.owned(id, handle)?;
        if sandbox.chunks != Chunks::default() && !additions.stay(sandbox.kept) {
            // What its thread touches meanwhile is not brought in.
            sandbox.state = State::Unfinished;
            self.begin(id, Job::Reset(index));
            return Ok(Progress::More);
        }
        sandbox.restart(platform);
        sandbox.state = State::Ready;
        Ok(Progress::Done)
    }

    pub(crate) fn destroy(&mut self, platform: &mut P, id: ClientId, handle: Handle) -> Result<Response, NoSandbox> {
        let Owned { index, client, sandbox, additions, .. } = self.owned(id, handle)?;
        let spares = usize::from(client.quota.spares).min(MAX_SPARES);
        // Nothing is brought in or taken out of a spare, whose thread could not clear a chunk that is there in part, nor a large one
        // in a short time.
        let is_clearable = additions.is_empty() && additions.stay(None);
        if spares == 0 || !is_clearable || sandbox.kept.is_some() || sandbox.state == State::Stopped {
            self.remove(platform, index);
            return Ok(Response::Done);
        }
        sandbox.restart(platform);
        sandbox.state = State::Spare;
        self.sandboxes[index.get()].end_generation();
        // What was used last is what is going to be wanted next: the oldest spare makes room.
        if self.owner(id)?.spares.len() == spares {
            self.drop_spare(platform, id);
        }
        let _ = self.owner(id)?.spares.push(index);
        Ok(Response::Done)
    }

    /// Hands out a spare of exactly this shape, if the client has one.
    fn take_spare(&mut self, id: ClientId, spec: &Spec, entries: EntryPoints) -> Option<(SandboxIndex, Response)> {
        let client = self.clients[id.get()].as_mut()?;
        for at in 0..client.spares.len() {
            let index = client.spares[at];
            let entry = &mut self.sandboxes[index.get()];
            let generation = entry.generation;
            if let Some(sandbox) = &mut entry.sandbox
                && (sandbox.owner, sandbox.state, sandbox.entries) == (id, State::Spare, entries)
                && sandbox.spec == *spec
            {
                client.spares.remove(at);
                sandbox.state = State::Ready;
                let handle = index.handle(generation);
                return Some((index, Response::Ready { handle, base: sandbox.base, used: true }));
            }
        }
        None
    }

    /// Gives a spare up for a request that found no room, which is carried out by another step: one go has time for one spare.
    pub(crate) fn gives_up_spare(&mut self, platform: &mut P, id: ClientId) -> bool {
        let gives = self.drop_spare(platform, id);
        if let Some(client) = self.clients[id.get()].as_mut().filter(|_| gives) {
            client.asks_again = true;
        }
        gives
    }

    /// Gives the client's oldest spare back, if it has one.
    pub(crate) fn drop_spare(&mut self, platform: &mut P, id: ClientId) -> bool {
        // Taken out of the list here, so that whoever asks until there is none comes to an end.
        let client = self.clients[id.get()].as_mut().filter(|client| !client.spares.is_empty());
        let Some(oldest) = client.map(|client| client.spares.remove(0)) else { return false };
        self.remove(platform, oldest);
        true
    }

    /// Takes a sandbox out of the table and gives back what is left of it.
    pub(crate) fn give_back(&mut self, platform: &mut P, index: SandboxIndex) {
        let entry = &mut self.sandboxes[index.get()];
        let Some(sandbox) = entry.sandbox.take() else { return };
        let arena = &mut self.arenas[sandbox.owner.get()];
        arena.release(sandbox.base, sandbox.bits);
        for growth in &entry.additions.growths {
            arena.release(growth.base, growth.bits);
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_MAPPINGS")]
        let mappings = entry.additions.mappings.len() as u32;
        platform.destroy(sandbox.objects, entry.additions.take_parts());
        if let Some(client) = &mut self.clients[sandbox.owner.get()] {
            client.sandboxes -= 1;
            client.charge = client.charge.minus(sandbox.charge);
            client.mappings -= mappings;
            client.cpu.forget(index);
        }
        self.put_vacant(index);
    }

    fn vacant_index(&mut self) -> Option<SandboxIndex> {
        self.vacant.pop().or_else(|| {
            let index = SandboxIndex::new(self.used as u64, N)?;
            self.used += 1;
            Some(index)
        })
    }

    fn put_vacant(&mut self, index: SandboxIndex) {
        // As many entries as sandboxes: each is vacant at most once.
        let _ = self.vacant.push(index);
    }
}

/// A sandbox that was made, before it is in the table.
struct Made<P: Platform> {
    base: u32,
    arguments: Pages,
    stack: Pages,
    charge: Charge,
    is_long: bool,
    objects: P::Sandbox,
}

/// What a new sandbox is to be.
struct Shape<'a> {
    layout: Layout<'a>,
    statics: Option<Zone>,
    entries: EntryPoints,
}

/// Makes a sandbox for a client, where its layout says.
fn make_at<P: Platform>(
    platform: &mut P,
    client: &mut Client<P>,
    arena: &mut Arena<P::Part>,
    room: &Room,
    names: Names,
    Shape { layout, statics, entries }: Shape<'_>,
) -> Result<Made<P>, InitError> {
    let mut plan = Plan::new(layout, client.program.code_frames(), |_| true).ok_or(Exhausted)?;
    if let Some(statics) = statics {
        plan.add_tables_of(statics)?;
    }
    let charge = plan.charge_of_new::<P>();
    cover::<_, InitError>(platform, client, arena, room, layout, charge.with(1))?;
    let (Some(arguments), Some(stack)) = (layout.arguments(), layout.stack()) else { return Err(Exhausted.into()) };
    let registers = Registers::start(entries, arguments, stack);
    let objects = platform.make(&mut client.objects, names, &plan, &registers)?;
    Ok(Made { base: layout.base(), arguments, stack, charge, is_long: plan.is_long(), objects })
}

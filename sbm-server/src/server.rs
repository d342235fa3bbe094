// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides what each request and each fault means, and has the platform carry it out.

use heapless::Vec;
use sbm_abi::{
    Books, BufferAccess, BufferSpec, Chunks, EntryPoints, Errno, Fault, FaultKind, Handle, Layout, LayoutError,
    OverQuota, Pages, Registers, Request, Resource, Response, Spec, Zone, decode_request,
    limits::{MAX_BUFFERS, MAX_CLIENTS, MAX_CONSOLE, MAX_GROWTHS, MAX_MAPPING_PAGES, MAX_MAPPINGS, PAGE},
};

use sbm_system::{Amounts, OnEnd, Priorities, Terms, Wrong, divide};

use crate::{
    Arena, CancelError, Charge, Clock, ConsoleError, Exhausted, Free, GrowError, InitError, KernelFault, MapError,
    Names, NoSandbox, Plan, Platform, Program, Progress, Quota, Shortage, ShrinkError, Table, decode_fault,
    error::Refusal,
    quota::Room,
    shares::Cpu,
    table::{
        Additions, Bundle, Client, ClientId, Entry, Growth, MAX_SPARES, Mapping, OWN, Sandbox, SandboxIndex, State,
        Taken, Zones,
    },
    time::Pace,
    work::{Addition, Asked, Job},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The client gets this answer.
    Answer(Response),
    /// The client waits; it gets its answer from [`Server::look`] or [`Server::work`].
    Wait,
    /// The client that asked has ended: nobody waits for an answer. [`Server::work`] takes it apart.
    Ended,
}

/// A client that was started.
pub struct Launched<P: Platform> {
    /// What it is called.
    pub name: &'static str,
    /// Where its own pages lie.
    pub program: Program,
    /// What it may do.
    pub terms: Terms,
    /// The kernel's priorities of its threads.
    pub priorities: Priorities,
    /// Its kernel objects.
    pub objects: P::Client,
}

/// What becomes of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It ended a call, or stopped the sandbox.
    Ended,
    /// It was a touch of memory that is there now: the thread goes on once its message is answered.
    GoesOn,
    /// It was a touch of memory that is not there yet: the thread waits, and goes on by itself.
    Waits,
    /// It is no sandbox's; one that is gone cannot fault, so this is a lost message.
    Lost,
}

/// All clients and all sandboxes: `N` of them at most.
pub struct Server<P: Platform, const N: usize> {
    pub(crate) clients: [Option<Client<P>>; MAX_CLIENTS],
    /// What clients are called, also after their end.
    pub(crate) names: [Option<&'static str>; MAX_CLIENTS],
    pub(crate) arenas: [Arena; MAX_CLIENTS],
    pub(crate) sandboxes: [Entry<P>; N],
    /// All that clients can have together.
    pub(crate) there: Amounts,
    /// Whether a client has ended badly and was not started again; where one has ended the run, whether that one did.
    failed: bool,
    /// When the server looks at the clients next, if it does.
    pub(crate) next_look: Option<u64>,
    /// When the first quantum is over of those that are first among others.
    pub(crate) quantum_over: Option<u64>,
    vacant: Vec<SandboxIndex, N>,
    /// Entries below this one have been used; the others need not be listed as vacant.
    pub(crate) used: usize,
    /// Clients for which there is a step to do: a bit each.
    pub(crate) busy: u32,
    /// Clients that wait for memory that is not ready.
    pub(crate) waiting: u32,
    /// The client that the last step was for.
    pub(crate) turn: u32,
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Makes a server without clients.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clients: [const { None }; MAX_CLIENTS],
            names: [None; MAX_CLIENTS],
            arenas: [const { Arena::EMPTY }; MAX_CLIENTS],
            sandboxes: [const { Entry::EMPTY }; N],
            there: Amounts { sandboxes: 0, pages: 0, slots: 0 },
            failed: false,
            next_look: None,
            quantum_over: None,
            vacant: Vec::new(),
            used: 0,
            busy: 0,
            waiting: 0,
            turn: 0,
        }
    }

    /// Adds a client with its kernel objects; one that was there is ended, in one go. It may have nothing before
    /// [`Server::divide`].
    pub fn add_client(&mut self, platform: &mut P, id: ClientId, launched: Launched<P>) {
        let Launched { name, program, terms, priorities, objects } = launched;
        self.end_now(platform, id);
        self.names[id.get()] = Some(name);
        self.arenas[id.get()].open();
        platform.publish(&objects, self.next_look);
        self.clients[id.get()] = Some(Client::new(objects, program, terms, Cpu::new(priorities)));
    }

    /// Divides what is free among the clients as their terms say, so that what is promised to one of them is not another
    /// one's.
    ///
    /// # Errors
    /// [`Wrong`], if more is promised than there is; the place that it names is among the clients that there are.
    pub fn divide(&mut self, free: Free) -> Result<(), Wrong> {
        let sandboxes = u32::try_from(N).unwrap_or(u32::MAX);
        let pages = u32::try_from(free.bytes / u64::from(PAGE)).unwrap_or(u32::MAX);
        self.there = Amounts { sandboxes, pages, slots: free.slots };
        let promises = divide(self.there, self.clients.iter().flatten().map(|client| &client.terms))?;
        for (client, promise) in self.clients.iter_mut().flatten().zip(promises) {
            client.quota = Quota::new(promise, &client.terms);
        }
        Ok(())
    }

    /// Returns how far a client can go.
    pub(crate) fn room(&self, id: ClientId) -> Room {
        let Quota { limit, kept, .. } = self.clients[id.get()].as_ref().map_or(Quota::NONE, |client| client.quota);
        if limit == kept {
            // What is kept is there, whatever others have.
            return Room { limit, left: limit };
        }
        let mut room = Room { limit, left: self.there };
        for (place, other) in self.clients.iter().enumerate() {
            if let Some(other) = other.as_ref().filter(|_| place != id.get()) {
                room.leave(other.used(), other.quota.kept);
            }
        }
        room
    }

    /// Returns the kernel objects of a client.
    pub fn client(&self, id: ClientId) -> Option<&P::Client> {
        self.clients[id.get()].as_ref().map(|client| &client.objects)
    }

    /// Returns what of a client lies where.
    #[must_use]
    pub fn program(&self, id: ClientId) -> Option<&Program> {
        self.clients[id.get()].as_ref().map(|client| &client.program)
    }

    /// Tells whether any client is left.
    pub fn has_clients(&self) -> bool {
        self.clients.iter().any(Option::is_some)
    }

    /// Tells whether all clients that are gone have ended well; where one has ended the run, whether that one did.
    pub fn all_well(&self) -> bool {
        !self.failed
    }

    /// Ends a client, whatever the reason: it does nothing any more. [`Server::work`] takes apart what it had, and does what
    /// its terms say of its end: it may be there again afterwards, from its beginning, or all others gone. `well` is whether
    /// it said so itself.
    pub fn end_client(&mut self, platform: &mut P, id: ClientId, well: bool) {
        if let Some(client) = self.clients[id.get()].as_mut().filter(|client| client.ends.is_none()) {
            platform.stop(&client.objects);
            (client.job, client.waits, client.sleeps_until) = (None, false, None);
            (client.ends, client.ended_well) = (Some(0), well);
            let ends_run = client.terms.on_end == OnEnd::EndRun;
            self.note(id);
            if ends_run {
                self.end_others(platform, id);
            }
        }
    }

    /// Ends all clients but one, whatever their terms say.
    fn end_others(&mut self, platform: &mut P, id: ClientId) {
        for other in (0..MAX_CLIENTS as u64).filter_map(ClientId::new).filter(|other| *other != id) {
            if let Some(client) = &mut self.clients[other.get()] {
                client.terms.on_end = OnEnd::Stop;
            }
            self.end_client(platform, other, true);
            if let Some(client) = &mut self.clients[other.get()] {
                client.ended_well = true;
            }
        }
        self.failed = false;
    }

    /// Does with a client of which nothing but itself is left what its terms say of its end.
    pub(crate) fn finish(&mut self, platform: &mut P, id: ClientId) {
        let Some(client) = self.clients[id.get()].take() else { return };
        let Client { objects, program, terms, cpu, quota, restarts, console_paid, ended_well, .. } = client;
        match terms.on_end {
            OnEnd::Restart(most) if restarts < most => {
                if let Ok(objects) = platform.again(objects, restarts + 1) {
                    let mut client = Client::new(objects, program, terms, cpu.again());
                    (client.restarts, client.quota) = (restarts + 1, quota);
                    // An end is no way to write more, or to have more of the CPU.
                    client.console_paid = console_paid;
                    client.job = Some(Job::Start);
                    self.clients[id.get()] = Some(client);
                    self.resume(platform);
                    return;
                }
            }
            OnEnd::Stop | OnEnd::Restart(_) | OnEnd::EndRun => platform.end(objects),
        }
        self.failed |= !ended_well;
        // Who waits for that end.
        self.resume(platform);
    }

    /// Answers a request of a client, whatever its bytes are.
    pub fn request(&mut self, platform: &mut P, id: ClientId, clock: impl Fn(&P) -> Clock, bytes: &[u8]) -> Effect {
        // It sent on without waiting for the answer, which it gets all the same, or it has ended.
        if self.clients[id.get()].as_ref().is_some_and(|client| client.job.is_some() || client.ends.is_some()) {
            return Effect::Wait;
        }
        let Ok(request) = decode_request(bytes) else { return refuse(Errno::BadMessage) };
        let answer = match request {
            Request::Register(entries) => self.register(id, entries).map_err(Refusal::from),
            Request::Init(spec) => return self.ask(platform, id, Asked::Init(spec)),
            Request::Grow { handle, buffers } => return self.ask(platform, id, Asked::Grow { handle, buffers }),
            Request::Shrink { handle, base } => return self.ask(platform, id, Asked::Shrink { handle, base }),
            Request::Map { handle, address, pages, access } => {
                let pages = Pages { address, count: pages };
                return self.ask(platform, id, Asked::Map { handle, pages, access });
            }
            Request::Destroy(handle) => return self.ask(platform, id, Asked::Destroy(handle)),
            Request::Snapshot(handle) => return self.ask(platform, id, Asked::Snapshot(handle)),
            Request::Usage => return self.ask(platform, id, Asked::Usage),
            Request::Reset(handle) => match self.reset(platform, id, handle) {
                Ok(Progress::Done) => Ok(Response::Done),
                Ok(Progress::More) => return self.wait(id),
                Err(error) => Err(error.into()),
            },
            Request::Console(text) => return self.console(platform, id, clock, text).unwrap_or_else(refuse),
            Request::Arm => {
                let now = clock(platform);
                self.arm(platform, id, now).map_err(Refusal::from)
            }
            Request::Sleep { until } => {
                let now = clock(platform);
                return self.sleep(platform, id, now, until).unwrap_or_else(refuse);
            }
            Request::Cancel(name) => self.cancel(platform, id, name).map_err(Refusal::from),
            Request::Kill(name) => return self.kill(platform, id, name).unwrap_or_else(refuse),
            Request::Exit(status) => {
                self.end_client(platform, id, status == 0);
                return Effect::Ended;
            }
        };
        answer.map_or_else(refuse, Effect::Answer)
    }

    /// Ends the client called `name`, as if it had ended badly by itself.
    fn kill(&mut self, platform: &mut P, id: ClientId, name: &str) -> Result<Effect, CancelError> {
        let may = self.owner(id)?.terms.kills;
        let target = self.named(may, name)?;
        self.end_client(platform, target, false);
        // The end of the other one can be that of the run.
        if self.owner(id)?.ends.is_some() {
            return Ok(Effect::Ended);
        }
        self.begin(id, Job::Outlive(target));
        Ok(self.wait(id))
    }

    /// Ends the call that a sandbox was running: its client gets the fault as an error, and the thread waits again. Only
    /// where the fault is a touch of heap or private statics, the thread gets the memory and goes on.
    pub fn fault(&mut self, platform: &mut P, index: SandboxIndex, fault: KernelFault) -> Handled {
        let mut fault = decode_fault(fault);
        let has_own = |entry: &Entry<P>| entry.sandbox.as_ref().is_some_and(|it| it.spec.own.is_some());
        if self.sandboxes.get(index.get()).is_some_and(has_own) {
            match self.touch(platform, index, fault) {
                Some(Ok(true)) => return Handled::GoesOn,
                Some(Ok(false)) => {
                    self.note_all();
                    return Handled::Waits;
                }
                Some(Err(kind)) => fault.kind = kind,
                None => {}
            }
        }
        let Some(sandbox) = self.sandboxes.get_mut(index.get()).and_then(|entry| entry.sandbox.as_mut()) else {
            return Handled::Lost;
        };
        // Nobody could reach a spare to reset it.
        match sandbox.state {
            State::Spare if is_stuck(platform, sandbox, fault) => {
                self.remove(platform, index);
                return Handled::Ended;
            }
            State::Faulted if is_stuck(platform, sandbox, fault) => {
                sandbox.state = State::Stopped;
                return Handled::Ended;
            }
            State::Spare => {}
            // It is as good as gone.
            State::Unfinished | State::Doomed => return Handled::Ended,
            State::Ready | State::Faulted | State::Stopped => sandbox.state = State::Faulted,
        }
        sandbox.abort(platform, fault);
        Handled::Ended
    }

    pub(crate) fn owner(&mut self, id: ClientId) -> Result<&mut Client<P>, NoSandbox> {
        self.clients[id.get()].as_mut().ok_or(NoSandbox)
    }

    /// The one way from a handle to a sandbox: occupied, this client's, this generation's, and with it to its client.
    pub(crate) fn owned(&mut self, id: ClientId, handle: Handle) -> Result<Owned<'_, P>, NoSandbox> {
        let index = SandboxIndex::new(u64::from(handle.index()), N).ok_or(NoSandbox)?;
        let entry = &mut self.sandboxes[index.get()];
        let generation = entry.generation;
        let sandbox = entry.sandbox.as_mut().ok_or(NoSandbox)?;
        if sandbox.owner != id || generation != handle.generation() || !sandbox.state.has_handle() {
            return Err(NoSandbox);
        }
        let client = self.clients[id.get()].as_mut().ok_or(NoSandbox)?;
        Ok(Owned { index, client, sandbox, additions: &mut entry.additions, arena: &mut self.arenas[id.get()] })
    }

    fn register(&mut self, id: ClientId, entries: EntryPoints) -> Result<Response, NoSandbox> {
        self.owner(id)?.entries = Some(entries);
        Ok(Response::Done)
    }

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
        let made = loop {
            match self.make(platform, id, index, layout, statics, entries) {
                Ok(made) => break made,
                // Whatever there was no room for: a spare that is given up may make it.
                Err(error) if error != InitError::NotYet && self.drop_spare(platform, id) && !self.has_doomed(id) => {}
                Err(error) => {
                    self.put_vacant(index);
                    return Err(if self.has_doomed(id) { InitError::NotYet } else { error });
                }
            }
        };
        let (layout, bits) = (layout.at(made.base), layout.span_bits());
        let entry = &mut self.sandboxes[index.get()];
        let Made { base, arguments, stack, charge, is_long, objects } = made;
        entry.additions.tables.extend(Table::of(layout.regions()).map(|table| (table, OWN)));
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
            zones: Zones::of(&layout, statics),
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
        let data = self.program(id).map(Program::data).filter(|data| data.count == pages);
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
        let made = make_at(platform, client, &room, Names { client: id, index }, layout.at(base), statics, entries);
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
        loop {
            let mut owned = self.owned(id, handle)?;
            if owned.additions.growths.is_full() {
                return Err(GrowError::Full { limit: MAX_GROWTHS });
            }
            match owned.grow(platform, &room, layout) {
                Ok((base, Progress::Done)) => return Ok(Some(Response::Grown { base })),
                Ok((base, Progress::More)) => {
                    self.begin(id, Job::Grow { handle, buffers: buffers.clone(), base });
                    return Ok(None);
                }
                Err(GrowError::Exhausted | GrowError::Quota(_)) if self.drop_spare(platform, id) => {}
                Err(error) => return Err(error),
            }
            if self.has_doomed(id) {
                return Err(GrowError::NotYet);
            }
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
        let within = address.checked_add(u32::from(count) * PAGE).is_some();
        if !within || !address.is_multiple_of(PAGE) || !(1..=MAX_MAPPING_PAGES).contains(&count) {
            return Err(MapError::Range { address, pages: count });
        }
        let room = self.room(id);
        loop {
            match self.owned(id, handle)?.map(platform, &room, pages, access) {
                Ok(Progress::Done) => return Ok(Some(Response::Done)),
                Ok(Progress::More) => {
                    self.begin(id, Job::Map { handle, pages, access });
                    return Ok(None);
                }
                Err(MapError::Exhausted | MapError::Quota(_)) if self.drop_spare(platform, id) => {}
                Err(error) => return Err(error),
            }
            if self.has_doomed(id) {
                return Err(MapError::NotYet);
            }
        }
    }

    /// `sbm_reset`. A chunk of heap or statics that is there in part is not what the thread could clear: a job takes it out first.
    fn reset(&mut self, platform: &mut P, id: ClientId, handle: Handle) -> Result<Progress, NoSandbox> {
        let Owned { index, sandbox, additions, .. } = self.owned(id, handle)?;
        if sandbox.chunks != Chunks::default() && !additions.has_whole_chunks() {
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
        // Nothing is brought in for a spare, whose thread could not clear a chunk that is there in part.
        let is_clearable = additions.is_empty() && additions.has_whole_chunks() && sandbox.kept.is_none();
        if spares == 0 || !is_clearable || sandbox.state == State::Stopped {
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

    /// Writes a client's text. One that writes more than its quota waits for its answer until the rest of the time that its
    /// text takes has gone; what it sends without waiting is refused.
    fn console(
        &mut self,
        platform: &mut P,
        id: ClientId,
        clock: impl Fn(&P) -> Clock,
        text: &[u8],
    ) -> Result<Effect, ConsoleError> {
        if text.len() > MAX_CONSOLE {
            return Err(ConsoleError::Long { length: text.len(), limit: MAX_CONSOLE });
        }
        let Some(client) = &mut self.clients[id.get()] else { return Ok(Effect::Answer(Response::Done)) };
        let mut waits = false;
        if let Some(rate) = client.terms.quota.console {
            let clock = clock(platform);
            match clock.pace(client.console_paid, text.len() as u64, rate) {
                Pace::Early => return Err(ConsoleError::Early { rate }),
                Pace::Until { paid, until } => {
                    client.console_paid = paid;
                    if until > clock.now {
                        client.sleeps_until = Some(until);
                        waits = true;
                        self.look_by(platform, clock, until);
                        self.pass_on(platform, clock, id);
                    }
                }
            }
        }
        if self.print(id, text) {
            waits = true;
        } else if let Some(client) = &self.clients[id.get()] {
            platform.console(&client.objects, text);
        }
        Ok(if waits { self.wait(id) } else { Effect::Answer(Response::Done) })
    }

    pub(crate) fn usage(&mut self, id: ClientId) -> Result<Response, NoSandbox> {
        let Client { sandboxes, spares, mappings, charge, quota, .. } = self.owner(id)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_SPARES")]
        let spares = spares.len() as u8;
        // There are no more sandboxes, and a few mappings of each.
        let count = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Ok(Response::Usage(Books {
            sandboxes: *sandboxes - u16::from(spares),
            spares,
            mappings: count(*mappings),
            pages: charge.pages,
            slots: charge.slots,
            most_sandboxes: count(quota.limit.sandboxes),
            most_pages: quota.limit.pages,
            most_slots: quota.limit.slots,
        }))
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

impl<P: Platform, const N: usize> Default for Server<P, N> {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn refuse<R: Into<Refusal>>(refusal: R) -> Effect {
    Effect::Answer(match refusal.into() {
        Refusal::Errno(errno) => Response::Refused(errno),
        Refusal::OverQuota(over) => Response::OverQuota(over),
    })
}

/// Tells whether a thread has faulted at the entry point where it was sent to answer a fault: to go on there would go
/// round for ever.
///
/// The message may be forged, and a function may go there by itself, so that the message says as much: what counts is
/// where the kernel holds the thread. A single step or a breakpoint tells what came before: it is not the entry point's own.
fn is_stuck<P: Platform>(platform: &P, sandbox: &Sandbox<P>, fault: Fault) -> bool {
    const TRAPS: [u8; 2] = [1, 3];
    let abort = u64::from(sandbox.entries.abort);
    let trapped = fault.kind == FaultKind::Exception && TRAPS.contains(&fault.vector);
    fault.ip == abort && !trapped && platform.position(&sandbox.objects) == Some(abort)
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

/// Makes a sandbox for a client, where its layout says.
fn make_at<P: Platform>(
    platform: &mut P,
    client: &mut Client<P>,
    room: &Room,
    names: Names,
    layout: Layout<'_>,
    statics: Option<Zone>,
    entries: EntryPoints,
) -> Result<Made<P>, InitError> {
    let mut plan = Plan::new(layout, client.program.code_frames(), |_| true).ok_or(Exhausted)?;
    if let Some(statics) = statics {
        plan.add_tables_of(statics)?;
    }
    let charge = plan.charge_of_new::<P>();
    cover::<_, InitError>(platform, client, room, layout, charge.with(1))?;
    let (Some(arguments), Some(stack)) = (layout.arguments(), layout.stack()) else { return Err(Exhausted.into()) };
    let registers = Registers::start(entries, arguments, stack);
    let objects = platform.make(&mut client.objects, names, &plan, &registers)?;
    Ok(Made { base: layout.base(), arguments, stack, charge, is_long: plan.is_long(), objects })
}

/// Makes sure that there is room for what is asked, and gives the client the page tables that it lacks to share `layout`. It
/// keeps them, and is charged for them.
fn cover<P: Platform, E: From<OverQuota> + From<Exhausted> + From<Shortage>>(
    platform: &mut P,
    client: &mut Client<P>,
    room: &Room,
    layout: Layout<'_>,
    asked: Amounts,
) -> Result<(), E> {
    const TABLE: Charge = Charge { pages: 1, slots: 1 };
    room.admits(client.used(), asked)?;
    for region in layout.shared_regions() {
        if !client.has_table(region) {
            room.admits(client.used(), Amounts { pages: asked.pages + 1, slots: asked.slots + 1, ..asked })?;
            let number = u16::try_from(region).map_err(|_| Exhausted)?;
            platform.cover(&mut client.objects, number)?;
            client.set_table(region);
            client.charge = client.charge.plus(TABLE);
        }
    }
    Ok(())
}

/// A sandbox and its client.
pub(crate) struct Owned<'a, P: Platform> {
    index: SandboxIndex,
    pub(crate) client: &'a mut Client<P>,
    pub(crate) sandbox: &'a mut Sandbox<P>,
    pub(crate) additions: &'a mut Additions<P>,
    pub(crate) arena: &'a mut Arena,
}

impl<P: Platform> Owned<'_, P> {
    pub(crate) fn charge(&mut self, charge: Charge) {
        self.sandbox.charge = self.sandbox.charge.plus(charge);
        self.client.charge = self.client.charge.plus(charge);
    }

    pub(crate) fn refund(&mut self, charge: Charge) {
        self.sandbox.charge = self.sandbox.charge.minus(charge);
        self.client.charge = self.client.charge.minus(charge);
    }

    /// Adds buffers, if there is room for them now, and returns where, and whether all of their pages are there.
    fn grow(&mut self, platform: &mut P, room: &Room, layout: Layout<'_>) -> Result<(u32, Progress), GrowError> {
        let bits = layout.span_bits();
        let base = self.arena.reserve(bits)?;
        let made = self.grow_at(platform, room, layout.at(base));
        if made.is_err() {
            self.arena.release(base, bits);
        }
        made.map(|progress| (base, progress))
    }

    fn grow_at(&mut self, platform: &mut P, room: &Room, layout: Layout<'_>) -> Result<Progress, GrowError> {
        let plan = Plan::new(layout, 0, |table| self.additions.lacks(table)).ok_or(Exhausted)?;
        let (charge, tables) = plan.charges_of_growth();
        cover::<_, GrowError>(platform, self.client, room, layout, charge.plus(tables).with(0))?;
        self.add_tables(platform, &plan.tables, tables)?;
        let begun = platform.add_pages(&self.client.objects, &self.sandbox.objects, &plan);
        let begun = begun.and_then(|mut part| {
            let extended = platform.extend(&self.client.objects, &self.sandbox.objects, &mut part, &plan);
            undo(platform, part, extended)
        });
        let (part, progress) = begun.inspect_err(|_| self.drop_unused(platform))?;
        let growth = Growth { base: layout.base(), bits: layout.span_bits(), charge, part };
        // There is room: it was looked for before.
        let _ = self.additions.growths.push(growth);
        self.charge(charge);
        Ok(progress)
    }

    /// Maps pages of the client's own, if there is room for it now, and tells whether all are mapped.
    fn map(&mut self, platform: &mut P, room: &Room, pages: Pages, access: BufferAccess) -> Result<Progress, MapError> {
        if self.additions.mappings.is_full() {
            return Err(MapError::Full { limit: MAX_MAPPINGS });
        }
        // The kernel would silently put one mapping in the place of another.
        let overlaps =
            |other: &&Mapping<P::Part>| pages.address < other.pages.end() && other.pages.address < pages.end();
        if let Some(other) = self.additions.mappings.iter().find(overlaps) {
            return Err(MapError::Overlaps { other: other.pages });
        }
        let statics = self.sandbox.zones.statics.map(|(statics, _)| statics.pages());
        if let Some(other) = statics.filter(|it| pages.address < it.end() && it.address < pages.end()) {
            return Err(MapError::Overlaps { other });
        }
        let share = self.client.program.share(pages, access, |table| self.additions.lacks(table))?;
        let (charge, tables) = share.charges();
        let Quota { mappings: limit, .. } = self.client.quota;
        if self.client.mappings >= limit {
            let used = self.client.mappings;
            return Err(OverQuota { resource: Resource::Mappings, requested: 1, used, limit, kept: false }.into());
        }
        room.admits(self.client.used(), charge.plus(tables).with(0))?;
        self.add_tables(platform, &share.tables, tables)?;
        let begun = platform.share(&self.client.objects, &self.sandbox.objects, &share);
        let begun = begun.and_then(|mut part| {
            let mapped = platform.extend_share(&self.client.objects, &self.sandbox.objects, &mut part, &share);
            undo(platform, part, mapped)
        });
        let (part, progress) = begun.inspect_err(|_| self.drop_unused(platform))?;
        // There is room: it was looked for above.
        let _ = self.additions.mappings.push(Mapping { pages, part });
        self.client.mappings += 1;
        self.charge(charge);
        Ok(progress)
    }

    /// Adds paging structures, as one bundle.
    pub(crate) fn add_tables(&mut self, platform: &mut P, tables: &[Table], charge: Charge) -> Result<(), Shortage> {
        let additions = &mut *self.additions;
        if tables.is_empty() {
            return Ok(());
        }
        let room = additions.tables.capacity() - additions.tables.len();
        if tables.len() > room || additions.bundles.is_full() {
            return Err(Shortage::Exhausted);
        }
        let is_new = |name: &u8| additions.bundles.iter().all(|bundle| bundle.name != *name);
        let name = (0..OWN).find(is_new).ok_or(Exhausted)?;
        let part = platform.add_tables(&self.sandbox.objects, tables)?;
        // There is room for all: it was looked for above.
        let _ = additions.bundles.push(Bundle { name, part });
        additions.tables.extend(tables.iter().map(|table| (*table, name)));
        self.charge(charge);
        Ok(())
    }

    /// Takes paging structures back that nothing in the sandbox needs.
    pub(crate) fn drop_unused(&mut self, platform: &mut P) {
        while let Some((part, tables)) = self.additions.unused_bundle() {
            // Paging structures have no pages to be stripped of.
            platform.remove(part);
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX_TABLES")]
            self.refund(Charge::of(tables as u32, tables as u32));
        }
    }
}

/// Gives a part back that did not get its first pages.
fn undo<P: Platform>(
    platform: &mut P,
    part: P::Part,
    begun: Result<Progress, Shortage>,
) -> Result<(P::Part, Progress), Shortage> {
    match begun {
        Ok(progress) => Ok((part, progress)),
        Err(shortage) => {
            platform.remove(part);
            Err(shortage)
        }
    }
}

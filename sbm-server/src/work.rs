// SPDX-License-Identifier: MIT OR Apache-2.0
//! What takes long, in steps: large sandboxes, growths and mappings, what ends, and long texts.
//!
//! A message is handled in one go, in which nobody else is served. So what would take long is only begun there, and
//! [`Server::work`] goes on by a step of bounded length each time that it is called, in turn for each client that has
//! something to do. A client has at most one request that is not answered yet, its *job*: it waits for the answer. One that
//! sends on without waiting is not heard meanwhile.
//!
//! Sandboxes of a client that are *doomed* are taken apart before its job goes on, so that it finds the room that they
//! leave, and its books say what is there.

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Errno, Handle, Layout, Message, Pages, Registers, Response, SMALL_MESSAGE, Spec,
    limits::{LARGE_PAGES, MAX_BUFFERS, MAX_CLIENTS},
};

use crate::{
    Answer, Charge, ClientId, Exhausted, Plan, Platform, Progress, SLICE, SandboxIndex, Server, Shortage, State,
    error::Stop, server::refuse, snapshot::Keeping, table::Client,
};
use crate::{Effect, NoSandbox};
use sbm_system::OnEnd;

/// Most slots of what is taken apart in one go, and most pages: large ones take few slots.
const SMALL_SLOTS: u32 = 4 * SLICE;
const SMALL_PAGES: u32 = 2 * LARGE_PAGES;

/// Entries of the table that one step looks through.
const ENTRIES: usize = 256;

/// Paging structures of an arena that are taken back in one go.
const TABLES: usize = 16;

/// Bytes of text that are written in one go.
const TEXT: usize = 128;

/// A request that may have to wait.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Init(Spec),
    Grow { handle: Handle, buffers: Vec<BufferSpec, MAX_BUFFERS> },
    Shrink { handle: Handle, base: u32 },
    Map { handle: Handle, pages: Pages, access: BufferAccess },
    Destroy(Handle),
    Snapshot(Handle),
    Usage,
}

/// What was added to a sandbox.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Addition {
    /// The growth with this base.
    Growth(u32),
    /// The mapping at this address.
    Mapping(u32),
}

/// What is left to do for the answer that a client waits for.
#[derive(Debug)]
pub(crate) enum Job {
    /// To carry the request out.
    Ask(Asked),
    /// To make the pages of a sandbox.
    Fill(SandboxIndex),
    /// To make the pages of a growth.
    Grow { handle: Handle, buffers: Vec<BufferSpec, MAX_BUFFERS>, base: u32 },
    /// To map pages of the client's.
    Map { handle: Handle, pages: Pages, access: BufferAccess },
    /// To take something out of a sandbox, and then to give this answer.
    Undo { handle: Handle, addition: Addition, answer: Response },
    /// To take a snapshot.
    Keep(Keeping),
    /// To reset a sandbox, without the chunks that are there in part.
    Reset(SandboxIndex),
    /// To refuse, once what was made is gone.
    Refuse(Errno),
    /// To start the client, which does not run before.
    Start,
    /// To wait until this client has ended.
    Outlive(ClientId),
    /// To write the client's text from this byte on.
    Print { from: usize },
}

impl Answer {
    /// Codes a response.
    pub(crate) fn of(response: &Response) -> Self {
        let mut words = [0; 4];
        let mut length = 0;
        // It fits: every response fits four words.
        if let Ok(message) = Message::<SMALL_MESSAGE>::new(response) {
            words.iter_mut().zip(message.words()).for_each(|(to, word)| *to = word);
            length = message.words().len();
        }
        Self { label: 0, length, words }
    }
}

impl<P: Platform> Client<P> {
    /// Tells whether there is a step to do.
    fn has_work(&self) -> bool {
        !self.doomed.is_empty() || ((self.ends.is_some() || self.job.is_some()) && !self.waits)
    }
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Tells whether there is a step to do.
    #[must_use]
    pub const fn has_work(&self) -> bool {
        self.busy != 0
    }

    /// Tells whether a client waits for what is done elsewhere.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.waiting != 0
    }

    /// Returns the highest priority of the clients for which there is something to do, or that wait.
    #[must_use]
    pub fn busy_priority(&self) -> Option<u8> {
        self.priorities(self.busy | self.waiting).map(|(_, priority)| priority).max()
    }

    /// Lists the clients of a set, each with the priority of its thread.
    fn priorities(&self, set: u32) -> impl Iterator<Item = (u32, u8)> {
        let clients = (0..).zip(&self.clients).filter(move |(place, _)| set & 1 << place != 0);
        clients.filter_map(|(place, client)| Some((place, client.as_ref()?.cpu.priority())))
    }

    /// Goes on with what waited: memory is ready that was not, or is not going to be, or what was done elsewhere is done.
    pub fn resume(&mut self, platform: &mut P) {
        for id in (0..MAX_CLIENTS as u64).filter_map(ClientId::new) {
            if let Some(client) = &mut self.clients[id.get()] {
                client.waits = false;
            }
            self.let_touch(platform, id);
        }
        self.note_all();
    }

    /// Lets those of a client's sandboxes go on that wait for pages of their heaps: they touch them again.
    fn let_touch(&mut self, platform: &mut P, id: ClientId) {
        while let Some(index) = self.clients[id.get()].as_mut().and_then(|client| client.touching.pop()) {
            let sandbox = self.sandboxes.get(index.get()).and_then(|entry| entry.sandbox.as_ref());
            if let Some(sandbox) = sandbox.filter(|sandbox| sandbox.owner == id && sandbox.state.may_run()) {
                platform.go_on(&sandbox.objects);
            }
        }
    }

    pub(crate) fn note_all(&mut self) {
        for id in (0..MAX_CLIENTS as u64).filter_map(ClientId::new) {
            self.note(id);
        }
    }

    /// Does a step for the client whose turn it is, of those with the highest priority: it is done at that priority.
    pub fn work(&mut self, platform: &mut P) {
        let highest = self.priorities(self.busy).map(|(_, priority)| priority).max();
        let busy = self.priorities(self.busy).filter(|(_, priority)| Some(*priority) == highest);
        let busy = busy.fold(0_u32, |set, (place, _)| set | 1 << place);
        let after = busy & !((2 << self.turn) - 1);
        let turn = if after == 0 { busy } else { after }.trailing_zeros();
        let Some(id) = ClientId::new(u64::from(turn)) else { return };
        self.turn = turn;
        self.step(platform, id);
        self.note(id);
    }

    /// Ends a client in one go, for good.
    pub(crate) fn end_now(&mut self, platform: &mut P, id: ClientId) {
        if let Some(client) = &mut self.clients[id.get()] {
            client.terms.on_end = OnEnd::Stop;
        }
        self.end_client(platform, id, true);
        while self.clients[id.get()].as_ref().is_some_and(|client| !client.waits) {
            self.step(platform, id);
        }
        self.finish(platform, id);
        self.note(id);
    }

    /// Notes whether there is a step to do for a client, and whether it waits.
    pub(crate) fn note(&mut self, id: ClientId) {
        let bit = 1 << id.get();
        let client = self.clients[id.get()].as_ref();
        for (set, belongs) in [
            (&mut self.busy, client.is_some_and(Client::has_work)),
            (&mut self.waiting, client.is_some_and(|client| client.waits || !client.touching.is_empty())),
        ] {
            *set = if belongs { *set | bit } else { *set & !bit };
        }
    }

    /// Does a step for a client.
    fn step(&mut self, platform: &mut P, id: ClientId) {
        let Some(client) = &mut self.clients[id.get()] else { return };
        if let Some(index) = client.doomed.first() {
            let index = *index;
            self.dismantle(platform, id, index);
        } else if client.ends.is_some() {
            self.end_step(platform, id);
        } else if !client.waits
            && let Some(job) = client.job.take()
        {
            self.go_on(platform, id, job);
        }
    }

    /// Carries a request out, or as much of it as one go has room for.
    pub(crate) fn ask(&mut self, platform: &mut P, id: ClientId, asked: Asked) -> Effect {
        let stop = if self.has_doomed(id) {
            Stop::NotYet
        } else {
            let done = match &asked {
                Asked::Init(spec) => self.init(platform, id, spec).map_err(Stop::from),
                Asked::Grow { handle, buffers } => self.grow(platform, id, *handle, buffers).map_err(Stop::from),
                Asked::Shrink { handle, base } => self.shrink(platform, id, *handle, *base).map_err(Stop::from),
                Asked::Map { handle, pages, access } => {
                    self.map(platform, id, *handle, *pages, *access).map_err(Stop::from)
                }
                Asked::Destroy(handle) => self.destroy(platform, id, *handle).map(Some).map_err(Stop::from),
                Asked::Snapshot(handle) => self.snapshot(platform, id, *handle).map_err(Stop::from),
                Asked::Usage => self.usage(id).map(Some).map_err(Stop::from),
            };
            match done {
                Ok(Some(response)) => return Effect::Answer(response),
                // A job is there.
                Ok(None) => return self.wait(id),
                Err(stop) => stop,
            }
        };
        match stop {
            Stop::Refused(errno) => refuse(errno),
            Stop::NotYet => {
                let has_doomed = self.has_doomed(id);
                if let Some(client) = &mut self.clients[id.get()] {
                    client.job = Some(Job::Ask(asked));
                    client.waits = !core::mem::take(&mut client.asks_again) && !has_doomed;
                }
                self.wait(id)
            }
        }
    }

    /// Begins a job.
    pub(crate) fn begin(&mut self, id: ClientId, job: Job) {
        if let Some(client) = &mut self.clients[id.get()] {
            client.job = Some(job);
        }
    }

    pub(crate) fn wait(&mut self, id: ClientId) -> Effect {
        self.note(id);
        Effect::Wait
    }

    /// Tells whether sandboxes of the client are still to be taken apart.
    pub(crate) fn has_doomed(&self, id: ClientId) -> bool {
        self.clients[id.get()].as_ref().is_some_and(|client| !client.doomed.is_empty())
    }

    /// Does a step of a job.
    fn go_on(&mut self, platform: &mut P, id: ClientId, job: Job) {
        match job {
            Job::Ask(asked) => {
                if let Effect::Answer(response) = self.ask(platform, id, asked) {
                    self.answer(platform, id, response);
                }
            }
            Job::Fill(index) => self.fill(platform, id, index),
            Job::Grow { handle, ref buffers, base } => {
                let done = self.extend(platform, id, handle, buffers, base);
                let undo = (handle, Addition::Growth(base));
                self.proceed(platform, id, done, Response::Grown { base }, undo, job);
            }
            Job::Map { handle, pages, access } => {
                let done = self.extend_mapping(platform, id, handle, pages, access);
                let undo = (handle, Addition::Mapping(pages.address));
                self.proceed(platform, id, done, Response::Done, undo, job);
            }
            Job::Undo { handle, addition, answer } => match self.strip(platform, id, handle, addition) {
                Ok(Progress::More) => self.begin(id, job),
                Ok(Progress::Done) | Err(NoSandbox) => self.answer(platform, id, answer),
            },
            Job::Keep(mut keeping) => {
                let done = self.keep(platform, id, &mut keeping);
                let undo = (keeping.handle, Addition::Growth(keeping.ground));
                self.proceed(platform, id, done, Response::Done, undo, Job::Keep(keeping));
            }
            Job::Reset(index) => self.go_on_resetting(platform, id, index),
            Job::Refuse(errno) => self.answer(platform, id, Response::Refused(errno)),
            Job::Start => self.go_on_starting(platform, id),
            Job::Outlive(other) => {
                if self.clients[other.get()].as_ref().is_none_or(|other| other.ends.is_none()) {
                    self.answer(platform, id, Response::Done);
                } else if let Some(client) = &mut self.clients[id.get()] {
                    (client.job, client.waits) = (Some(job), true);
                }
            }
            Job::Print { from } => self.go_on_printing(platform, id, from),
        }
    }

    /// Goes on after a step of a growth or a mapping.
    fn proceed(
        &mut self,
        platform: &mut P,
        id: ClientId,
        done: Result<Progress, Shortage>,
        answer: Response,
        (handle, addition): (Handle, Addition),
        job: Job,
    ) {
        match done {
            Ok(Progress::Done) => self.answer(platform, id, answer),
            Ok(Progress::More) => self.begin(id, job),
            Err(shortage) => {
                if self.makes_room(platform, id, shortage) {
                    self.begin(id, job);
                } else {
                    let answer = Response::Refused(Errno::NoMemory);
                    self.begin(id, Job::Undo { handle, addition, answer });
                }
            }
        }
    }

    /// Sees to it that there is room where there was none, and tells whether there will be.
    fn makes_room(&mut self, platform: &mut P, id: ClientId, shortage: Shortage) -> bool {
        match shortage {
            Shortage::Exhausted => self.drop_spare(platform, id),
            Shortage::NotReady => {
                if let Some(client) = &mut self.clients[id.get()] {
                    client.waits = true;
                }
                true
            }
        }
    }

    /// Gives a client that waits its answer.
    fn answer(&mut self, platform: &mut P, id: ClientId, response: Response) {
        if let Some(client) = &self.clients[id.get()] {
            platform.answer(&client.objects, Answer::of(&response));
        }
    }

    /// Makes pages of a sandbox, which serves calls when it has all.
    fn fill(&mut self, platform: &mut P, id: ClientId, index: SandboxIndex) {
        let entry = &mut self.sandboxes[index.get()];
        let generation = entry.generation;
        let (Some(client), Some(sandbox)) = (&mut self.clients[id.get()], &mut entry.sandbox) else { return };
        let layout = Layout::of_sandbox(&sandbox.spec).map(|layout| layout.at(sandbox.base)).ok();
        let plan = layout.and_then(|layout| Plan::new(layout, 0, |_| false));
        let done = match plan {
            Some(plan) => platform.fill(&client.objects, &mut sandbox.objects, &plan),
            // It was made from this shape.
            None => Err(Shortage::Exhausted),
        };
        match done {
            Ok(Progress::Done) => {
                sandbox.state = State::Ready;
                let registers = Registers::start(sandbox.entries, sandbox.arguments, sandbox.stack);
                platform.restart(&sandbox.objects, &registers);
                let ready = Response::Ready { handle: index.handle(generation), base: sandbox.base, used: false };
                self.answer(platform, id, ready);
            }
            Ok(Progress::More) => self.begin(id, Job::Fill(index)),
            Err(shortage) => {
                if self.makes_room(platform, id, shortage) {
                    self.begin(id, Job::Fill(index));
                } else {
                    self.remove(platform, index);
                    self.begin(id, Job::Refuse(Errno::NoMemory));
                }
            }
        }
    }

    /// Makes pages of a growth.
    fn extend(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
        buffers: &[BufferSpec],
        base: u32,
    ) -> Result<Progress, Shortage> {
        let owned = self.owned(id, handle).map_err(|_| Shortage::Exhausted)?;
        let growth = owned.additions.growths.iter_mut().find(|growth| growth.base == base);
        let layout = Layout::of_growth(buffers).map(|layout| layout.at(base)).ok();
        let plan = layout.and_then(|layout| Plan::new(layout, 0, |_| false));
        let (Some(growth), Some(plan)) = (growth, plan) else { return Err(Shortage::Exhausted) };
        platform.extend(&owned.client.objects, &owned.sandbox.objects, &mut growth.part, &plan)
    }

    /// Maps pages of the client's.
    fn extend_mapping(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<Progress, Shortage> {
        let owned = self.owned(id, handle).map_err(|_| Shortage::Exhausted)?;
        let mapping = owned.additions.mappings.iter_mut().find(|mapping| mapping.pages == pages);
        let share = owned.client.program.share(pages, access, |_| false).ok();
        let (Some(mapping), Some(share)) = (mapping, share) else { return Err(Shortage::Exhausted) };
        platform.extend_share(&owned.client.objects, &owned.sandbox.objects, &mut mapping.part, &share)
    }

    /// Goes on with the start of a client that has ended before. One that cannot be started has ended for good.
    fn go_on_starting(&mut self, platform: &mut P, id: ClientId) {
        let Some(client) = &mut self.clients[id.get()] else { return };
        match platform.prepare(&mut client.objects) {
            Ok(Progress::More) => client.job = Some(Job::Start),
            Ok(Progress::Done) => {
                platform.set_priority(&client.objects, client.cpu.priority());
                platform.publish(&client.objects, self.next_look);
            }
            Err(Exhausted) => {
                client.terms.on_end = OnEnd::Stop;
                self.end_client(platform, id, false);
            }
        }
    }

    /// Takes pages out of a chunk that a reset does not leave; without such chunks the sandbox is reset.
    fn go_on_resetting(&mut self, platform: &mut P, id: ClientId, index: SandboxIndex) {
        let entry = &mut self.sandboxes[index.get()];
        let (Some(client), Some(sandbox)) = (&mut self.clients[id.get()], &mut entry.sandbox) else { return };
        let chunks = &mut entry.additions.chunks;
        let Some(at) = chunks.iter().position(|chunk| !chunk.stays(sandbox.kept)) else {
            sandbox.state = State::Ready;
            sandbox.restart(platform);
            self.answer(platform, id, Response::Done);
            return;
        };
        if platform.strip(&mut chunks[at].part) == Progress::Done {
            let chunk = chunks.swap_remove(at);
            platform.remove(chunk.part);
            sandbox.chunks = sandbox.chunks.without(chunk.number);
            sandbox.charge = sandbox.charge.minus(chunk.charge);
            client.charge = client.charge.minus(chunk.charge);
        }
        self.begin(id, Job::Reset(index));
    }

    /// Takes pages out of a sandbox that lives on, and with the last of them what had them.
    pub(crate) fn strip(
        &mut self,
        platform: &mut P,
        id: ClientId,
        handle: Handle,
        addition: Addition,
    ) -> Result<Progress, NoSandbox> {
        let mut owned = self.owned(id, handle)?;
        let (growths, mappings) = (&mut owned.additions.growths, &mut owned.additions.mappings);
        let (part, charge) = match addition {
            Addition::Growth(base) => {
                let at = growths.iter().position(|growth| growth.base == base).ok_or(NoSandbox)?;
                if platform.strip(&mut growths[at].part) == Progress::More {
                    return Ok(Progress::More);
                }
                let growth = growths.swap_remove(at);
                owned.arena.release(growth.base, growth.bits);
                (growth.part, growth.charge)
            }
            Addition::Mapping(address) => {
                let at = mappings.iter().position(|mapping| mapping.pages.address == address).ok_or(NoSandbox)?;
                if platform.strip(&mut mappings[at].part) == Progress::More {
                    return Ok(Progress::More);
                }
                let mapping = mappings.swap_remove(at);
                owned.client.mappings -= 1;
                (mapping.part, Charge::of(0, mapping.frames))
            }
        };
        platform.remove(part);
        owned.refund(charge);
        owned.drop_unused(platform);
        Ok(Progress::Done)
    }

    /// Takes a sandbox out of reach and gives everything back, at once or by steps.
    pub(crate) fn remove(&mut self, platform: &mut P, index: SandboxIndex) {
        let entry = &mut self.sandboxes[index.get()];
        let Some(sandbox) = &mut entry.sandbox else { return };
        let owner = sandbox.owner;
        let Some(client) = &mut self.clients[owner.get()] else { return };
        entry.generation = (entry.generation + 1) % Handle::GENERATIONS;
        client.spares.retain(|spare| *spare != index);
        // Where the list is full, it is longer than ever: there is room for all spares and the one that is asked for.
        let is_small = sandbox.charge.slots <= SMALL_SLOTS && sandbox.charge.pages <= SMALL_PAGES;
        if is_small || client.doomed.push(index).is_err() {
            self.give_back(platform, index);
        } else {
            sandbox.state = State::Doomed;
            // The first step ends its thread: it runs no longer than until the answer.
            let _ = platform.dismantle(&mut sandbox.objects, entry.additions.parts());
            client.cpu.forget(index);
            self.note(owner);
        }
    }

    /// Takes a doomed sandbox apart by a step.
    fn dismantle(&mut self, platform: &mut P, id: ClientId, index: SandboxIndex) {
        let entry = &mut self.sandboxes[index.get()];
        if let Some(sandbox) = &mut entry.sandbox
            && platform.dismantle(&mut sandbox.objects, entry.additions.parts()) == Progress::More
        {
            return;
        }
        self.give_back(platform, index);
        if let Some(client) = &mut self.clients[id.get()] {
            client.doomed.retain(|doomed| *doomed != index);
        }
        if !self.has_doomed(id) {
            self.let_touch(platform, id);
        }
    }

    /// Does a step of a client's end.
    fn end_step(&mut self, platform: &mut P, id: ClientId) {
        let Some(client) = &mut self.clients[id.get()] else { return };
        let from = client.ends.unwrap_or(0).min(self.used);
        let until = (from + ENTRIES).min(self.used);
        let is_its = |at: &usize| self.sandboxes[*at].sandbox.as_ref().is_some_and(|sandbox| sandbox.owner == id);
        let found = (from..until).find(is_its);
        client.ends = Some(found.unwrap_or(until));
        if let Some(index) = found.and_then(|index| SandboxIndex::new(index as u64, N)) {
            self.remove(platform, index);
        } else if until == self.used {
            let arena = &mut self.arenas[id.get()];
            for (_, part) in core::iter::from_fn(|| arena.tables.pop()).take(TABLES) {
                platform.remove(part);
            }
            if !arena.tables.is_empty() {
                return;
            }
            match platform.wind_up(&mut client.objects) {
                Some(Progress::More) => {}
                Some(Progress::Done) => self.finish(platform, id),
                None => client.waits = true,
            }
        }
    }

    /// Takes text that is longer than one go has room for, and tells whether it is.
    pub(crate) fn print(&mut self, id: ClientId, text: &[u8]) -> bool {
        let is_long = text.len() > TEXT;
        if is_long && let Some(client) = &mut self.clients[id.get()] {
            client.text.clear();
            // It fits: its length was looked at before.
            let _ = client.text.extend_from_slice(text);
            client.job = Some(Job::Print { from: 0 });
        }
        is_long
    }

    /// Writes a piece of a client's text.
    fn go_on_printing(&mut self, platform: &mut P, id: ClientId, from: usize) {
        let Some(client) = &mut self.clients[id.get()] else { return };
        let rest = client.text.get(from..).unwrap_or_default();
        let piece = rest.get(..TEXT).unwrap_or(rest);
        // Where it has one, a piece ends with a line, so that another writer does not have to begin one.
        let end = piece.iter().rposition(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
        platform.console(&client.objects, piece.get(..end).unwrap_or(piece));
        if from + end < client.text.len() {
            client.job = Some(Job::Print { from: from + end });
        } else if client.sleeps_until.is_none() {
            // Whom its quota has wait gets its answer when that time has come.
            self.answer(platform, id, Response::Done);
        }
    }
}

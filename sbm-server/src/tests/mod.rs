// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server on a fake machine that keeps books: single requests, and arbitrary sequences of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;
mod guarded;
mod heap;
mod large;
mod life;
mod limits;
mod rights;
mod shares;
mod snapshot;
mod time;
mod work;

use std::{boxed::Box, mem::take, num::NonZeroU32, vec::Vec};

use fake::Fake;
use sbm_abi::{
    BufferAccess, BufferSpec, EntryPoints, Handle, Message, Pages, Request, Response, SMALL_MESSAGE, Spec,
    decode_request,
    limits::{CODE_BASE, INPUT_BASE, MAX_MESSAGE, PAGE},
};

use sbm_system::{Amounts, Priorities, Terms};

use crate::shares::Cpu;
use crate::work::Job;
use crate::{
    Charge, ClientId, Clock, Effect, Handled, KernelFault, Launched, Program, Quota, SLICE, SandboxIndex, Server, State,
};

/// Sandboxes of the table.
const SANDBOXES: usize = 12;

const ENTRIES: EntryPoints =
    EntryPoints { start: NonZeroU32::new(0x20_0000).unwrap(), abort: 0x20_0010, reset: 0x20_0020, wait: 0x20_0030 };
const OTHER_ENTRIES: EntryPoints =
    EntryPoints { start: NonZeroU32::new(0x20_1000).unwrap(), abort: 0x20_1010, reset: 0x20_1020, wait: 0x20_1030 };

/// Ticks in a second, and what the counter shows.
const PER_SECOND: u64 = 1_000_000;
const NOW: u64 = 500_000_000;

/// Where the clients' writable data lies: four pages.
const DATA: u32 = 0x80_0000;
/// Pages of the clients' writable data.
const DATA_PAGES: u16 = 4;

/// An input file of three pages follows [`INPUT_BASE`].
const INPUT_PAGES: u32 = 3;

/// Pages that a turn makes or takes back at most: a step's, and as much as is taken apart at once.
const MOST_EFFORT: u32 = 10 * SLICE;

/// Priorities of all clients, unless they are given others.
const PRIORITIES: Priorities = Priorities { usual: 2, first: 3 };

const LIMIT: Amounts = Amounts { sandboxes: 8, pages: 400, slots: 1000 };
const NOTHING: Amounts = Amounts { sandboxes: 0, pages: 0, slots: 0 };
const QUOTA: Quota = Quota { limit: LIMIT, kept: NOTHING, mappings: u32::MAX, spares: 2 };

/// More than there is, so that limits alone bind.
const PLENTY: Amounts = Amounts { sandboxes: u32::MAX, pages: u32::MAX, slots: u32::MAX };

struct World {
    /// Too large for a test's stack.
    server: Box<Server<Fake, SANDBOXES>>,
    machine: Fake,
}

fn client(index: u64) -> ClientId {
    ClientId::new(index).unwrap()
}

fn index(handle: Handle) -> SandboxIndex {
    SandboxIndex::new(u64::from(handle.index()), SANDBOXES).unwrap()
}

fn spec(buffer_pages: u32) -> Spec {
    let buffer = BufferSpec::new(buffer_pages, BufferAccess::ReadWrite);
    Spec { stack_pages: 2, buffers: heapless::Vec::from_slice(&[buffer]).unwrap(), ..Spec::default() }
}

fn buffers(pages: &[u32]) -> heapless::Vec<BufferSpec, 8> {
    pages.iter().map(|pages| BufferSpec::new(*pages, BufferAccess::ReadOnly)).collect()
}

fn grow(handle: Handle, pages: u32) -> Request<'static> {
    Request::Grow { handle, buffers: buffers(&[pages]) }
}

fn map(handle: Handle, address: u32, pages: u32) -> Request<'static> {
    Request::Map { handle, address, pages, access: BufferAccess::ReadOnly }
}

impl World {
    /// Two clients, registered, with room for their quotas.
    fn new() -> Self {
        let mut world = Self { server: Box::default(), machine: Fake::of(1000, 4000) };
        world.server.there = PLENTY;
        for index in 0..2 {
            world.start(index);
        }
        world
    }

    /// The same, of which each has its priority to itself.
    fn apart() -> Self {
        let mut world = Self::new();
        world.server.clients[1].as_mut().unwrap().cpu = Cpu::new(Priorities { usual: 4, first: 5 });
        world
    }

    fn start(&mut self, index: u32) {
        self.start_with(index, DATA_PAGES);
    }

    /// Starts a client whose program has so many pages of data.
    fn start_with(&mut self, index: u32, data_pages: u16) {
        let inputs = [Pages { address: INPUT_BASE, count: INPUT_PAGES }];
        let (code, data) = (u64::from(CODE_BASE), u64::from(DATA));
        let program =
            Program::new(&(code..code + 0x1000), &(data..data + u64::from(data_pages) * u64::from(PAGE)), &inputs)
                .unwrap();
        let objects = self.machine.client(index);
        let index = u64::from(index);
        let name = fake::NAMES[usize::try_from(index).unwrap()];
        let launched = Launched { name, program, terms: Terms::DEFAULT, priorities: PRIORITIES, objects };
        self.server.add_client(&mut self.machine, client(index), launched);
        self.set_quota(index, QUOTA);
        assert_eq!(self.ask(index, &Request::Register(ENTRIES)), Response::Done);
    }

    /// Lets a client that was started again begin; one that was not is started.
    fn revive(&mut self, from: u64) {
        match &self.server.clients[client(from).get()] {
            Some(client) if client.ends.is_some() || client.entries.is_some() || client.job.is_some() => {}
            Some(_) => drop(self.ask(from, &Request::Register(ENTRIES))),
            None => self.start(u32::try_from(from).unwrap()),
        }
    }

    fn terms(&mut self, from: u64) -> &mut Terms {
        &mut self.server.clients[client(from).get()].as_mut().unwrap().terms
    }

    fn set_quota(&mut self, from: u64, quota: Quota) {
        self.server.clients[client(from).get()].as_mut().unwrap().quota = quota;
    }

    /// Sends bytes as a request, at a time. Whoever sends is in no call of a sandbox.
    fn send(&mut self, from: u64, now: u64, bytes: &[u8]) -> Effect {
        let clock = Clock { now, per_second: PER_SECOND };
        let sleeps = matches!(decode_request(bytes), Ok(Request::Sleep { until }) if until > now);
        let owner = u32::try_from(from).unwrap();
        if let Some(owner) = self.machine.owners.get_mut(&owner) {
            owner.calls = None;
        }
        (self.machine.effort, self.machine.is_late) = (0, false);
        let has_job = |client: &crate::table::Client<Fake>| client.job.is_some() || client.ends.is_some();
        let is_heard = !self.server.clients[client(from).get()].as_ref().is_some_and(has_job);
        let effect = self.server.request(&mut self.machine, client(from), |_| clock, bytes);
        assert!(take(&mut self.machine.effort) <= MOST_EFFORT, "a turn of many pages");
        assert!(!self.machine.is_late || self.server.waits(), "it is not known who waits for memory");
        let is_asleep = |client: &crate::table::Client<Fake>| client.sleeps_until.is_some();
        let is_asleep = self.server.clients[client(from).get()].as_ref().is_some_and(is_asleep);
        // Its quota of text may have it wait as well.
        let sleeps = sleeps || (matches!(decode_request(bytes), Ok(Request::Console(_))) && is_asleep);
        if let Some(owner) = self.machine.owners.get_mut(&owner) {
            let waits = is_heard && effect == Effect::Wait;
            (owner.sleeps, owner.waits) = (owner.sleeps | (waits && sleeps), owner.waits | (waits && !sleeps));
        }
        effect
    }

    /// Does a step of what takes long.
    fn work(&mut self) {
        (self.machine.effort, self.machine.is_late) = (0, false);
        self.server.work(&mut self.machine);
        assert!(take(&mut self.machine.effort) <= MOST_EFFORT, "a turn of many pages");
        assert!(!self.machine.is_late || self.server.waits(), "it is not known who waits for memory");
    }

    /// Does all that takes long.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.server.has_work() {
                self.work();
            } else if self.server.waits() {
                self.server.resume(&mut self.machine);
            } else {
                return;
            }
        }
        panic!("it does not end");
    }

    /// Looks, at a time.
    fn look(&mut self, now: u64) {
        self.machine.looks = true;
        self.server.look(&mut self.machine, Clock { now, per_second: PER_SECOND });
        self.machine.looks = false;
    }

    fn ask(&mut self, from: u64, request: &Request<'_>) -> Response {
        let message = Message::<MAX_MESSAGE>::new(request).unwrap();
        match self.send(from, NOW, message.bytes()) {
            Effect::Answer(response) => response,
            Effect::Wait if matches!(request, Request::Sleep { .. }) => Response::Done,
            Effect::Wait => {
                self.settle();
                self.answered(from)
            }
            Effect::Ended => {
                self.settle();
                Response::Done
            }
        }
    }

    /// Returns the last answer that a client got later.
    fn answered(&self, from: u64) -> Response {
        let answer = self.machine.owners[&u32::try_from(from).unwrap()].answers.last().copied().unwrap();
        let words = answer.words.into_iter().take(answer.length);
        Message::<SMALL_MESSAGE>::from_words(words).response().unwrap()
    }

    /// Ends a client, and takes it apart.
    fn end(&mut self, from: u64) {
        self.server.end_client(&mut self.machine, client(from), true);
        self.settle();
    }

    fn exit(&mut self, from: u64, status: u8) -> Response {
        self.ask(from, &Request::Exit(status))
    }

    fn send_sleep(&mut self, from: u64) -> Effect {
        let message = Message::<MAX_MESSAGE>::new(&Request::Sleep { until: NOW + 1 }).unwrap();
        self.send(from, NOW, message.bytes())
    }

    fn init(&mut self, from: u64, buffer_pages: u32) -> Handle {
        match self.ask(from, &Request::Init(spec(buffer_pages))) {
            Response::Ready { handle, .. } => handle,
            other => panic!("{other:?}"),
        }
    }

    fn grown(&mut self, from: u64, handle: Handle, pages: u32) -> u32 {
        match self.ask(from, &grow(handle, pages)) {
            Response::Grown { base } => base,
            other => panic!("{other:?}"),
        }
    }

    fn fault(&mut self, handle: Handle, fault: KernelFault) {
        assert_eq!(self.server.fault(&mut self.machine, index(handle), fault), Handled::Ended);
    }

    fn state(&self, handle: Handle) -> Option<State> {
        self.server.sandboxes[index(handle).get()].sandbox.as_ref().map(|sandbox| sandbox.state)
    }

    /// Returns where the argument page and the stack of two pages are.
    fn parts(&self, handle: Handle) -> (Pages, Pages) {
        let base = self.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().base;
        (Pages { address: base + PAGE, count: 1 }, Pages { address: base + 3 * PAGE, count: 2 })
    }

    fn charge(&self, from: u64) -> Charge {
        self.server.clients[client(from).get()].as_ref().unwrap().charge
    }

    /// Returns the machine's sandbox behind a handle.
    fn sandbox(&self, handle: Handle) -> &fake::Held {
        &self.machine.boxes[&self.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().objects]
    }

    /// Checks the server's books against the machine's.
    fn check(&self) {
        let idle = |client: &crate::table::Client<Fake>| {
            client.job.is_none() && client.doomed.is_empty() && client.ends.is_none()
        };
        let living: Vec<_> = self.server.sandboxes.iter().flat_map(|entry| &entry.sandbox).collect();
        assert_eq!(living.len(), self.machine.boxes.len(), "kernel objects were lost");
        let mut parts = 0;
        for entry in &self.server.sandboxes {
            let additions = &entry.additions;
            parts += additions.growths.len() + additions.mappings.len() + additions.bundles.len();
            parts += additions.chunks.len();
            let nothing = additions.is_empty() && additions.tables.is_empty() && additions.chunks.is_empty();
            assert!(entry.sandbox.is_some() || nothing);
            if let Some(sandbox) = entry.sandbox.as_ref().filter(|sandbox| sandbox.state != State::Doomed) {
                let made = &self.machine.boxes[&sandbox.objects];
                let mut tables: Vec<_> = additions.tables.iter().map(|(table, _)| *table).collect();
                for table in &made.tables {
                    tables.swap_remove(tables.iter().position(|there| there == table).expect("a table is not listed"));
                }
                assert!(tables.is_empty(), "a table is listed that is not there");
            }
        }
        let covers: usize = self.server.arenas.iter().map(|arena| arena.tables.len()).sum();
        assert_eq!(parts + covers, self.machine.parts.len(), "parts were lost");
        for (at, client) in self.server.clients.iter().enumerate() {
            let of = |sandbox: &&&crate::table::Sandbox<Fake>| sandbox.owner.get() == at;
            let Some(client) = client else {
                assert_eq!(living.iter().filter(of).count(), 0, "an ended client has sandboxes");
                assert_eq!(self.server.arenas[at].used(), 0, "addresses were lost");
                continue;
            };
            assert_eq!(usize::from(client.sandboxes), living.iter().filter(of).count());
            let owner = &self.machine.owners[&client.objects];
            let priority = client.cpu.priority();
            let is_usual = |found: u8| found == 0 || found == PRIORITIES.usual;
            let is_right = |found: u8| found == priority || (is_usual(found) && is_usual(priority));
            let runs = client.ends.is_none() && !matches!(client.job, Some(Job::Start));
            assert!(is_right(owner.priority) || !runs, "not the priority that it has");
            for (index, entry) in self.server.sandboxes.iter().enumerate() {
                let is_its = |it: &&crate::table::Sandbox<Fake>| it.owner.get() == at && it.state != State::Doomed;
                let Some(sandbox) = entry.sandbox.as_ref().filter(is_its) else { continue };
                let found = self.machine.boxes[&sandbox.objects].priority;
                let index = SandboxIndex::new(index as u64, SANDBOXES).unwrap();
                let is_forward = client.cpu.forward().contains(&index);
                assert!(if is_forward { is_right(found) } else { is_usual(found) }, "a sandbox has another priority");
            }
            let charge = (client.charge.pages, client.charge.slots);
            assert!(charge.0 >= owner.taken.0 && charge.1 >= owner.taken.1, "something is not charged");
            if !idle(client) {
                continue;
            }
            assert_eq!(charge, owner.taken, "the charge is wrong");
            let is_whole = |sandbox: &&&crate::table::Sandbox<Fake>| sandbox.state.may_run();
            assert!(living.iter().filter(of).all(|it| is_whole(&it)), "a sandbox is left half made");
            let tables = u32::try_from(owner.tables.len()).unwrap();
            let listed = &self.server.arenas[at].tables;
            assert!(listed.len() == owner.tables.len() && listed.iter().all(|(table, _)| client.tables.has(*table)));
            let sum = living.iter().filter(of).fold((tables, tables), |(pages, slots), sandbox| {
                (pages + sandbox.charge.pages, slots + sandbox.charge.slots)
            });
            assert_eq!(sum, owner.taken, "the sandboxes' charges do not add up");
            let limit = client.quota.limit;
            assert!(u32::from(client.sandboxes) <= limit.sandboxes && client.charge.pages <= limit.pages);
            assert!(client.charge.slots <= limit.slots, "over the quota");
            assert!(client.spares.len() <= usize::from(client.quota.spares));
            let additions =
                self.server.sandboxes.iter().filter(|entry| entry.sandbox.as_ref().is_some_and(|it| of(&&it)));
            let mappings: usize = additions.map(|entry| entry.additions.mappings.len()).sum();
            assert_eq!(client.mappings as usize, mappings, "mappings are counted wrongly");
            for (number, spare) in client.spares.iter().enumerate() {
                assert!(!client.spares[..number].contains(spare), "a spare is listed twice");
                let sandbox = self.server.sandboxes[spare.get()].sandbox.as_ref().unwrap();
                assert_eq!((sandbox.owner.get(), sandbox.state), (at, State::Spare));
            }
            let spares = living.iter().filter(of).filter(|it| it.state == State::Spare).count();
            assert_eq!(spares, client.spares.len(), "a spare is not listed");
            assert_eq!(client.sleeps_until.is_some(), owner.sleeps, "who sleeps is not known");
            assert_eq!(owner.next_look, self.server.next_look, "a client is told of another look than the next");
        }
    }
}

const fn exception(ip: u64, vector: u64) -> KernelFault {
    KernelFault::Exception { ip, vector }
}

/// A write that faults.
/// Sends a request, and does nothing more.
fn begin(world: &mut World, from: u64, request: &Request<'_>) -> Effect {
    let message = Message::<MAX_MESSAGE>::new(request).unwrap();
    world.send(from, NOW, message.bytes())
}

fn has_answer(world: &World, from: u32) -> bool {
    !world.machine.owners[&from].answers.is_empty()
}

const fn touch(address: u64) -> KernelFault {
    KernelFault::Vm { ip: 0x20_5555, address, prefetch: false, fsr: 6 }
}

/// The pages from `address` on, as addresses.
fn pages(address: u32, count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(move |page| address + page * PAGE)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that keeps books: what is mapped where for whom, and how much is in use. It asserts what kernels demand.

use core::ops::Range;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    vec::Vec,
};

use sbm_abi::{
    BufferAccess, EntryPoints, Label, Registers,
    limits::{ARENA_BASE, LARGE_PAGE, LARGE_PAGES, PAGE},
};

use crate::{Answer, ClientId, Exhausted, Free, Names, Plan, Platform, Progress, SLICE, Share, Shortage, Table};

/// What clients are called.
pub(super) const NAMES: [&str; 8] = ["zero", "one", "two", "three", "four", "five", "six", "seven"];

/// A frame, by who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Made for a sandbox, zeroed.
    New(u32),
    /// Made for a sandbox, and filled with what the program's data at this address are at its start.
    Data(u32, u32),
    /// A large page, made for a sandbox, zeroed; it is mapped at its first address.
    Large(u32),
    /// The client's own, by its number.
    Own(u32),
    /// A large page of the client's own, by its number.
    OwnLarge(u32),
}

impl Frame {
    const fn pages(self) -> u32 {
        if matches!(self, Self::Large(_) | Self::OwnLarge(_)) { LARGE_PAGES } else { 1 }
    }
}

/// What a page is mapped to, for what.
pub(super) type Mapped = BTreeMap<u32, (Frame, BufferAccess)>;

/// A sandbox.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) client: u32,
    pub(super) names: Names,
    pub(super) code_frames: u8,
    pub(super) tables: Vec<Table>,
    pub(super) mapped: Mapped,
    pub(super) registers: Registers,
    /// Whether its thread waits.
    pub(super) waits: bool,
    /// Priority of its thread, where it was set.
    pub(super) priority: u8,
    /// How many of the plan's frames there are, and how many of all are small.
    made: u32,
    small: u32,
    /// The pages themselves.
    own: Vec<u32>,
    /// Whether its pages have blocks of their own.
    is_long: bool,
    /// Whether its address space is gone.
    pub(super) is_ended: bool,
    taken: (u32, u32),
}

/// What was added to a sandbox.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Added {
    sandbox: u32,
    /// The client whose paging structure it is.
    covers: Option<u32>,
    tables: Vec<Table>,
    pages: Vec<u32>,
    /// How many of the pages are small: they are the first ones.
    small: u32,
    /// Whether the client does not have the pages.
    is_private: bool,
    /// Whether the pages are the client's own.
    is_own: bool,
    /// Whether the pages, told by their numbers, are mapped only as they are placed, and which of them are where.
    is_loose: bool,
    pub(super) placed: BTreeMap<u32, u32>,
    taken: (u32, u32),
}

/// A client.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Owner {
    /// Paging structures of its arena.
    pub(super) tables: Vec<Table>,
    /// What it shares with its sandboxes.
    pub(super) mapped: Mapped,
    /// Pages and slots of all that is there because of it.
    pub(super) taken: (u32, u32),
    /// Index of the sandbox that it calls.
    pub(super) calls: Option<usize>,
    /// Whether it waits until its time has come.
    pub(super) sleeps: bool,
    /// Whether it waits for the answer to a request.
    pub(super) waits: bool,
    /// Whether its thread was stopped.
    pub(super) is_stopped: bool,
    /// Whether what takes long of its end was done.
    is_wound_up: bool,
    pub(super) answers: Vec<Answer>,
    /// Its watch words.
    pub(super) deadline: u64,
    pub(super) marks: BTreeSet<usize>,
    pub(super) next_look: Option<u64>,
    /// Priority of its thread, where it was set.
    pub(super) priority: u8,
    /// Steps until it is started.
    pub(super) steps: u32,
}

/// Steps in which a client is started again.
const STEPS: u32 = 3;

/// A thread, by the name of its client or its sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thread {
    Client(u32),
    Sandbox(u32),
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fake {
    pub(super) left: (u32, u32),
    /// Operations until one fails, if one is to.
    pub(super) fails_in: Option<u32>,
    /// Whose priorities were set, one after the other.
    pub(super) priorities: Vec<Thread>,
    /// Operations until one finds memory that is not ready, if one is to.
    pub(super) is_late_in: Option<u32>,
    /// Whether the kernel refuses to map a page that is asked for.
    pub(super) refuses: bool,
    /// Somebody was told that memory is not ready.
    pub(super) is_late: bool,
    /// Sandboxes that were told to try again.
    pub(super) went_on: Vec<u32>,
    /// The server looks, and wakes who slept.
    pub(super) looks: bool,
    /// The machine's work since this was set to 0: pages, tables, objects.
    pub(super) effort: u32,
    pub(super) boxes: BTreeMap<u32, Held>,
    pub(super) parts: BTreeMap<u32, Added>,
    pub(super) owners: BTreeMap<u32, Owner>,
    pub(super) restarts: Vec<(u32, Registers)>,
    pub(super) position: Option<u64>,
    pub(super) stack_pointer: Option<u64>,
    pub(super) texts: Vec<(u32, Vec<u8>)>,
    pub(super) look_at: Option<u64>,
    /// The time, where that of the request or look is not taken.
    pub(super) now: u64,
    /// Pages that were copied, each from where to where in which sandbox.
    pub(super) copied: Vec<(u32, u32, u32)>,
    /// How often a client was started again.
    pub(super) starts: u32,
    /// Clients that did not end well.
    pub(super) ended_badly: Vec<u32>,
    next: u32,
}

/// Asserts that there is what it takes to map a frame, and nothing in its place.
fn assert_reach(tables: &[Table], address: u32, frame: Frame) {
    let (gib, region) = ((address >> 30) as u8, u16::try_from(address >> 21).unwrap());
    assert!(gib == 0 || tables.contains(&Table::Directory(gib)), "no page directory at {address:#x}");
    let has_table = tables.contains(&Table::Page(region));
    if frame.pages() > 1 {
        assert!(
            address.is_multiple_of(LARGE_PAGE) && !has_table,
            "a page table in place of a large page, at {address:#x}"
        );
    } else {
        assert!(has_table, "no page table at {address:#x}");
    }
}

fn power(number: u32) -> u32 {
    if number == 0 { 0 } else { number.next_power_of_two() }
}

impl Fake {
    /// Makes a machine of so many pages and slots.
    pub(super) fn of(pages: u32, slots: u32) -> Self {
        Self { left: (pages, slots), ..Self::default() }
    }

    /// Makes a client's kernel objects, which nobody is charged for.
    pub(super) fn client(&mut self, number: u32) -> u32 {
        self.owners.insert(number, Owner::default());
        number
    }

    fn name(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Takes memory and slots, rounded up as the allocators do, or fails because it is told to or there is none.
    fn take(&mut self, owner: u32, pages: u32, slots: u32) -> Result<(u32, u32), Shortage> {
        let comes = |left: &mut Option<u32>| match left {
            Some(0) => {
                *left = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if comes(&mut self.fails_in) {
            return Err(Shortage::Exhausted);
        }
        if comes(&mut self.is_late_in) {
            self.is_late = true;
            return Err(Shortage::NotReady);
        }
        let taken = (power(pages), power(slots));
        let left = (self.left.0.checked_sub(taken.0), self.left.1.checked_sub(taken.1));
        let (Some(pages), Some(slots)) = left else { return Err(Shortage::Exhausted) };
        self.left = (pages, slots);
        let books = &mut self.owners.get_mut(&owner).unwrap().taken;
        *books = (books.0 + taken.0, books.1 + taken.1);
        Ok(taken)
    }

    fn give_back(&mut self, owner: u32, taken: (u32, u32)) {
        self.left = (self.left.0 + taken.0, self.left.1 + taken.1);
        let books = &mut self.owners.get_mut(&owner).unwrap().taken;
        *books = (books.0 - taken.0, books.1 - taken.1);
    }

    /// Maps these of the plan's pages, and returns which, for both sides.
    fn map(&mut self, owner: u32, sandbox: u32, plan: &Plan<'_>, which: Range<u32>) -> (Vec<u32>, Vec<u32>) {
        let (mut pages, mut shared) = (Vec::new(), Vec::new());
        let all: Vec<_> = plan.runs().flat_map(|run| (0..run.frames()).map(move |number| (run, number))).collect();
        assert_eq!(all.len(), plan.frames() as usize);
        assert!(all.iter().zip(0..).all(|((run, _), number)| run.large == (number >= plan.small_frames())));
        assert_eq!(all.iter().filter(|(run, _)| run.client.is_some()).count(), plan.shared_frames() as usize);
        for (run, page) in &all[which.start as usize..which.end as usize] {
            let address = run.address(*page);
            let name = self.name();
            let new = if run.large { Frame::Large(name) } else { Frame::New(name) };
            let frame = run.data.map_or(new, |data| Frame::Data(name, data + page * PAGE));
            self.map_page(sandbox, address, frame, run.sandbox);
            pages.push(address);
            if let Some(access) = run.client {
                let owner = self.owners.get_mut(&owner).unwrap();
                assert_reach(&owner.tables, address, frame);
                assert!(owner.mapped.insert(address, (frame, access)).is_none(), "mapped twice at {address:#x}");
                shared.push(address);
            }
        }
        (pages, shared)
    }

    fn map_page(&mut self, sandbox: u32, address: u32, frame: Frame, access: BufferAccess) {
        self.effort += 1;
        let sandbox = self.boxes.get_mut(&sandbox).unwrap();
        assert_reach(&sandbox.tables, address, frame);
        assert!(sandbox.mapped.insert(address, (frame, access)).is_none(), "mapped twice at {address:#x}");
    }

    fn add_to(&mut self, sandbox: u32, tables: &[Table]) {
        let there = &mut self.boxes.get_mut(&sandbox).unwrap().tables;
        for table in tables {
            assert!(!there.contains(table), "made twice: {table:?}");
            if let Table::Page(region) = table {
                let gib = (region >> 9) as u8;
                assert!(gib == 0 || there.contains(&Table::Directory(gib)), "a page table without its directory");
            }
            there.push(*table);
        }
    }

    fn unmap(&mut self, owner: u32, shared: &[u32]) {
        for address in shared {
            self.owners.get_mut(&owner).unwrap().mapped.remove(address).unwrap();
        }
    }

    /// Returns which of so many frames are left when those are taken back that were made last, and the pages of these.
    fn last(made: u32, small: u32) -> (u32, u32) {
        let before = made.saturating_sub(1);
        if before < small { (before / SLICE * SLICE, made - before / SLICE * SLICE) } else { (before, LARGE_PAGES) }
    }

    /// Returns how many of a plan's frames there are after the next step, and the pages of those that it makes.
    fn next(made: u32, plan: &Plan<'_>) -> (u32, u32) {
        let small = plan.small_frames();
        if made < small {
            let until = small.min(made + SLICE);
            (until, until - made)
        } else {
            (made + 1, LARGE_PAGES)
        }
    }

    fn part(&mut self, added: Added) -> u32 {
        let name = self.name();
        self.parts.insert(name, added);
        name
    }

    /// Takes back the pages of a sandbox that have blocks of their own, this many at most; without a limit all.
    fn strip_sandbox(&mut self, name: u32, most: u32) {
        let held = &self.boxes[&name];
        let (owner, made, long) = (held.client, held.made, held.is_long);
        let (rest, taken) = if long { Self::last(made, held.small) } else { (made, 0) };
        assert!(made - rest <= most);
        let gone: Vec<_> = held.own.split_at(rest as usize).1.to_vec();
        self.effort += gone.len() as u32;
        for address in &gone {
            let frame = self.boxes.get_mut(&name).unwrap().mapped.remove(address).unwrap().0;
            let mapped = &mut self.owners.get_mut(&owner).unwrap().mapped;
            if mapped.get(address).is_some_and(|it| it.0 == frame) {
                mapped.remove(address);
            }
        }
        let held = self.boxes.get_mut(&name).unwrap();
        held.own.truncate(rest as usize);
        held.made = rest;
        self.give_back(owner, (power(taken), 0));
    }

    /// Takes back the pages of a part that were added last, from the sandbox if it is there as such.
    fn strip_part(&mut self, name: u32) -> Progress {
        let part = self.parts.get_mut(&name).expect("stripped after it was gone");
        let sandbox = part.sandbox;
        if !part.tables.is_empty() {
            return Progress::Done;
        }
        let made = u32::try_from(part.pages.len()).unwrap();
        let (rest, taken) = if part.is_own { (made.saturating_sub(SLICE), 0) } else { Self::last(made, part.small) };
        let pages = part.pages.split_off(rest as usize);
        let (is_own, is_private) = (part.is_own, part.is_private);
        self.effort += pages.len() as u32;
        let held = self.boxes.get_mut(&sandbox).expect("its sandbox is gone");
        let owner = held.client;
        for page in &pages {
            let at = if part.is_loose { part.placed.remove(page) } else { Some(*page) };
            if let Some(at) = at {
                held.mapped.remove(&at).unwrap();
            }
        }
        if !is_own {
            if !is_private {
                self.unmap(owner, &pages);
            }
            self.give_back(owner, (power(if made > 0 { taken } else { 0 }), 0));
        }
        if rest > 0 { Progress::More } else { Progress::Done }
    }
}

impl Platform for Fake {
    const FIXED_PAGES: u32 = 4;

    type Client = u32;
    type Sandbox = u32;
    type Part = u32;

    fn make(
        &mut self,
        client: &mut u32,
        names: Names,
        plan: &Plan<'_>,
        registers: &Registers,
    ) -> Result<u32, Shortage> {
        assert_eq!(names.client, ClientId::new(u64::from(*client)).unwrap());
        assert!(self.boxes.values().all(|it| it.names.index != names.index), "an index is given twice");
        let (pages, slots) = plan.of_new::<Self>();
        let taken = self.take(*client, pages, slots)?;
        let name = self.name();
        let made = Held {
            client: *client,
            names,
            code_frames: plan.code_frames,
            tables: Vec::new(),
            mapped: Mapped::new(),
            registers: *registers,
            waits: true,
            priority: 0,
            made: 0,
            small: plan.small_frames(),
            own: Vec::new(),
            is_long: plan.is_long(),
            is_ended: false,
            taken,
        };
        self.boxes.insert(name, made);
        self.add_to(name, &plan.tables);
        if !plan.is_long() {
            let (own, _) = self.map(*client, name, plan, 0..plan.frames());
            let held = self.boxes.get_mut(&name).unwrap();
            (held.made, held.own) = (plan.frames(), own);
        }
        Ok(name)
    }

    fn fill(&mut self, client: &u32, sandbox: &mut u32, plan: &Plan<'_>) -> Result<Progress, Shortage> {
        let held = &self.boxes[sandbox];
        assert!(held.is_long && !held.is_ended);
        let from = held.made;
        assert!(from < plan.frames(), "filled though it is full");
        let (until, taken) = Self::next(from, plan);
        self.take(*client, taken, 0)?;
        let (pages, _) = self.map(*client, *sandbox, plan, from..until);
        let held = self.boxes.get_mut(sandbox).unwrap();
        held.own.extend(pages);
        held.made = until;
        Ok(if until < plan.frames() { Progress::More } else { Progress::Done })
    }

    fn add_tables(&mut self, sandbox: &u32, tables: &[Table]) -> Result<u32, Shortage> {
        assert!(!tables.is_empty());
        let count = u32::try_from(tables.len()).unwrap();
        let taken = self.take(self.boxes[sandbox].client, count, count)?;
        self.add_to(*sandbox, tables);
        let (tables, sandbox) = (tables.to_vec(), *sandbox);
        Ok(self.part(Added { sandbox, tables, taken, ..Added::default() }))
    }

    fn add_pages(&mut self, client: &u32, sandbox: &u32, plan: &Plan<'_>) -> Result<u32, Shortage> {
        let taken = self.take(*client, 0, plan.slots_of_pages())?;
        Ok(self.part(Added { sandbox: *sandbox, small: plan.small_frames(), taken, ..Added::default() }))
    }

    fn extend(&mut self, client: &u32, sandbox: &u32, part: &mut u32, plan: &Plan<'_>) -> Result<Progress, Shortage> {
        assert_eq!(self.parts[part].sandbox, *sandbox);
        let from = u32::try_from(self.parts[part].pages.len()).unwrap();
        assert!(from < plan.frames(), "extended though it is full");
        let (until, taken) = Self::next(from, plan);
        self.take(*client, taken, 0)?;
        let (pages, shared) = if plan.is_loose() {
            assert_eq!(plan.runs().count(), 0);
            self.parts.get_mut(part).unwrap().is_loose = true;
            self.effort += until - from;
            ((from..until).collect(), Vec::new())
        } else {
            self.map(*client, *sandbox, plan, from..until)
        };
        assert!(shared.is_empty() || pages == shared);
        if shared.is_empty() {
            self.parts.get_mut(part).unwrap().is_private = true;
        }
        self.parts.get_mut(part).unwrap().pages.extend(pages);
        Ok(if until < plan.frames() { Progress::More } else { Progress::Done })
    }

    fn place(&mut self, sandbox: &u32, part: &u32, number: u32, at: Option<u32>) -> Result<Progress, Exhausted> {
        let added = self.parts.get_mut(part).unwrap();
        assert_eq!(added.sandbox, *sandbox);
        if !added.pages.contains(&number) {
            return Ok(Progress::More);
        }
        assert!(added.is_loose, "placed though it is where it is");
        if self.refuses {
            return Err(Exhausted);
        }
        if let Some(old) = added.placed.remove(&number) {
            self.boxes.get_mut(sandbox).unwrap().mapped.remove(&old).unwrap();
        }
        if let Some(at) = at {
            added.placed.insert(number, at);
            let name = self.name();
            self.map_page(*sandbox, at, Frame::New(name), BufferAccess::ReadWrite);
        }
        self.effort += 1;
        Ok(Progress::Done)
    }

    fn copy(&mut self, from: (&u32, u32), to: (&u32, u32), count: u32) {
        let sandbox = self.parts[from.0].sandbox;
        assert_eq!(sandbox, self.parts[to.0].sandbox, "from one sandbox to another");
        let page = |(part, first): (&u32, u32), number| {
            let part = &self.parts[part];
            let number: u32 = first + number;
            match number.checked_sub(part.small) {
                None => part.pages[number as usize],
                Some(page) => part.pages[(part.small + page / LARGE_PAGES) as usize] + page % LARGE_PAGES * PAGE,
            }
        };
        let copied: Vec<_> = (0..count).map(|number| (sandbox, page(from, number), page(to, number))).collect();
        assert!(copied.iter().all(|(_, from, to)| from != to));
        self.effort += 2 * count;
        self.copied.extend(copied);
    }

    fn share(&mut self, client: &u32, sandbox: &u32, share: &Share) -> Result<u32, Shortage> {
        let taken = self.take(*client, 0, share.frames())?;
        Ok(self.part(Added { sandbox: *sandbox, is_own: true, taken, ..Added::default() }))
    }

    fn extend_share(
        &mut self,
        client: &u32,
        sandbox: &u32,
        part: &mut u32,
        share: &Share,
    ) -> Result<Progress, Shortage> {
        assert_eq!((self.parts[part].sandbox, self.boxes[sandbox].client), (*sandbox, *client));
        let from = self.parts[part].pages.len();
        let all = share.pieces.iter().flat_map(|piece| (0..piece.frames()).map(move |number| (piece, number)));
        let next: Vec<_> = all.skip(from).take(SLICE as usize).collect();
        assert!(!next.is_empty(), "extended though it is full");
        // It takes nothing, and may fail.
        self.take(*client, 0, 0)?;
        for (piece, number) in next {
            let (address, name) = (piece.pages.frame(piece.large, number), piece.frame + number);
            let frame = if piece.large { Frame::OwnLarge(name) } else { Frame::Own(name) };
            self.map_page(*sandbox, address, frame, share.access);
            self.parts.get_mut(part).unwrap().pages.push(address);
        }
        let is_full = self.parts[part].pages.len() == share.frames() as usize;
        Ok(if is_full { Progress::Done } else { Progress::More })
    }

    fn strip(&mut self, part: &mut u32) -> Progress {
        assert!(!self.boxes[&self.parts[part].sandbox].is_ended, "its sandbox is ended");
        self.strip_part(*part)
    }

    fn remove(&mut self, part: u32) {
        let added = self.parts.remove(&part).expect("taken back twice");
        assert!(added.pages.is_empty(), "given back with pages");
        if let Some(client) = added.covers {
            let owner = self.owners.get_mut(&client).unwrap();
            owner.tables.retain(|table| !added.tables.contains(table));
            owner.mapped.iter().for_each(|(address, (frame, _))| assert_reach(&owner.tables, *address, *frame));
            return self.give_back(client, added.taken);
        }
        let sandbox = self.boxes.get_mut(&added.sandbox).expect("its sandbox is gone");
        let owner = sandbox.client;
        sandbox.tables.retain(|table| !added.tables.contains(table));
        sandbox.mapped.iter().for_each(|(address, (frame, _))| assert_reach(&sandbox.tables, *address, *frame));
        self.give_back(owner, added.taken);
    }

    fn cover(&mut self, client: &u32, table: Table) -> Result<u32, Shortage> {
        assert!(table.address() >= ARENA_BASE);
        let taken = self.take(*client, 1, 1)?;
        let owner = self.owners.get_mut(client).unwrap();
        assert!(!owner.tables.contains(&table), "covered twice");
        assert!(
            owner.mapped.iter().all(|(at, (frame, _))| frame.pages() == 1 || table != Table::Page((at >> 21) as u16)),
            "a page table where a large page is"
        );
        owner.tables.push(table);
        Ok(self.part(Added { covers: Some(*client), tables: std::vec![table], taken, ..Added::default() }))
    }

    fn restart(&mut self, sandbox: &u32, registers: &Registers) {
        let restarted = self.boxes.get_mut(sandbox).expect("restarted what is gone");
        (restarted.registers, restarted.waits) = (*registers, true);
        self.restarts.push((*sandbox, *registers));
    }

    fn go_on(&mut self, sandbox: &u32) {
        assert!(!self.boxes[sandbox].is_ended);
        self.went_on.push(*sandbox);
    }

    fn position(&self, _: &u32) -> Option<u64> {
        self.position
    }

    fn stack_pointer(&self, _: &u32) -> Option<u64> {
        self.stack_pointer
    }

    fn waits(&self, sandbox: &u32, _: EntryPoints) -> bool {
        self.boxes[sandbox].waits
    }

    fn calls(&self, client: &u32) -> Option<usize> {
        self.owners[client].calls
    }

    fn answer(&mut self, client: &u32, answer: Answer) {
        let owner = self.owners.get_mut(client).unwrap();
        if answer.label == Label::Returned as u64 {
            let waits = if self.looks { &mut owner.sleeps } else { &mut owner.waits };
            assert!(take(waits), "answered though it does not wait");
        } else {
            let called = owner.calls.take().expect("answered though it calls nothing");
            let is_called = |it: &Held| it.client == *client && it.names.index.get() == called;
            assert!(self.boxes.values().any(is_called), "answered for a sandbox that is not its own");
        }
        owner.answers.push(answer);
    }

    fn deadline(&self, client: &u32) -> u64 {
        self.owners[client].deadline
    }

    fn take_mark(&mut self, client: &u32, from: usize) -> Option<usize> {
        let marks = &mut self.owners.get_mut(client).unwrap().marks;
        let mark = marks.range(from..).next().copied()?;
        marks.remove(&mark);
        Some(mark)
    }

    fn set_mark(&mut self, client: &u32, mark: usize) {
        self.owners.get_mut(client).unwrap().marks.insert(mark);
    }

    fn publish(&mut self, client: &u32, next_look: Option<u64>) {
        let owner = self.owners.get_mut(client).unwrap();
        if owner.steps == 0 {
            owner.next_look = next_look;
        }
    }

    fn look_at(&mut self, next_look: Option<u64>) {
        self.look_at = next_look;
    }

    fn set_priority(&mut self, client: &u32, priority: u8) {
        let owner = self.owners.get_mut(client).unwrap();
        assert!(!owner.is_stopped, "the priority of a client that has ended");
        owner.priority = priority;
        self.priorities.push(Thread::Client(*client));
    }

    fn set_sandbox_priority(&mut self, sandbox: &u32, priority: u8) {
        let held = self.boxes.get_mut(sandbox).expect("the priority of a sandbox that is gone");
        assert!(!held.is_ended, "the priority of a thread that is gone");
        held.priority = priority;
        self.priorities.push(Thread::Sandbox(*sandbox));
    }

    fn dismantle<'a>(&mut self, sandbox: &mut u32, mut parts: impl Iterator<Item = &'a mut u32>) -> Progress {
        let held = self.boxes.get_mut(sandbox).expect("taken apart after it was gone");
        if !held.is_ended {
            held.is_ended = true;
            return Progress::More;
        }
        if held.is_long && held.made > 0 {
            self.strip_sandbox(*sandbox, SLICE);
            return Progress::More;
        }
        match parts.find(|part| !self.parts[part].pages.is_empty()) {
            Some(part) => {
                self.strip_part(*part);
                Progress::More
            }
            None => Progress::Done,
        }
    }

    fn destroy(&mut self, sandbox: u32, parts: impl Iterator<Item = u32>) {
        let owner = self.boxes[&sandbox].client;
        for part in parts {
            while self.strip_part(part) == Progress::More {}
            let added = self.parts.remove(&part).expect("taken back twice");
            assert_eq!(added.sandbox, sandbox);
            self.give_back(owner, added.taken);
        }
        while self.boxes[&sandbox].is_long && self.boxes[&sandbox].made > 0 {
            self.strip_sandbox(sandbox, u32::MAX);
        }
        let gone = self.boxes.remove(&sandbox).expect("destroyed twice");
        self.effort += gone.own.len() as u32;
        let shared: Vec<_> = {
            let owner = &self.owners[&owner];
            let both = |page: &&u32| owner.mapped.get(page).map(|it| it.0) == gone.mapped.get(page).map(|it| it.0);
            gone.mapped.keys().filter(both).copied().collect()
        };
        self.unmap(owner, &shared);
        self.give_back(owner, gone.taken);
    }

    fn stop(&mut self, client: &u32) {
        let owner = self.owners.get_mut(client).unwrap();
        assert!(!owner.is_stopped, "stopped twice");
        (owner.is_stopped, owner.waits, owner.sleeps) = (true, false, false);
    }

    fn wind_up(&mut self, client: &mut u32) -> Option<Progress> {
        assert!(self.boxes.values().all(|it| it.client != *client), "a sandbox outlives its client");
        let owner = self.owners.get_mut(client).unwrap();
        assert!(owner.is_stopped, "wound up while it runs");
        assert!(owner.tables.is_empty(), "a paging structure of its arena outlives it");
        if std::mem::replace(&mut owner.is_wound_up, true) {
            return Some(Progress::Done);
        }
        self.is_late = true;
        None
    }

    fn end(&mut self, client: u32, well: bool) {
        if !well {
            self.ended_badly.push(client);
        }
        assert!(self.boxes.values().all(|it| it.client != client), "a sandbox outlives its client");
        let owner = self.owners.remove(&client).expect("ended twice");
        assert!(owner.is_stopped && owner.tables.is_empty());
        assert_eq!(owner.taken, (0, 0), "something outlives its client");
        assert!(owner.mapped.is_empty());
    }

    fn again(&mut self, client: u32, number: u32) -> Result<u32, Exhausted> {
        self.end(client, true);
        if self.fails_in.take_if(|left| *left == 0).is_some() {
            return Err(Exhausted);
        }
        self.starts = number;
        self.client(client);
        self.owners.get_mut(&client).unwrap().steps = STEPS;
        Ok(client)
    }

    fn prepare(&mut self, client: &mut u32) -> Result<Progress, Exhausted> {
        if self.fails_in.take_if(|left| *left == 0).is_some() {
            return Err(Exhausted);
        }
        let owner = self.owners.get_mut(client).unwrap();
        owner.steps = owner.steps.checked_sub(1).expect("started twice");
        Ok(if owner.steps > 0 { Progress::More } else { Progress::Done })
    }

    fn console(&mut self, client: &u32, text: &[u8]) {
        self.texts.push((*client, text.to_vec()));
    }

    fn free(&self) -> Free {
        Free { bytes: u64::from(self.left.0) * u64::from(PAGE), slots: self.left.1 }
    }

    fn now(&self) -> u64 {
        self.now
    }
}

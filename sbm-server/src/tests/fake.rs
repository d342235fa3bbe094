// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that keeps books: what is mapped where for whom, and how much is in use. It asserts what kernels demand.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    vec::Vec,
};

use sbm_abi::{
    BufferAccess, EntryPoints, Label, Registers,
    limits::{ARENA_BASE, PAGE},
};

use crate::{Answer, ClientId, Exhausted, Free, Names, Plan, Platform, Share, Table};

/// What clients are called.
pub(super) const NAMES: [&str; 8] = ["zero", "one", "two", "three", "four", "five", "six", "seven"];

/// A frame, by who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Made for a sandbox.
    New(u32),
    /// The client's own, by its number.
    Own(u32),
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
    taken: (u32, u32),
}

/// What was added to a sandbox.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Added {
    sandbox: u32,
    tables: Vec<Table>,
    pages: Vec<u32>,
    shared: Vec<u32>,
    taken: (u32, u32),
}

/// A client.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Owner {
    pub(super) regions: Vec<u16>,
    /// What it shares with its sandboxes.
    pub(super) mapped: Mapped,
    /// Pages and slots of all that is there because of it.
    pub(super) taken: (u32, u32),
    /// Index of the sandbox that it calls.
    pub(super) calls: Option<usize>,
    /// Whether it waits until its time has come.
    pub(super) sleeps: bool,
    pub(super) answers: Vec<Answer>,
    /// Its watch words.
    pub(super) deadline: u64,
    pub(super) marks: BTreeSet<usize>,
    pub(super) next_look: Option<u64>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fake {
    pub(super) left: (u32, u32),
    /// Operations until one fails, if one is to.
    pub(super) fails_in: Option<u32>,
    pub(super) boxes: BTreeMap<u32, Held>,
    pub(super) parts: BTreeMap<u32, Added>,
    pub(super) owners: BTreeMap<u32, Owner>,
    pub(super) restarts: Vec<(u32, Registers)>,
    pub(super) position: Option<u64>,
    pub(super) texts: Vec<(u32, Vec<u8>)>,
    pub(super) look_at: Option<u64>,
    /// How often a client was started again.
    pub(super) starts: u32,
    next: u32,
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
    fn take(&mut self, owner: u32, pages: u32, slots: u32) -> Result<(u32, u32), Exhausted> {
        if let Some(left) = &mut self.fails_in {
            if *left == 0 {
                self.fails_in = None;
                return Err(Exhausted);
            }
            *left -= 1;
        }
        let taken = (power(pages), power(slots));
        let left = (self.left.0.checked_sub(taken.0), self.left.1.checked_sub(taken.1));
        let (Some(pages), Some(slots)) = left else { return Err(Exhausted) };
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

    /// Maps the plan's pages, and returns which, for both sides.
    fn map(&mut self, owner: u32, sandbox: u32, plan: &Plan<'_>) -> (Vec<u32>, Vec<u32>) {
        let (mut pages, mut shared) = (Vec::new(), Vec::new());
        for run in plan.runs() {
            for page in 0..u32::from(run.pages.count) {
                let address = run.pages.address + page * PAGE;
                let frame = Frame::New(self.name());
                self.map_page(sandbox, address, frame, run.sandbox);
                pages.push(address);
                if let Some(access) = run.client {
                    let owner = self.owners.get_mut(&owner).unwrap();
                    let region = u16::try_from(address >> 21).unwrap();
                    assert!(owner.regions.contains(&region), "the client has no page table at {address:#x}");
                    assert!(owner.mapped.insert(address, (frame, access)).is_none(), "mapped twice at {address:#x}");
                    shared.push(address);
                }
            }
        }
        assert_eq!((pages.len(), shared.len()), (plan.frames() as usize, plan.shared_frames() as usize));
        (pages, shared)
    }

    fn map_page(&mut self, sandbox: u32, address: u32, frame: Frame, access: BufferAccess) {
        let sandbox = self.boxes.get_mut(&sandbox).unwrap();
        let (gib, region) = ((address >> 30) as u8, u16::try_from(address >> 21).unwrap());
        assert!(gib == 0 || sandbox.tables.contains(&Table::Directory(gib)), "no page directory at {address:#x}");
        assert!(sandbox.tables.contains(&Table::Page(region)), "no page table at {address:#x}");
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

    fn forget(&mut self, part: u32) -> (u32, Added) {
        let added = self.parts.remove(&part).expect("taken back twice");
        let owner = self.boxes.get(&added.sandbox).map_or(u32::MAX, |it| it.client);
        (owner, added)
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
    ) -> Result<u32, Exhausted> {
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
            taken,
        };
        self.boxes.insert(name, made);
        self.add_to(name, &plan.tables);
        self.map(*client, name, plan);
        Ok(name)
    }

    fn add_tables(&mut self, sandbox: &u32, tables: &[Table]) -> Result<u32, Exhausted> {
        assert!(!tables.is_empty());
        let count = u32::try_from(tables.len()).unwrap();
        let taken = self.take(self.boxes[sandbox].client, count, count)?;
        self.add_to(*sandbox, tables);
        let name = self.name();
        let tables = tables.to_vec();
        let added = Added { sandbox: *sandbox, tables, pages: Vec::new(), shared: Vec::new(), taken };
        self.parts.insert(name, added);
        Ok(name)
    }

    fn add_pages(&mut self, client: &u32, sandbox: &u32, plan: &Plan<'_>) -> Result<u32, Exhausted> {
        let (pages, slots) = plan.of_pages();
        let taken = self.take(*client, pages, slots)?;
        let (pages, shared) = self.map(*client, *sandbox, plan);
        let name = self.name();
        self.parts.insert(name, Added { sandbox: *sandbox, tables: Vec::new(), pages, shared, taken });
        Ok(name)
    }

    fn share(&mut self, client: &u32, sandbox: &u32, share: &Share) -> Result<u32, Exhausted> {
        let taken = self.take(*client, 0, share.pages())?;
        let mut all = Vec::new();
        for (pages, first) in &share.pieces {
            for page in 0..u32::from(pages.count) {
                self.map_page(*sandbox, pages.address + page * PAGE, Frame::Own(first + page), share.access);
                all.push(pages.address + page * PAGE);
            }
        }
        let name = self.name();
        let added = Added { sandbox: *sandbox, tables: Vec::new(), pages: all, shared: Vec::new(), taken };
        self.parts.insert(name, added);
        Ok(name)
    }

    fn remove(&mut self, part: u32) {
        let (owner, added) = self.forget(part);
        let sandbox = self.boxes.get_mut(&added.sandbox).expect("its sandbox is gone");
        for page in &added.pages {
            sandbox.mapped.remove(page).unwrap();
        }
        sandbox.tables.retain(|table| !added.tables.contains(table));
        let mapped: Vec<_> = sandbox.mapped.keys().copied().collect();
        for address in mapped {
            let table = Table::Page(u16::try_from(address >> 21).unwrap());
            assert!(sandbox.tables.contains(&table), "a page table in use is gone, at {address:#x}");
        }
        self.unmap(owner, &added.shared);
        self.give_back(owner, added.taken);
    }

    fn cover(&mut self, client: &mut u32, region: u16) -> Result<(), Exhausted> {
        assert!(u32::from(region) >= ARENA_BASE >> 21);
        self.take(*client, 1, 1)?;
        let regions = &mut self.owners.get_mut(client).unwrap().regions;
        assert!(!regions.contains(&region), "covered twice");
        regions.push(region);
        Ok(())
    }

    fn restart(&mut self, sandbox: &u32, registers: &Registers) {
        let restarted = self.boxes.get_mut(sandbox).expect("restarted what is gone");
        (restarted.registers, restarted.waits) = (*registers, true);
        self.restarts.push((*sandbox, *registers));
    }

    fn position(&self, _: &u32) -> Option<u64> {
        self.position
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
            assert!(take(&mut owner.sleeps), "woken though it does not sleep");
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
        self.owners.get_mut(client).unwrap().next_look = next_look;
    }

    fn look_at(&mut self, next_look: Option<u64>) {
        self.look_at = next_look;
    }

    fn destroy(&mut self, sandbox: u32, parts: impl Iterator<Item = u32>) {
        let owner = self.boxes[&sandbox].client;
        for part in parts {
            let (_, added) = self.forget(part);
            assert_eq!(added.sandbox, sandbox);
            self.unmap(owner, &added.shared);
            for page in &added.pages {
                self.boxes.get_mut(&sandbox).unwrap().mapped.remove(page).unwrap();
            }
            self.give_back(owner, added.taken);
        }
        let gone = self.boxes.remove(&sandbox).expect("destroyed twice");
        let shared: Vec<_> = {
            let owner = &self.owners[&owner];
            let both = |page: &&u32| owner.mapped.get(page).map(|it| it.0) == gone.mapped.get(page).map(|it| it.0);
            gone.mapped.keys().filter(both).copied().collect()
        };
        self.unmap(owner, &shared);
        self.give_back(owner, gone.taken);
    }

    fn end(&mut self, client: u32) {
        assert!(self.boxes.values().all(|it| it.client != client), "a sandbox outlives its client");
        let owner = self.owners.remove(&client).expect("ended twice");
        let tables = u32::try_from(owner.regions.len()).unwrap();
        assert_eq!(owner.taken, (tables, tables), "something outlives its client");
        assert!(owner.mapped.is_empty());
        self.left = (self.left.0 + tables, self.left.1 + tables);
    }

    fn again(&mut self, client: u32, number: u32) -> Result<u32, Exhausted> {
        self.end(client);
        if self.fails_in.take_if(|left| *left == 0).is_some() {
            return Err(Exhausted);
        }
        self.starts = number;
        Ok(self.client(client))
    }

    fn console(&mut self, client: &u32, text: &[u8]) {
        self.texts.push((*client, text.to_vec()));
    }

    fn free(&self) -> Free {
        Free { bytes: u64::from(self.left.0) * u64::from(PAGE), slots: self.left.1 }
    }
}

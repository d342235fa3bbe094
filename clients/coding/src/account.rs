// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a reader's heap has left, as its own allocator counts it.
//!
//! An allocation that finds no room ends the program, and what a type allocates when it is read nobody says beforehand. So
//! the allocator counts all that is taken, whoever takes it, and keeps a reserve for what is small. The reader looks after
//! each step whether there is as much again, in one piece, as the value has taken so far, and stops with an error where there
//! is not, or where the reserve was touched:
//!
//! ```text
//!   taken by the value | as much again: lists that double | unused | reserve, lent while a value is read
//! ```
//!
//! So no bytes end the program, unless a type takes more in one step than before in all, than its elements account for, and
//! than the reserve holds.

use core::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What the allocator of a heap and those who read values into it tell each other. For one thread.
#[derive(Debug)]
pub struct Account {
    /// Bytes that were allocated, with what each allocation takes beside its own; [`TOUCHED`] once the reserve was.
    taken: AtomicUsize,
    /// [`OPEN`] while a value is read; above that bit, the size of an allocation that had to be taken from the reserve, until
    /// that is whole again.
    reserve: AtomicUsize,
}

/// A value is being read, and has the reserve for what is small.
const OPEN: usize = 1;

/// More than there can be.
const TOUCHED: usize = usize::MAX / 8;

/// What an allocation takes beside its bytes and its alignment.
const OVERHEAD: usize = 32;

impl Account {
    /// Bytes that an allocator keeps back for what one step takes.
    pub const RESERVE: usize = 8192;

    /// Makes the account of a heap from which nothing was taken.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only for a static")]
    pub const fn new() -> Self {
        Self { taken: AtomicUsize::new(0), reserve: AtomicUsize::new(0) }
    }

    /// Counts an allocation, or one that grows: it may be moved.
    #[inline]
    pub fn count(&self, layout: core::alloc::Layout) {
        // No other thread adds to it.
        self.taken.store(self.taken.load(Relaxed) + layout.size() + layout.align() + OVERHEAD, Relaxed);
    }

    /// Tells whether an allocation of `bytes`, for which there is no room elsewhere, may be taken from the reserve.
    #[cold]
    pub fn lend(&self, bytes: usize) -> bool {
        let is_open = self.reserve.load(Relaxed) & OPEN != 0;
        if is_open {
            self.reserve.store(OPEN | bytes.max(1) << 1, Relaxed);
            self.taken.store(TOUCHED, Relaxed);
        }
        is_open
    }

    /// Returns the size of the allocation that was taken from the reserve, or 0.
    #[inline]
    fn lent(&self) -> usize {
        self.reserve.load(Relaxed) >> 1
    }
}

/// A reader's heap, as far as one that decodes has to know it.
#[derive(Debug, Clone, Copy)]
pub struct Heap {
    /// What its allocator counts.
    pub account: &'static Account,
    /// Tells whether it has so many bytes in one piece.
    pub has_room: fn(usize) -> bool,
    /// Takes back what was lent of the reserve, and tells whether all of it was free.
    pub restore: fn() -> bool,
}

impl Heap {
    /// One that is never full.
    pub(crate) const ENDLESS: Self = {
        static NOBODYS: Account = Account::new();
        Self { account: &NOBODYS, has_room: |_| true, restore: || true }
    };

    /// Makes the reserve whole, and tells whether it is.
    #[cold]
    fn mend(&self, is_open: bool) -> bool {
        let is_whole = (self.restore)();
        let lent = if is_whole { 0 } else { self.account.reserve.load(Relaxed) & !OPEN };
        self.account.reserve.store(lent | usize::from(is_open), Relaxed);
        is_whole
    }
}

/// What is known to be there for a value that is being read.
#[derive(Debug)]
pub(crate) struct Room {
    heap: Heap,
    /// What was taken before it.
    start: usize,
    /// Up to here twice what is taken may go: it as such, and as much again.
    assured: Cell<usize>,
    /// Whether it lies within another value that is read.
    is_within: bool,
}

/// Error: there is no room for an allocation, or a step, of so many bytes.
pub(crate) struct NoRoom(pub(crate) usize);

/// Bytes that a value may take without having been asked for, and as much again: the reserve has them.
const SMALL: usize = 2048;

/// Least that the heap is asked for beyond what is needed, if it has it.
const PIECE: usize = 8192;

impl Room {
    /// Begins a value.
    #[inline]
    pub(crate) fn new(heap: Heap) -> Result<Self, NoRoom> {
        let account = heap.account;
        let (lent, is_within) = (account.lent(), account.reserve.load(Relaxed) & OPEN != 0);
        // A type has kept what it took, in a static of its own, or is reading a value within another one.
        if lent != 0 && !heap.mend(is_within) {
            return Err(NoRoom(lent));
        }
        account.reserve.store(OPEN, Relaxed);
        let start = account.taken.load(Relaxed);
        Ok(Self { heap, start, assured: Cell::new(2 * (start + SMALL)), is_within })
    }

    /// Makes sure that there is as much again as the value has taken, and `more`.
    #[inline]
    pub(crate) fn check(&self, more: usize) -> Result<(), NoRoom> {
        if 2 * self.heap.account.taken.load(Relaxed) + more > self.assured.get() { self.assure(more) } else { Ok(()) }
    }

    #[cold]
    #[inline(never)]
    fn assure(&self, more: usize) -> Result<(), NoRoom> {
        let account = self.heap.account;
        if account.lent() != 0 {
            return Err(NoRoom(account.lent()));
        }
        let taken = account.taken.load(Relaxed);
        let wanted = (taken - self.start).saturating_add(more);
        let found = self.ask(wanted.saturating_mul(2).saturating_add(PIECE)).or_else(|| self.ask(wanted));
        self.assured.set(self.start + taken + found.ok_or(NoRoom(wanted))?);
        Ok(())
    }

    /// Returns so many bytes if the heap has them without its reserve.
    fn ask(&self, bytes: usize) -> Option<usize> {
        let account = self.heap.account;
        let taken = account.taken.load(Relaxed);
        account.reserve.store(0, Relaxed);
        let has_room = (self.heap.has_room)(bytes);
        account.reserve.store(OPEN, Relaxed);
        // To ask takes nothing.
        account.taken.store(taken, Relaxed);
        has_room.then_some(bytes)
    }

    /// Ends the value, which has no part of the reserve.
    #[inline]
    pub(crate) fn end<T, E>(self, value: Result<T, E>, refuse: impl FnOnce(NoRoom) -> E) -> Result<T, E> {
        let account = self.heap.account;
        let lent = account.lent();
        if lent != 0 {
            drop(value);
            self.heap.mend(self.is_within);
            account.taken.store(self.start, Relaxed);
            return Err(refuse(NoRoom(lent)));
        }
        if !self.is_within {
            account.reserve.store(0, Relaxed);
        }
        value
    }
}

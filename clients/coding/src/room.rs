// SPDX-License-Identifier: MIT OR Apache-2.0
//! Room in the reader's heap, asked for before it is taken.
//!
//! What a value makes of memory it takes without asking, and where there is none the program ends. So whoever decodes says
//! beforehand what the next step may take, and stops with an error where the heap does not have that in one piece: with so
//! much in one piece, it can be taken in any order.

use core::cell::Cell;

/// Least that the heap is asked for at a time.
const PIECE: usize = 4096;

/// What an allocation takes beside its bytes.
const OVERHEAD: usize = 32;

/// What is said to be taken, and what of it is known to be there.
#[derive(Debug)]
pub(crate) struct Room {
    /// Tells whether the heap has so many bytes in one piece.
    has: fn(usize) -> bool,
    /// Bytes that were said to be taken, and may not have been yet.
    promised: Cell<usize>,
    /// How many bytes more there are.
    assured: Cell<usize>,
}

/// Error: there is no room for what was promised, so many bytes.
pub(crate) struct NoRoom(pub(crate) usize);

impl Room {
    pub(crate) const fn new(has: fn(usize) -> bool) -> Self {
        Self { has, promised: Cell::new(0), assured: Cell::new(0) }
    }

    /// Promises room for one allocation, until the list around it goes on.
    #[inline]
    pub(crate) fn promise(&self, bytes: usize) -> Result<(), NoRoom> {
        let bytes = bytes.saturating_add(OVERHEAD);
        self.promised.set(self.promised.get().saturating_add(bytes));
        let Some(left) = self.assured.get().checked_sub(bytes) else { return self.assure() };
        self.assured.set(left);
        Ok(())
    }

    /// Has `take` take what is promised here.
    #[inline]
    pub(crate) fn take<T>(&self, bytes: usize, take: impl FnOnce() -> T) -> Result<T, NoRoom> {
        let before = self.promised.get();
        self.promise(bytes)?;
        let taken = take();
        self.promised.set(before);
        Ok(taken)
    }

    #[cold]
    #[inline(never)]
    fn assure(&self) -> Result<(), NoRoom> {
        let wanted = self.promised.get();
        for more in [PIECE, 0] {
            if (self.has)(wanted.saturating_add(more)) {
                self.assured.set(more);
                return Ok(());
            }
        }
        Err(NoRoom(wanted))
    }
}

/// A list whose elements are being read.
#[derive(Debug)]
pub(crate) struct Growing {
    /// How many it has.
    length: usize,
    /// What was promised before it.
    before: usize,
    /// What was promised around its elements: that, and its own memory.
    around: usize,
}

impl Growing {
    #[inline]
    pub(crate) const fn new(room: &Room) -> Self {
        let before = room.promised.get();
        Self { length: 0, before, around: before }
    }

    /// Promises room for one element more of `size` bytes, all before which have been taken in, of a `T`, and
    /// `alignment` for its place.
    #[inline]
    pub(crate) fn next<T>(&mut self, room: &Room, size: usize, alignment: usize) -> Result<(), NoRoom> {
        room.promised.set(self.around);
        // How many lie within the list itself.
        let within = if size_of::<T>() < SMALLEST_FIXED { 0 } else { size_of::<T>().checked_div(size).unwrap_or(0) };
        // Then nothing, or a power of two.
        let is_full = self.length == within || self.length & self.length.wrapping_sub(1) == 0;
        if is_full && self.length >= within && size > 0 {
            self.grow(room, size, alignment, size_of::<T>() >= SMALLEST_HASHED)?;
        }
        self.length += 1;
        Ok(())
    }

    /// Promises room for as many elements again. They are kept in memory for twice as many, in nodes of a tree, of eleven each
    /// of which six are used at least, or in a hash table of up to four times as many.
    #[inline(never)]
    fn grow(&mut self, room: &Room, size: usize, alignment: usize, is_hashed: bool) -> Result<(), NoRoom> {
        const NODE: usize = 12;
        let per_element = match (is_hashed, size) {
            (true, _) => 4 * size + 8,
            // There are no trees of many bytes: none is there twice.
            (false, 1) => 2,
            (false, _) => 2 * size + size / 4 + 9,
        };
        let more = self.length.saturating_mul(per_element);
        let more = if self.length == 0 { NODE * size + 4 * OVERHEAD } else { more };
        room.promise(more.saturating_add(alignment))?;
        self.around = room.promised.get();
        Ok(())
    }

    /// Ends the list: it takes no more.
    #[inline]
    pub(crate) fn end(&self, room: &Room) {
        room.promised.set(self.before);
    }
}

/// What a list takes that has room for elements within, at least.
const SMALLEST_FIXED: usize = 256;

/// What a hash table takes without its elements, at least; lists and trees take less.
const SMALLEST_HASHED: usize = 4 * size_of::<usize>();

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel objects made out of a block, one after the other, each by the type of its capability.

use sel4::{Cap, CapType, Error, ObjectBlueprint, cap, cap_type, init_thread::slot};

use crate::cspace::{self, Slot};

/// A kind of object that has one size.
pub(crate) trait Object: CapType {
    /// What a retype is told.
    const BLUEPRINT: ObjectBlueprint;
}

macro_rules! objects {
    ($($kind:ident = $blueprint:expr),* $(,)?) => {
        $(impl Object for cap_type::$kind {
            const BLUEPRINT: ObjectBlueprint = $blueprint;
        })*
    };
}

objects! {
    Endpoint = ObjectBlueprint::Endpoint,
    Notification = ObjectBlueprint::Notification,
    Tcb = ObjectBlueprint::Tcb,
    VSpace = ObjectBlueprint::VSPACE,
    PDPT = ObjectBlueprint::PDPT,
    PageDirectory = ObjectBlueprint::PAGE_DIRECTORY,
    PageTable = ObjectBlueprint::PAGE_TABLE,
    SmallPage = ObjectBlueprint::SMALL_PAGE,
    LargePage = ObjectBlueprint::LARGE_PAGE,
}

/// Slots that follow each other, all with capabilities of one kind, or to be filled with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    first: Slot,
    count: u32,
}

impl Row {
    pub(crate) const fn new(first: Slot, count: u32) -> Self {
        Self { first, count }
    }

    /// Returns this row with the one that follows it.
    pub(crate) const fn with(self, next: Self) -> Self {
        Self { first: self.first, count: self.count + next.count }
    }

    /// Returns slot `number`, from 0. One beyond the row holds nothing of this kind.
    pub(crate) const fn slot(self, number: u32) -> Slot {
        self.first.plus(number)
    }

    /// Returns how many they are.
    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    /// Takes the last slot off.
    pub(crate) fn take_last(&mut self) -> Option<Slot> {
        self.count = self.count.checked_sub(1)?;
        Some(self.first.plus(self.count))
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = Slot> {
        (0..self.count).map(move |number| self.first.plus(number))
    }
}

/// Makes objects out of a block's memory, each into the next of its slots.
#[derive(Debug)]
pub(crate) struct Maker {
    untyped: cap::Untyped,
    next: Slot,
    left: u32,
}

impl Maker {
    pub(crate) const fn new(untyped: cap::Untyped, first: Slot, count: u32) -> Self {
        Self { untyped, next: first, left: count }
    }

    /// Makes one object.
    pub(crate) fn object<T: Object>(&mut self) -> Result<Cap<T>, Error> {
        Ok(self.make(&T::BLUEPRINT, 1)?.first.cap())
    }

    /// Makes a CNode of `2^bits` slots.
    pub(crate) fn cnode(&mut self, bits: u8) -> Result<cap::CNode, Error> {
        Ok(self.make(&ObjectBlueprint::CNode { size_bits: usize::from(bits) }, 1)?.first.cap())
    }

    /// Makes `count` objects.
    pub(crate) fn objects<T: Object>(&mut self, count: u32) -> Result<Row, Error> {
        self.make(&T::BLUEPRINT, count)
    }

    /// Sets slots apart, to be filled with copies.
    pub(crate) fn empty(&mut self, count: u32) -> Result<Row, Error> {
        self.left = self.left.checked_sub(count).ok_or(Error::RangeError)?;
        let row = Row { first: self.next, count };
        self.next = self.next.plus(count);
        Ok(row)
    }

    /// Turns the whole block into a pool of address-space ids.
    pub(crate) fn asid_pool(&mut self) -> Result<cap::AsidPool, Error> {
        let slot = self.empty(1)?.slot(0);
        slot::ASID_CONTROL.cap().asid_control_make_pool(self.untyped, &slot.path())?;
        Ok(slot.cap())
    }

    fn make(&mut self, blueprint: &ObjectBlueprint, count: u32) -> Result<Row, Error> {
        let row = self.empty(count)?;
        let mut done = 0;
        while done < count {
            #[expect(clippy::cast_possible_truncation, reason = "256")]
            let now = (count - done).min(sel4::MAX_RETYPE_OBJECTS as u32);
            self.untyped.untyped_retype(blueprint, &cspace::target(), row.slot(done).0 as usize, now as usize)?;
            done += now;
        }
        Ok(row)
    }
}

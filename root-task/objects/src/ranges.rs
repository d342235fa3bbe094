// SPDX-License-Identifier: MIT OR Apache-2.0
//! Allocator of ranges of numbers: capability slots, pages of an address range
//!
//! A binary tree over the numbers 0 to `UNITS` - 1, one byte a node: the largest free range at or below it. Finding,
//! taking and giving back a range each walk once between root and node. [`crate::Buddy`] could do this too; but where
//! splits and joins cost nothing, the tree is a quarter of the code, takes two bytes a number however the numbers are
//! cut up, and cannot run out of nodes.
//!
//! Invariants: a node's byte is 0 (nothing free below, or nothing known), [`USED`] (handed out as one range), or the
//! exponent of the largest free range below, plus one. Below a node that is wholly free or handed out, bytes mean
//! nothing; they are never [`USED`], and are written anew before they are read.

use crate::size::SizeBits;

/// Byte of a node that is one range in use.
const USED: u8 = u8::MAX;

/// Index of the root; the children of node n are 2 n and 2 n + 1.
const ROOT: usize = 1;

/// A range of `2^size` consecutive numbers, the first one a multiple of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first number.
    pub first: u32,
    /// How many there are.
    pub size: SizeBits,
}

/// No free range is large enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRanges {
    /// Size asked for.
    pub requested: SizeBits,
    /// The largest that there is.
    pub largest: Option<SizeBits>,
}

/// A range was given back that is not handed out: freed twice, or never from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnError {
    /// The refused range.
    pub span: Span,
}

/// Why [`Ranges::fill`] took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillError {
    /// The end lies past the last number that there is room for, or before the start.
    OutOfBounds {
        /// How many numbers there is room for.
        limit: u32,
    },
    /// It was filled before.
    Filled,
}

/// An allocator of ranges out of the numbers from 0 to below `UNITS`, a power of two.
pub struct Ranges<const UNITS: usize> {
    /// The tree's nodes, two and two.
    tree: [[u8; 2]; UNITS],
    filled: bool,
    free: u32,
}

impl<const UNITS: usize> Ranges<UNITS> {
    const FITS: () = assert!(UNITS.is_power_of_two() && UNITS <= 1 << 31);

    /// Exponent of the root's size.
    const TOP: u8 = UNITS.trailing_zeros() as u8;

    /// Makes an allocator that has nothing to hand out.
    pub const fn new() -> Self {
        const { Self::FITS };
        Self { tree: [[0; 2]; UNITS], filled: false, free: 0 }
    }

    /// Gives the allocator the numbers it hands out from then on, once.
    ///
    /// # Errors
    /// When it was filled before, or the numbers do not fit.
    pub fn fill(&mut self, numbers: core::ops::Range<u32>) -> Result<(), FillError> {
        if self.filled {
            return Err(FillError::Filled);
        }
        if numbers.start > numbers.end || numbers.end as usize > UNITS {
            return Err(FillError::OutOfBounds { limit: UNITS as u32 });
        }
        let mut first = numbers.start;
        while first < numbers.end {
            // The largest aligned range that starts here and ends in time.
            let level = first.trailing_zeros().min((numbers.end - first).ilog2()) as u8;
            self.put(Self::node(first, level), level);
            first += 1 << level;
        }
        (self.filled, self.free) = (true, numbers.end - numbers.start);
        Ok(())
    }

    /// Hands out a range, from the smaller of two halves where both have one, and from the lower of equal ones.
    ///
    /// # Errors
    /// When there is none of that size.
    pub fn alloc(&mut self, size: SizeBits) -> Result<Span, OutOfRanges> {
        let wanted = size.bits() + 1;
        let mut largest = self.free_at(ROOT);
        if largest < wanted {
            return Err(OutOfRanges { requested: size, largest: self.largest() });
        }
        let (mut node, mut level) = (ROOT, Self::TOP);
        while level > size.bits() {
            // The halves of a node are the pair of its number.
            let halves = &mut self.tree[node];
            if largest == level + 1 {
                *halves = [level; 2];
            }
            // What is too small, or in use, wraps around to more than any that is large enough.
            let [left, right] = halves.map(|largest| largest.wrapping_sub(wanted));
            let go_right = right < left;
            largest = halves[usize::from(go_right)];
            node = 2 * node + usize::from(go_right);
            level -= 1;
        }
        *self.at(node) = USED;
        self.update_above(node, level);
        self.free -= 1 << level;
        Ok(Span { first: ((node << level) - UNITS) as u32, size })
    }

    /// Takes a range back.
    ///
    /// # Errors
    /// When it is not handed out as this one range; nothing changes then.
    pub fn free(&mut self, span: Span) -> Result<(), ReturnError> {
        let level = span.size.bits();
        let inside = level <= Self::TOP && span.size.aligns(span.first.into()) && (span.first as usize) < UNITS;
        if !inside || *self.at(Self::node(span.first, level)) != USED {
            return Err(ReturnError { span });
        }
        self.put(Self::node(span.first, level), level);
        self.free += 1 << level;
        Ok(())
    }

    /// Returns how many numbers are not handed out.
    pub fn available(&self) -> u32 {
        self.free
    }

    /// Returns the size of the largest free range.
    fn largest(&self) -> Option<SizeBits> {
        self.free_at(ROOT).checked_sub(1).and_then(SizeBits::new)
    }

    /// Finds the node of the range of `2^level` numbers from `first`.
    fn node(first: u32, level: u8) -> usize {
        (UNITS + first as usize) >> level
    }

    fn at(&mut self, node: usize) -> &mut u8 {
        &mut self.tree[node / 2][node % 2]
    }

    /// Returns the exponent of the largest free range at or below a node, plus one, or 0.
    fn free_at(&self, node: usize) -> u8 {
        match self.tree[node / 2][node % 2] {
            USED => 0,
            largest => largest,
        }
    }

    /// Makes a node wholly free.
    fn put(&mut self, node: usize, level: u8) {
        *self.at(node) = level + 1;
        self.update_above(node, level);
    }

    /// Brings the nodes above one that has changed up to date, as far as they change.
    fn update_above(&mut self, mut node: usize, mut level: u8) {
        while node > ROOT {
            let (this, other) = (self.free_at(node), self.free_at(node ^ 1));
            let all = level + 1;
            (node, level) = (node / 2, level + 1);
            let largest = if this == all && other == all { level + 1 } else { this.max(other) };
            if core::mem::replace(self.at(node), largest) == largest {
                return;
            }
        }
    }
}

impl<const UNITS: usize> Default for Ranges<UNITS> {
    fn default() -> Self {
        Self::new()
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a client's address space that it shares with its sandboxes.

use heapless::Vec;
use sbm_abi::limits::{ARENA_BASE, ARENA_END, HIGH_ARENA_BASE, LARGE_PAGE};
use sbm_objects::{Ranges, SizeBits, Span};

use crate::{Exhausted, Table};

/// The low part is handed out in units of 32 KiB, the least span of a sandbox.
const LOW_BITS: u8 = 15;
const LOW_UNITS: u32 = (HIGH_ARENA_BASE - ARENA_BASE) >> LOW_BITS;

/// The high part is handed out in units of 2 MiB.
const HIGH_BITS: u8 = LARGE_PAGE.trailing_zeros() as u8;
const HIGH_UNITS: u32 = (ARENA_END - HIGH_ARENA_BASE) >> HIGH_BITS;

/// Spans of at least so many bytes, as a power of two, lie in the high part if there is room: they leave the low one, which
/// takes no other page directory, to the many.
const LARGE_SPAN_BITS: u8 = 25;

/// Regions of 2 MiB in an arena.
const REGIONS: usize = ((ARENA_END - ARENA_BASE) / LARGE_PAGE) as usize;
/// GiB of addresses in which an arena lies.
const GIBS: usize = ARENA_END.div_ceil(1 << 30) as usize;

/// Hands out the addresses of one client's arena, and has what the client was given to reach them.
pub(crate) struct Arena<T> {
    low: Ranges<{ LOW_UNITS.next_power_of_two() as usize }>,
    high: Ranges<{ HIGH_UNITS.next_power_of_two() as usize }>,
    /// The client's paging structures.
    pub(crate) tables: Vec<(Table, T), { REGIONS + GIBS }>,
}

impl<T> Arena<T> {
    pub(crate) const EMPTY: Self = Self { low: Ranges::new(), high: Ranges::new(), tables: Vec::new() };

    /// Makes all addresses available, the first time; later they are, since a client that ends gives all back.
    pub(crate) fn open(&mut self) {
        let _ = self.low.fill(0..LOW_UNITS);
        let _ = self.high.fill(0..HIGH_UNITS);
    }

    /// Finds `2^bits` bytes, aligned to their size, that none of the client's sandboxes uses. From 2 MiB on nothing else lies
    /// in the same regions.
    pub(crate) fn reserve(&mut self, bits: u8) -> Result<u32, Exhausted> {
        let first = if bits < LARGE_SPAN_BITS { self.reserve_low(bits) } else { self.reserve_high(bits) };
        first.or_else(|_| if bits < LARGE_SPAN_BITS { self.reserve_high(bits) } else { self.reserve_low(bits) })
    }

    fn reserve_low(&mut self, bits: u8) -> Result<u32, Exhausted> {
        let size = SizeBits::new(bits.saturating_sub(LOW_BITS)).ok_or(Exhausted)?;
        let span = self.low.alloc(size).map_err(|_| Exhausted)?;
        Ok(ARENA_BASE + (span.first << LOW_BITS))
    }

    #[cold]
    fn reserve_high(&mut self, bits: u8) -> Result<u32, Exhausted> {
        let size = SizeBits::new(bits.saturating_sub(HIGH_BITS)).ok_or(Exhausted)?;
        let span = self.high.alloc(size).map_err(|_| Exhausted)?;
        Ok(HIGH_ARENA_BASE + (span.first << HIGH_BITS))
    }

    /// Takes back what [`Arena::reserve`] gave.
    pub(crate) fn release(&mut self, base: u32, bits: u8) {
        if let Some(offset) = base.checked_sub(HIGH_ARENA_BASE) {
            if let Some(size) = SizeBits::new(bits.saturating_sub(HIGH_BITS)) {
                let _ = self.high.free(Span { first: offset >> HIGH_BITS, size });
            }
        } else if let Some(size) = SizeBits::new(bits.saturating_sub(LOW_BITS)) {
            let first = base.saturating_sub(ARENA_BASE) >> LOW_BITS;
            let _ = self.low.free(Span { first, size });
        }
    }

    /// Tells how many bytes of addresses are in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u32 {
        let used = |available: u32, units: u32, bits: u8| if available == 0 { 0 } else { (units - available) << bits };
        used(self.low.available(), LOW_UNITS, LOW_BITS) + used(self.high.available(), HIGH_UNITS, HIGH_BITS)
    }
}

/// Which paging structures a client has of its arena: a bit each.
pub(crate) struct Tables {
    regions: [u64; REGIONS.div_ceil(64)],
    gibs: u8,
}

impl Tables {
    pub(crate) const NONE: Self = Self { regions: [0; REGIONS.div_ceil(64)], gibs: 0 };

    /// Returns where a region of the arena stands, and its bit there.
    fn bit(region: u16) -> Option<(usize, u64)> {
        let number = u32::from(region).checked_sub(ARENA_BASE / LARGE_PAGE)? as usize;
        (number < REGIONS).then_some((number / 64, 1 << (number % 64)))
    }

    pub(crate) fn has(&self, table: Table) -> bool {
        match table {
            Table::Page(region) => Self::bit(region).is_some_and(|(word, bit)| self.regions[word] & bit != 0),
            Table::Directory(gib) => self.gibs & 1 << (gib % 8) != 0,
        }
    }

    pub(crate) fn set(&mut self, table: Table, is_there: bool) {
        let change = |word: u64, bit: u64| if is_there { word | bit } else { word & !bit };
        match table {
            Table::Page(region) => {
                if let Some((word, bit)) = Self::bit(region) {
                    self.regions[word] = change(self.regions[word], bit);
                }
            }
            Table::Directory(gib) => self.gibs = change(self.gibs.into(), 1 << (gib % 8)) as u8,
        }
    }
}

const _: () = assert!(GIBS <= 8);

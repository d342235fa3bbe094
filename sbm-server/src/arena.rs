// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a client's address space that it shares with its sandboxes.

use sbm_abi::limits::{ARENA_BASE, ARENA_END, LARGE_PAGE};
use sbm_objects::{Ranges, SizeBits, Span};

use crate::Exhausted;

/// Arenas are handed out in units of 32 KiB, the least span of a sandbox.
const UNIT_BITS: u8 = 15;
const UNITS: u32 = (ARENA_END - ARENA_BASE) >> UNIT_BITS;

/// Regions of 2 MiB in an arena, each of which takes a page table of the client's.
pub(crate) const REGIONS: usize = ((ARENA_END - ARENA_BASE) / LARGE_PAGE) as usize;

/// Hands out the addresses of one client's arena.
pub struct Arena(Ranges<{ UNITS.next_power_of_two() as usize }>);

impl Arena {
    pub(crate) const EMPTY: Self = Self(Ranges::new());

    /// Makes all addresses available, the first time; later they are, since a client that ends gives all back.
    pub(crate) fn open(&mut self) {
        let _ = self.0.fill(0..UNITS);
    }

    /// Finds `2^bits` bytes, aligned to their size, that none of the client's sandboxes uses.
    pub(crate) fn reserve(&mut self, bits: u8) -> Result<u32, Exhausted> {
        let size = SizeBits::new(bits.saturating_sub(UNIT_BITS)).ok_or(Exhausted)?;
        let span = self.0.alloc(size).map_err(|_| Exhausted)?;
        Ok(ARENA_BASE + (span.first << UNIT_BITS))
    }

    /// Takes back what [`Arena::reserve`] gave.
    pub(crate) fn release(&mut self, base: u32, bits: u8) {
        let first = base.saturating_sub(ARENA_BASE) >> UNIT_BITS;
        if let Some(size) = SizeBits::new(bits.saturating_sub(UNIT_BITS)) {
            let _ = self.0.free(Span { first, size });
        }
    }

    /// Tells how many units are in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u32 {
        if self.0.available() == 0 { 0 } else { UNITS - self.0.available() }
    }
}

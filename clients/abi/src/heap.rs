// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox's heap: addresses that are its own, and which of them hold memory.
//!
//! ```text
//!   chunk 0 (4 pages) | chunk 1 (4) | chunk 2 (8) | chunk 3 (16) | ..   up to the size that was asked for
//! ```
//!
//! Nothing of a heap is there at first. A chunk comes whole and zeroed when the sandbox first touches a page of it, and
//! stays for the sandbox's life: so a heap takes no more than twice what is used of it, from its start on, by few faults.

use core::num::NonZeroU32;

use crate::{
    Pages,
    limits::{HEAP_PAGES, PAGE},
};

/// Pages of the first chunk. The second one is as large, and each after it as large as all before it.
pub const FIRST_CHUNK_PAGES: u16 = 4;

/// Most chunks of one heap.
pub const MAX_CHUNKS: usize = (*HEAP_PAGES.end() / FIRST_CHUNK_PAGES).ilog2() as usize + 1;

/// The addresses of a heap: a power of two of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    // Not zero, so that "none" takes no room.
    address: NonZeroU32,
    count: u16,
}

impl Heap {
    /// Takes pages whose count [`is_heap_size`], not at address 0.
    pub(crate) fn new(pages: Pages) -> Option<Self> {
        NonZeroU32::new(pages.address).map(|address| Self { address, count: pages.count })
    }

    /// Returns all its pages.
    #[must_use]
    pub const fn pages(self) -> Pages {
        Pages { address: self.address.get(), count: self.count }
    }

    /// Returns the number of the chunk that `address` lies in.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a heap has fewer than 2^16 pages")]
    pub fn chunk_at(self, address: u64) -> Option<u8> {
        let pages = self.pages();
        let offset = if pages.contains(address) { address - u64::from(pages.address) } else { return None };
        let firsts = (offset / u64::from(PAGE)) as u16 / FIRST_CHUNK_PAGES;
        Some(firsts.checked_ilog2().map_or(0, |power| power as u8 + 1))
    }

    /// Returns the pages of a chunk that the heap has.
    #[must_use]
    pub fn chunk(self, number: u8) -> Option<Pages> {
        let (first, count) = match number {
            0 => (0, FIRST_CHUNK_PAGES),
            _ => {
                let count = FIRST_CHUNK_PAGES.checked_shl(u32::from(number) - 1)?;
                (count, count)
            }
        };
        (first.checked_add(count)? <= self.count && count > 0)
            .then(|| Pages { address: self.pages().address + u32::from(first) * PAGE, count })
    }
}

/// Tells whether a heap can have that many pages.
#[must_use]
pub fn is_heap_size(pages: u16) -> bool {
    HEAP_PAGES.contains(&pages) && pages.is_power_of_two()
}

/// Which chunks of a heap hold memory: a bit for each, from the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chunks(u32);

impl Chunks {
    /// Adds a chunk.
    #[must_use]
    pub const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << (number % u32::BITS as u8))
    }

    /// Takes a chunk out.
    #[must_use]
    pub const fn without(self, number: u8) -> Self {
        Self(self.0 & !(1 << (number % u32::BITS as u8)))
    }

    /// Tells whether a chunk is among them.
    #[must_use]
    pub const fn has(self, number: u8) -> bool {
        self.0 & 1 << (number % u32::BITS as u8) != 0
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

const _: () = assert!(MAX_CHUNKS <= u32::BITS as usize);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::ARENA_BASE;
    use proptest::prelude::*;

    extern crate std;

    /// Where a heap may lie: a multiple of the largest, and not of all that its number of pages is counted in.
    const BASE: u32 = ARENA_BASE + 4096 * PAGE;

    fn heap(count: u16) -> Heap {
        Heap::new(Pages { address: BASE, count }).unwrap()
    }

    #[test]
    fn chunks_follow_each_other_and_fill_the_heap() {
        for count in [4, 8, 16, 256, *HEAP_PAGES.end()] {
            let chunks: std::vec::Vec<_> = (0..=u8::MAX).map_while(|number| heap(count).chunk(number)).collect();
            assert_eq!(chunks[0], Pages { address: BASE, count: 4 });
            assert!(chunks.windows(2).all(|pair| pair[0].end() == pair[1].address), "{count}");
            assert_eq!(chunks.last().unwrap().end(), heap(count).pages().end());
            assert!(chunks.len() <= MAX_CHUNKS);
            assert!((0..=u8::MAX).skip(chunks.len()).all(|number| heap(count).chunk(number).is_none()));
        }
        assert_eq!((0..=u8::MAX).filter_map(|number| heap(*HEAP_PAGES.end()).chunk(number)).count(), MAX_CHUNKS);
    }

    #[test]
    fn what_lies_outside_is_in_no_chunk() {
        let end = u64::from(heap(16).pages().end());
        for (address, chunk) in [(u64::from(BASE) - 1, None), (u64::from(BASE), Some(0)), (end, None)] {
            assert_eq!(heap(16).chunk_at(address), chunk);
        }
        assert_eq!(heap(16).chunk_at(end - 1), Some(2));
        assert_eq!(heap(16).chunk_at(u64::MAX), None);
    }

    #[test]
    fn sizes_are_powers_of_two_within_limits() {
        let sizes: std::vec::Vec<_> = (0..=u16::MAX).filter(|pages| is_heap_size(*pages)).collect();
        assert_eq!(sizes, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]);
    }

    #[test]
    fn a_set_of_chunks_has_those_that_were_put_in() {
        let chunks = Chunks::default().with(31).with(0).with(7).with(7);
        assert_eq!((Chunks::default().bits(), chunks.bits()), (0, 1 << 31 | 1 << 7 | 1));
        assert_eq!(chunks.without(7).without(6).bits(), 1 << 31 | 1);
        assert_eq!([0, 1, 7, 30, 31].map(|number| chunks.has(number)), [true, false, true, false, true]);
    }

    proptest! {
        #[test]
        fn an_address_lies_in_its_chunk(power in 2u32..=12, offset: u32) {
            let heap = heap(1 << power);
            let address = u64::from(BASE + offset % heap.pages().bytes());
            prop_assert!(heap.chunk(heap.chunk_at(address).unwrap()).unwrap().contains(address));
        }
    }
}

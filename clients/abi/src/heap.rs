// SPDX-License-Identifier: MIT OR Apache-2.0
//! Zones, a sandbox's heap and statics: addresses that are its own, and which of them hold memory.
//!
//! ```text
//!   chunk 0 (4 pages) | chunk 1 (4) | chunk 2 (8) | chunk 3 (16) | ..   the last one may be cut
//! ```
//!
//! Nothing of a zone is there at first. A chunk comes whole when the sandbox first touches a page of it, and stays for the
//! sandbox's life: so a heap takes no more than twice what is used of it, from its start on, by few faults.
//!
//! What a reset makes of a chunk is its *ground*: zeros, or pages elsewhere that the sandbox can only read. Those of the
//! statics are what the program starts with.

use core::num::NonZeroU32;

use crate::{
    Pages,
    limits::{HEAP_PAGES, LARGE_PAGES, MAX_DATA_PAGES, PAGE},
};

/// Pages of the first chunk. The second one is as large, and each after it as large as all before it.
pub const FIRST_CHUNK_PAGES: u32 = 4;

/// Most chunks of one zone.
pub const ZONE_CHUNKS: u8 = 16;

/// Most chunks of one sandbox: of the largest heap and the most statics.
pub const MAX_CHUNKS: usize = chunks_of(*HEAP_PAGES.end()) + chunks_of(MAX_DATA_PAGES as u32);

/// Counts the chunks of a zone of so many pages, a power of two.
const fn chunks_of(pages: u32) -> usize {
    (pages / FIRST_CHUNK_PAGES).ilog2() as usize + 1
}

/// The addresses of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    // Not zero, so that "none" takes no room.
    address: NonZeroU32,
    count: u32,
}

impl Zone {
    /// Takes pages, unless there are none or they lie at address 0.
    #[must_use]
    pub fn new(pages: Pages) -> Option<Self> {
        let address = NonZeroU32::new(pages.address).filter(|_| pages.count > 0)?;
        Some(Self { address, count: pages.count })
    }

    /// Returns all its pages.
    #[must_use]
    pub const fn pages(self) -> Pages {
        Pages { address: self.address.get(), count: self.count }
    }

    /// Returns the number of the chunk that `address` lies in.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a zone has fewer than 2^32 pages")]
    pub fn chunk_at(self, address: u64) -> Option<u8> {
        let pages = self.pages();
        let offset = if pages.contains(address) { address - u64::from(pages.address) } else { return None };
        let firsts = (offset / u64::from(PAGE)) as u32 / FIRST_CHUNK_PAGES;
        Some(firsts.checked_ilog2().map_or(0, |power| power as u8 + 1))
    }

    /// Returns the pages of a chunk that the zone has.
    #[must_use]
    pub fn chunk(self, number: u8) -> Option<Pages> {
        let (first, count) = match number {
            0 => (0, FIRST_CHUNK_PAGES),
            _ => {
                let count = FIRST_CHUNK_PAGES.checked_shl(u32::from(number) - 1)?;
                (count, count)
            }
        };
        let count = count.min(self.count.checked_sub(first)?);
        (count > 0).then(|| Pages { address: self.pages().address + first * PAGE, count })
    }

    /// Returns the pages of those chunks that are whole large pages, where the zone begins at a multiple of one: all but the
    /// first large page.
    #[must_use]
    pub const fn large_part(self) -> Pages {
        let Pages { address, count } = self.pages();
        let count = count.saturating_sub(LARGE_PAGES);
        // Where there are none, where they would begin does not matter.
        Pages { address: address.saturating_add(LARGE_PAGES * PAGE), count }
    }

    /// Lists its chunks that are in a set of the heap's, with their numbers, the first one first.
    pub fn chunks(self, set: Chunks) -> impl Iterator<Item = (u8, Pages)> {
        (0..ZONE_CHUNKS)
            .filter(move |number| set.has(*number))
            .filter_map(move |number| Some((number, self.chunk(number)?)))
    }
}

/// Tells whether a heap can have that many pages.
#[must_use]
pub fn is_heap_size(pages: u32) -> bool {
    HEAP_PAGES.contains(&pages) && pages.is_power_of_two()
}

/// Chunks of a sandbox: a bit for each of the heap, from the lowest, and from bit [`ZONE_CHUNKS`] on for each of the
/// statics.
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

    /// Returns those of the statics, with the numbers that they have in their zone: as if they were of the heap.
    #[must_use]
    pub const fn statics(self) -> Self {
        Self(self.0 >> ZONE_CHUNKS)
    }

    /// Returns those of the heap that are in this set, and those of the statics that are in the other one.
    #[must_use]
    pub const fn with_statics_of(self, other: Self) -> Self {
        Self((self.0 & 0xffff) | (other.0 >> ZONE_CHUNKS << ZONE_CHUNKS))
    }

    /// Returns the bits of the heap's chunks.
    #[must_use]
    pub const fn of_heap(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// Returns the bits of the statics' chunks.
    #[must_use]
    pub const fn of_statics(self) -> u16 {
        (self.0 >> ZONE_CHUNKS) as u16
    }
}

const _: () = assert!(2 * ZONE_CHUNKS as u32 == u32::BITS);
const _: () = assert!(chunks_of(*HEAP_PAGES.end()) <= ZONE_CHUNKS as usize);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::ARENA_BASE;
    use proptest::prelude::*;

    extern crate std;

    /// Where a heap may lie: a multiple of the largest, and not of all that its number of pages is counted in.
    const BASE: u32 = ARENA_BASE + 4096 * PAGE;

    fn heap(count: u32) -> Zone {
        Zone::new(Pages { address: BASE, count }).unwrap()
    }

    #[test]
    fn chunks_follow_each_other_and_fill_the_heap() {
        for count in [1, 3, 4, 5, 8, 16, 100, 256, 512, *HEAP_PAGES.end()] {
            let chunks: std::vec::Vec<_> = (0..=u8::MAX).map_while(|number| heap(count).chunk(number)).collect();
            assert_eq!(chunks[0], Pages { address: BASE, count: count.min(4) });
            assert!(chunks.windows(2).all(|pair| pair[0].end() == pair[1].address), "{count}");
            assert_eq!(chunks.last().unwrap().end(), heap(count).pages().end());
            assert!(chunks.len() <= chunks_of(count.next_power_of_two().max(4)));
            assert!((0..=u8::MAX).skip(chunks.len()).all(|number| heap(count).chunk(number).is_none()));
        }
        assert!(Zone::new(Pages { address: 0, count: 1 }).is_none());
        assert!(Zone::new(Pages { address: 0x1000, count: 0 }).is_none());
    }

    #[test]
    fn a_sandbox_has_the_chunks_of_the_largest_heap_and_the_most_statics_at_most() {
        let count = |pages| (0..ZONE_CHUNKS).filter(|number| heap(pages).chunk(*number).is_some()).count();
        assert_eq!(MAX_CHUNKS, count(*HEAP_PAGES.end()) + count(MAX_DATA_PAGES.into()));
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
        let sizes: std::vec::Vec<_> = (0..=1 << 18).filter(|pages| is_heap_size(*pages)).collect();
        assert_eq!(sizes, (2..=17).map(|power| 1 << power).collect::<std::vec::Vec<u32>>());
    }

    #[test]
    fn a_zone_lists_those_of_its_chunks_that_are_in_a_set() {
        let zone = heap(20);
        let set = Chunks::default().with(1).with(3).with(4).with(ZONE_CHUNKS).with(ZONE_CHUNKS + 2);
        let list = |set| zone.chunks(set).map(|(number, pages)| (number, pages.count)).collect::<std::vec::Vec<_>>();
        assert_eq!(list(set), [(1, 4), (3, 4)], "the zone has four, and the last one is cut");
        assert_eq!(list(set.statics()), [(0, 4), (2, 8)]);
        let mixed = Chunks::default().with(0).with(ZONE_CHUNKS + 1).with_statics_of(set);
        assert_eq!((mixed.of_heap(), mixed.of_statics()), (1, 0b101));
    }

    #[test]
    fn a_set_of_chunks_has_those_that_were_put_in() {
        let chunks = Chunks::default().with(31).with(0).with(7).with(7);
        let bits = |chunks: Chunks| (chunks.of_heap(), chunks.of_statics());
        assert_eq!((bits(chunks), bits(chunks.without(7).without(6))), ((1 << 7 | 1, 1 << 15), (1, 1 << 15)));
        assert_eq!([0, 1, 7, 30, 31].map(|number| chunks.has(number)), [true, false, true, false, true]);
    }

    proptest! {
        #[test]
        fn an_address_lies_in_its_chunk(count in 1u32..=4096, offset: u32) {
            let heap = heap(count);
            let address = u64::from(BASE + offset % heap.pages().bytes());
            prop_assert!(heap.chunk(heap.chunk_at(address).unwrap()).unwrap().contains(address));
        }
    }
}

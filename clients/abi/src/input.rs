// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where input files lie: one behind the other, in the order of their numbers.
//!
//! A file of 4 MiB and more begins at a multiple of a large page, and is made of large pages as far as it fills them: so it
//! takes few slots, and is mapped into a sandbox in few steps. What lies in a large page is mapped with all of it. Smaller
//! files are small pages, of which any can be mapped.

use crate::{
    Pages,
    limits::{INPUT_BASE, INPUT_END, LARGE_PAGE, LARGE_PAGES, PAGE},
};

/// Fewest pages of a file that has large ones.
const LARGE_FILE_PAGES: u32 = 2 * LARGE_PAGES;

impl Pages {
    /// Places an input file of `bytes` behind the one before it, if there is room.
    #[must_use]
    pub fn of_input(before: Option<Self>, bytes: u32) -> Option<Self> {
        let address = before.map_or(INPUT_BASE, Self::end);
        let count = bytes.div_ceil(PAGE).max(1);
        let address = if count < LARGE_FILE_PAGES { address } else { address.next_multiple_of(LARGE_PAGE) };
        let fits = count <= INPUT_END.checked_sub(address)? / PAGE;
        fits.then_some(Self { address, count })
    }

    /// Returns what of an input file that lies here is made of large pages, and the rest of it.
    #[must_use]
    pub const fn of_large_input(self) -> (Self, Self) {
        let large = if self.count < LARGE_FILE_PAGES { 0 } else { self.large() * LARGE_PAGES };
        let rest = Self { address: self.address + large * PAGE, count: self.count - large };
        (Self { address: self.address, count: large }, rest)
    }

    /// Tells whether a range that begins or ends in these large pages has only a part of one.
    #[must_use]
    pub fn cuts(self, range: Self) -> bool {
        let within = |address: u32| self.address < address && address < self.end();
        within(range.address) && !range.address.is_multiple_of(LARGE_PAGE)
            || within(range.end()) && !range.end().is_multiple_of(LARGE_PAGE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inputs_are_placed_one_after_the_other_up_to_the_end() {
        assert_eq!(Pages::of_input(None, 1), Some(Pages { address: INPUT_BASE, count: 1 }));
        assert_eq!(Pages::of_input(None, 0), Some(Pages { address: INPUT_BASE, count: 1 }));
        let whole = Pages::of_input(None, INPUT_END - INPUT_BASE).unwrap();
        assert_eq!(whole.end(), INPUT_END);
        assert_eq!(Pages::of_input(None, INPUT_END - INPUT_BASE + 1), None);
        assert_eq!(Pages::of_input(Some(whole), 0), None);
        assert_eq!(Pages::of_input(None, u32::MAX), None);
        let last = Pages { address: INPUT_END - PAGE, count: 1 };
        assert_eq!(Pages::of_input(Some(last), 8 << 20), None);
    }

    #[test]
    fn a_large_file_begins_at_a_large_page_and_a_small_one_behind_what_is_there() {
        let first = Pages::of_input(None, 5000).unwrap();
        let small = Pages::of_input(Some(first), LARGE_FILE_PAGES * PAGE - PAGE).unwrap();
        assert_eq!(small, Pages { address: first.end(), count: LARGE_FILE_PAGES - 1 });
        let large = Pages::of_input(Some(first), LARGE_FILE_PAGES * PAGE - PAGE + 1).unwrap();
        assert_eq!(large, Pages { address: INPUT_BASE + LARGE_PAGE, count: LARGE_FILE_PAGES });
        let next = Pages::of_input(Some(large), 1).unwrap();
        assert_eq!(next.address, large.end());
    }

    #[test]
    fn a_file_is_divided_into_large_pages_and_the_rest() {
        let of = |address, count| Pages { address, count }.of_large_input();
        let pages = |address, count| Pages { address, count };
        let none = |address, count| (pages(address, 0), pages(address, count));
        for count in [1, 511, 512, 1023] {
            assert_eq!(
                of(INPUT_BASE, count),
                none(INPUT_BASE, count),
                "a small file at a large page is small all the same"
            );
        }
        let end = INPUT_BASE + 2 * LARGE_PAGE;
        assert_eq!(of(INPUT_BASE, 1024), (pages(INPUT_BASE, 1024), pages(end, 0)));
        assert_eq!(of(INPUT_BASE, 1535), (pages(INPUT_BASE, 1024), pages(end, 511)));
        assert_eq!(of(INPUT_BASE + PAGE, 1535), none(INPUT_BASE + PAGE, 1535));
    }

    #[test]
    fn a_range_cuts_a_large_page_or_does_not() {
        let large = Pages { address: INPUT_BASE + LARGE_PAGE, count: 3 * LARGE_PAGES };
        let page = |from: u32, to: u32| Pages { address: INPUT_BASE + from * PAGE, count: to - from };
        for (range, cuts) in [
            (page(512, 2048), false),
            (page(512, 2050), false),
            (page(0, 512), false),
            (page(0, 2048), false),
            (page(1024, 1536), false),
            (page(2047, 2049), true),
            (page(2048, 2049), false),
            (page(511, 513), true),
            (page(513, 1024), true),
            (page(1024, 1535), true),
            (page(600, 601), true),
        ] {
            assert_eq!(large.cuts(range), cuts, "{range:?}");
        }
        assert!(!Pages { count: 0, ..large }.cuts(page(511, 513)), "there is none");
    }
}

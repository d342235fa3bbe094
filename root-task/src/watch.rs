// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's watch words, which it writes while the root task reads: see [`sbm_abi::watch`].
//!
//! Each access is one volatile load or store of a word or a byte; no reference to the page is ever made.

use sbm_abi::watch::{DEADLINE_OFFSET, MARKS, MARKS_OFFSET, NEXT_LOOK_OFFSET};

/// The page, mapped for as long as the client lives.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Address of the page.
    page: usize,
}

impl Watch {
    /// Takes the page at an address.
    ///
    /// # Safety
    /// It is mapped, readable and writable, for as long as this lives, and nobody makes references into it.
    pub(crate) const unsafe fn new(page: usize) -> Self {
        Self { page }
    }

    const fn word(&self, offset: u32) -> *mut u64 {
        (self.page + offset as usize) as *mut u64
    }

    /// Returns the deadline.
    pub(crate) fn deadline(&self) -> u64 {
        // SAFETY: inside the page, which is mapped (`new`), and aligned.
        unsafe { self.word(DEADLINE_OFFSET).read_volatile() }
    }

    /// Writes when the server looks next.
    pub(crate) fn set_next_look(&self, ticks: u64) {
        // SAFETY: as in `deadline`; the page is writable.
        unsafe { self.word(NEXT_LOOK_OFFSET).write_volatile(ticks) }
    }

    /// Sets a mark, or takes it away; one that is not there is none.
    pub(crate) fn set_mark(&self, mark: usize, value: bool) {
        if mark < MARKS {
            // SAFETY: inside the page, which is mapped and writable (`new`).
            unsafe { ((self.page + MARKS_OFFSET as usize + mark) as *mut u8).write_volatile(u8::from(value)) }
        }
    }

    /// Finds the first mark from `from` on, and takes it away.
    pub(crate) fn take_mark(&self, from: usize) -> Option<usize> {
        let mut mark = from;
        while mark < MARKS {
            // Most words are zero.
            // SAFETY: inside the page, which is mapped (`new`), and aligned.
            let word = unsafe { self.word(MARKS_OFFSET).wrapping_add(mark / 8).read_volatile() };
            let rest = word >> (8 * (mark % 8));
            if rest != 0 {
                let mark = mark + rest.trailing_zeros() as usize / 8;
                self.set_mark(mark, false);
                return Some(mark);
            }
            mark = (mark / 8 + 1) * 8;
        }
        None
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a guarded heap notes of its allocations: written in the sandbox, read by its client.
//!
//! It stands in a buffer of its own: a [`Head`], and a [`Record`] for each second page of the heap. An allocation has its record
//! at its first page, and since it has a page at least and a guard, no two that are there at once have the same. Zeros are the
//! records of a heap that nothing was taken from. To the client all of it is a sandbox's word.
#![expect(unsafe_code, reason = "records are read as bytes; registers and the stack")]

use core::arch::asm;

use bytemuck::{Pod, Zeroable};
use sbm_abi::limits::{CODE_BASE, PANIC_TEXT_BYTES};

/// Most words of a stack that are noted.
pub(crate) const SITE_WORDS: usize = 40;

/// Most words of a stack that are looked at, as in a report.
const LOOKED_AT: usize = PANIC_TEXT_BYTES as usize / 8;

const _: () = assert!(SITE_WORDS <= LOOKED_AT);

/// Where the allocator is, and what it works on.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Address of the heap. The client writes it and what follows, up to the allocator's own words.
    pub(crate) heap: u32,
    /// Its pages.
    pub(crate) pages: u32,
    /// First address after the program's code.
    pub(crate) code_end: u32,
    /// What was freed and is no allocation, while that is being told by a fault; else 0.
    pub(crate) wrong: u32,
    /// The page from which on the next allocation is looked for.
    pub(crate) next: u32,
    /// How many allocations were made.
    pub(crate) made: u32,
}

/// An allocation that was made: at the end of its pages, before a page that is not mapped.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// The number of the allocation, from 1; 0 if there never was one here.
    pub(crate) number: u32,
    /// Its first page, by its number in the heap.
    pub(crate) first: u32,
    /// Its pages, without the guard.
    pub(crate) pages: u32,
    /// Its address.
    pub(crate) address: u32,
    /// Its bytes.
    pub(crate) size: u32,
    /// Whether it was freed.
    pub(crate) is_freed: u32,
    pub(crate) made_at: Site,
    pub(crate) freed_at: Site,
}

/// Where an allocation was made or freed, or a client has panicked: what a report tells of a stack.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// An address in the code that has noted it.
    pub(crate) ip: u32,
    /// The stack pointer there.
    pub(crate) pointer: u32,
    /// The frame pointer, cut.
    pub(crate) frame: u32,
    /// Words that can be return addresses or frame pointers, each behind its distance from the stack pointer; zeros behind
    /// the last one.
    pub(crate) words: [[u32; 2]; SITE_WORDS],
}

impl Site {
    /// Notes where this is called from. Code ends before `code_end`, and the stack that this runs on at `stack_end`.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(&mut self, code_end: u32, stack_end: usize) {
        let (ip, pointer, frame): (u64, usize, u64);
        // SAFETY: reads registers.
        unsafe {
            asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", out(reg) ip, out(reg) pointer, out(reg) frame, options(nomem, nostack, preserves_flags));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "all that a client and its sandboxes have lies below 4 GiB"
        )]
        {
            (self.ip, self.pointer, self.frame) = (ip as u32, pointer as u32, frame as u32);
        }
        // What is written here meanwhile is no part of the stack's own.
        let start = &raw const *self as usize;
        let own = start..start + size_of::<Self>();
        let mut words = self.words.iter_mut();
        for address in (pointer..stack_end).step_by(8).filter(|address| !own.contains(address)).take(LOOKED_AT) {
            // SAFETY: it is a word of this thread's stack.
            let word = unsafe { (address as *const u64).read_volatile() };
            let is_of_stack = (pointer as u64..stack_end as u64).contains(&word);
            if is_of_stack || (u64::from(CODE_BASE)..u64::from(code_end)).contains(&word) {
                let Some(place) = words.next() else { return };
                #[expect(clippy::cast_possible_truncation, reason = "as above")]
                {
                    *place = [(address - pointer) as u32, word as u32];
                }
            }
        }
        words.for_each(|rest| *rest = [0; 2]);
    }
}

// SAFETY: `repr(C)`, of words only, all of which may have any value; there is no padding.
unsafe impl Zeroable for Site {}
// SAFETY: as above.
unsafe impl Pod for Site {}
// SAFETY: as above.
unsafe impl Zeroable for Record {}
// SAFETY: as above.
unsafe impl Pod for Record {}

/// Returns how many records a heap of so many pages has.
pub(crate) const fn count(heap_pages: u32) -> usize {
    heap_pages as usize / 2
}

/// Returns where a record stands in the buffer.
pub(crate) const fn offset(number: usize) -> usize {
    size_of::<Head>() + number * size_of::<Record>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sbm_abi::limits::{MAX_BUFFER_PAGES, MAX_GUARDED_PAGES, PAGE};

    #[test]
    fn the_records_of_the_largest_heap_fit_a_buffer() {
        let bytes = offset(count(MAX_GUARDED_PAGES));
        assert!(bytes <= MAX_BUFFER_PAGES as usize * PAGE as usize, "{bytes}");
        assert!(offset(1).is_multiple_of(align_of::<Record>()));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allocator of a guarded heap: each allocation at the end of pages of its own, a page that is not mapped behind it.
//!
//! ```text
//!   page | allocation 1 | not mapped | allocation 2, of two pages ....... | not mapped | ..
//! ```
//!
//! It goes round the heap: what was freed is not mapped, and is used again when the rest has been. Which pages are mapped the
//! server decides, whom it asks for each ([`sbm_abi::guarded`]). Only for code that runs in a sandbox; whoever spoils the records
//! has the calls of this sandbox fault.
#![expect(unsafe_code, reason = "the records, which the argument page names, and system calls")]

use core::{alloc::Layout, arch::asm, ptr::NonNull, slice};

use sbm_abi::{
    guarded::{NUMBER, PageAsk},
    limits::PAGE,
};

use super::heap;
use crate::records::{Head, Record, count, offset};

/// Where in the heap an allocation goes: which pages, its guard included.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    first: u32,
    count: u32,
}

/// Allocates, if this sandbox has a guarded heap and there is room.
#[cold]
#[inline(never)]
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    let (head, records) = parts()?;
    // There is an address for each byte, also where there is none.
    let (bytes, align) = (layout.size().max(1), u32::try_from(layout.align()).ok()?);
    let pages = u32::try_from(bytes.div_ceil(PAGE as usize)).ok()?;
    let Place { first, count } = find(head, records, pages.checked_add(1)?, align)?;
    let start = head.heap + first * PAGE;
    for page in 0..pages {
        ask(start + page * PAGE, true);
    }
    head.next = first + count;
    head.made = head.made.wrapping_add(1).max(1);
    let address = address(start, pages, bytes, align);
    let record = records.get_mut(first as usize / 2)?;
    (record.number, record.first, record.pages) = (head.made, first, pages);
    let size = u32::try_from(layout.size()).ok()?;
    (record.address, record.size, record.is_freed) = (address, size, 0);
    record.made_at.note(head.code_end, heap::stack_end());
    NonNull::new(address as usize as *mut u8)
}

/// Frees, if this sandbox has a guarded heap.
#[cold]
#[inline(never)]
pub(crate) fn free(memory: NonNull<u8>) {
    let Some((head, records)) = parts() else { return };
    #[expect(clippy::cast_possible_truncation, reason = "all addresses of a sandbox lie below 4 GiB")]
    let address = memory.as_ptr() as usize as u32;
    let page = address.wrapping_sub(head.heap) / PAGE;
    match records.get_mut(page as usize / 2) {
        Some(record) if record.address == address && record.is_freed == 0 => {
            record.is_freed = 1;
            record.freed_at.note(head.code_end, heap::stack_end());
            for page in 0..record.pages {
                ask(head.heap + (record.first + page) * PAGE, false);
            }
        }
        _ => {
            head.wrong = address;
            // SAFETY: none is needed: the call ends here, by this read or behind it.
            unsafe {
                memory.read_volatile();
                asm!("ud2", options(noreturn, nostack));
            }
        }
    }
}

/// Moves an allocation to one of another size, if this sandbox has a guarded heap and there is room.
///
/// # Safety
/// It was allocated here with this layout, and is not used any more if this returns another one.
#[cold]
#[inline(never)]
pub(crate) unsafe fn reallocate(memory: NonNull<u8>, layout: Layout, size: usize) -> Option<NonNull<u8>> {
    let moved = allocate(Layout::from_size_align(size, layout.align()).ok()?)?;
    // SAFETY: both are as long, by this function's contract and by `allocate`, and lie apart.
    unsafe { moved.copy_from_nonoverlapping(memory, layout.size().min(size)) };
    free(memory);
    Some(moved)
}

/// Returns the address of an allocation that ends with the last of its pages, as far as its alignment allows.
const fn address(start: u32, pages: u32, bytes: usize, align: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "it fits the pages")]
    let latest = start + (pages * PAGE - bytes as u32);
    latest & !(align - 1)
}

/// Finds the next place for so many pages, from where the last one ended, once round the heap.
fn find(head: &Head, records: &[Record], count: u32, align: u32) -> Option<Place> {
    let is_start = |page: u32| (head.heap + page * PAGE).is_multiple_of(align);
    let mut page = head.next.min(head.pages);
    let (mut from, mut left) = (page, 2 * u64::from(head.pages) + 2);
    while left > 0 {
        left -= 1;
        if page >= head.pages {
            (page, from) = (0, 0);
            if count > head.pages {
                return None;
            }
        }
        let there = records.get(page as usize / 2).filter(|record| record.first == page && is_there(record));
        if let Some(there) = there {
            page = page.saturating_add(there.pages).saturating_add(1);
            from = page;
            continue;
        }
        if page == from && !is_start(page) {
            from += 1;
        }
        page += 1;
        if page - from >= count {
            return Some(Place { first: from, count });
        }
    }
    None
}

/// Tells whether an allocation was made and not freed.
const fn is_there(record: &Record) -> bool {
    record.number != 0 && record.is_freed == 0
}

/// Returns head and records of this sandbox's guarded heap, if it has one.
fn parts<'a>() -> Option<(&'a mut Head, &'a mut [Record])> {
    let start = heap::records()?;
    // SAFETY: the client wrote where its buffer for the records is, which begins with a page and has all of them; whoever
    // changes that, or the head, harms this sandbox. Nothing else in it refers to them.
    unsafe {
        let head = &mut *(start as *mut Head);
        let records = slice::from_raw_parts_mut((start + offset(0)) as *mut Record, count(head.pages));
        Some((head, records))
    }
}

/// Has the server map a page, or not. Where there is no memory for it, this ends the call.
fn ask(address: u32, mapped: bool) {
    let word = PageAsk { address, mapped }.into_word();
    // SAFETY: the server lets the thread go on behind the call with zeros for the stack pointer, rax, rbx and rcx, and all else
    // as it was but r11, which the instruction uses.
    unsafe {
        asm!(
            "mov r8, rsp",
            "mov r9, rbx",
            "syscall",
            "mov rsp, r8",
            "mov rbx, r9",
            inout("rax") word => _,
            inout("rdx") NUMBER => _,
            out("rcx") _,
            out("r8") _,
            out("r9") _,
            out("r11") _,
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{vec, vec::Vec};

    use super::*;
    use bytemuck::Zeroable;

    const HEAP: u32 = 0x1004_1000;

    fn heap(pages: u32) -> (Head, Vec<Record>) {
        let head = Head { heap: HEAP, pages, code_end: 0, wrong: 0, next: 0, made: 0 };
        (head, vec![Record::zeroed(); count(pages)])
    }

    fn take(head: &mut Head, records: &mut [Record], count: u32, align: u32) -> Option<u32> {
        let Place { first, count } = find(head, records, count, align)?;
        let record = &mut records[first as usize / 2];
        assert!(!is_there(record), "two at one record");
        (record.number, record.first, record.pages, record.is_freed) = (1, first, count - 1, 0);
        head.next = first + count;
        Some(first)
    }

    #[test]
    fn an_allocation_ends_with_its_pages_as_far_as_its_alignment_allows() {
        assert_eq!(address(HEAP, 1, 1, 1), HEAP + 4095);
        assert_eq!(address(HEAP, 1, 13, 8), HEAP + 4080);
        assert_eq!(address(HEAP, 2, 4097, 1), HEAP + 4095);
        assert_eq!(address(HEAP, 1, 4096, 16), HEAP);
        assert_eq!(address(0x1000_0000, 1, 100, 8192), 0x1000_0000);
    }

    #[test]
    fn what_was_freed_last_is_used_last() {
        let (mut head, mut records) = heap(16);
        let taken: Vec<_> = (0..9).map(|_| take(&mut head, &mut records, 2, 1)).collect();
        assert_eq!(taken[..8], (0..8).map(|number| Some(2 * number)).collect::<Vec<_>>());
        assert_eq!(taken[8], None, "it is full");
        for first in [4_usize, 10, 12] {
            records[first / 2].is_freed = 1;
        }
        head.next = 6;
        assert_eq!(take(&mut head, &mut records, 3, 1), Some(10), "from there on, where there is room");
        assert_eq!(take(&mut head, &mut records, 2, 1), Some(4), "and from the start again");
        assert_eq!(take(&mut head, &mut records, 2, 1), None);
    }

    #[test]
    fn large_ones_are_aligned_or_refused() {
        let (mut head, mut records) = heap(16);
        assert_eq!(take(&mut head, &mut records, 2, 0x4000), Some(3));
        assert_eq!(take(&mut head, &mut records, 17, 1), None);
        assert_eq!(take(&mut head, &mut records, u32::MAX, 1), None);
        assert_eq!(take(&mut head, &mut records, 11, 1), Some(5));
    }

    /// Numbers that look like any.
    fn numbers(seed: u32) -> impl FnMut(u32) -> u32 {
        let mut state = seed;
        move |below| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        }
    }

    #[test]
    fn no_two_overlap_whatever_is_freed() {
        for seed in 0..500 {
            let mut number = numbers(seed);
            let (mut head, mut records) = heap(32);
            let mut there = Vec::<(u32, u32)>::new();
            for _ in 0..100 {
                let (count, align) = (2 + number(4), 0x1000 << number(4));
                if number(3) == 0 && !there.is_empty() {
                    let (first, _) = there.swap_remove(number(there.len() as u32) as usize);
                    records[first as usize / 2].is_freed = 1;
                } else if let Some(first) = take(&mut head, &mut records, count, align) {
                    assert!((HEAP + first * PAGE).is_multiple_of(align) && first + count <= 32);
                    assert!(there.iter().all(|(other, pages)| first + count <= *other || other + pages <= first));
                    there.push((first, count));
                }
            }
        }
    }

    #[test]
    fn spoiled_records_come_to_an_end() {
        for seed in 0..500 {
            let mut number = numbers(seed);
            let (mut head, mut records) = heap(32);
            for record in &mut records {
                (record.number, record.first, record.is_freed) = (number(2), number(40), number(2));
                record.pages = [number(40), u32::MAX][number(2) as usize];
            }
            head.next = [number(40), u32::MAX][number(2) as usize];
            if let Some(Place { first, count }) = find(&head, &records, 2, 1) {
                assert!(first + count <= 32);
            }
        }
    }
}

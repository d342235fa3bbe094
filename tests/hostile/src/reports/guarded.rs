// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bugs that a guarded heap finds, each with a function for what is made, what is freed and what goes wrong.
#![expect(unsafe_code, reason = "bugs, on purpose; the sandbox contains them")]

use alloc::{vec, vec::Vec};

/// Makes a list by the means of the standard library, which allocates for it.
#[inline(never)]
fn make(bytes: usize) -> Vec<u8> {
    let mut list = Vec::new();
    list.reserve_exact(bytes);
    list.extend((0..bytes).map(|number| number as u8));
    list
}

#[inline(never)]
fn give_up(list: Vec<u8>) {
    drop(core::hint::black_box(list));
}

/// Writes one byte too many.
#[inline(never)]
pub(super) fn write_behind(bytes: usize) -> u64 {
    let mut list = make(bytes);
    // SAFETY: none, on purpose; it runs in a sandbox, where it is stopped and does no harm.
    unsafe { list.as_mut_ptr().add(bytes).write_volatile(1) };
    list.len() as u64
}

/// Reads what was freed.
#[inline(never)]
pub(super) fn read_freed(bytes: usize) -> u64 {
    let list = make(bytes);
    let start = list.as_ptr();
    give_up(list);
    // SAFETY: as in `write_behind`.
    u64::from(unsafe { start.add(3).read_volatile() })
}

/// Frees twice.
#[inline(never)]
pub(super) fn free_twice(bytes: usize) -> u64 {
    let mut list = make(bytes);
    let (start, length) = (list.as_mut_ptr(), list.len());
    give_up(list);
    // SAFETY: as in `write_behind`.
    give_up(unsafe { Vec::from_raw_parts(start, length, length) });
    0
}

/// Makes two lists, so that what is said of one is not the other's.
#[inline(never)]
pub(super) fn write_behind_the_first(bytes: usize) -> u64 {
    let mut first = vec![1_u8; bytes];
    let second = make(bytes + 1);
    // SAFETY: as in `write_behind`.
    unsafe { first.as_mut_ptr().add(bytes + 4).write_volatile(1) };
    (first.len() + second.len()) as u64
}

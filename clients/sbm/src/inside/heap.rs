// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the sandbox's heap is, and what it had no room for: words of the argument page.
#![expect(unsafe_code, reason = "the argument page, which the thread's FS base names")]

use core::arch::asm;

use sbm_abi::limits::{HEAP_OFFSET, NO_ROOM_OFFSET, PAGE, STACK_TOP_OFFSET};

/// Returns address and bytes of the sandbox's heap, if it has one. Only for code that runs in a sandbox.
#[inline]
pub(crate) fn place() -> Option<(usize, usize)> {
    // SAFETY: in a sandbox the thread's FS base is the argument page. If the function has changed either, the sandbox faults
    // or uses other memory of its own.
    let word: usize = unsafe { word::<HEAP_OFFSET>() };
    let (address, pages) = (word & 0xffff_ffff, word >> 32);
    (address != 0).then_some((address, pages * PAGE as usize))
}

/// Returns where the records of the sandbox's guarded heap begin, if it has one. Only for code that runs in a sandbox.
pub(super) fn records() -> Option<usize> {
    // SAFETY: as in `place`.
    let word: usize = unsafe { word::<HEAP_OFFSET>() };
    (word & 0xffff_ffff == 0 && word != 0).then_some(word >> 32)
}

/// Returns where the stack of the sandbox's thread ends. Only for code that runs in a sandbox.
pub(super) fn stack_end() -> usize {
    // SAFETY: as in `place`.
    unsafe { word::<STACK_TOP_OFFSET>() }
}

/// Notes that there is no room for `bytes`. Only for code that runs in a sandbox.
pub(crate) fn note_no_room(bytes: usize) {
    // SAFETY: as in `place`; nothing else refers to this word.
    unsafe {
        asm!("mov fs:[{offset}], {}", in(reg) bytes, offset = const NO_ROOM_OFFSET, options(nostack, preserves_flags))
    };
}

/// Returns what there was no room for last; 0 if there was. Only for code that runs in a sandbox.
pub(super) fn no_room() -> usize {
    // SAFETY: as in `place`.
    unsafe { word::<NO_ROOM_OFFSET>() }
}

/// Reads a word of the argument page.
///
/// # Safety
/// The thread's FS base is an argument page.
#[inline]
unsafe fn word<const OFFSET: u32>() -> usize {
    let word: usize;
    // SAFETY: by this function's contract.
    unsafe {
        asm!("mov {}, fs:[{offset}]", out(reg) word, offset = const OFFSET, options(nostack, readonly, preserves_flags));
    }
    word
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way out of a panic: its text into the argument page, its length to the client.
#![expect(unsafe_code, reason = "the argument page, which the thread's FS base names")]

use core::{arch::asm, fmt::Write, panic::PanicInfo};

use sbm_abi::limits::{ARENA_BASE, ARENA_END, PANIC_TEXT_BYTES, PANIC_TEXT_OFFSET, SELF_OFFSET};

use super::{
    entry::{answer_no_room, answer_panic},
    heap::no_room,
};

/// Returns where the panic was.
pub(crate) fn place<'a>(info: &'a PanicInfo<'_>) -> (&'a str, u32) {
    info.location().map_or(("?", 0), |location| (location.file(), location.line()))
}

/// Most bytes of a path that are told: the rest of a line is for the message.
const PATH_BYTES: usize = 40;

/// Returns the end of a path, from a separator on if it is cut.
fn end(path: &str) -> &str {
    let Some(from) = path.len().checked_sub(PATH_BYTES) else { return path };
    let behind = path.bytes().skip(from).position(|byte| byte == b'/').map_or(0, |separator| separator + 1);
    path.get(from + behind..).unwrap_or(path)
}

/// Tells whether this code runs in a sandbox, by where its stack is.
#[inline]
pub(crate) fn in_sandbox() -> bool {
    let stack: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    (u64::from(ARENA_BASE)..u64::from(ARENA_END)).contains(&stack)
}

/// Returns the argument page of the call that runs in this sandbox. Only for code that runs in one.
#[inline]
pub(super) fn argument_page() -> usize {
    let page: usize;
    // SAFETY: in a sandbox the thread's FS base is the argument page, which holds its own address at this offset. If
    // the function has changed either, this or what is done with it faults, which ends the call.
    unsafe { asm!("mov {}, fs:[{offset}]", out(reg) page, offset = const SELF_OFFSET, options(readonly, nostack)) };
    page
}

/// Ends the running call with a panic, or with the size of an allocation if that is what it is about. Only for code that
/// runs in a sandbox.
pub(crate) fn end_call(info: &PanicInfo<'_>) -> ! {
    let page = argument_page();
    // SAFETY: the page is this sandbox's own (`argument_page`); nothing else in it refers to this part of the page.
    let text = unsafe {
        core::slice::from_raw_parts_mut((page + PANIC_TEXT_OFFSET as usize) as *mut u8, PANIC_TEXT_BYTES as usize)
    };
    // What does not fit is dropped, which is no failure.
    let mut text = Cut { bytes: text, length: 0 };
    let wanted = no_room();
    if wanted != 0 && is_about(info, wanted) {
        // SAFETY: in a sandbox; it does not return, and nothing of this stack is used again.
        unsafe { answer_no_room(wanted) }
    }
    let (file, line) = place(info);
    let file = end(file);
    let _ = write!(text, "{file}:{line}: {}", info.message());
    // SAFETY: in a sandbox; it does not return, and nothing of this stack is used again.
    unsafe { answer_panic(text.length) }
}

/// Tells whether a panic is about an allocation of `bytes` that failed: the standard library has no other way to say so.
pub(crate) fn is_about(info: &PanicInfo<'_>, bytes: usize) -> bool {
    let (mut said, mut expected) = ([0; 64], [0; 64]);
    let mut text = Cut { bytes: &mut said, length: 0 };
    let _ = write!(text, "{}", info.message());
    let mut text = Cut { bytes: &mut expected, length: 0 };
    let _ = write!(text, "memory allocation of {bytes} bytes failed");
    said == expected
}

/// Writes text into bytes, and drops what does not fit.
struct Cut<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = &mut self.bytes[self.length..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}

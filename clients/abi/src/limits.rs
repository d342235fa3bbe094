// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits and fixed addresses that both sides rely on.
//!
//! All addresses lie below 4 GiB: seL4 5 to 7 report the address of a page fault cut to 32 bits. A sandbox's own
//! memory lies in the first GiB beside the client's code, so that one page directory covers both, unless it is large.

/// Bytes in a small page, the granularity of every mapping but the code.
pub const PAGE: u32 = 4096;
/// Bytes in a large page, and covered by one page table.
pub const LARGE_PAGE: u32 = 2 * 1024 * 1024;
/// Small pages in a large one.
pub const LARGE_PAGES: u32 = LARGE_PAGE / PAGE;

/// Where a client's program is linked: its code is mapped by large pages from here.
pub const CODE_BASE: u32 = LARGE_PAGE;
/// First address after everything that a client's ELF file may occupy.
pub const PROGRAM_END: u32 = 0x0f00_0000;
/// Most bytes of a client's code and constants.
pub const MAX_CODE_BYTES: u32 = 8 * LARGE_PAGE;
/// Most bytes of a client's writable statics.
pub const MAX_DATA_BYTES: u32 = 8 * LARGE_PAGE;
/// The same in pages.
pub const MAX_DATA_PAGES: u16 = (MAX_DATA_BYTES / PAGE) as u16;
/// Lowest address of a client's stack; the page below is a guard.
pub const CLIENT_STACK_BASE: u32 = 0x0f10_0000;
/// Bytes of a client's stack.
pub const CLIENT_STACK_BYTES: u32 = 64 * PAGE;
/// Address of a client's IPC buffer, one page.
pub const CLIENT_IPC_BUFFER: u32 = 0x0f18_0000;
/// Address of the page that holds a client's encoded [`StartInfo`](crate::StartInfo), read-only.
pub const CLIENT_START_INFO: u32 = 0x0f18_2000;
/// First address of the arenas: the memory that clients share with their sandboxes.
pub const ARENA_BASE: u32 = 0x1000_0000;
/// First address of the part of the arenas that begins with the spans of much memory.
pub const HIGH_ARENA_BASE: u32 = 0x4000_0000;
/// First address after the arenas.
pub const ARENA_END: u32 = 0xc000_0000;
/// Where input files are mapped, read-only, each from a page boundary.
pub const INPUT_BASE: u32 = 0xc000_0000;
/// First address after the input files: 768 MiB of them.
pub const INPUT_END: u32 = 0xf000_0000;

/// Most buffers of one sandbox; SBM's calls take at most six parameters.
pub const MAX_BUFFERS: usize = 8;
/// Most pages of one buffer (512 MiB).
pub const MAX_BUFFER_PAGES: u32 = 131_072;
/// Most bytes of addresses that one set-up or growth takes, guards included: with the last one it is a GiB, which one page
/// directory covers.
pub const MAX_SPAN: u32 = (1 << 30) - PAGE;
/// Fewest and most pages of a sandbox's stack.
pub const STACK_PAGES: core::ops::RangeInclusive<u16> = 1..=256;
/// Pages of a sandbox's stack where the client names none: with it and without buffers a sandbox fits 32 KiB.
pub const DEFAULT_STACK_PAGES: u16 = 2;
/// Fewest and most pages of a sandbox's heap, which are a power of two: up to 512 MiB.
pub const HEAP_PAGES: core::ops::RangeInclusive<u32> = 4..=131_072;
/// Most pages of a guarded heap (64 MiB), all of them small ones.
pub const MAX_GUARDED_PAGES: u32 = 16_384;
/// Most ranges of its own pages that a client can map into one sandbox.
pub const MAX_MAPPINGS: usize = 4;
/// Most pages in one such range: as many as the input files have (768 MiB).
pub const MAX_MAPPING_PAGES: u32 = (INPUT_END - INPUT_BASE) / PAGE;
/// Most growths of one sandbox at once: for six arguments that are read in one call and written in another, or for fewer
/// and its mail. Each takes room in the root task's tables, for every sandbox that there can be.
pub const MAX_GROWTHS: usize = 12;

/// Most clients at once.
pub const MAX_CLIENTS: usize = 8;
/// Most sandboxes at once: seL4 on x86-64 has 4,096 address-space ids, and clients and the root task need some.
pub const MAX_SANDBOXES: usize = 4064;

/// Milliseconds of a call's time budget, unless its client says otherwise.
pub const DEFAULT_BUDGET_MS: u64 = 5_000;
/// Most milliseconds of a call's time budget: an hour.
pub const MAX_BUDGET_MS: u64 = 3_600_000;

/// Most bytes in one request or response: the 120 message registers of seL4 (manual, 4.1).
pub const MAX_MESSAGE: usize = 960;
/// Most bytes of console output in one request.
pub const MAX_CONSOLE: usize = 900;

/// Bytes of the argument page that hold argument words; the rest takes text: a panic's, and what a function prints.
pub const ARGUMENT_BYTES: u32 = 1024;
/// Most words of arguments: two for each of six parameters.
pub const MAX_ARGUMENT_WORDS: usize = 12;
/// Offset in the argument page of address and length of the outbox, the buffer that a function's coded result and its
/// requests are written to: two words, zeros while there is none.
pub const OUTBOX_OFFSET: u32 = 96;
/// Offset in the argument page of address and length of the inbox, which a sandbox reads the answers to its requests from.
pub const INBOX_OFFSET: u32 = 112;
/// Offset in the argument page of what a closure has captured.
pub const CAPTURES_OFFSET: u32 = 128;
/// Most bytes that a closure captures.
pub const MAX_CAPTURES: usize = (NO_ROOM_OFFSET - CAPTURES_OFFSET) as usize;
/// Offset in the argument page of the size that the sandbox's heap had no room for last.
pub const NO_ROOM_OFFSET: u32 = ARGUMENT_BYTES - 32;
/// Offset in the argument page of the sandbox's heap: its address in the low half of the word, its pages in the high
/// one; 0 if there is none. Of a guarded heap the low half is 0, and the high one the address of its records.
pub const HEAP_OFFSET: u32 = ARGUMENT_BYTES - 24;
/// Offset in the argument page of the top of the sandbox's stack, for the way out of a panic.
pub const STACK_TOP_OFFSET: u32 = ARGUMENT_BYTES - 16;
/// Offset in the argument page of its own address; the sandbox's thread has it as its FS base.
pub const SELF_OFFSET: u32 = ARGUMENT_BYTES - 8;
/// Offset in the argument page at which a sandbox writes the text of a panic.
pub const PANIC_TEXT_OFFSET: u32 = ARGUMENT_BYTES;
/// Most bytes of a panic's text.
pub const PANIC_TEXT_BYTES: u32 = LINE_OFFSET - PANIC_TEXT_OFFSET;
/// Most bytes of text in one request to print, which stand where a panic's text does.
pub const TEXT_BYTES: usize = 240;
/// Offset in the argument page at which the client keeps the line that a running function has not ended.
pub const LINE_OFFSET: u32 = PAGE - LINE_BYTES as u32;
/// Most bytes of such a line.
pub const LINE_BYTES: usize = 200;

/// Slot in a client's CSpace of its badged endpoint to the server.
pub const CLIENT_SERVER_SLOT: u64 = 1;
/// Slot in a client's CSpace of the send capability to the sandbox with index 0; the others follow.
pub const CLIENT_SANDBOX_SLOTS: u64 = 16;
/// Slot in a sandbox's CSpace of the receive-only capability to its own endpoint.
pub const SANDBOX_ENDPOINT_SLOT: u64 = 1;
/// Slot in a sandbox's CSpace of its fault endpoint.
pub const SANDBOX_FAULT_SLOT: u64 = 2;
/// Radix of a sandbox's CSpace, bits: four slots, of which two are filled.
pub const SANDBOX_CNODE_BITS: u8 = 2;

const _: () = assert!(MAX_ARGUMENT_WORDS * 8 <= OUTBOX_OFFSET as usize);
const _: () = assert!(MAX_CONSOLE + 16 <= MAX_MESSAGE);
const _: () = assert!(TEXT_BYTES <= PANIC_TEXT_BYTES as usize);
const _: () = assert!(CLIENT_STACK_BASE + CLIENT_STACK_BYTES < CLIENT_IPC_BUFFER);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_argument_page_lies_apart_and_fills_it() {
        let words = u32::try_from(MAX_ARGUMENT_WORDS * 8);
        assert!(words.is_ok_and(|end| end <= OUTBOX_OFFSET));
        assert_eq!((OUTBOX_OFFSET + 16, INBOX_OFFSET + 16), (INBOX_OFFSET, CAPTURES_OFFSET));
        assert_eq!(CAPTURES_OFFSET + MAX_CAPTURES as u32, NO_ROOM_OFFSET);
        assert_eq!((NO_ROOM_OFFSET + 8, HEAP_OFFSET + 8), (HEAP_OFFSET, STACK_TOP_OFFSET));
        assert_eq!((STACK_TOP_OFFSET + 8, SELF_OFFSET + 8), (SELF_OFFSET, PANIC_TEXT_OFFSET));
        assert_eq!((PANIC_TEXT_OFFSET + PANIC_TEXT_BYTES, LINE_OFFSET + LINE_BYTES as u32), (LINE_OFFSET, PAGE));
    }

    #[test]
    fn a_clients_parts_are_whole_pages_in_order() {
        assert_eq!((LARGE_PAGE, LARGE_PAGES, CODE_BASE), (1 << 21, 1 << 9, 1 << 21));
        assert_eq!([MAX_CODE_BYTES, MAX_DATA_BYTES].map(|bytes| bytes % LARGE_PAGE), [0, 0]);
        assert_eq!(CLIENT_STACK_BYTES % PAGE, 0);
        let parts = [
            CODE_BASE,
            CODE_BASE + MAX_CODE_BYTES,
            PROGRAM_END,
            CLIENT_STACK_BASE,
            CLIENT_STACK_BASE + CLIENT_STACK_BYTES,
            CLIENT_IPC_BUFFER,
            CLIENT_START_INFO,
            ARENA_BASE,
            ARENA_END,
            INPUT_END,
        ];
        assert!(parts.is_sorted_by(|one, next| one < next));
        assert_eq!(ARENA_END, INPUT_BASE);
    }
}

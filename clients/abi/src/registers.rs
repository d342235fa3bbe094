// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands in which register where a sandbox's thread starts.
//!
//! The server writes them, the entry code of the client library uses them; both take the names from here: the server by
//! [`Registers`], assembler by [`register!`](crate::register).
//!
//! | at | stands |
//! | --- | --- |
//! | all entry points | the top of the stack in `rsp`, [`FLAGS`] in `rflags` |
//! | `start`, `reset` | the argument page as FS base, zeros in all that is not named here |
//! | `reset` | the stack to be cleared: its lowest address, its length in words; the heap's address, and its [`Chunks`] |
//! | `abort` | the three words of the [`Fault`]; everything else as the function left it |

use crate::{Chunks, EntryPoints, Fault, Heap, Pages};

/// Interrupts enabled, and nothing else.
pub const FLAGS: u64 = 0x202;

/// Names a register of the contract, for assembler.
#[macro_export]
macro_rules! register {
    (stack_address) => {
        "rdi"
    };
    (stack_words) => {
        "rcx"
    };
    (heap_address) => {
        "rsi"
    };
    (heap_chunks) => {
        "rdx"
    };
    (fault_what) => {
        "rax"
    };
    (fault_address) => {
        "rbx"
    };
    (fault_ip) => {
        "rcx"
    };
}

/// How much of a thread's old registers a restart replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All.
    All,
    /// Instruction and stack pointer, flags, `rax`, `rbx` and `rcx`: callers wait for it.
    Fault,
}

/// The registers of a sandbox's thread where it starts; those that are not named are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// Instruction pointer: an entry point.
    pub rip: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Flags.
    pub rflags: u64,
    /// `rax`.
    pub rax: u64,
    /// `rbx`.
    pub rbx: u64,
    /// `rcx`.
    pub rcx: u64,
    /// `rdx`.
    pub rdx: u64,
    /// `rsi`.
    pub rsi: u64,
    /// `rdi`.
    pub rdi: u64,
    /// FS base.
    pub fs_base: u64,
    /// Which of the thread's registers these replace.
    pub extent: Extent,
}

impl Registers {
    fn at(entry: u32, stack: Pages) -> Self {
        Self {
            rip: u64::from(entry),
            rsp: u64::from(stack.end()),
            rflags: FLAGS,
            rax: 0,
            rbx: 0,
            rcx: 0,
            rdx: 0,
            rsi: 0,
            rdi: 0,
            fs_base: 0,
            extent: Extent::All,
        }
    }

    /// Lets a new thread wait for its first call.
    #[must_use]
    pub fn start(entries: EntryPoints, arguments: Pages, stack: Pages) -> Self {
        Self { fs_base: u64::from(arguments.address), ..Self::at(entries.start.get(), stack) }
    }

    /// Lets a thread clear what its functions left, and wait for the next call.
    #[must_use]
    pub fn reset(entries: EntryPoints, arguments: Pages, stack: Pages, heap: Option<(Heap, Chunks)>) -> Self {
        let (heap, chunks) = heap.map_or((0, 0), |(heap, chunks)| (heap.pages().address, chunks.bits()));
        Self {
            fs_base: u64::from(arguments.address),
            rdi: u64::from(stack.address),
            rcx: u64::from(stack.bytes() / 8),
            rsi: u64::from(heap),
            rdx: u64::from(chunks),
            ..Self::at(entries.reset, stack)
        }
    }

    /// Lets a thread answer the call that `fault` ended, and wait for the next one.
    #[must_use]
    pub fn abort(entries: EntryPoints, stack: Pages, fault: Fault) -> Self {
        let [rax, rbx, rcx] = fault.words();
        Self { rax, rbx, rcx, extent: Extent::Fault, ..Self::at(entries.abort, stack) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, FaultKind};
    use core::num::NonZeroU32;

    const ENTRIES: EntryPoints =
        EntryPoints { start: NonZeroU32::new(0x20_0100).unwrap(), abort: 0x20_0200, reset: 0x20_0300, wait: 0x20_0400 };
    const ARGUMENTS: Pages = Pages { address: 0x1000_1000, count: 1 };
    const STACK: Pages = Pages { address: 0x1000_3000, count: 2 };

    /// Returns what stands in the register of that name.
    fn named(registers: &Registers, name: &str) -> u64 {
        match name {
            "rax" => registers.rax,
            "rbx" => registers.rbx,
            "rcx" => registers.rcx,
            "rdx" => registers.rdx,
            "rsi" => registers.rsi,
            "rdi" => registers.rdi,
            _ => u64::MAX,
        }
    }

    #[test]
    fn a_reset_names_the_stack_and_what_is_there_of_the_heap() {
        let registers = Registers::reset(ENTRIES, ARGUMENTS, STACK, None);
        assert_eq!([register!(heap_address), register!(heap_chunks)].map(|name| named(&registers, name)), [0; 2]);
        let heap = Heap::new(Pages { address: 0x1000_8000, count: 64 });
        let chunks = Chunks::default().with(0).with(3);
        let registers = Registers::reset(ENTRIES, ARGUMENTS, STACK, heap.map(|heap| (heap, chunks)));
        assert_eq!(named(&registers, register!(heap_address)), 0x1000_8000);
        assert_eq!(named(&registers, register!(heap_chunks)), 0b1001);
        assert_eq!(named(&registers, register!(stack_address)), 0x1000_3000);
        assert_eq!(named(&registers, register!(stack_words)), 0x2000 / 8);
        assert_eq!((registers.rip, registers.rsp, registers.rflags), (0x20_0300, 0x1000_5000, 0x202));
        assert_eq!((registers.fs_base, registers.extent), (0x1000_1000, Extent::All));
    }

    #[test]
    fn an_abort_carries_the_fault_and_leaves_the_rest() {
        let fault = Fault { kind: FaultKind::Page, access: Access::Write, vector: 0, address: 0x77, ip: 0x88 };
        let registers = Registers::abort(ENTRIES, STACK, fault);
        let words = [register!(fault_what), register!(fault_address), register!(fault_ip)];
        assert_eq!(words.map(|name| named(&registers, name)), fault.words());
        assert_eq!((registers.rip, registers.rsp, registers.rflags), (0x20_0200, 0x1000_5000, 0x202));
        assert_eq!(registers.extent, Extent::Fault);
    }

    #[test]
    fn a_start_brings_nothing_but_stack_and_argument_page() {
        let registers = Registers::start(ENTRIES, ARGUMENTS, STACK);
        assert_eq!((registers.rip, registers.rsp, registers.rflags), (0x20_0100, 0x1000_5000, 0x202));
        assert_eq!([registers.rax, registers.rbx, registers.rcx, registers.rdx, registers.rsi, registers.rdi], [0; 6]);
        assert_eq!((registers.fs_base, registers.extent), (0x1000_1000, Extent::All));
    }
}

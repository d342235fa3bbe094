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
//! | `reset` | the stack to be cleared: its lowest address, its length in words; what there is of heap and statics ([`Restore`]) |
//! | `abort` | the three words of the [`Fault`], the old stack pointer in the first where it is wanted; else all as it was |
//! | behind a request of its [guarded heap](crate::guarded) | zeros in `rsp`, `rax`, `rbx` and `rcx`, else all as it was |

use crate::{Chunks, EntryPoints, Fault, Pages, Zone, guarded::CALL_BYTES};

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
    (heap) => {
        "rsi"
    };
    (heap_chunks) => {
        "rdx"
    };
    (statics) => {
        "r12"
    };
    (statics_chunks) => {
        "r13"
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
    /// `r12`.
    pub r12: u64,
    /// `r13`.
    pub r13: u64,
    /// FS base.
    pub fs_base: u64,
    /// Which of the thread's registers these replace.
    pub extent: Extent,
}

/// What a reset makes of heap and statics: for each the addresses of zone and ground, 32 bits each from the lowest; then 16
/// bits of chunks that are there, 16 of those whose ground are pages, and the zone's size in pages. Zeros for a zone of
/// which nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restore([u64; 4]);

impl Restore {
    /// Describes what there is of heap and statics, of which each may be missing, with the first addresses of their grounds.
    #[must_use]
    pub fn new(heap: Option<(Zone, u32)>, statics: Option<(Zone, u32)>, chunks: Chunks, grounds: Chunks) -> Self {
        let words = |zone: Option<(Zone, u32)>, chunks: u16, grounds: u16| {
            let (zone, ground) = zone.filter(|_| chunks != 0)?;
            let pages = zone.pages();
            let places = u64::from(pages.address) | u64::from(ground) << 32;
            Some([places, u64::from(chunks) | u64::from(grounds) << 16 | u64::from(pages.count) << 32])
        };
        let [heap, heap_chunks] = words(heap, chunks.of_heap(), grounds.of_heap()).unwrap_or_default();
        let [statics, statics_chunks] = words(statics, chunks.of_statics(), grounds.of_statics()).unwrap_or_default();
        Self([heap, heap_chunks, statics, statics_chunks])
    }
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
            r12: 0,
            r13: 0,
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
    pub fn reset(entries: EntryPoints, arguments: Pages, stack: Pages, restore: Restore) -> Self {
        let [rsi, rdx, r12, r13] = restore.0;
        Self {
            fs_base: u64::from(arguments.address),
            rdi: u64::from(stack.address),
            rcx: u64::from(stack.bytes() / 8),
            rsi,
            rdx,
            r12,
            r13,
            ..Self::at(entries.reset, stack)
        }
    }

    /// Lets a thread answer the call that `fault` ended, and wait for the next one.
    #[must_use]
    pub fn abort(entries: EntryPoints, stack: Pages, fault: Fault) -> Self {
        let [rax, rbx, rcx] = fault.words();
        Self { rax, rbx, rcx, extent: Extent::Fault, ..Self::at(entries.abort, stack) }
    }

    /// Lets a thread go on behind its system call at `ip`, with no stack pointer but the one that it has kept.
    #[must_use]
    pub fn behind(ip: u32) -> Self {
        let stack = Pages { address: 0, count: 0 };
        Self { extent: Extent::Fault, ..Self::at(ip.saturating_add(CALL_BYTES), stack) }
    }

    /// Has an abort tell where the stack pointer was as well: in the upper half of the fault's first word.
    pub fn tell(&mut self, stack_pointer: u32) {
        self.rax |= u64::from(stack_pointer) << 32;
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
            "r12" => registers.r12,
            "r13" => registers.r13,
            _ => u64::MAX,
        }
    }

    #[test]
    fn a_reset_names_the_stack_and_what_is_there_of_heap_and_statics() {
        let names = [register!(heap), register!(heap_chunks), register!(statics), register!(statics_chunks)];
        let zone = |address, count, ground| Zone::new(Pages { address, count }).map(|zone| (zone, ground));
        let (heap, statics) = (zone(0x1000_8000, 64, 0x1004_9000), zone(0x40_0000, 5, 0x1008_a000));
        let of = |chunks, grounds| {
            let restore = Restore::new(heap, statics, chunks, grounds);
            let registers = Registers::reset(ENTRIES, ARGUMENTS, STACK, restore);
            names.map(|name| named(&registers, name))
        };
        let none = Chunks::default();
        assert_eq!(of(none, none), [0; 4]);
        assert_eq!(of(none.with(0).with(3), none), [0x1004_9000_1000_8000, 0x40_0000_0009, 0, 0]);
        let found = of(none.with(1).with(17), none.with(1).with(17));
        assert_eq!(found, [0x1004_9000_1000_8000, 0x40_0002_0002, 0x1008_a000_0040_0000, 0x5_0002_0002]);
        let registers = Registers::reset(ENTRIES, ARGUMENTS, STACK, Restore::default());
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
        let mut telling = registers;
        telling.tell(0x1000_4ff8);
        assert_eq!((telling.rax >> 32, telling.rax & 0xffff_ffff), (0x1000_4ff8, registers.rax));
        assert_eq!(Registers { rax: registers.rax, ..telling }, registers);
    }

    #[test]
    fn what_goes_on_behind_its_call_keeps_what_it_can() {
        let registers = Registers::behind(0x20_0500);
        assert_eq!((registers.rip, registers.rsp, registers.rflags), (0x20_0502, 0, 0x202));
        assert_eq!((registers.extent, registers.rax, registers.rbx, registers.rcx), (Extent::Fault, 0, 0, 0));
        assert_eq!(Registers::behind(u32::MAX).rip, u64::from(u32::MAX));
    }

    #[test]
    fn a_start_brings_nothing_but_stack_and_argument_page() {
        let registers = Registers::start(ENTRIES, ARGUMENTS, STACK);
        assert_eq!((registers.rip, registers.rsp, registers.rflags), (0x20_0100, 0x1000_5000, 0x202));
        assert_eq!(
            [
                registers.rax,
                registers.rbx,
                registers.rcx,
                registers.rdx,
                registers.rsi,
                registers.rdi,
                registers.r12,
                registers.r13
            ],
            [0; 8]
        );
        assert_eq!((registers.fs_base, registers.extent), (0x1000_1000, Extent::All));
    }
}

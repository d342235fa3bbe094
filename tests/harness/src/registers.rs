// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers that a thread keeps to itself beside the general ones, and flags: for sandboxes, and for clients as well.
//!
//! [`keep`] fills them, gives up the processor, and looks at what is there when it has it again. Compiled code uses none
//! of them but the control of floating-point arithmetic, which is given back.

use core::arch::naked_asm;

use sbm_abi::limits::CLIENT_IPC_BUFFER;
use sel4::syscall::{REPLY, YIELD};

/// What a thread found in its registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Found {
    /// Bases of FS and GS.
    pub bases: [u64; 2],
    /// Two vector registers, low halves.
    pub vectors: [u64; 2],
    /// A register of the x87 coprocessor.
    pub coprocessor: u64,
    /// Control of floating-point arithmetic.
    pub control: u64,
}

/// Control of floating-point arithmetic as [`keep`] sets it: rounds towards zero.
pub const CONTROL: u64 = 0x7f80;

impl Found {
    /// Tells whether it is what [`keep`] filled in, but for the bases.
    #[must_use]
    pub fn is_kept(&self, word: u64) -> bool {
        (self.vectors, self.coprocessor, self.control) == ([word; 2], word, CONTROL)
    }

    /// Tells whether the bases are the thread's own: `word`, or those that it starts with, which the kernel gives back
    /// where it does not keep what user code wrote. `fs` is its first base of FS; that of GS is 0 or the IPC buffer.
    #[must_use]
    pub fn has_own_bases(&self, word: u64, fs: u64) -> bool {
        let [found_fs, found_gs] = self.bases;
        [word, fs].contains(&found_fs) && [word, 0, u64::from(CLIENT_IPC_BUFFER)].contains(&found_gs)
    }
}

/// Fills the registers with `word`, gives up the processor, and returns what is there afterwards.
#[must_use]
pub fn keep(word: u64) -> Found {
    let mut found = Found::default();
    keep_at(&mut found, word);
    found
}

#[unsafe(naked)]
extern "C" fn keep_at(found: &mut Found, word: u64) {
    naked_asm!(
        "push r12",
        "push r13",
        "sub rsp, 8",
        "mov r12, rdi",
        "wrfsbase rsi",
        "wrgsbase rsi",
        "movq xmm12, rsi",
        "movq xmm15, rsi",
        "movq mm5, rsi",
        "mov dword ptr [rsp], {control}",
        "ldmxcsr [rsp]",
        "xor edi, edi",
        "xor esi, esi",
        "mov rdx, {yields}",
        "mov r13, rsp",
        "syscall",
        "mov rsp, r13",
        "rdfsbase rax",
        "mov [r12], rax",
        "rdgsbase rax",
        "mov [r12 + 8], rax",
        "movq [r12 + 16], xmm12",
        "movq [r12 + 24], xmm15",
        "movq [r12 + 32], mm5",
        "stmxcsr [r12 + 40]",
        "emms",
        "mov dword ptr [rsp], 0x1f80",
        "ldmxcsr [rsp]",
        "add rsp, 8",
        "pop r13",
        "pop r12",
        "ret",
        control = const CONTROL,
        yields = const YIELD,
    )
}

/// Returns the bases of FS and GS.
#[must_use]
pub fn bases() -> [u64; 2] {
    let mut bases = [0; 2];
    bases_at(&mut bases);
    bases
}

#[unsafe(naked)]
extern "C" fn bases_at(bases: &mut [u64; 2]) {
    naked_asm!("rdfsbase rax", "mov [rdi], rax", "rdgsbase rax", "mov [rdi + 8], rax", "ret")
}

/// The direction flag: string instructions go down.
pub const DIRECTION: u64 = 1 << 10;
/// The flag of nested tasks, which no processor mode of today allows.
pub const NESTED_TASK: u64 = 1 << 14;
/// The flag of alignment checks.
pub const ALIGNMENT_CHECK: u64 = 1 << 18;

/// Makes system calls with `flags` set when each is entered: answers, and then gives up the processor `times` times. Each
/// time the kernel resumes whoever runs beside it.
#[unsafe(naked)]
pub extern "C" fn answer_with_flags(flags: u64, times: u64, info: u64) {
    naked_asm!(
        "push r12",
        "push r13",
        "push r14",
        "mov r12, rdi",
        "mov r13, rsi",
        "mov rsi, rdx",
        "mov rdx, {reply}",
        "2:",
        "xor edi, edi",
        "xor r10d, r10d",
        "mov r14, rsp",
        "pushfq",
        "or [rsp], r12",
        "popfq",
        "syscall",
        // No flag that the caller would mind may stay.
        "mov rsp, r14",
        "push 2",
        "popfq",
        "xor esi, esi",
        "mov rdx, {yields}",
        "sub r13, 1",
        "jnc 2b",
        "pop r14",
        "pop r13",
        "pop r12",
        "ret",
        reply = const REPLY,
        yields = const YIELD,
    )
}

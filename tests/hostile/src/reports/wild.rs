// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults in functions that others have called: the library's, and none.
#![expect(unsafe_code, reason = "faults, on purpose; the sandbox contains them")]

use core::arch::asm;

/// Copies out of nowhere, which the memory functions do.
#[inline(never)]
pub(super) fn copy(address: usize) -> u64 {
    let mut bytes = [0_u8; 700];
    let length = core::hint::black_box(bytes.len());
    // SAFETY: it runs in a sandbox, where it is stopped and does no harm.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), length) };
    core::hint::black_box(bytes).iter().map(|byte| u64::from(*byte)).sum()
}

/// Reads a text that is nowhere, which the standard library does.
#[inline(never)]
pub(super) fn read(address: usize) -> u64 {
    let length = core::hint::black_box(700);
    // SAFETY: as in `copy`.
    let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, length) };
    u64::from(core::hint::black_box(core::str::from_utf8(bytes).is_ok()))
}

/// Calls what is no function.
#[inline(never)]
pub(super) fn call(address: usize) -> u64 {
    // SAFETY: as in `copy`.
    let function = unsafe { core::mem::transmute::<usize, fn() -> u64>(core::hint::black_box(address)) };
    function() + 1
}

/// Has a function of the library fault with return addresses and frame pointers that lead round and round.
pub(super) fn copy_with_a_forged_stack(address: usize) {
    unsafe extern "C" {
        fn memcpy(target: *mut u8, source: *const u8, length: usize) -> *mut u8;
    }
    // SAFETY: as in `copy`; it does not go on.
    unsafe {
        asm!(
            "sub rsp, 2048",
            "and rsp, -16",
            "lea rax, [rip + {memcpy}]",
            "mov rdi, rsp",
            "mov ecx, 64",
            "2:",
            "mov [rdi], rax",
            "mov [rdi + 8], rsp",
            "add rdi, 16",
            "loop 2b",
            "mov rbp, rsp",
            "mov edx, 700",
            "jmp rax",
            memcpy = sym memcpy,
            in("rsi") address,
            options(noreturn)
        )
    }
}

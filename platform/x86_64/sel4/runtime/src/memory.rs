// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory functions that the compiler calls.
//!
//! They keep to the general registers, so that a thread that only copies has no FPU state for the kernel to switch.
//! Large blocks go by `rep movsq`, `rep stosq` and `repe cmpsq`: an instruction-counting emulator counts each iteration,
//! so they work in words of 8 bytes. What is left of a word, and every block that is not large, is covered by words that
//! overlap, loaded before the first store, instead of loops over bytes. The direction flag is clear, as the ABI has it
//! at each call.
//!
//! The functions are assembler from entry to return, for the compiler would turn a loop in their bodies into a call to
//! themselves.

use core::{arch::naked_asm, ffi::c_int};

/// Copies `n` bytes from `src` to `dest`, and returns `dest`.
///
/// # Safety
/// `src` is readable and `dest` writable for `n` bytes; they do not overlap.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcpy(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 32",
        "jbe {small}",
        // The last word first: where it overlaps the words before it, it is the same bytes.
        "mov r8, [rsi + rdx - 8]",
        "lea r9, [rdi + rdx - 8]",
        "lea rcx, [rdx - 1]",
        "shr rcx, 3",
        "rep movsq",
        "mov [r9], r8",
        "ret",
        small = sym copy_small,
    )
}

/// Copies `n` bytes from `src` to `dest`, which may overlap, and returns `dest`.
///
/// # Safety
/// `src` is readable and `dest` writable for `n` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memmove(dest: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "cmp rdx, 32",
        "jbe {small}",
        "lea rcx, [rdx - 1]",
        "shr rcx, 3",
        // `dest` inside the source: from the end down. Otherwise upwards never writes what it has still to read.
        "mov r9, rdi",
        "sub r9, rsi",
        "cmp r9, rdx",
        "jb 2f",
        "mov r8, [rsi + rdx - 8]",
        "lea r9, [rdi + rdx - 8]",
        "rep movsq",
        "mov [r9], r8",
        "ret",
        "2:",
        "mov r8, [rsi]",
        "lea rsi, [rsi + rdx - 8]",
        "lea rdi, [rdi + rdx - 8]",
        "std",
        "rep movsq",
        "cld",
        "mov [rax], r8",
        "ret",
        small = sym copy_small,
    )
}

/// Copies at most 32 bytes: all loads come before the stores, so the blocks may overlap.
///
/// Takes `rdi`, `rsi` and `rdx` as [`memcpy`], and returns with `rax` as it was.
#[unsafe(naked)]
unsafe extern "C" fn copy_small() {
    naked_asm!(
        "cmp rdx, 16",
        "ja 5f",
        "cmp rdx, 8",
        "jae 4f",
        "cmp rdx, 4",
        "jae 3f",
        "test rdx, rdx",
        "jz 2f",
        // 1 to 3: first, middle and last byte.
        "mov r11, rdx",
        "shr r11",
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + r11]",
        "movzx r9d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], cl",
        "mov [rdi + r11], r8b",
        "mov [rdi + rdx - 1], r9b",
        "2:",
        "ret",
        "3:",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "4:",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "5:",
        "mov rcx, [rsi]",
        "mov r8, [rsi + 8]",
        "mov r9, [rsi + rdx - 16]",
        "mov r10, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + 8], r8",
        "mov [rdi + rdx - 16], r9",
        "mov [rdi + rdx - 8], r10",
        "ret",
    )
}

/// Sets `n` bytes at `dest` to the low byte of `c`, and returns `dest`.
///
/// # Safety
/// `dest` is writable for `n` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memset(dest: *mut u8, c: c_int, n: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "movzx esi, sil",
        "mov rax, 0x0101010101010101",
        "imul rax, rsi",
        "cmp rdx, 8",
        "jb 2f",
        "mov [rdi + rdx - 8], rax",
        "lea rcx, [rdx - 1]",
        "shr rcx, 3",
        "rep stosq",
        "mov rax, r8",
        "ret",
        "2:",
        "cmp rdx, 4",
        "jae 3f",
        "test rdx, rdx",
        "jz 4f",
        "mov rcx, rdx",
        "shr rcx",
        "mov [rdi], al",
        "mov [rdi + rcx], al",
        "mov [rdi + rdx - 1], al",
        "mov rax, r8",
        "ret",
        "3:",
        "mov [rdi], eax",
        "mov [rdi + rdx - 4], eax",
        "4:",
        "mov rax, r8",
        "ret",
    )
}

/// Compares `n` bytes as unsigned numbers: less than 0, 0 or greater than 0 as `a` is less, equal or greater.
///
/// # Safety
/// `a` and `b` are readable for `n` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> c_int {
    naked_asm!(
        "cmp rdx, 8",
        "jb 3f",
        "mov rcx, rdx",
        "shr rcx, 3",
        "lea r8, [rdi + rdx - 8]",
        "lea r9, [rsi + rdx - 8]",
        "repe cmpsq",
        "jne 2f",
        // All words are equal: what is left is in the last 8 bytes.
        "lea rdi, [r8 + 8]",
        "lea rsi, [r9 + 8]",
        "2:",
        "mov rax, [rdi - 8]",
        "mov rcx, [rsi - 8]",
        "bswap rax",
        "bswap rcx",
        "jmp 5f",
        "3:",
        "cmp rdx, 4",
        "jb 4f",
        // 4 to 7: the first four bytes above the last four.
        "mov eax, [rdi]",
        "mov r8d, [rdi + rdx - 4]",
        "mov ecx, [rsi]",
        "mov r9d, [rsi + rdx - 4]",
        "bswap eax",
        "bswap r8d",
        "bswap ecx",
        "bswap r9d",
        "shl rax, 32",
        "or rax, r8",
        "shl rcx, 32",
        "or rcx, r9",
        "jmp 5f",
        "4:",
        "xor eax, eax",
        "test rdx, rdx",
        "jz 6f",
        // 1 to 3: first, middle and last byte, from high to low.
        "mov r11, rdx",
        "shr r11",
        "movzx eax, byte ptr [rdi]",
        "movzx r8d, byte ptr [rdi + r11]",
        "movzx r9d, byte ptr [rdi + rdx - 1]",
        "shl eax, 16",
        "shl r8d, 8",
        "or eax, r8d",
        "or eax, r9d",
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + r11]",
        "movzx r9d, byte ptr [rsi + rdx - 1]",
        "shl ecx, 16",
        "shl r8d, 8",
        "or ecx, r8d",
        "or ecx, r9d",
        "5:",
        "cmp rax, rcx",
        "mov eax, 0",
        "seta al",
        "sbb eax, 0",
        "6:",
        "ret",
    )
}

/// Compares `n` bytes: 0 if they are equal.
///
/// # Safety
/// `a` and `b` are readable for `n` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> c_int {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes around every limit in the code, and some large ones.
    fn sizes() -> impl Iterator<Item = usize> {
        (0..=80).chain([127, 128, 129, 255, 1000, 4095, 4096, 4097])
    }

    fn pattern(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 167 + seed * 31 + index / 251) as u8).collect()
    }

    #[test]
    fn memcpy_copies_exactly_the_bytes() {
        for n in sizes() {
            for (from, to) in [(0, 0), (1, 0), (0, 1), (3, 5), (7, 7)] {
                let source = pattern(n + 16, 1);
                let mut target = pattern(n + 16, 2);
                let mut expected = target.clone();
                expected[to..to + n].copy_from_slice(&source[from..from + n]);
                // SAFETY: both are long enough.
                let result = unsafe { memcpy(target.as_mut_ptr().add(to), source.as_ptr().add(from), n) };
                assert_eq!(result, target[to..].as_mut_ptr());
                assert_eq!(target, expected, "{n} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn memmove_copies_through_overlaps() {
        for n in sizes() {
            for from in [0, 1, 3, 8, 9, 31, 40] {
                for to in [0, 1, 3, 8, 9, 31, 40] {
                    let mut block = pattern(n + 48, 3);
                    let mut expected = block.clone();
                    expected.copy_within(from..from + n, to);
                    let base = block.as_mut_ptr();
                    // SAFETY: both ranges lie in the block.
                    let result = unsafe { memmove(base.add(to), base.add(from), n) };
                    assert_eq!(result, base.wrapping_add(to));
                    assert_eq!(block, expected, "{n} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn memset_sets_exactly_the_bytes() {
        for n in sizes() {
            for to in [0, 1, 7] {
                let mut target = pattern(n + 16, 4);
                let mut expected = target.clone();
                expected[to..to + n].fill(0xa5);
                // SAFETY: the block is long enough. Only the low byte of the value counts.
                let result = unsafe { memset(target.as_mut_ptr().add(to), 0x7fff_ffa5, n) };
                assert_eq!(result, target[to..].as_mut_ptr());
                assert_eq!(target, expected, "{n} bytes at {to}");
            }
        }
    }

    #[test]
    fn memcmp_orders_like_slices() {
        for n in sizes() {
            let left = pattern(n + 1, 5);
            for at in (0..n).step_by(1 + n / 40).chain(n.checked_sub(1)) {
                for change in [1, 0x7f, 0x80, 0xff] {
                    let mut right = left.clone();
                    right[at] = right[at].wrapping_add(change);
                    // Bytes after the first difference do not count.
                    if at + 1 < n {
                        right[n - 1] = !right[n - 1];
                    }
                    // SAFETY: both are long enough.
                    let (one, other) =
                        unsafe { (memcmp(left.as_ptr(), right.as_ptr(), n), memcmp(right.as_ptr(), left.as_ptr(), n)) };
                    assert_eq!(one.cmp(&0), left[..n].cmp(&right[..n]), "{n} bytes, different at {at}");
                    assert_eq!(other.cmp(&0), right[..n].cmp(&left[..n]), "{n} bytes, different at {at}");
                    // SAFETY: both are long enough.
                    assert_ne!(unsafe { bcmp(left.as_ptr(), right.as_ptr(), n) }, 0);
                }
            }
        }
    }

    #[test]
    fn equal_blocks_compare_equal() {
        for n in sizes() {
            let (left, mut right) = (pattern(n + 1, 6), pattern(n + 1, 6));
            right[n] = !right[n];
            let (left, right) = (left.as_ptr(), right.as_ptr());
            // SAFETY: both are long enough.
            assert_eq!(unsafe { (memcmp(left, right, n), bcmp(left, right, n)) }, (0, 0));
        }
    }
}

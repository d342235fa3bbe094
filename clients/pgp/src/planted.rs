// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planted bug: a copy that believes the length in the input.
//!
//! **Deliberately unsound, for the demonstration.** This is the only unsafe code of the crate and is compiled with the
//! feature `planted-bug` only. It is what `memcpy(out, in, length_from_the_file)` is in C: the kind of bug for which a
//! parser belongs into a sandbox. There it ends in a page fault, which the caller gets as an error.
#![allow(unsafe_code)]

/// Copies `claimed` bytes from `from` in `source` to `to` in `target`, whether both have them or not.
///
/// Does not return when `claimed` reaches past the mapped memory behind either of them.
#[inline(never)]
pub(crate) fn copy_as_claimed(target: &mut [u8], to: usize, source: &[u8], from: usize, claimed: usize) {
    let target = target.as_mut_ptr().wrapping_add(to);
    let source = source.as_ptr().wrapping_add(from);
    for at in 0..claimed {
        // SAFETY: none, on purpose. `claimed` comes from the input unchecked, so this leaves both slices. The accesses are
        // volatile so that the compiler keeps them as they stand, byte by byte and in this order.
        unsafe { target.wrapping_add(at).write_volatile(source.wrapping_add(at).read_volatile()) };
    }
}

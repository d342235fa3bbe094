// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checksum that the runtimes compute, in plain Rust.
//!
//! Two running sums over the bytes, as in Fletcher's and Adler's, without a modulus: short enough to be written in
//! WebAssembly and in eBPF by hand, one byte at a time, so that the three loops do the same work.

use std::hint::black_box;

use crate::rows::{MANY, Row, sample};

/// Number of bytes that the rows named `_1k` work on.
pub(crate) const LENGTH: usize = 1024;

/// Returns the bytes that are summed.
pub(crate) fn input() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // The low byte of a multiple of an odd number: each value occurs equally often, in no simple order.
    bytes.iter_mut().zip((0_u8..=u8::MAX).cycle()).for_each(|(byte, index)| *byte = index.wrapping_mul(167));
    bytes
}

/// Computes the checksum.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    let mut low = 0_u32;
    let mut high = 0_u32;
    for &byte in bytes {
        low = low.wrapping_add(u32::from(byte));
        high = high.wrapping_add(low);
    }
    high
}

/// Measures the checksum as a plain function call: what the two runtimes' rows have to be read against.
pub(crate) fn native_1k() -> Row {
    let input = input();
    Row::new("native_checksum_1k", sample(MANY, checksum(&input), || Ok(checksum(black_box(&input)))))
}

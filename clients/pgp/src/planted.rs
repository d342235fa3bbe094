// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planted bugs: a copy and a loop that believe the length in the input.
//!
//! **Deliberately wrong, for the demonstration.** They are compiled with the feature `planted-bug` only, and the copy is the
//! only unsafe code of the crate. It is what `memcpy(out, in, length_from_the_file)` is in C, and the loop what
//! `offset += length_from_the_file` is there: the kind of bug for which a parser belongs into a sandbox. There the copy ends
//! in a page fault and the loop at the end of its time budget; the caller gets either as an error.
#![allow(unsafe_code)]

use alloc::vec;
use core::hint::black_box;

use crate::error::ParseError;
use crate::keyring::Keyring;
use crate::packet::{Header, Kind};
use crate::parser::parse;

/// Parses a keyring, and copies as many bytes of a user id as its packet claims: reads past the input. Undefined behaviour
/// outside a sandbox.
///
/// # Errors
/// As [`parse`].
pub fn parse_and_overrun(input: &[u8]) -> Result<Keyring, ParseError> {
    let mut copy = vec![0; 4096];
    let mut rest = input;
    while let Ok(header) = Header::read(&mut rest) {
        let from = rest;
        if header.body(&mut rest).is_err() && header.kind == Kind::UserId {
            copy_as_claimed(&mut copy, from, header.claimed as usize);
            black_box(&copy);
        }
    }
    parse(input)
}

/// Parses a keyring, and steps over as many bytes as packets claim, in 32 bits: never ends where that leads back.
///
/// # Errors
/// As [`parse`].
pub fn parse_and_loop(input: &[u8]) -> Result<Keyring, ParseError> {
    black_box(count_as_claimed(input));
    parse(input)
}

/// Copies `claimed` bytes of `source` to `target`, whether both have them or not.
///
/// Does not return when `claimed` reaches past the mapped memory behind either of them.
#[inline(never)]
fn copy_as_claimed(target: &mut [u8], source: &[u8], claimed: usize) {
    let (target, source) = (target.as_mut_ptr(), source.as_ptr());
    for at in 0..claimed {
        // SAFETY: none, on purpose. `claimed` comes from the input unchecked, so this leaves both slices. The accesses are
        // volatile so that the compiler keeps them as they stand, byte by byte and in this order.
        unsafe { target.wrapping_add(at).write_volatile(source.wrapping_add(at).read_volatile()) };
    }
}

/// Counts packets by the lengths that they claim, in the current format.
///
/// Offsets have 32 bits and wrap: does not return when a packet claims as many bytes as lead back to its own start.
#[inline(never)]
fn count_as_claimed(input: &[u8]) -> u32 {
    let (mut at, mut count) = (0_u32, 0_u32);
    while let [0xc0..=0xff, first, rest @ ..] = input.get(at as usize..).unwrap_or_default() {
        let (header, claimed) = match (*first, rest) {
            (one @ ..=191, _) => (2, u32::from(one)),
            (first @ 192..=223, [second, ..]) => (3, (u32::from(first - 192) << 8) + u32::from(*second) + 192),
            (255, [a, b, c, d, ..]) => (6, u32::from_be_bytes([*a, *b, *c, *d])),
            _ => break,
        };
        at = at.wrapping_add(header).wrapping_add(claimed);
        count = count.wrapping_add(1);
    }
    count
}

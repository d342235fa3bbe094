// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of sizes that are powers of two
#![allow(clippy::unwrap_used)]

use sbm_objects::{SLOT_BITS, SLOTS, SizeBits};

#[test]
fn an_exponent_is_taken_up_to_63() {
    assert_eq!(SizeBits::new(63).unwrap().size(), 1 << 63);
    assert_eq!(SizeBits::new(64), None);
    assert_eq!((SizeBits::of::<12>().bits(), SizeBits::ONE.size()), (12, 1));
}

#[test]
fn a_size_that_holds_something_is_the_smallest() {
    let bits = |units| SizeBits::holding(units).map(SizeBits::bits);
    assert_eq!([0, 1, 2, 3, 4, 5].map(bits), [0, 0, 1, 2, 2, 3].map(Some));
    assert_eq!((bits(1 << 63), bits((1 << 63) + 1)), (Some(63), None));
}

#[test]
fn multiples_are_aligned_and_nothing_else_is() {
    let size = SizeBits::of::<4>();
    assert_eq!([0, 16, 48, 8, 17].map(|address| size.aligns(address)), [true, true, true, false, false]);
}

#[test]
fn a_size_is_told_as_a_power() {
    assert_eq!(SizeBits::of::<12>().to_string(), "2^12");
}

#[test]
fn the_number_of_slots_is_the_power_that_is_said() {
    assert_eq!(SizeBits::holding(SLOTS as u64).unwrap().bits(), SLOT_BITS);
    assert_eq!(1 << SLOT_BITS, SLOTS);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the range allocator against a plain set of numbers
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use sbm_objects::{FillError, OutOfRanges, Ranges, SizeBits, Span};

const UNITS: usize = 1024;

fn bits(bits: u8) -> SizeBits {
    SizeBits::new(bits).unwrap()
}

fn filled(numbers: core::ops::Range<u32>) -> Box<Ranges<UNITS>> {
    let mut ranges = Box::new(Ranges::new());
    ranges.fill(numbers).unwrap();
    ranges
}

fn numbers(span: Span) -> core::ops::Range<u32> {
    span.first..span.first + span.size.size() as u32
}

/// Returns the size of the largest range that is left, as a request for more than there is tells it.
fn largest(ranges: &mut Ranges<UNITS>) -> Option<SizeBits> {
    ranges.alloc(bits(63)).unwrap_err().largest
}

#[test]
fn every_number_it_was_filled_with_is_handed_out_once() {
    let mut ranges = filled(77..1000);
    let numbers: BTreeSet<u32> = (77..1000).map(|_| ranges.alloc(SizeBits::ONE).unwrap().first).collect();
    assert!(numbers.into_iter().eq(77..1000));
    let refused = Err(OutOfRanges { requested: SizeBits::ONE, largest: None });
    assert_eq!(ranges.alloc(SizeBits::ONE), refused);
}

#[test]
fn nothing_is_handed_out_before_it_is_filled() {
    assert!(Ranges::<UNITS>::new().alloc(SizeBits::ONE).is_err());
}

#[test]
fn it_is_filled_once_and_within_bounds() {
    let mut ranges = Box::new(Ranges::<UNITS>::new());
    assert_eq!(ranges.fill(0..1025), Err(FillError::OutOfBounds { limit: 1024 }));
    assert_eq!(ranges.fill(core::ops::Range { start: 6, end: 5 }), Err(FillError::OutOfBounds { limit: 1024 }));
    assert_eq!(ranges.fill(0..1024), Ok(()));
    assert_eq!(ranges.fill(0..1024), Err(FillError::Filled));
    assert_eq!(ranges.alloc(bits(10)), Ok(Span { first: 0, size: bits(10) }));
}

#[test]
fn what_is_filled_with_nothing_hands_out_nothing() {
    let mut ranges = filled(6..6);
    assert!(ranges.alloc(SizeBits::ONE).is_err());
    assert_eq!((ranges.available(), ranges.fill(0..4)), (0, Err(FillError::Filled)));
}

#[test]
fn a_range_comes_from_the_smallest_free_one() {
    let mut ranges = filled(0..1024);
    let small = [ranges.alloc(bits(4)).unwrap(), ranges.alloc(bits(4)).unwrap()];
    ranges.free(small[0]).unwrap();
    assert_eq!(ranges.alloc(bits(4)), Ok(small[0]));
    assert_eq!(largest(&mut ranges), Some(bits(9)));
}

#[test]
fn of_two_halves_the_smaller_one_is_taken_and_of_equal_ones_the_lower() {
    let mut ranges = filled(0..1024);
    let low = ranges.alloc(bits(9)).unwrap();
    assert_eq!((low.first, ranges.alloc(bits(8)).unwrap().first), (0, 512));
    ranges.free(low).unwrap();
    assert_eq!(ranges.alloc(bits(8)).unwrap().first, 768);
}

#[test]
fn the_smaller_half_is_taken_below_the_root_too() {
    let mut ranges = filled(512..1024);
    let low = ranges.alloc(bits(8)).unwrap();
    assert_eq!((low.first, ranges.alloc(bits(7)).unwrap().first), (512, 768));
    ranges.free(low).unwrap();
    assert_eq!(ranges.alloc(bits(7)).unwrap().first, 896);
}

#[test]
fn the_whole_is_handed_out_and_taken_back() {
    let mut ranges = filled(0..1024);
    let whole = ranges.alloc(bits(10)).unwrap();
    assert_eq!((ranges.available(), ranges.free(whole), ranges.available()), (0, Ok(()), 1024));
    // Numbers behind the end, whose node would be that of a range that is handed out.
    assert_eq!(ranges.alloc(bits(3)).unwrap().first, 0);
    assert!(ranges.free(Span { first: 1024, size: bits(4) }).is_err());
}

#[test]
fn a_range_that_is_too_large_is_refused() {
    let mut ranges = filled(0..1023);
    assert_eq!(ranges.alloc(bits(10)), Err(OutOfRanges { requested: bits(10), largest: Some(bits(9)) }));
    assert!(ranges.alloc(bits(63)).is_err());
}

#[test]
fn ranges_that_were_not_handed_out_are_refused() {
    let mut ranges = filled(0..1024);
    let span = ranges.alloc(bits(4)).unwrap();
    let refused = [
        Span { first: span.first, size: bits(3) },
        Span { first: span.first, size: bits(5) },
        Span { first: span.first + 1, size: SizeBits::ONE },
        Span { first: span.first + 1, size: bits(4) },
        Span { first: 512, size: bits(4) },
        Span { first: 1024, size: bits(4) },
        Span { first: u32::MAX, size: SizeBits::ONE },
        Span { first: 0, size: bits(63) },
    ];
    assert!(refused.into_iter().all(|span| ranges.free(span).is_err()));
    assert_eq!((ranges.free(span), ranges.free(span).is_err()), (Ok(()), true));
}

proptest! {
    #[test]
    fn any_history_keeps_ranges_apart_and_ends_whole(
        ends in (0u32..512, 512u32..1025),
        ops in prop::collection::vec((any::<bool>(), 0u8..8, any::<usize>()), 1..400),
    ) {
        let mut ranges = filled(ends.0..ends.1);
        let (total, whole) = (ends.1 - ends.0, largest(&mut ranges));
        let mut free: BTreeSet<u32> = (ends.0..ends.1).collect();
        let mut held: Vec<Span> = Vec::new();
        for (give, size, which) in ops {
            if give && !held.is_empty() {
                let span = held.swap_remove(which % held.len());
                prop_assert_eq!(ranges.free(span), Ok(()));
                prop_assert!(numbers(span).all(|number| free.insert(number)));
            } else {
                match ranges.alloc(bits(size)) {
                    Ok(span) => {
                        prop_assert_eq!((span.size, span.first % (1 << size)), (bits(size), 0));
                        prop_assert!(numbers(span).all(|number| free.remove(&number)));
                        held.push(span);
                    }
                    Err(OutOfRanges { largest, .. }) => {
                        prop_assert!(largest.is_none_or(|largest| largest < bits(size)));
                        let aligned = |first: &u32| first.is_multiple_of(1 << size) && (*first..*first + (1 << size)).all(|n| free.contains(&n));
                        prop_assert!(!free.iter().any(aligned));
                    }
                }
            }
            prop_assert_eq!(ranges.available() as usize, free.len());
        }
        for span in held.drain(..) {
            ranges.free(span).unwrap();
        }
        prop_assert_eq!((ranges.available(), largest(&mut ranges)), (total, whole));
    }
}

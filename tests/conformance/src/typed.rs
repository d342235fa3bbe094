// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of any type that serde knows: arguments, results, and functions that are more than a name.

use harness::{Test, Verdict, Why, check, expect::works, same, tests};
use heapless::{String, Vec};
use sbm::{Error, Isolation, Sbm, Tainted, Unfit, Unreadable, copy_in, copy_inout, copy_out, value};
use serde::{Deserialize, Serialize};

pub(crate) const TESTS: &[Test] = tests![
    a_result_of_more_than_two_words_comes_back,
    either_side_of_a_typed_result_comes_back,
    results_of_every_size_come_back_one_after_the_other,
    a_result_has_room_from_the_start_if_it_is_asked_for,
    a_result_above_the_limit_is_an_error_that_says_so,
    a_result_that_takes_too_much_memory_is_an_error,
    text_floats_booleans_and_characters_are_arguments,
    tuples_structs_and_enums_with_fields_are_arguments,
    a_value_that_outgrows_its_buffer_arrives,
    a_value_that_serde_cannot_write_is_refused,
    slices_of_plain_structs_are_arguments,
    a_closure_takes_its_captures_along,
    generic_functions_and_pointers_to_functions_can_be_called,
    typed_values_are_the_same_without_isolation,
    typed_values_survive_a_fault_and_a_reset,
    the_time_of_a_call_with_a_typed_result_is_limited,
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    id: u64,
    name: String<24>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Kind {
    Signing,
    Other { number: u8, weight: f32 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum ParseError {
    Empty,
    At { offset: u32, found: u8, wanted: u16 },
}

#[derive(Debug, Clone, Copy, PartialEq, sbm::Pod)]
#[repr(C)]
struct Point {
    x: i32,
    y: i32,
}

// Functions that run in sandboxes.

fn parse(bytes: &[u8]) -> Result<Vec<Key, 16>, ParseError> {
    if bytes.is_empty() {
        return Err(ParseError::Empty);
    }
    let mut keys = Vec::new();
    for (offset, byte) in (0..).zip(bytes) {
        let kind = match byte {
            0 => return Err(ParseError::At { offset, found: 0, wanted: 300 }),
            1 => Kind::Signing,
            number => Kind::Other { number: *number, weight: 0.5 },
        };
        let key = Key { id: u64::MAX - u64::from(*byte), name: name(*byte), kind };
        keys.push(key).map_err(|_| ParseError::At { offset, found: *byte, wanted: 16 })?;
    }
    Ok(keys)
}

fn name(byte: u8) -> String<24> {
    let mut text = String::new();
    for _ in 0..byte % 8 {
        let _ = text.push('ä');
    }
    text
}

fn numbers<const N: usize>(first: u32) -> Vec<u32, N> {
    (first..).take(N).collect()
}

fn describe(text: &str, weight: f64, share: f32, sure: bool, letter: char) -> Option<(usize, f64, f32, bool, char)> {
    Some((text.chars().count(), weight * 2.0, share / 2.0, !sure, letter.to_ascii_uppercase()))
}

fn turn(pair: (u8, Kind), key: Key, points: &mut [Point]) -> (Key, Kind, u8) {
    points.iter_mut().for_each(|point| *point = Point { x: point.y, y: point.x });
    (key, pair.1, pair.0)
}

fn sum<T: Copy + Into<u64> + sbm::Pod>(values: &[T]) -> u64 {
    values.iter().map(|value| (*value).into()).sum()
}

fn double(number: u32) -> u32 {
    number * 2
}

fn halve(number: u32) -> u32 {
    number / 2
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

fn wanted(bytes: &[u8]) -> Result<Vec<Key, 16>, ParseError> {
    parse(bytes)
}

fn a_result_of_more_than_two_words_comes_back() -> Verdict {
    let mut sbm = quiet()?;
    let keys = sbm.call(parse, (copy_in(&[1, 2, 77][..]),))?;
    let keys = keys.check(|keys| keys.as_ref().is_ok_and(|keys| keys.len() <= 3))?;
    same!(keys, wanted(&[1, 2, 77]));
    works(&mut sbm)
}

fn either_side_of_a_typed_result_comes_back() -> Verdict {
    let mut sbm = quiet()?;
    for bytes in [&[][..], &[1], &[5, 0, 1], &[9; 17], &[9; 16]] {
        same!(sbm.call(parse, (copy_in(bytes),))?.assume_checked(), wanted(bytes));
        check!(sbm.error().is_none(), "an error of the function sticks");
    }
    works(&mut sbm)
}

fn results_of_every_size_come_back_one_after_the_other() -> Verdict {
    let mut sbm = Sbm::builder().report(false).stack(64 * 1024).build()?;
    for first in 0..3_u32 {
        same!(sbm.call(numbers::<3>, (first,))?.assume_checked(), numbers::<3>(first));
        same!(sbm.call(numbers::<900>, (first,))?.assume_checked(), numbers::<900>(first));
        same!(sbm.call(double, (first,))?.assume_checked(), 2 * first);
        same!(sbm.call(numbers::<4000>, (first << 20,))?.assume_checked(), numbers::<4000>(first << 20));
        same!(sbm.call(|| [7_u8; 30], ())?.assume_checked(), [7; 30]);
    }
    works(&mut sbm)
}

fn a_result_has_room_from_the_start_if_it_is_asked_for() -> Verdict {
    let mut sbm = Sbm::builder().report(false).room_result(16 * 1024).build()?;
    let before = sbm::usage()?;
    same!(sbm.call(numbers::<900>, (1_u32,))?.assume_checked(), numbers::<900>(1));
    same!(sbm::usage()?, before);
    sbm.reset()?;
    same!(sbm.call(numbers::<900>, (2_u32,))?.assume_checked(), numbers::<900>(2));
    same!(sbm::usage()?, before);
    Ok(())
}

fn a_result_above_the_limit_is_an_error_that_says_so() -> Verdict {
    let mut sbm = Sbm::builder().report(false).result_limit(100).build()?;
    same!(sbm.call(|| [[1_u8; 25]; 4], ())?.assume_checked(), [[1; 25]; 4]);
    for _ in 0..2 {
        let error = sbm.call(|| ([[1_u8; 25]; 4], 1_u8), ()).map(Tainted::assume_checked);
        same!(error, Err(Error::Long { bytes: 101, limit: 100 }));
        check!(sbm.error().is_some(), "it does not stick");
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

fn a_result_that_takes_too_much_memory_is_an_error() -> Verdict {
    let mut sbm = Sbm::builder().report(false).result_limit(1000).build()?;
    same!(sbm.call(|| [None::<[u64; 4]>; 12], ())?.assume_checked(), [None; 12]);
    let error = sbm.call(|| [None::<[u64; 4]>; 30], ()).map(Tainted::assume_checked);
    same!(error, Err(Error::Unreadable(Unreadable::Large { limit: 1000 })));
    sbm.reset()?;
    works(&mut sbm)
}

fn text_floats_booleans_and_characters_are_arguments() -> Verdict {
    let mut sbm = quiet()?;
    for (text, weight, share, sure, letter) in
        [("", 0.0, -1.0, true, 'a'), ("größe", f64::MAX / 2.0, 3.0, false, '\u{1f512}'), ("x", -1e-300, 0.0, true, 'z')]
    {
        let found = sbm.call(describe, (text, weight, share, sure, letter))?.assume_checked();
        same!(found, describe(text, weight, share, sure, letter));
    }
    let nan = sbm.call(|x: f64| x, (f64::NAN,))?.assume_checked();
    check!(nan.is_nan());
    works(&mut sbm)
}

fn tuples_structs_and_enums_with_fields_are_arguments() -> Verdict {
    let mut sbm = quiet()?;
    let key = Key { id: 9, name: name(5), kind: Kind::Other { number: 200, weight: -2.5 } };
    let mut point = Tainted::new(Point { x: 1, y: 2 });
    for kind in [Kind::Signing, Kind::Other { number: 3, weight: 8.0 }] {
        let swap = |pair: (u8, Kind), key: Key, point: &mut Point| turn(pair, key, core::slice::from_mut(point));
        let turned = sbm.call(swap, (value(&(7_u8, kind)), value(&key), copy_inout(&mut point)))?;
        same!(turned.assume_checked(), (key.clone(), kind, 7));
        same!(point.assume_checked(), if kind == Kind::Signing { Point { x: 2, y: 1 } } else { Point { x: 1, y: 2 } });
    }
    let fill = |point: &mut Point| *point = Point { x: 5, y: 6 };
    sbm.call(fill, (copy_out(&mut point),))?.assume_checked();
    same!(point.assume_checked(), Point { x: 5, y: 6 });
    works(&mut sbm)
}

fn a_value_that_outgrows_its_buffer_arrives() -> Verdict {
    let mut sbm = Sbm::builder().report(false).stack(128 * 1024).build()?;
    let total = |values: Vec<u32, 4000>| values.iter().map(|value| u64::from(*value)).sum::<u64>();
    for count in [0_u32, 1, 700, 4000, 3] {
        let values: Vec<u32, 4000> = (u32::MAX - count..u32::MAX).collect();
        same!(sbm.call(total, (value(&values),))?.assume_checked(), total(values.clone()));
    }
    works(&mut sbm)
}

/// Writes itself only once in two times.
#[derive(Debug, Deserialize)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it will not"))
    }
}

fn a_value_that_serde_cannot_write_is_refused() -> Verdict {
    let mut sbm = quiet()?;
    let refused = sbm.call(|_: Stubborn| (), (value(&Stubborn),)).map(Tainted::assume_checked);
    same!(refused, Err(Error::Argument { number: 1, why: Unfit::NotEncodable }));
    works(&mut sbm)?;
    match sbm.call(|| Stubborn, ()) {
        Err(Error::Panic(text)) => check!(text.contains("cannot write a value"), "{text}"),
        other => return Err(Why::new(format_args!("no panic but {other:?}"))),
    }
    sbm.reset()?;
    works(&mut sbm)
}

fn slices_of_plain_structs_are_arguments() -> Verdict {
    let mut sbm = quiet()?;
    let points = [Point { x: 3, y: 4 }, Point { x: -1, y: 1 }];
    let far = |points: &[Point]| points.iter().map(|point| point.x * point.y).sum::<i32>();
    same!(sbm.call(far, (copy_in(&points[..]),))?.assume_checked(), 11);
    works(&mut sbm)
}

fn a_closure_takes_its_captures_along() -> Verdict {
    let mut sbm = quiet()?;
    for factor in [3_u32, 5] {
        let (table, odd) = ([factor; 100], (1_u8, u64::MAX, 2_u8));
        let weigh = move |number: u32| {
            let total: u32 = table.iter().sum();
            (u64::from(number * total) + u64::from(odd.0 + odd.2), odd.1)
        };
        same!(sbm.call(weigh, (2_u32,))?.assume_checked(), (u64::from(200 * factor) + 3, u64::MAX));
    }
    works(&mut sbm)
}

fn generic_functions_and_pointers_to_functions_can_be_called() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(sum::<u8>, (copy_in(&[200_u8, 100][..]),))?.assume_checked(), 300);
    same!(sbm.call(sum::<u32>, (copy_in(&[u32::MAX; 2][..]),))?.assume_checked(), 2 * u64::from(u32::MAX));
    for (function, wanted) in [(double as fn(u32) -> u32, 20), (halve, 5)] {
        same!(sbm.call(function, (10_u32,))?.assume_checked(), wanted);
    }
    works(&mut sbm)
}

fn typed_values_are_the_same_without_isolation() -> Verdict {
    let mut sbm = Sbm::builder().isolation(Isolation::None).build()?;
    for bytes in [&[][..], &[5, 0, 1], &[9; 16]] {
        same!(sbm.call(parse, (copy_in(bytes),))?.assume_checked(), wanted(bytes));
    }
    same!(sbm.call(numbers::<900>, (4_u32,))?.assume_checked(), numbers::<900>(4));
    let key = Key { id: 1, name: name(3), kind: Kind::Signing };
    same!(sbm.call(|key: Key, more: &str| (key, more.len()), (value(&key), "four"))?.assume_checked(), (key, 4));
    let captured = 6_u64;
    same!(sbm.call(move || [captured; 3], ())?.assume_checked(), [6; 3]);
    let mut limited = Sbm::builder().isolation(Isolation::None).report(false).result_limit(50).build()?;
    let large = limited.call(|| [None::<[u64; 4]>; 30], ()).map(Tainted::assume_checked);
    same!(large, Err(Error::Unreadable(Unreadable::Large { limit: 50 })));
    Ok(())
}

fn typed_values_survive_a_fault_and_a_reset() -> Verdict {
    let mut sbm = quiet()?;
    for first in 0..4_u32 {
        same!(sbm.call(numbers::<900>, (first,))?.assume_checked(), numbers::<900>(first));
        check!(sbm.call(harness::raw::undefined_once, ()).is_err());
        sbm.reset()?;
    }
    works(&mut sbm)
}

fn the_time_of_a_call_with_a_typed_result_is_limited() -> Verdict {
    let budget = core::time::Duration::from_millis(20);
    let mut sbm = Sbm::builder().report(false).budget(budget).build()?;
    for _ in 0..3 {
        same!(sbm.call(numbers::<900>, (0_u32,))?.assume_checked(), numbers::<900>(0));
        let endless = || -> [u64; 9] {
            loop {
                core::hint::spin_loop();
            }
        };
        check!(matches!(sbm.call(endless, ()), Err(Error::TimedOut { .. })), "it is not ended");
        sbm.reset()?;
    }
    works(&mut sbm)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments by value, and what a function can return.

use harness::{Test, Verdict, check, expect::works, same, tests};
use sbm::{Refused, Sbm, Tainted, copy_in, copy_out, word_enum};

pub(crate) const TESTS: &[Test] = tests![
    six_arguments_arrive_in_order,
    integers_of_every_width_arrive_and_return,
    a_closure_that_captures_nothing_can_be_called,
    results_return_either_side,
    options_return_either_side,
    enums_return_as_themselves,
    a_value_passes_a_check_that_accepts_it,
    a_value_does_not_pass_a_check_that_refuses_it,
];

word_enum! {
    /// Why a header is refused.
    enum Refusal {
        /// It ends early.
        Truncated = 1,
        /// Its length is wrong.
        Length = 200,
    }
}

// Functions that run in sandboxes.

fn in_order(first: u8, second: i16, third: &[u8], fourth: u64, fifth: &mut u32, sixth: isize) -> bool {
    *fifth = 55;
    (first, second, third, fourth, sixth) == (1, -2, &b"three"[..], u64::MAX, isize::MIN)
}

fn parse(length: u8) -> Result<u32, Refusal> {
    match length {
        0 => Err(Refusal::Truncated),
        1..=9 => Ok(u32::from(length) * 10),
        _ => Err(Refusal::Length),
    }
}

fn quiet() -> Result<Sbm, sbm::Error> {
    Sbm::builder().report(false).build()
}

fn six_arguments_arrive_in_order() -> Verdict {
    let mut sbm = quiet()?;
    let mut fifth = 0_u32;
    let arguments = (1_u8, -2_i16, copy_in(&b"three"[..]), u64::MAX, copy_out(&mut fifth), isize::MIN);
    check!(sbm.call(in_order, arguments)?.assume_checked(), "other arguments arrive");
    same!(fifth, 55);
    works(&mut sbm)
}

fn integers_of_every_width_arrive_and_return() -> Verdict {
    let mut sbm = quiet()?;
    macro_rules! both_ways {
        ($($integer:ty)*) => {
            $(for value in [<$integer>::MIN, <$integer>::MAX, 0, 1, <$integer>::MAX / 3] {
                same!(sbm.call(|value: $integer| value, (value,))?.assume_checked(), value);
            })*
        };
    }
    both_ways!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
    sbm.call(|| (), ())?.assume_checked();
    same!(sbm.call(|| true, ())?.assume_checked(), true);
    same!(sbm.call(|| false, ())?.assume_checked(), false);
    Ok(())
}

fn a_closure_that_captures_nothing_can_be_called() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(|a: u32, b: u32| a * b, (6_u32, 7_u32))?.assume_checked(), 42);
    Ok(())
}

fn results_return_either_side() -> Verdict {
    let mut sbm = quiet()?;
    for (length, wanted) in [(0_u8, Err(Refusal::Truncated)), (7, Ok(70)), (10, Err(Refusal::Length))] {
        same!(sbm.call(parse, (length,))?.assume_checked(), wanted);
        // An error of the function is none of the call.
        check!(sbm.error().is_none(), "the function's error sticks");
    }
    match sbm.call(parse, (3_u8,))?.transpose() {
        Ok(value) => same!(value.at_most(30)?, 30),
        Err(error) => same!(error.assume_checked(), Refusal::Truncated),
    }
    check!(sbm.call(parse, (0_u8,))?.transpose().is_err(), "the error is lost");
    Ok(())
}

fn options_return_either_side() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(|| Some(-1_i64), ())?.assume_checked(), Some(-1));
    same!(sbm.call(|| Option::<u8>::None, ())?.assume_checked(), None);
    same!(sbm.call(|| Some(()), ())?.assume_checked(), Some(()));
    Ok(())
}

fn enums_return_as_themselves() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(|| Refusal::Length, ())?.assume_checked(), Refusal::Length);
    same!(sbm.call(|| Some(Refusal::Truncated), ())?.assume_checked(), Some(Refusal::Truncated));
    Ok(())
}

fn a_value_passes_a_check_that_accepts_it() -> Verdict {
    let value = Tainted::new(10_u32);
    same!(value.check(|value| value.is_multiple_of(5))?, 10);
    same!(value.at_most(10)?, 10);
    same!(value.parse(|value| char::from_digit(*value, 16))?, 'a');
    Ok(())
}

fn a_value_does_not_pass_a_check_that_refuses_it() -> Verdict {
    let value = Tainted::new(10_u32);
    same!(value.check(|value| *value == 11), Err(Refused));
    same!(value.at_most(9), Err(Refused));
    same!(value.parse(|value| char::from_digit(*value, 10)), Err(Refused));
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hundreds of sandboxes at once, from one client.

use harness::{Test, Verdict, Why, check, raw, same, tests};
use sbm::{Error, Sbm, Tainted, copy_inout, copy_out};
use static_cell::ConstStaticCell;

use crate::stock::loses_nothing;

pub(crate) const TESTS: &[Test] = tests![two_hundred_sandboxes_at_once_are_told_apart];

/// Sandboxes at once.
const CROWD: usize = 200;
/// Calls of each.
const ROUNDS: u64 = 10;

static SANDBOXES: ConstStaticCell<[Option<Sbm>; CROWD]> = ConstStaticCell::new([const { None }; CROWD]);

// Functions that run in sandboxes.

/// Leaves a word at the far end of the stack, and returns what was there before.
fn exchange(word: u64) -> u64 {
    let argument_page = raw::argument_page_word(sbm_abi::limits::SELF_OFFSET as usize);
    let far_end = usize::try_from(argument_page).unwrap_or(0) + 2 * sbm_abi::limits::PAGE as usize;
    let before = raw::read_word(far_end);
    raw::write_word(far_end, word);
    before
}

fn add(numbers: &mut [u64; 8], to: u64) {
    for number in numbers {
        *number += to;
    }
}

fn overrun(output: &mut [u8]) {
    raw::write(output.as_mut_ptr() as usize + output.len(), 1);
}

fn two_hundred_sandboxes_at_once_are_told_apart() -> Verdict {
    let Some(sandboxes) = SANDBOXES.try_take() else { return Err(Why::new(format_args!("runs once only"))) };
    loses_nothing(|_| {
        for place in sandboxes.iter_mut() {
            *place = Some(Sbm::builder().room_out(1, 64).report(false).build()?);
        }
        check!(usize::from(sbm::usage()?.sandboxes) >= CROWD);
        for round in 0..ROUNDS {
            for (number, sbm) in (0..).zip(sandboxes.iter_mut().flatten()) {
                one_turn(sbm, number, round)?;
            }
        }
        for place in sandboxes.iter_mut() {
            *place = None;
        }
        Ok(())
    })
}

/// One call of each kind; every seventh sandbox faults in every third round.
fn one_turn(sbm: &mut Sbm, number: u64, round: u64) -> Verdict {
    let mark = |round: u64| (number + 1) << 32 | round;
    // A reset clears the stack: then there is nothing from the round before.
    let was_reset = round == 0 || faults(number, round - 1);
    let wanted = if was_reset { 0 } else { mark(round - 1) };
    let found = sbm.call(exchange, (mark(round),))?.assume_checked();
    same!(found, wanted, "sandbox {number}, round {round}");
    let mut numbers = Tainted::new([number; 8]);
    sbm.call(add, (copy_inout(&mut numbers), round))?.assume_checked();
    same!(numbers.assume_checked(), [number + round; 8]);
    if faults(number, round) {
        let mut bytes = [0; 8];
        let result = sbm.call(overrun, (copy_out(&mut bytes[..]).at_end(),));
        check!(matches!(result, Err(Error::Fault { .. })), "sandbox {number}, round {round}: {result:?}");
        sbm.reset()?;
    }
    Ok(())
}

const fn faults(number: u64, round: u64) -> bool {
    number.is_multiple_of(7) && round.is_multiple_of(3)
}

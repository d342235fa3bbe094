// SPDX-License-Identifier: MIT OR Apache-2.0
//! Thousands of sandboxes one after the other, and thousands of calls, faults, growths and mappings.

use harness::{Test, Verdict, check, raw, same, tests};
use sbm::{Builder, Error, Sbm, SharedPage, copy_in, copy_inout, copy_out, map_writable};

use crate::stock::loses_nothing;

pub(crate) const TESTS: &[Test] = tests![
    thousands_of_lives_made_anew_lose_nothing,
    thousands_of_lives_made_ready_again_lose_nothing,
    thousands_of_faults_lose_nothing,
    thousands_of_panics_lose_nothing,
    growths_are_given_back,
    mappings_are_given_back,
];

/// Times in each round.
const MANY: u64 = 2000;

static PAGES: [SharedPage; 4] = [SharedPage::ZERO; 4];

// Functions that run in sandboxes.

fn sum(input: &[u8], output: &mut [u8]) -> u64 {
    output.copy_from_slice(input);
    input.iter().map(|byte| u64::from(*byte)).sum()
}

fn fault() {
    raw::write(8, 1);
}

#[expect(clippy::panic, reason = "in a sandbox, on purpose")]
fn panic_with(number: u64) {
    panic!("number {number}");
}

fn touch(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().step_by(1024) {
        *byte = byte.wrapping_add(1);
    }
}

fn builder() -> Builder {
    Sbm::builder().room_in(1, 8192).room_out(2, 8192).report(false)
}

fn one_call(sbm: &mut Sbm, number: u64) -> Verdict {
    let input = number.to_le_bytes();
    let mut output = [0; 8];
    let wanted: u64 = input.iter().map(|byte| u64::from(*byte)).sum();
    same!(sbm.call(sum, (copy_in(&input[..]), copy_out(&mut output[..])))?.assume_checked(), wanted);
    same!(output, input);
    Ok(())
}

/// Shapes that take turns, so that none stands ready when it is asked for.
fn in_turn(number: u64) -> Result<Sbm, Error> {
    const SHAPES: u64 = 16;
    let pages = 1 + usize::try_from(number % SHAPES).unwrap_or(0);
    builder().stack(pages * 4096).build()
}

fn thousands_of_lives_made_anew_lose_nothing() -> Verdict {
    loses_nothing(|_| {
        for number in 0..MANY {
            one_call(&mut in_turn(number)?, number)?;
        }
        Ok(())
    })
}

fn thousands_of_lives_made_ready_again_lose_nothing() -> Verdict {
    loses_nothing(|_| {
        for number in 0..MANY {
            let mut sbm = builder().build()?;
            one_call(&mut sbm, number)?;
            if number % 3 == 0 {
                check!(sbm.call(fault, ()).is_err());
            }
        }
        Ok(())
    })
}

fn thousands_of_faults_lose_nothing() -> Verdict {
    let mut sbm = builder().build()?;
    loses_nothing(|_| {
        for number in 0..MANY {
            let result = sbm.call(fault, ());
            check!(matches!(result, Err(Error::Fault { .. })), "{number}: {result:?}");
            sbm.reset()?;
            one_call(&mut sbm, number)?;
        }
        Ok(())
    })
}

fn thousands_of_panics_lose_nothing() -> Verdict {
    let mut sbm = builder().build()?;
    loses_nothing(|_| {
        for number in 0..MANY {
            let result = sbm.call(panic_with, (number,));
            check!(matches!(result, Err(Error::Panic(_))), "{number}: {result:?}");
            sbm.reset()?;
            one_call(&mut sbm, number)?;
        }
        Ok(())
    })
}

fn growths_are_given_back() -> Verdict {
    loses_nothing(|_| {
        for _ in 0..200 {
            let mut sbm = Sbm::builder().report(false).build()?;
            let mut bytes = [0; 70_000];
            for length in [100, 5000, 70_000] {
                sbm.call(touch, (copy_inout(&mut bytes[..length]),))?.assume_checked();
            }
            same!((bytes[0], bytes[1024], bytes[68 * 1024]), (3, 2, 1));
        }
        Ok(())
    })
}

fn mappings_are_given_back() -> Verdict {
    let mut before = [0];
    loses_nothing(|_| {
        SharedPage::read(&PAGES, 1024, &mut before);
        for _ in 0..512 {
            let mut sbm = Sbm::builder().report(false).build()?;
            sbm.call(touch, (map_writable(&PAGES),))?.assume_checked();
        }
        let mut after = [0];
        SharedPage::read(&PAGES, 1024, &mut after);
        same!(after, before, "512 times one more");
        Ok(())
    })
}

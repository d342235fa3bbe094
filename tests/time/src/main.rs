// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every call comes back: time budgets, whatever a function does; and sleep.
//!
//! The suite runs with QEMU's instruction counter as the clock: an instruction takes a nanosecond, on every host.
//!
//! | module | what |
//! | --- | --- |
//! | `budgets` | functions that do not answer, each with a twin that just does |
//! | `running_on` | functions that answer and go on running |
//! | `words` | the watch words, with garbage in them; when the server looks, and when it does not |
//! | `clients` | the clock, and sleep |
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

mod budgets;
mod clients;
mod running_on;
mod words;

use core::time::Duration;

use harness::{Verdict, check, expect::works, same};
use sbm::{Env, Errno, Error, Sbm};

sbm::main!(main);

fn main(env: &'static Env) -> u8 {
    harness::run(env, &[budgets::TESTS, running_on::TESTS, words::TESTS, clients::TESTS])
}

/// The budget of most tests.
const BUDGET: Duration = Duration::from_millis(2);
/// How late a call may be ended.
const LATE: Duration = Duration::from_millis(1);
/// How long a sandbox may run on after its answer, and how long the server goes on looking: a twentieth of a second, and
/// what a timer's tick and a look take.
const LOOK: Duration = Duration::from_millis(51);

fn sandbox(budget: Duration) -> Result<Sbm, Error> {
    Sbm::builder().budget(budget).report(false).build()
}

/// Checks that a call was ended in time, that its error sticks, and that a reset ends it.
fn timed_out<T: core::fmt::Debug>(
    sbm: &mut Sbm,
    call: impl FnOnce(&mut Sbm) -> Result<T, Error>,
    budget: Duration,
) -> Verdict<u64> {
    let before = sbm::now();
    let result = call(sbm);
    let took = sbm::now() - before;
    let Err(Error::TimedOut { ip }) = result else {
        return Err(harness::Why::new(format_args!("not over its budget: {result:x?}")));
    };
    check!(took >= budget, "ended after {took:?}, before its budget of {budget:?}");
    check!(took <= budget + LATE, "ended after {took:?}, with a budget of {budget:?}");
    let error = Error::TimedOut { ip };
    same!(error.errno(), Errno::TimedOut);
    same!(error.errno().code(), -110);
    check!(sbm.error() == Some(&error), "the error does not stick");
    check!(call_again(sbm) == Some(error), "a call runs after an error");
    sbm.reset()?;
    works(sbm)?;
    Ok(ip)
}

fn call_again(sbm: &mut Sbm) -> Option<Error> {
    sbm.call(nothing, ()).err()
}

// Functions that run in sandboxes.

fn nothing() {}

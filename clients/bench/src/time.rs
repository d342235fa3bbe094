// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time budgets: what they cost a call, what a call over its budget costs, and what a look of the server costs.

use core::{hint::black_box, time::Duration};

use sbm::{Env, Error, Sbm};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now},
    measure,
};

fn null() {}

fn spin() {
    #[expect(clippy::empty_loop, reason = "a function that does not end")]
    loop {}
}

/// Returns the longest time between two looks at the counter, in `ticks` of it.
fn longest_pause(ticks: u64) -> u64 {
    let start = now();
    let (mut last, mut longest) = (start, 0);
    while last - start < ticks {
        let next = now();
        longest = longest.max(next - last);
        last = next;
    }
    longest
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    let mut sbm = Sbm::builder().no_budget().report(false).build()?;
    measure(runs, "sbm_call_null_no_budget", RUNS, || sbm.call(null, ()).map(drop))?;
    overdue(runs)?;
    look(runs)
}

/// From a call's deadline to the error in its caller's hand. The counter goes a billion times a second here.
fn overdue(runs: &mut Runs) -> Result<(), Error> {
    const NAME: &str = "timeout_to_ready";
    const BUDGET: u64 = 300_000;
    if !runs.wants(NAME) {
        return Ok(());
    }
    let mut sbm = Sbm::builder().report(false).build()?;
    for run in 0..WARM_UP + runs.times(RUNS / 10) {
        let start = now();
        let result = sbm.call_within(Duration::from_nanos(BUDGET), spin, ());
        if run >= WARM_UP {
            runs.add(start + BUDGET);
        }
        if !matches!(result, Err(Error::TimedOut { .. })) {
            return Err(Error::Garbled);
        }
        sbm.reset()?;
        sbm.call(null, ())?;
    }
    runs.print(NAME);
    Ok(())
}

/// What a look takes from a running function, while its call has a budget: twenty a second.
fn look(runs: &mut Runs) -> Result<(), Error> {
    const NAME: &str = "look";
    if !runs.wants(NAME) {
        return Ok(());
    }
    // Nothing is left to look at of what other rows have called.
    sbm::sleep(Duration::from_millis(500))?;
    let mut sbm = Sbm::builder().report(false).build()?;
    for _ in 0..runs.times(20).max(1) {
        runs.push(sbm.call(longest_pause, (black_box(110_000_000_u64),))?.assume_checked());
    }
    runs.print(NAME);
    Ok(())
}

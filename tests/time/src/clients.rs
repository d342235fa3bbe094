// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clock, and sleep.

use core::time::Duration;

use harness::{Test, Verdict, check, expect::works, tests};

use sbm::{Errno, Error};

use crate::{BUDGET, LATE, sandbox};

pub(crate) const TESTS: &[Test] = tests![
    the_clock_goes_on_and_never_back,
    sleep_lasts_as_long_as_asked_and_little_longer,
    sandboxes_work_between_two_sleeps,
    a_client_that_is_no_supervisor_ends_no_calls,
];

fn the_clock_goes_on_and_never_back() -> Verdict {
    let mut last = sbm::now();
    for _ in 0..1000 {
        let now = sbm::now();
        check!(now >= last, "from {last:?} back to {now:?}");
        last = now;
    }
    check!(last < Duration::from_secs(3600) && last > Duration::from_millis(1), "it shows {last:?}");
    Ok(())
}

fn sleep_lasts_as_long_as_asked_and_little_longer() -> Verdict {
    for micros in [0, 1, 100, 2_000, 49_900, 50_100, 200_000, 1_000_000] {
        let asked = Duration::from_micros(micros);
        let before = sbm::now();
        sbm::sleep(asked)?;
        let slept = sbm::now() - before;
        check!(slept >= asked && slept <= asked + LATE, "slept {slept:?} instead of {asked:?}");
    }
    Ok(())
}

fn sandboxes_work_between_two_sleeps() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    for _ in 0..20 {
        sbm::sleep(Duration::from_millis(1))?;
        works(&mut sbm)?;
    }
    Ok(())
}

fn a_client_that_is_no_supervisor_ends_no_calls() -> Verdict {
    for name in ["time", "nobody"] {
        let refused = sbm::cancel(name).err();
        check!(refused == Some(Error::Server(Errno::Perm)), "{name}: {refused:?}");
    }
    Ok(())
}

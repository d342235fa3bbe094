// SPDX-License-Identifier: MIT OR Apache-2.0
//! Private statics: the first write to one, the next ones, and a reset.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sbm::{Env, Error, Sbm};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now},
    measure,
};

static COUNTER: AtomicU64 = AtomicU64::new(7);

fn null() {}

fn count() -> u64 {
    COUNTER.fetch_add(1, Relaxed)
}

/// Touches all of the program's data, from the page of this static on.
fn touch_all(from: usize, pages: usize) {
    for page in 0..pages {
        #[expect(unsafe_code, reason = "whatever static lies there")]
        // SAFETY: the sandbox has the program's data there, as its own, and nothing else of it runs.
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u8>(from + page * 4096).read_volatile();
        }
    }
}

fn sandbox(stack: usize) -> Result<Sbm, Error> {
    Sbm::builder().report(false).private_statics().stack(stack * 4096).build()
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    let mut stack = 0;
    if runs.wants("statics_first_write") {
        for run in 0..WARM_UP + runs.times(RUNS / 10) {
            // More shapes than the server keeps spares of.
            stack = (stack + 1) % 6;
            let mut sbm = sandbox(stack + 2)?;
            sbm.call(null, ())?;
            let start = now();
            sbm.call(count, ())?;
            if run >= WARM_UP {
                runs.add(start);
            }
        }
        runs.print("statics_first_write");
    }
    let mut sbm = sandbox(2)?;
    measure(runs, "statics_write", RUNS, || sbm.call(count, ()).map(drop))?;
    measure(runs, "statics_reset", RUNS, || {
        sbm.reset()?;
        sbm.call(count, ()).map(drop)
    })?;
    // All 64 pages from the one of the counter on, which the client's other statics fill.
    let from = (&raw const COUNTER).expose_provenance();
    if runs.wants("statics_first_touch_64") {
        for run in 0..WARM_UP + runs.times(RUNS / 20) {
            stack = (stack + 1) % 6;
            let mut sbm = sandbox(stack + 2)?;
            let start = now();
            sbm.call(touch_all, (from & !0xfff, 64_usize))?;
            if run >= WARM_UP {
                runs.add(start);
            }
        }
        runs.print("statics_first_touch_64");
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox with a large buffer: until it is set up.

use sbm::{Env, Error, Sbm};

use crate::{
    RUNS,
    clock::{Runs, now},
};

/// More shapes than the server keeps spares of.
const SHAPES: usize = 6;

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    if !runs.wants("init_buffer_16m") {
        return Ok(());
    }
    for run in 0..SHAPES + runs.times(RUNS / 50) {
        let start = now();
        let sbm = Sbm::builder().report(false).stack((2 + run % SHAPES) * 4096).room_in(1, 16 << 20).build()?;
        // The client has page tables for all places by then.
        if run >= SHAPES {
            runs.push(now() - start);
        }
        drop(sbm);
    }
    runs.print("init_buffer_16m");
    Ok(())
}

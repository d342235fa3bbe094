// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox's life: set up, called, destroyed; and how many fit.

use sbm::{Error, Sbm, usage};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now, single},
    measure,
};

fn null() {}

/// Shapes with 16 KiB of buffers: more than the server keeps spares of, so that in turn each is made anew.
const SHAPES: [(usize, usize); 6] = [(1, 3), (2, 2), (3, 1), (1, 3), (2, 2), (3, 1)];

/// Builds a sandbox of shape `number`, taken modulo their count.
fn build(number: usize) -> Result<Sbm, Error> {
    let number = number % SHAPES.len();
    let (first, second) = SHAPES[number];
    let (first, second) = (first * 4096, second * 4096);
    let builder = Sbm::builder().report(false);
    if number < SHAPES.len() / 2 {
        builder.room_in(1, first).room_out(2, second).build()
    } else {
        builder.room_out(1, first).room_in(2, second).build()
    }
}

pub(crate) fn run(runs: &mut Runs) -> Result<(), Error> {
    measure(runs, "init_call_destroy_warm", RUNS, || build(1)?.call(null, ()).map(drop))?;
    steps(runs)?;
    let mut number = 0;
    measure(runs, "init_call_destroy_cold", RUNS, || {
        number += 1;
        build(number)?.call(null, ()).map(drop)
    })?;
    // Of a shape that has not been before, and so is no spare.
    let before = usage()?;
    let one = Sbm::builder().report(false).stack(8192).build()?;
    single("sandbox_bytes", "bytes", before.free_bytes - usage()?.free_bytes);
    drop(one);
    Ok(())
}

/// The steps of the cold row, one by one. Destroying one also gives the memory of the oldest spare back.
fn steps(runs: &mut Runs) -> Result<(), Error> {
    let mut number = 0;
    let mut step = |name: &str, which: usize| {
        for run in 0..WARM_UP + RUNS {
            number += 1;
            let times = [now(), 0, 0, 0];
            let mut sbm = build(number)?;
            let made = now();
            sbm.call(null, ())?;
            let called = now();
            drop(sbm);
            let times = [times[0], made, called, now()];
            if run >= WARM_UP {
                runs.push(times[which + 1] - times[which]);
            }
        }
        runs.print(name);
        Ok::<(), Error>(())
    };
    step("sbm_init", 0)?;
    step("first_call", 1)?;
    step("sbm_destroy", 2)
}

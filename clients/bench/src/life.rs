// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox's life: set up, called, destroyed; what it takes, and how many fit.

use core::mem;

use sbm::{Env, Error, Sbm, usage};
use sbm_abi::limits;

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

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    measure(runs, "init_call_destroy_warm", RUNS, || build(1)?.call(null, ()).map(drop))?;
    steps(runs)?;
    let mut number = 0;
    measure(runs, "init_call_destroy_cold", RUNS, || {
        number += 1;
        build(number)?.call(null, ()).map(drop)
    })?;
    if runs.wants("sandbox_bytes") {
        memory()?;
    }
    Ok(())
}

/// What a sandbox takes from the server's memory, without buffers.
fn memory() -> Result<(), Error> {
    // Of a shape that has not been before, and so is no spare.
    let before = usage()?;
    let one = Sbm::builder().report(false).stack(8192).build()?;
    single("sandbox_bytes", "bytes", usage()?.bytes - before.bytes);
    drop(one);
    Ok(())
}

/// The steps of the cold row, one by one. Destroying one also gives the memory of the oldest spare back.
fn steps(runs: &mut Runs) -> Result<(), Error> {
    let mut number = 0;
    let mut step = |name: &str, which: usize| {
        if !runs.wants(name) {
            return Ok(());
        }
        for run in 0..WARM_UP + runs.times(RUNS) {
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

/// Sets up sandboxes until one is refused, calls the last one, and leaves them all to the end of the program.
///
/// They are too many to keep what the library has of each: two megabytes of data is all that a client has.
pub(crate) fn alive(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    if runs.is_quick() || !runs.wants("sandboxes_alive") {
        return Ok(());
    }
    for _ in 0..limits::MAX_SANDBOXES {
        let Ok(mut sbm) = Sbm::builder().report(false).build() else { break };
        sbm.call(null, ())?;
        mem::forget(sbm);
    }
    single("sandboxes_alive", "sandboxes", usage()?.sandboxes.into());
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox's life: set up, called, destroyed; and how many fit.

use sbm::{Error, Sbm, usage};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now, single},
    measure,
};

/// A spare of each of these shapes is kept, so that no other shape finds room for one.
const SPARES: usize = 4;

fn null() {}

/// 16 KiB of buffers.
fn build() -> Result<Sbm, Error> {
    Sbm::builder().report(false).room_in(1, 8192).room_out(2, 8192).build()
}

pub(crate) fn run(runs: &mut Runs) -> Result<(), Error> {
    measure(runs, "init_call_destroy_warm", RUNS, || build()?.call(null, ()).map(drop))?;
    let mut spares: [Option<Sbm>; SPARES] = [const { None }; SPARES];
    for (pages, spare) in (20..).zip(&mut spares) {
        *spare = Some(Sbm::builder().stack(pages * 4096).build()?);
    }
    // The spare of the row above goes, since it is in the way: its place is taken by these.
    drop(build()?);
    let first = build()?;
    spares.iter_mut().for_each(|spare| *spare = None);
    drop(first);
    steps(runs)?;
    measure(runs, "init_call_destroy_cold", RUNS, || build()?.call(null, ()).map(drop))?;
    let before = usage()?;
    let one = Sbm::builder().report(false).build()?;
    single("sandbox_bytes", "bytes", before.free_bytes - usage()?.free_bytes);
    drop(one);
    Ok(())
}

/// The steps of the cold row, one by one.
fn steps(runs: &mut Runs) -> Result<(), Error> {
    for run in 0..WARM_UP + RUNS {
        let start = now();
        let sbm = build()?;
        if run >= WARM_UP {
            runs.add(start);
        }
        drop(sbm);
    }
    runs.print("sbm_init");
    for run in 0..WARM_UP + RUNS {
        let mut sbm = build()?;
        let start = now();
        sbm.call(null, ())?;
        if run >= WARM_UP {
            runs.add(start);
        }
    }
    runs.print("first_call");
    for run in 0..WARM_UP + RUNS {
        let mut sbm = build()?;
        sbm.call(null, ())?;
        let start = now();
        drop(sbm);
        if run >= WARM_UP {
            runs.add(start);
        }
    }
    runs.print("sbm_destroy");
    Ok(())
}

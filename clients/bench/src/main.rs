// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the sbm API in guest instructions.
//!
//! Each row is an operation between two reads of the time-stamp counter; see `docs/performance.md` for what the figures
//! say.
//!
//! | argument | |
//! | --- | --- |
//! | `quick` | a tenth of the runs, and no row that takes long |
//! | `profile:NAME` | instead of measuring, runs one operation for a debugger: see [`profile`] |
//! | `turns:PART` | instead of measuring, is one of three clients beside which the root task measures: see [`turns`] |
//! | any other | measures rows whose names contain it; without any, all |
//!
//! The first input file is the keyring for the rows of the OpenPGP parser.
#![no_std]
#![no_main]

extern crate alloc;

mod calls;
mod clock;
mod faults;
mod heap;
mod keyring;
mod large;
mod life;
mod profile;
mod services;
mod statics;
mod time;
mod turns;
mod typed;
mod walk;

use sbm::{Env, Error, Sbm, println};

use clock::{Runs, now, single};
pub(crate) use clock::{WARM_UP, measure};

// For what the rows of parsers return.
sbm::main!(main, heap = 3 << 16);

/// Runs of a row, unless it is slow.
pub(crate) const RUNS: usize = 1000;

/// A group of rows: measures and prints those that are wanted.
type Group = fn(&'static Env, &mut Runs) -> Result<(), Error>;

/// All groups. What is left of the last one goes when the program ends.
const GROUPS: [Group; 12] = [
    calls::run,
    typed::run,
    walk::run,
    services::run,
    faults::run,
    time::run,
    life::run,
    keyring::run,
    heap::run,
    large::run,
    statics::run,
    life::alive,
];

fn main(env: &'static Env) -> u8 {
    match run(env) {
        Ok(()) => 0,
        Err(error) => {
            println!("bench: {error}");
            1
        }
    }
}

fn run(env: &'static Env) -> Result<(), Error> {
    if let Some(name) = env.arguments().iter().find_map(|argument| argument.strip_prefix("profile:")) {
        return profile::run(name);
    }
    if let Some(part) = env.arguments().iter().find_map(|argument| argument.strip_prefix(turns::PREFIX)) {
        return turns::run(env, part);
    }
    let mut runs = Runs::of(env);
    boot(env, &runs)?;
    for group in GROUPS {
        group(env, &mut runs)?;
    }
    Ok(())
}

/// From power on, and from the root task's first instruction, until a first call was served.
fn boot(env: &'static Env, runs: &Runs) -> Result<(), Error> {
    let mut first = Sbm::builder().report(false).build()?;
    first.call(|| (), ())?;
    let ticks = now();
    for (name, ticks) in [("boot_to_first_call", ticks), ("root_task_to_first_call", ticks - env.boot_ticks())] {
        if runs.wants(name) {
            single(name, "guest instructions", ticks);
        }
    }
    Ok(())
}

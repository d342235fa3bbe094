// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the sbm API in guest instructions.
//!
//! Each row is an operation between two reads of the time-stamp counter; see `docs/performance.md` for what the figures
//! say. Arguments name the groups of rows to run; without any, all run.
#![no_std]
#![no_main]

mod calls;
mod clock;
mod faults;
mod life;
mod profile;

use sbm::{Env, Error, Sbm, println};

use clock::{Runs, now, single};

sbm::main!(main);

/// Runs of a row, unless it is slow.
pub(crate) const RUNS: usize = 1000;
/// Runs that are not counted: the first ones fill the caches of nothing but the emulator, and the sandbox's first call.
pub(crate) const WARM_UP: usize = 8;

type Group = (&'static str, fn(&mut Runs) -> Result<(), Error>);

const GROUPS: [Group; 3] = [("calls", calls::run), ("faults", faults::run), ("life", life::run)];

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
    let mut first = Sbm::builder().report(false).build()?;
    first.call(|| (), ())?;
    single("boot_to_first_call", "guest instructions", now());
    drop(first);
    let mut runs = Runs::new();
    let wanted = |name: &str| env.arguments().is_empty() || env.arguments().contains(&name);
    for (name, group) in GROUPS {
        if wanted(name) {
            group(&mut runs)?;
        }
    }
    Ok(())
}

/// Measures an operation `count` times, after warming up.
pub(crate) fn measure(
    runs: &mut Runs,
    name: &str,
    count: usize,
    mut operation: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    for _ in 0..WARM_UP {
        operation()?;
    }
    for _ in 0..count {
        let start = now();
        let done = operation();
        runs.add(start);
        done?;
    }
    runs.print(name);
    Ok(())
}

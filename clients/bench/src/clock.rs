// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clock and the rows: rdtsc around an operation, the spread of many runs.

use core::arch::asm;

use sbm::{Env, Error, println};

/// Most runs of one row.
const MAX_RUNS: usize = 2000;

/// Runs that are not counted: the first ones fill the caches of nothing but the emulator, and the sandbox's first call.
pub(crate) const WARM_UP: usize = 8;

/// The argument for a short measurement.
const QUICK: &str = "quick";

/// Reads the time-stamp counter: under `-icount shift=0` it counts guest instructions.
#[expect(unsafe_code, reason = "an instruction without a safe form")]
pub(crate) fn now() -> u64 {
    let (high, low): (u32, u32);
    // SAFETY: reads a counter. Nothing is moved across it, as it may touch memory for all the compiler knows.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// The runs of one row, and which rows are wanted.
pub(crate) struct Runs {
    ticks: [u32; MAX_RUNS],
    count: usize,
    rows: &'static [&'static str],
    divisor: usize,
}

impl Runs {
    /// Prepares to measure the rows whose names contain one of the arguments, or all if there are none; each with a tenth of
    /// its runs if the first argument says so.
    pub(crate) fn of(env: &'static Env) -> Self {
        let (divisor, rows) = match env.arguments() {
            [QUICK, rows @ ..] => (10, rows),
            rows => (1, rows),
        };
        Self { ticks: [0; MAX_RUNS], count: 0, rows, divisor }
    }

    /// Tells whether a row is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| name.contains(row))
    }

    /// Tells whether rows that take long are left out.
    pub(crate) const fn is_quick(&self) -> bool {
        self.divisor > 1
    }

    /// Returns how often to run what a full measurement runs `count` times.
    pub(crate) const fn times(&self, count: usize) -> usize {
        count / self.divisor
    }

    /// Adds a run that took from `start` until now.
    pub(crate) fn add(&mut self, start: u64) {
        self.push(now() - start);
    }

    /// Adds a run that took `ticks`.
    pub(crate) fn push(&mut self, ticks: u64) {
        if let Some(slot) = self.ticks.get_mut(self.count) {
            *slot = u32::try_from(ticks).unwrap_or(u32::MAX);
            self.count += 1;
        }
    }

    /// Prints the row and begins the next one.
    pub(crate) fn print(&mut self, name: &str) {
        let ticks = &mut self.ticks[..self.count];
        ticks.sort_unstable();
        let at = |part: usize| ticks.get((ticks.len() * part / 100).min(ticks.len().saturating_sub(1)));
        if let (Some(min), Some(median), Some(p99)) = (ticks.first(), at(50), at(99)) {
            println!(
                "bench {{\"name\":\"{name}\",\"unit\":\"guest instructions\",\"count\":{},\"min\":{min},\"median\":{median},\"p99\":{p99}}}",
                self.count
            );
        }
        self.count = 0;
    }
}

/// Prints a row of one value.
pub(crate) fn single(name: &str, unit: &str, value: u64) {
    println!(
        "bench {{\"name\":\"{name}\",\"unit\":\"{unit}\",\"count\":1,\"min\":{value},\"median\":{value},\"p99\":{value}}}"
    );
}

/// Prints why a row is not there.
pub(crate) fn failed(name: &str, why: &str) {
    println!("bench {{\"name\":\"{name}\",\"error\":\"{why}\"}}");
}

/// Measures an operation `count` times, after warming up.
pub(crate) fn measure(
    runs: &mut Runs,
    name: &str,
    count: usize,
    mut operation: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    if !runs.wants(name) {
        return Ok(());
    }
    for _ in 0..WARM_UP {
        operation()?;
    }
    for _ in 0..runs.times(count) {
        let start = now();
        let done = operation();
        runs.add(start);
        done?;
    }
    runs.print(name);
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the client's own functions cost in a sandbox: what `cargo sbm bench` measures.
//!
//! The host tool starts the client with [`BENCH`] for its first argument, on a machine whose time-stamp counter counts
//! guest instructions, and reads the rows that are printed here.

use heapless::{String, Vec};

use super::{
    builder::{Builder, Isolation},
    env::Env,
    sandbox::Sbm,
    time::ticks,
};
use crate::error::Error;

/// The first argument of a client that is to measure; the others are parts of names of rows.
const BENCH: &str = "sbm:bench";

/// Calls that are measured, and those before them that are not.
const CALLS: usize = 1000;
const WARM_UP: usize = 8;

/// Sandboxes that are set up, called, reset and destroyed one after the other.
const LIVES: usize = 200;

/// Sandboxes that are set up and kept: more than the server keeps as spares, so that the last ones are made from nothing.
const KEPT: usize = 16;
const MAYBE_SPARES: usize = 8;

/// What is measured of each function.
const STEPS: [&str; 7] = ["set_up", "set_up_again", "first_call", "call", "reset", "destroy", "call_without_sandbox"];

/// Measures functions of the client: see [`Env::bench`].
#[derive(Debug)]
pub struct Bench {
    rows: &'static [&'static str],
}

impl Env {
    /// Returns what measures, where the program was started by `cargo sbm bench`: it is to say what, and to end.
    ///
    /// ```ignore
    /// if let Some(bench) = env.bench() {
    ///     return bench.measure("parse", |sbm| sbm.call(parse, (copy_in(SAMPLE),)));
    /// }
    /// ```
    #[must_use]
    pub fn bench(&'static self) -> Option<Bench> {
        match self.arguments() {
            [BENCH, rows @ ..] => Some(Bench { rows }),
            _ => None,
        }
    }
}

impl Bench {
    /// Measures `call`, which makes one call in the sandbox that it is given, and what belongs to it: setting a sandbox up,
    /// resetting it, destroying it, and the same call without one. The rows are called `name/step`.
    ///
    /// # Errors
    /// What `call` or a step of it ends with.
    pub fn measure<R>(&self, name: &str, call: impl FnMut(&mut Sbm) -> Result<R, Error>) -> Result<(), Error> {
        self.measure_in(name, Sbm::builder, call)
    }

    /// Measures as [`Bench::measure`] does, in sandboxes that `builder` begins.
    ///
    /// # Errors
    /// As [`Bench::measure`].
    pub fn measure_in<R>(
        &self,
        name: &str,
        mut builder: impl FnMut() -> Builder,
        mut call: impl FnMut(&mut Sbm) -> Result<R, Error>,
    ) -> Result<(), Error> {
        if !STEPS.iter().any(|step| self.wants(&row(name, step))) {
            return Ok(());
        }
        let mut kept = Vec::<Sbm, KEPT>::new();
        let mut set_up = Runs::new();
        while !kept.is_full() {
            let start = ticks();
            let sbm = builder().build();
            if kept.len() >= MAYBE_SPARES {
                set_up.add(start);
            }
            // There is room: it was looked for.
            let _ = kept.push(sbm?);
        }
        drop(kept);
        self.print(name, "set_up", &mut set_up);

        let [mut again, mut first, mut reset, mut destroy] = [const { Runs::new() }; 4];
        for _ in 0..LIVES {
            let start = ticks();
            let mut sbm = builder().build()?;
            again.add(start);
            let start = ticks();
            call(&mut sbm)?;
            first.add(start);
            let start = ticks();
            sbm.reset()?;
            reset.add(start);
            let start = ticks();
            drop(sbm);
            destroy.add(start);
        }
        self.print(name, "set_up_again", &mut again);
        self.print(name, "first_call", &mut first);

        let mut sandboxed = calls(builder(), &mut call)?;
        self.print(name, "call", &mut sandboxed);
        self.print(name, "reset", &mut reset);
        self.print(name, "destroy", &mut destroy);
        let mut plain = calls(builder().isolation(Isolation::None), &mut call)?;
        self.print(name, "call_without_sandbox", &mut plain);
        Ok(())
    }

    /// Tells whether a row is wanted.
    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.contains(wanted))
    }

    /// Prints a row, if it is wanted, for the host tool.
    fn print(&self, name: &str, step: &str, runs: &mut Runs) {
        let row = row(name, step);
        if !self.wants(&row) {
            return;
        }
        if let Some([min, median, p99]) = runs.spread() {
            crate::println!(
                "bench {{\"name\":\"{row}\",\"unit\":\"guest instructions\",\"count\":{},\"min\":{min},\"median\":{median},\"p99\":{p99}}}",
                runs.count
            );
        }
    }
}

/// Names a row. What does not fit is cut off, and what would end the text is left out.
fn row(name: &str, step: &str) -> String<64> {
    let mut row = String::new();
    let plain = name.chars().filter(|character| !character.is_control() && !['"', '\\'].contains(character));
    for character in plain.take(32).chain(['/']).chain(step.chars()) {
        let _ = row.push(character);
    }
    row
}

/// Measures calls in one sandbox.
fn calls<R>(builder: Builder, call: &mut impl FnMut(&mut Sbm) -> Result<R, Error>) -> Result<Runs, Error> {
    let mut sbm = builder.build()?;
    let mut runs = Runs::new();
    for run in 0..WARM_UP + CALLS {
        let start = ticks();
        call(&mut sbm)?;
        if run >= WARM_UP {
            runs.add(start);
        }
    }
    Ok(runs)
}

/// What the runs of one row took.
struct Runs {
    ticks: [u64; CALLS],
    count: usize,
}

impl Runs {
    const fn new() -> Self {
        Self { ticks: [0; CALLS], count: 0 }
    }

    /// Adds a run that took from `start` until now.
    fn add(&mut self, start: u64) {
        let took = ticks().wrapping_sub(start);
        if let Some(slot) = self.ticks.get_mut(self.count) {
            *slot = took;
            self.count += 1;
        }
    }

    /// Returns the least, the median, and what one in a hundred exceeds.
    fn spread(&mut self) -> Option<[u64; 3]> {
        let ticks = self.ticks.get_mut(..self.count)?;
        ticks.sort_unstable();
        let at = |part: usize| ticks.get(ticks.len() * part / 100).copied();
        Some([at(0)?, at(50)?, at(99)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_runs_is_that_of_all_of_them() {
        let mut runs = Runs::new();
        assert_eq!(runs.spread(), None);
        for took in (0..200).rev() {
            runs.ticks[runs.count] = took;
            runs.count += 1;
        }
        assert_eq!(runs.spread(), Some([0, 100, 198]));
    }

    #[test]
    fn a_row_is_wanted_by_a_part_of_its_name() {
        let bench = Bench { rows: &["parse/c", "set_up"] };
        let wanted = STEPS.map(|step| bench.wants(&row("parse", step)));
        assert_eq!(wanted, [true, true, false, true, false, false, true]);
        assert!(!STEPS.iter().any(|step| Bench { rows: &["nosuch"] }.wants(&row("a\"b", step))));
        assert_eq!(row("a\"b\n", "call").as_str(), "ab/call");
    }

    #[test]
    fn more_runs_than_there_is_room_for_are_not_counted() {
        let mut runs = Runs::new();
        (0..CALLS + 3).for_each(|_| runs.add(0));
        assert_eq!(runs.count, CALLS);
    }
}

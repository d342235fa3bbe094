// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows of the table: taking samples, and what is printed of them.

use std::hint::black_box;

use serde::Serialize;

use crate::error::Error;

/// Runs of an operation that costs some thousand instructions.
pub(crate) const MANY: usize = 2_000;
/// Runs of an operation that costs a hundred thousand instructions or more.
pub(crate) const FEWER: usize = 1_000;
/// Runs before the first sample, so that lazily made tables and caches exist.
const WARM_UP: usize = 50;

/// One line of the result.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    /// What was measured.
    Measured {
        /// Name of the row.
        name: &'static str,
        /// Unit of the figures.
        unit: &'static str,
        /// Number of samples.
        count: usize,
        /// Smallest sample.
        min: u64,
        /// Median of the samples.
        median: u64,
        /// 99th percentile of the samples, nearest rank.
        p99: u64,
    },
    /// Why it was not.
    Failed {
        /// Name of the row.
        name: &'static str,
        /// The reason.
        error: String,
    },
}

impl Row {
    /// Turns the outcome of a measurement into its row.
    pub(crate) fn new(name: &'static str, samples: Result<Vec<u64>, Error>) -> Row {
        match samples {
            Ok(samples) => Row::summarize(name, samples),
            Err(error) => Row::Failed { name, error: error.to_string() },
        }
    }

    fn summarize(name: &'static str, mut samples: Vec<u64>) -> Row {
        samples.sort_unstable();
        let count = samples.len();
        let rank = |percent: usize| samples.get((count * percent).div_ceil(100).saturating_sub(1)).copied();
        match (samples.first().copied(), rank(50), rank(99)) {
            (Some(min), Some(median), Some(p99)) => {
                Row::Measured { name, unit: "guest instructions", count, min, median, p99 }
            }
            _ => Row::Failed { name, error: "no samples".to_owned() },
        }
    }
}

/// Runs `operation` `count` times, after some runs that do not count, and returns the ticks of each.
///
/// The ticks include the two readings of the counter, a handful of instructions.
///
/// # Errors
/// Returns the operation's own error, or [`Error::WrongResult`] when it returns something else than `expected`.
pub(crate) fn sample<T, F>(count: usize, expected: T, mut operation: F) -> Result<Vec<u64>, Error>
where
    T: PartialEq,
    F: FnMut() -> Result<T, Error>,
{
    let mut samples = Vec::with_capacity(count);
    for run in 0..WARM_UP + count {
        let start = ticks();
        let outcome = black_box(operation());
        let end = ticks();
        if outcome? != expected {
            return Err(Error::WrongResult);
        }
        if run >= WARM_UP {
            samples.push(end.wrapping_sub(start));
        }
    }
    Ok(samples)
}

/// Reads the time-stamp counter.
fn ticks() -> u64 {
    // SAFETY: the instruction exists on every x86-64 and is not forbidden to this process.
    unsafe { core::arch::x86_64::_rdtsc() }
}

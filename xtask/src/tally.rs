// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many tests passed, failed, and could not be run here.

use std::fmt;

/// How a test went, and why it failed.
pub(crate) type Verdict = Result<(), String>;

/// How many tests passed and failed, and how many could not be run here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    /// Adds the tests of another suite.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Prints and counts one test of a suite.
    pub(crate) fn tell(&mut self, suite: &str, name: &str, verdict: Verdict) {
        self.count(verdict.is_ok());
        match verdict {
            Ok(()) => say!("test {suite}::{name} ... ok"),
            Err(why) => say!("test {suite}::{name} ... FAILED: {why}"),
        }
    }

    /// Counts one test.
    pub(crate) fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

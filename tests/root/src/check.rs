// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a test says that something is not as it must be.

use core::fmt::{self, Debug, Write};

use heapless::String;

/// How a test ended.
pub(crate) type Verdict<T = ()> = Result<T, Why>;

/// Why a test failed: one line, cut where it is too long.
#[derive(Debug, Clone)]
pub(crate) struct Why(String<200>);

impl Why {
    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut line = String::new();
        // Nothing is lost but the end of a long line.
        let _ = line.write_fmt(text);
        Self(line)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Ends a test at an error, and says at which step.
pub(crate) trait At<T> {
    fn at(self, step: &str) -> Verdict<T>;
}

impl<T, E: Debug> At<T> for Result<T, E> {
    fn at(self, step: &str) -> Verdict<T> {
        self.map_err(|error| Why::new(format_args!("{step}: {error:?}")))
    }
}

impl<T> At<T> for Option<T> {
    fn at(self, step: &str) -> Verdict<T> {
        self.ok_or_else(|| Why::new(format_args!("{step}: nothing")))
    }
}

/// Ends the test unless the condition holds.
macro_rules! check {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::check::Why::new(format_args!($($why)+)));
        }
    };
}

/// Ends the test unless both values are equal.
macro_rules! same {
    ($found:expr, $wanted:expr) => {
        match (&$found, &$wanted) {
            (found, wanted) => {
                check!(*found == *wanted, "{}: {found:?} instead of {wanted:?}", stringify!($found));
            }
        }
    };
}

pub(crate) use {check, same};

// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a test says that something is not as it must be.

use core::fmt::{self, Write};

use heapless::String;

/// Most bytes kept of a reason.
const WHY: usize = 240;

/// How a test ended.
pub type Verdict<T = ()> = Result<T, Why>;

/// Why a test failed, or was skipped: one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    text: String<WHY>,
    skipped: bool,
}

impl Why {
    /// Makes a reason; what is too long is cut.
    #[must_use]
    pub fn new(text: fmt::Arguments<'_>) -> Self {
        let mut cut = Cut(String::new());
        // Nothing is lost but the end of a long line.
        let _ = cut.write_fmt(text);
        Self { text: cut.0, skipped: false }
    }

    /// Makes the reason of a test that cannot be run here. The host counts it apart.
    #[must_use]
    pub fn skipped(text: fmt::Arguments<'_>) -> Self {
        Self { skipped: true, ..Self::new(text) }
    }

    /// Tells whether the test was skipped.
    #[must_use]
    pub const fn is_skipped(&self) -> bool {
        self.skipped
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<sbm::Error> for Why {
    fn from(error: sbm::Error) -> Self {
        Self::new(format_args!("unexpected error: {error}"))
    }
}

impl From<sbm::WalkError> for Why {
    fn from(error: sbm::WalkError) -> Self {
        Self::new(format_args!("a walk did not go on: {error}"))
    }
}

impl From<sbm::Refused> for Why {
    fn from(refused: sbm::Refused) -> Self {
        Self::new(format_args!("{refused}"))
    }
}

struct Cut(String<WHY>);

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.0.push(if character == '\n' { ' ' } else { character }).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}

/// Ends the test unless the condition holds, with its text or one that is given.
#[macro_export]
macro_rules! check {
    ($condition:expr $(,)?) => { $crate::check!($condition, "not so: {}", stringify!($condition)) };
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err($crate::Why::new(format_args!($($why)+)));
        }
    };
}

/// Ends the test unless both values are equal; a text that is given says of what.
#[macro_export]
macro_rules! same {
    ($found:expr, $wanted:expr $(,)?) => { $crate::same!($found, $wanted, "{}", stringify!($found)) };
    ($found:expr, $wanted:expr, $($what:tt)+) => {
        match (&$found, &$wanted) {
            (found, wanted) => {
                if *found != *wanted {
                    let what = format_args!($($what)+);
                    return Err($crate::Why::new(format_args!("{what}: {found:x?} instead of {wanted:x?}")));
                }
            }
        }
    };
}

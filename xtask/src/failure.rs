// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a verb can end with, and the exit code of each.
//!
//! Each module says of its own errors what they mean for the exit code: [`Reason`].

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use sel4_kernel::{BuildError, SelectionError, Unfit};

/// An error that a verb can end with. Its text is one line: what happened, and what to do.
pub(crate) trait Reason: Error + 'static {
    /// Tells whether the request or the host is at fault, so that nothing was tried.
    fn is_request(&self) -> bool;

    /// Tells whether the user knows already.
    fn is_told(&self) -> bool {
        false
    }
}

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    is_request: bool,
    is_told: bool,
}

impl Failure {
    /// Tells whether the user knows already.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Returns the exit code: 2 when nothing was tried because the request or the host is at fault, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.is_request { 2 } else { 1 })
    }
}

impl<E: Reason> From<E> for Failure {
    fn from(reason: E) -> Self {
        Self { text: reason.to_string(), is_request: reason.is_request(), is_told: reason.is_told() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}

/// The environment names no whole kernel.
impl Reason for SelectionError {
    fn is_request(&self) -> bool {
        true
    }
}

/// The kernel cannot carry the system.
impl Reason for Unfit {
    fn is_request(&self) -> bool {
        true
    }
}

/// The default kernel cannot be built.
impl Reason for BuildError {
    fn is_request(&self) -> bool {
        false
    }
}

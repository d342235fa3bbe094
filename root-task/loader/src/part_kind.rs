// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two parts of a program

use core::fmt;

/// One of the two parts of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// All segments that are not writable: mapped read-only.
    Code,
    /// All segments that are writable.
    Data,
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "code",
            Self::Data => "data",
        })
    }
}

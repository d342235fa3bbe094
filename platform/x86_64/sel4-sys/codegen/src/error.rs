// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a kernel has no bindings.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why there are no bindings. Each is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file that every kernel has is not in the include folders.
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file has something in it that this crate does not know.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What.
        reason: String,
    },
    /// The headers do not compile.
    Headers {
        /// The compiler's first words.
        reason: String,
    },
    /// The kernel is configured for something that programs here are not made for.
    Unfit {
        /// What to change.
        reason: &'static str,
    },
}

impl Error {
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable { path: path.into(), reason: error.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(f, "no `{name}` in the kernel's include folders"),
            Self::Unreadable { path, reason } => write!(f, "cannot read {}: {reason}", path.display()),
            Self::Malformed { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Headers { reason } => write!(f, "the kernel's headers do not compile: {reason}"),
            Self::Unfit { reason } => write!(f, "the kernel does not fit: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

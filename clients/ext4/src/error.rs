// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a file is not read.

use alloc::string::{String, ToString as _};
use core::fmt;

use ext4_view::{Ext4Error, PathError};
use serde::{Deserialize, Serialize};

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Error {
    /// There is no such file.
    NotFound,
    /// It is a directory.
    IsADirectory,
    /// It is no directory.
    NotADirectory,
    /// It is neither a file nor a directory nor a link.
    IsASpecialFile,
    /// It is no path, or a relative one.
    Path,
    /// Links lead on and on.
    TooManySymlinks,
    /// The disk does not have what the image says that there is.
    Disk(String),
    /// The image uses what the parser does not know.
    Incompatible(String),
    /// The image is no ext4 file system, or a corrupt one.
    Corrupt(String),
}

impl From<Ext4Error> for Error {
    fn from(error: Ext4Error) -> Self {
        match error {
            Ext4Error::NotFound => Self::NotFound,
            Ext4Error::IsADirectory => Self::IsADirectory,
            Ext4Error::NotADirectory => Self::NotADirectory,
            Ext4Error::IsASpecialFile => Self::IsASpecialFile,
            Ext4Error::NotAbsolute | Ext4Error::MalformedPath | Ext4Error::PathTooLong => Self::Path,
            Ext4Error::TooManySymlinks => Self::TooManySymlinks,
            Ext4Error::Io(error) => Self::Disk(error.to_string()),
            Ext4Error::Incompatible(what) => Self::Incompatible(what.to_string()),
            // The parser may get further ones: all of them say that a file cannot be read as it is.
            error => Self::Corrupt(error.to_string()),
        }
    }
}

impl From<PathError> for Error {
    fn from(_: PathError) -> Self {
        Self::Path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file"),
            Self::IsADirectory => f.write_str("it is a directory"),
            Self::NotADirectory => f.write_str("it is no directory"),
            Self::IsASpecialFile => f.write_str("it is a special file"),
            Self::Path => f.write_str("it is no path from the root"),
            Self::TooManySymlinks => f.write_str("links lead on and on"),
            Self::Disk(why) => write!(f, "the disk cannot be read: {why}"),
            Self::Incompatible(what) | Self::Corrupt(what) => f.write_str(what),
        }
    }
}

impl core::error::Error for Error {}

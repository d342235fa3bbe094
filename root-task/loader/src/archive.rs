// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archive of client programs
//!
//! A tar archive of regular files; the format is `tar-no-std`'s business. Its structure is checked once, when it is
//! opened.

use tar_no_std::{ArchiveEntry, TarArchiveRef, TarFormatString};

pub use tar_no_std::CorruptDataError as ArchiveError;

/// Longest name in a tar header: a prefix of 155 bytes, a slash, and 100 bytes.
const NAME_BYTES: usize = 256;

/// An archive whose structure was checked.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    tar: TarArchiveRef<'a>,
}

/// A file of an archive.
#[derive(Clone, Debug)]
pub struct File<'a> {
    name: TarFormatString<NAME_BYTES>,
    data: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Checks an archive's structure.
    ///
    /// # Errors
    /// When a header is damaged or the archive is cut short.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        TarArchiveRef::new(bytes).map(|tar| Self { tar })
    }

    /// Lists the files in the order in which they were archived.
    pub fn files(&self) -> impl Iterator<Item = File<'a>> + use<'a> {
        self.tar.entries().map(|entry: ArchiveEntry<'a>| File { name: entry.filename(), data: entry.data() })
    }

    /// Returns the content of the first file of that name.
    pub fn find(&self, name: &str) -> Option<&'a [u8]> {
        self.files().find(|file| file.name() == name).map(|file| file.data)
    }
}

impl<'a> File<'a> {
    /// Returns the file's name, or nothing where it is not UTF-8.
    pub fn name(&self) -> &str {
        self.name.as_str().unwrap_or("")
    }

    /// Returns the file's content.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

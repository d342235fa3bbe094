// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files as plain data, and how they print.

use alloc::vec::Vec;
use core::fmt;

use ext4_view::{FileType, Metadata};
use sbm_text::Line;
use serde::{Deserialize, Serialize};

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Bytes.
    File,
    /// Other files.
    Directory,
    /// A path.
    Symlink,
    /// Anything else: a device, a pipe, a socket.
    Special(char),
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::Regular => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::BlockDevice => Self::Special('b'),
            FileType::CharacterDevice => Self::Special('c'),
            FileType::Fifo => Self::Special('p'),
            FileType::Socket => Self::Special('s'),
        }
    }
}

impl Kind {
    /// Returns the letter that `ls` has for it.
    pub const fn letter(self) -> char {
        match self {
            Self::File => '-',
            Self::Directory => 'd',
            Self::Symlink => 'l',
            Self::Special(letter) => letter,
        }
    }
}

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, which is any bytes but zero and a slash.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions, in Unix' twelve bits.
    pub mode: u16,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its bytes.
    pub size: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
    /// The path that a symbolic link holds.
    pub target: Option<Vec<u8>>,
}

impl Entry {
    pub(crate) fn new(name: &[u8], metadata: &Metadata, target: Option<Vec<u8>>) -> Self {
        Self {
            name: name.to_vec(),
            kind: metadata.file_type().into(),
            mode: metadata.mode(),
            user: metadata.uid(),
            group: metadata.gid(),
            size: metadata.len(),
            modified: metadata.modified().seconds(),
            target,
        }
    }
}

/// As a line of `ls -ln`: kind and permissions, owner, group, bytes, seconds, name, and where a link leads.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, mode, user, group, size, modified, target } = self;
        write!(f, "{}{mode:04o} {user:>5} {group:>5} {size:>12} {modified:>11} {}", kind.letter(), Line(name))?;
        match target {
            Some(target) => write!(f, " -> {}", Line(target)),
            None => Ok(()),
        }
    }
}

/// A file in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Directories between it and the root.
    pub depth: u16,
    /// The file.
    pub entry: Entry,
}

/// As a line of `tree`: indented by its depth.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { name, kind, size, target, .. } = &self.entry;
        let indent = usize::from(self.depth) * 2;
        write!(f, "{:indent$}{}", "", Line(name))?;
        match (kind, target) {
            (Kind::Directory, _) => f.write_str("/"),
            (_, Some(target)) => write!(f, " -> {}", Line(target)),
            (Kind::File, None) => write!(f, " ({size})"),
            (_, None) => write!(f, " ({})", kind.letter()),
        }
    }
}

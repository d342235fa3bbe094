// SPDX-License-Identifier: MIT OR Apache-2.0
//! An open image.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use ext4_view::{DirEntry, Ext4, Path, PathBuf};
use sha2::{Digest as _, Sha256};

use crate::disk::{BLOCK, Disk, Reader};
use crate::entry::{Entry, Kind, Node};
use crate::error::Error;

/// SHA-256 of a file.
pub type Digest = [u8; 32];

/// An image that was opened.
pub struct Image(Ext4);

impl Image {
    /// Opens the image on a disk: reads its super block, group descriptors and journal.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn open(disk: impl Disk + 'static) -> Result<Self, Error> {
        Ok(Self(Ext4::load(Box::new(Reader(disk)))?))
    }

    /// Lists a directory by name, or says what a file is.
    ///
    /// # Errors
    /// What is wrong with the path, or with the image.
    pub fn list(&self, path: &[u8]) -> Result<Vec<Entry>, Error> {
        let path = Path::try_from(path)?;
        let metadata = self.0.symlink_metadata(path)?;
        if !metadata.is_dir() {
            let target = if metadata.is_symlink() { Some(self.target(path)?) } else { None };
            let name = path.as_ref().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            return Ok(Vec::from([Entry::new(name, &metadata, target)]));
        }
        let entries = self.entries(path)?;
        entries.iter().map(|entry| self.entry(entry)).collect()
    }

    /// Lists all files below the root, each directory before what is in it.
    ///
    /// # Errors
    /// What is wrong with the image.
    pub fn tree(&self) -> Result<Vec<Node>, Error> {
        let mut nodes = Vec::new();
        // Directories that are being listed, each with its entries yet to come, the next one last.
        let mut open = Vec::from([self.backwards(Path::ROOT)?]);
        while let Some(directory) = open.last_mut() {
            let Some(next) = directory.pop() else {
                open.pop();
                continue;
            };
            let entry = self.entry(&next)?;
            let is_directory = entry.kind == Kind::Directory;
            nodes.push(Node { depth: u16::try_from(open.len() - 1).map_err(|_| Error::Path)?, entry });
            if is_directory {
                open.push(self.backwards(next.path().as_path())?);
            }
        }
        Ok(nodes)
    }

    /// Reads a part of a file: from `at`, as much as there is room for. Returns how much it was; 0 is the end.
    ///
    /// # Errors
    /// What is wrong with the path, or with the image.
    pub fn read(&self, path: &[u8], at: u64, into: &mut [u8]) -> Result<usize, Error> {
        let mut file = self.0.open(Path::try_from(path)?)?;
        file.seek_to(at)?;
        let mut filled = 0;
        while let Some(room) = into.get_mut(filled..).filter(|room| !room.is_empty()) {
            match file.read_bytes(room)? {
                0 => break,
                len => filled += len,
            }
        }
        Ok(filled)
    }

    /// Returns SHA-256 of a file.
    ///
    /// # Errors
    /// What is wrong with the path, or with the image.
    pub fn sha256(&self, path: &[u8]) -> Result<Digest, Error> {
        let mut file = self.0.open(Path::try_from(path)?)?;
        let (mut digest, mut piece) = (Sha256::new(), vec![0; BLOCK]);
        loop {
            match file.read_bytes(&mut piece)? {
                0 => return Ok(digest.finalize().into()),
                len => digest.update(piece.get(..len).unwrap_or_default()),
            }
        }
    }

    fn target(&self, path: Path<'_>) -> Result<Vec<u8>, Error> {
        Ok(PathBuf::as_ref(&self.0.read_link(path)?).to_vec())
    }

    fn entry(&self, entry: &DirEntry) -> Result<Entry, Error> {
        let metadata = entry.metadata()?;
        let target = if metadata.is_symlink() { Some(self.target(entry.path().as_path())?) } else { None };
        Ok(Entry::new(entry.file_name().as_ref(), &metadata, target))
    }

    /// Returns what is in a directory, without itself and its parent, by name.
    fn entries(&self, path: Path<'_>) -> Result<Vec<DirEntry>, Error> {
        let mut entries = self.0.read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        entries.retain(|entry| !matches!(entry.file_name().as_ref(), b"." | b".."));
        entries.sort_by(|one, other| one.file_name().as_ref().cmp(other.file_name().as_ref()));
        Ok(entries)
    }

    fn backwards(&self, path: Path<'_>) -> Result<Vec<DirEntry>, Error> {
        let mut entries = self.entries(path)?;
        entries.reverse();
        Ok(entries)
    }
}

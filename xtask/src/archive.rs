// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archive that the root task carries: client programs, and what an image is made to run if it is.
//!
//! A tar file (ustar) with one entry a program, sorted by name, then the items that QEMU would hand over, without times
//! and owners: the same programs make the same bytes. It is written only when its bytes change, so that the root task is not linked anew for nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Reason;
use crate::qemu::Item;

/// Why the archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// A program cannot be read.
    #[error("{} cannot be read ({cause}); build again", path.display())]
    Read { path: PathBuf, cause: io::Error },
    /// A program cannot be put into the archive.
    #[error("{name} does not fit into the archive ({cause}); use a shorter name")]
    Append { name: String, cause: io::Error },
    /// The archive cannot be written.
    #[error("{} cannot be written ({cause}); check the free space there", path.display())]
    Write { path: PathBuf, cause: io::Error },
}

impl Reason for ArchiveError {
    fn is_request(&self) -> bool {
        false
    }
}

/// Bytes that what an image carries takes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) programs: u64,
    pub(crate) items: u64,
}

/// Writes the archive of `programs`, given by name and file, and of `items`, unless it is there already.
pub(crate) fn write(programs: &[(String, PathBuf)], items: &[Item], archive: &Path) -> Result<Carried, ArchiveError> {
    let bytes = pack(programs, items)?;
    let all = bytes.len() as u64;
    write_if_changed(archive, &bytes)?;
    let items = if items.is_empty() { 0 } else { all - pack(programs, &[])?.len() as u64 };
    Ok(Carried { programs: all - items, items })
}

/// Writes a file unless it has these bytes already.
pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|cause| ArchiveError::Write { path: path.to_owned(), cause })
}

fn pack(programs: &[(String, PathBuf)], items: &[Item]) -> Result<Vec<u8>, ArchiveError> {
    let mut sorted: Vec<_> = programs.iter().collect();
    sorted.sort();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, path) in sorted {
        append(&mut builder, name, &read(path)?)?;
    }
    for item in items {
        match item {
            Item::Text { name, text } => append(&mut builder, name, text.as_bytes())?,
            Item::Bytes { name, bytes } => append(&mut builder, name, bytes)?,
            Item::File { name, path } => append(&mut builder, name, &read(path)?)?,
        }
    }
    builder.into_inner().map_err(|cause| ArchiveError::Append { name: "the end".to_owned(), cause })
}

fn read(path: &Path) -> Result<Vec<u8>, ArchiveError> {
    fs::read(path).map_err(|cause| ArchiveError::Read { path: path.to_owned(), cause })
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let appended = builder.append_data(&mut header, name, bytes);
    appended.map_err(|cause| ArchiveError::Append { name: name.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_order_of_programs_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            (name.to_owned(), path)
        };
        let (one, two) = (program("one"), program("two"));
        assert_eq!(pack(&[one.clone(), two.clone()], &[]).unwrap(), pack(&[two, one], &[]).unwrap());
    }

    #[test]
    fn programs_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "contents").unwrap();
        let item = Item::Bytes { name: "opt/sbm/system".to_owned(), bytes: vec![0, 1] };
        let bytes = pack(&[("hello".to_owned(), path)], &[item]).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("hello"), Path::new("opt/sbm/system")]);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let outcome = pack(&[("hello".to_owned(), PathBuf::from("/no/such/file"))], &[]);
        assert!(matches!(outcome, Err(ArchiveError::Read { .. })));
    }

    #[test]
    fn an_unchanged_archive_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/archive.tar");
        write_if_changed(&path, b"same").unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        write_if_changed(&path, b"same").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        write_if_changed(&path, b"other").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }
}

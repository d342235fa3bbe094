// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the archive
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sbm_loader::{Archive, ArchiveError};

/// A ustar archive of regular files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.extend([0; 1024]);
    out
}

#[test]
fn files_are_found_by_name_and_listed_in_order() {
    let bytes = archive(&[("hello", b"first"), ("bench", &[7; 600]), ("empty", b"")]);
    let archive = Archive::new(&bytes).unwrap();
    assert_eq!(archive.find("bench"), Some([7; 600].as_slice()));
    assert_eq!(archive.find("empty"), Some([].as_slice()));
    let names: Vec<_> = archive.files().map(|file| file.name().to_owned()).collect();
    assert_eq!(names, ["hello", "bench", "empty"]);
}

#[test]
fn a_name_that_is_not_there_is_not_found() {
    let bytes = archive(&[("hello", b"first")]);
    let archive = Archive::new(&bytes).unwrap();
    assert!(["", "hell", "hello ", "hello/"].into_iter().all(|name| archive.find(name).is_none()));
}

#[test]
fn an_archive_without_files_is_empty() {
    assert_eq!(Archive::new(&archive(&[])).map(|archive| archive.files().count()), Err(too_short()));
    assert_eq!(Archive::new(&[0; 1536]).unwrap().files().count(), 0);
}

fn too_short() -> ArchiveError {
    ArchiveError::TooShort { byte_count: 1024, block_count: 2 }
}

#[test]
fn a_damaged_archive_is_refused() {
    let mut bytes = archive(&[("hello", b"first")]);
    bytes[0] = b'j';
    assert_eq!(Archive::new(&bytes).map(drop), Err(ArchiveError::InvalidChecksum { block_index: 0 }));
    assert_eq!(Archive::new(&bytes[..513]).map(drop), Err(ArchiveError::InvalidBlockSize));
}

proptest! {
    #[test]
    fn changed_archives_never_panic(changes in prop::collection::vec((0usize..2048, any::<u8>()), 1..6)) {
        let mut bytes = archive(&[("hello", b"first"), ("bench", b"second")]);
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        // With a checksum that fits, so that the fields behind it are reached.
        for start in [0, 1024] {
            bytes[start + 148..start + 156].fill(b' ');
            let sum: u32 = bytes[start..start + 512].iter().map(|&byte| u32::from(byte)).sum();
            bytes[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        if let Ok(archive) = Archive::new(&bytes) {
            archive.files().for_each(|file| assert!(file.name().len() + file.data().len() <= bytes.len()));
        }
    }
}

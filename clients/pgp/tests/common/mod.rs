// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of the parser share: files, and making packets.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod packets;

use std::path::{Path, PathBuf};

pub use sbm_pgp::parse;
use sbm_pgp::{Key, Keyring, Part};

/// Returns the keys of a keyring, primary keys and subkeys.
pub fn keys(keyring: &Keyring) -> Vec<Key<'_>> {
    keyring.certificates().flat_map(|(primary, parts)| [primary].into_iter().chain(parts.subkeys())).collect()
}

/// Returns how much is in a keyring: keys, user ids and user attributes.
pub fn count(keyring: &Keyring) -> usize {
    keyring.certificates().map(|(_, parts): (Key<'_>, _)| 1 + parts.map(|_: Part<'_>| 1).sum::<usize>()).sum()
}

/// Returns the path of a file or folder among the test data.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Reads a file of the test data.
pub fn read(name: &str) -> Vec<u8> {
    std::fs::read(testdata(name)).unwrap_or_else(|error| panic!("testdata/{name}: {error}"))
}

/// Returns the files directly in a folder, sorted; an empty list if there is no such folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect())
        .unwrap_or_default();
    files.sort();
    files
}

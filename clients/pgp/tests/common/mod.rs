// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests of the parser share: parsing into owned values, and making packets.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod packets;

use std::path::{Path, PathBuf};

use sbm_pgp::records::capacity_bound;
use sbm_pgp::{Entry, Options, ParseError, Records, Role, parse_keyring, scratch_bound};

/// A primary key or subkey, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub tag: &'static str,
    pub version: u8,
    pub fingerprint: String,
    pub key_id: String,
    pub algorithm: u8,
    pub bits: u16,
    pub curve: Option<String>,
    pub created: u32,
    /// As it is printed.
    pub spec: String,
}

/// A certificate, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub primary: Key,
    pub user_ids: Vec<Vec<u8>>,
    pub user_attributes: Vec<u32>,
    pub subkeys: Vec<Key>,
}

impl Certificate {
    /// Yields the primary key and the subkeys.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.primary).chain(&self.subkeys)
    }
}

/// Parses a keyring into a buffer that is large enough for any input of its size.
pub fn parse_to_records(input: &[u8]) -> (Result<u32, ParseError>, Vec<u8>) {
    let mut scratch = vec![0; scratch_bound(input.len())];
    let mut output = vec![0xaa; capacity_bound(input.len())];
    let result = parse_keyring(input, &mut scratch, &mut output, Options::default());
    (result, output)
}

/// Parses a keyring through the records into owned values.
pub fn parse(input: &[u8]) -> Result<Vec<Certificate>, ParseError> {
    let (result, output) = parse_to_records(input);
    let used = result?;
    Ok(certificates(output.get(..used as usize).expect("used bytes are in the buffer")))
}

/// Reads records that must be sound.
pub fn certificates(output: &[u8]) -> Vec<Certificate> {
    let records = Records::new(output).expect("sound header");
    let mut certificates: Vec<Certificate> = vec![];
    for entry in records {
        match entry.expect("sound record") {
            Entry::Key(key) => {
                let owned = Key {
                    tag: match (key.role, key.secret) {
                        (Role::Primary, false) => "pub",
                        (Role::Primary, true) => "sec",
                        (Role::Subkey, false) => "sub",
                        (Role::Subkey, true) => "ssb",
                    },
                    version: key.version as u8,
                    fingerprint: key.fingerprint.to_string(),
                    key_id: key.key_id.to_string(),
                    algorithm: key.algorithm.0,
                    bits: key.bits,
                    curve: key.curve.name().map(Into::into),
                    created: key.created.0,
                    spec: key.to_string(),
                };
                match key.role {
                    Role::Primary => certificates.push(Certificate {
                        primary: owned,
                        user_ids: vec![],
                        user_attributes: vec![],
                        subkeys: vec![],
                    }),
                    Role::Subkey => certificates.last_mut().unwrap().subkeys.push(owned),
                }
            }
            Entry::UserId(user_id) => certificates.last_mut().unwrap().user_ids.push(user_id.bytes.into()),
            Entry::UserAttribute(attribute) => {
                certificates.last_mut().unwrap().user_attributes.push(attribute.len);
            }
        }
    }
    certificates
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a sandbox may answer in place of a list of keys: each thing once right and once wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::packets::*;
use common::{count, parse};
use sbm_coding::{Memory, Unreadable, decode};
use sbm_pgp::{Keyring, listing};
use serde_bytes::Bytes;

/// Bytes of an entry, and where its parts stand.
const ENTRY: usize = 48;
const ROLE: usize = 0;
const SECRET: usize = 1;
const VERSION: usize = 2;
const LEN: usize = 4;

/// A key whose curve has an OID of 9 bytes, a user id of 6 bytes, and a user attribute.
fn sample() -> Keyring {
    parse(&join(&[&ed25519_key(PUBLIC_KEY), &packet(USER_ID, b"Ottoka"), &packet(USER_ATTRIBUTE, b"12345")])).unwrap()
}

/// Writes the sample as a sandbox would, and reads it with something else in an entry.
fn with(entry: usize, at: usize, byte: u8) -> Result<Keyring, Unreadable> {
    let mut bytes = postcard::to_allocvec(&sample()).unwrap();
    // In front of the entries stands their length, in two bytes.
    bytes[2 + entry * ENTRY + at] = byte;
    decode(&bytes, 1 << 16, Memory::ENOUGH)
}

fn text(keyring: &Keyring) -> String {
    let mut text = String::new();
    listing::write_text(&mut text, keyring).unwrap();
    text
}

#[test]
fn a_list_comes_back_as_it_was() {
    let bytes = postcard::to_allocvec(&sample()).unwrap();
    assert_eq!(bytes[..2], [0x90, 0x01], "three entries");
    let keyring: Keyring = decode(&bytes, 1 << 16, Memory::ENOUGH).unwrap();
    assert_eq!(keyring, sample());
    assert!(keyring.is_sound());
    assert_eq!(count(&keyring), 3);
    assert!(text(&keyring).ends_with("\nuid   Ottoka\nuat   5 bytes\n"));
}

#[test]
fn what_is_no_entry_is_not_sound() {
    for (at, possible) in [(SECRET, 0), (SECRET, 1)] {
        assert!(with(0, at, possible).unwrap().is_sound());
    }
    assert!(!with(0, SECRET, 2).unwrap().is_sound());
    assert!(with(2, ROLE, 3).unwrap().is_sound());
    for role in [4, 255] {
        let keyring = with(2, ROLE, role).unwrap();
        assert!(!keyring.is_sound());
        assert_eq!(count(&keyring), 3, "and listed as something, if anyone does");
    }
}

#[test]
fn entries_that_are_not_whole_do_not_decode() {
    let zeros = |len| postcard::to_allocvec(&(Bytes::new(&vec![0; len]), Bytes::new(b""), 0_u32)).unwrap();
    for len in [0, ENTRY, 2 * ENTRY] {
        assert_eq!(
            decode::<Keyring>(&zeros(len), 1 << 16, Memory::ENOUGH).map(|keyring| count(&keyring)),
            Ok(len / ENTRY)
        );
    }
    for len in [1, ENTRY - 1, ENTRY + 1] {
        assert_eq!(decode::<Keyring>(&zeros(len), 1 << 16, Memory::ENOUGH), Err(Unreadable::Malformed));
    }
}

#[test]
fn a_list_that_does_not_begin_with_a_primary_key_is_not_sound() {
    for role in [1, 2, 3] {
        let keyring = with(0, ROLE, role).unwrap();
        assert!(!keyring.is_sound());
        assert_eq!((count(&keyring), text(&keyring).as_str()), (0, ""));
    }
    let empty = Keyring::default();
    assert!(!empty.is_sound());
    assert_eq!(text(&empty), "");
}

#[test]
fn text_that_is_not_there_is_not_read() {
    for len in [5, 7, 255] {
        let keyring = with(1, LEN, len).unwrap();
        assert!(!keyring.is_sound());
        assert_eq!(count(&keyring), 3);
        assert_eq!(text(&keyring).contains("uid   Ottok\n"), len == 5);
    }
    // The sum of all lengths is more than 32 bits.
    let keyring = with(1, LEN + 3, 255).unwrap();
    assert!(!keyring.is_sound());
    assert!(text(&keyring).contains("uid   \nuat   5 bytes\n"));
}

#[test]
fn numbers_may_be_any() {
    for version in 0..=255 {
        let keyring = with(0, VERSION, version).unwrap();
        assert!(keyring.is_sound(), "what a number says is not looked at");
        assert!(text(&keyring).starts_with(&format!("pub   v{version} eddsa/ed25519 2026-01-01 ")));
    }
}

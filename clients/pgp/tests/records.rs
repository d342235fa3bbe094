// SPDX-License-Identifier: MIT OR Apache-2.0
//! The layout of records as it is documented, and what the reader refuses: each field once right and once wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::packets::*;
use common::parse_to_records;
use sbm_pgp::records::HEADER_LEN;
use sbm_pgp::{Corrupt, Entry, ParseError, Reason, Records};

/// Where the records of [`sample`] start.
const KEY: usize = HEADER_LEN;
const USER_ID_RECORD: usize = KEY + 64 + 12;
const ATTRIBUTE: usize = USER_ID_RECORD + 16 + 8;
const END: usize = ATTRIBUTE + 16;

/// Records of a key with an OID of 9 bytes, a user id of 6 bytes and a user attribute of 5 bytes.
fn sample() -> Vec<u8> {
    let key = ed25519_key(PUBLIC_KEY);
    let input = join(&[&key, &packet(USER_ID, b"Ottoka"), &packet(USER_ATTRIBUTE, b"12345")]);
    let (result, mut output) = parse_to_records(&input);
    assert_eq!(result, Ok(END as u32));
    output.truncate(END);
    output
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap())
}

/// Reads all records; the first error if there is one.
fn read(bytes: &[u8]) -> Result<usize, Corrupt> {
    Records::new(bytes)?.iter().try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// Reads the sample with other bytes at a place.
fn read_with(at: usize, bytes: &[u8]) -> Result<usize, Corrupt> {
    let mut sample = sample();
    sample[at..at + bytes.len()].copy_from_slice(bytes);
    read(&sample)
}

#[test]
fn layout_is_as_documented() {
    let sample = sample();
    let key_len = ed25519_key(PUBLIC_KEY).len() as u32;
    assert_eq!(sample[..4], *b"SBPK");
    let header: Vec<u32> = (4..HEADER_LEN).step_by(4).map(|at| le32(&sample, at)).collect();
    assert_eq!(header, [END as u32, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0]);

    let key = &sample[KEY..USER_ID_RECORD];
    assert_eq!(key[..4], [1, 1, 0, 4], "kind, role, no secret, version");
    assert_eq!([le32(key, 4), le32(key, 8), le32(key, 12)], [76, CREATED, 0], "size, time, offset");
    assert_eq!(key[16..18], [22, 7], "EdDSA on Ed25519");
    assert_eq!(key[18..24], [255, 0, 9, 0, 0, 0], "bits, length of the OID");
    assert_eq!(key[24..32], key[44..52], "key id at the end of the fingerprint");
    assert_eq!(key[52..64], [0; 12], "a version 4 fingerprint has 20 bytes");
    assert_eq!(key[64..76], *[ED25519, &[0; 3]].concat());

    let user_id = &sample[USER_ID_RECORD..ATTRIBUTE];
    assert_eq!(user_id[..4], [2, 0, 0, 0]);
    assert_eq!([le32(user_id, 4), le32(user_id, 8), le32(user_id, 12)], [24, key_len, 6]);
    assert_eq!(user_id[16..], *b"Ottoka\0\0");

    let attribute = &sample[ATTRIBUTE..];
    assert_eq!(attribute[..4], [3, 0, 0, 0]);
    assert_eq!([le32(attribute, 4), le32(attribute, 8), le32(attribute, 12)], [16, key_len + 8, 5]);
}

#[test]
fn sound_records_are_read() {
    assert_eq!(read(&sample()), Ok(3));
    let behind = [sample(), vec![0xff; 100]].concat();
    assert_eq!(read(&behind), Ok(3), "what lies behind the used part does not matter");
    // Another algorithm, size, time or text is nothing that the reader could know better.
    for (at, byte) in [(KEY + 8, 1), (KEY + 12, 1), (KEY + 16, 99), (KEY + 18, 1), (KEY + 30, 1), (KEY + 64, 0)] {
        assert_eq!(read_with(at, &[byte]), Ok(3), "{at}");
    }
    assert_eq!(read_with(USER_ID_RECORD + 16, &[0xff, 0x00, b'\n']), Ok(3));
    assert_eq!(read_with(ATTRIBUTE + 12, &[0xff; 4]), Ok(3));
}

#[test]
fn corrupt_headers_are_refused() {
    let sample = sample();
    for len in 0..HEADER_LEN {
        assert_eq!(read(&sample[..len]), Err(Corrupt::TooShort { len }));
    }
    assert_eq!(read_with(0, b"X"), Err(Corrupt::Magic));
    for claimed in [0, HEADER_LEN as u32 - 1, END as u32 + 1, u32::MAX] {
        assert_eq!(read_with(4, &claimed.to_le_bytes()), Err(Corrupt::Used { claimed }));
    }
    for status in [1_u64, 22 << 32, u64::MAX] {
        assert_eq!(read_with(8, &status.to_le_bytes()), Err(Corrupt::Status));
    }
    assert_eq!(read_with(44, &[1]), Err(Corrupt::Status));
}

#[test]
fn corrupt_keys_are_refused() {
    let field = Err(Corrupt::Field { offset: KEY });
    for (at, bad) in [(1, 0), (1, 3), (2, 2), (3, 1), (3, 5), (3, 7), (17, 12), (17, 254), (21, 1), (23, 1)] {
        assert_eq!(read_with(KEY + at, &[bad]), field, "{at}");
    }
    assert_eq!(read_with(KEY + 63, &[1]), field, "behind a version 4 fingerprint");
    assert_eq!(read_with(KEY + 3, &[3]), field, "a fingerprint too long for version 3");
    assert_eq!(read_with(KEY + 20, &[200]), Err(Corrupt::Cut { offset: KEY }));
    assert_eq!(read_with(KEY + 20, &[8]), Err(Corrupt::Size { offset: KEY, claimed: 76 }));
    assert_eq!(read_with(KEY, &[0]), Err(Corrupt::Kind { offset: KEY, claimed: 0 }));
    assert_eq!(read_with(KEY, &[4]), Err(Corrupt::Kind { offset: KEY, claimed: 4 }));
    assert_eq!(read_with(KEY + 1, &[2]), Err(Corrupt::Order { offset: KEY }), "a subkey without a primary key");
    assert_eq!(read_with(KEY, &sample()[USER_ID_RECORD..ATTRIBUTE]), Err(Corrupt::Order { offset: KEY }));
}

#[test]
fn corrupt_sizes_are_refused() {
    for claimed in [0, 7, 8, 63, 72, 80, 1000, u32::MAX] {
        let error = read_with(KEY + 4, &claimed.to_le_bytes()).unwrap_err();
        let expected = [Corrupt::Size { offset: KEY, claimed }, Corrupt::Cut { offset: KEY }];
        assert!(expected.contains(&error), "{claimed}: {error:?}");
    }
    for (at, claimed) in [(USER_ID_RECORD, 16), (USER_ID_RECORD, 28), (ATTRIBUTE, 12), (ATTRIBUTE, 20)] {
        let error = read_with(at + 4, &u32::to_le_bytes(claimed)).unwrap_err();
        let expected = [Corrupt::Size { offset: at, claimed }, Corrupt::Cut { offset: at }];
        assert!(expected.contains(&error), "{claimed}: {error:?}");
    }
    for len in [9_u32, 1000, u32::MAX] {
        let cut = Err(Corrupt::Cut { offset: USER_ID_RECORD });
        assert_eq!(read_with(USER_ID_RECORD + 12, &len.to_le_bytes()), cut);
    }
    let size = Err(Corrupt::Size { offset: USER_ID_RECORD, claimed: 24 });
    assert_eq!(read_with(USER_ID_RECORD + 12, &[4]), size, "shorter text than the record has room for");
    assert_eq!(read_with(USER_ID_RECORD + 1, &[1]), Err(Corrupt::Field { offset: USER_ID_RECORD }));
    assert_eq!(read_with(ATTRIBUTE + 3, &[1]), Err(Corrupt::Field { offset: ATTRIBUTE }));
    let mut cut = sample();
    cut.truncate(END - 12);
    cut[4..8].copy_from_slice(&(END as u32 - 12).to_le_bytes());
    assert_eq!(read(&cut), Err(Corrupt::Cut { offset: ATTRIBUTE }));
}

#[test]
fn nothing_comes_after_a_corrupt_record() {
    let mut sample = sample();
    sample[USER_ID_RECORD] = 9;
    let mut entries = Records::new(&sample).unwrap().iter();
    assert!(matches!(entries.next(), Some(Ok(Entry::Key(_)))));
    assert!(matches!(entries.next(), Some(Err(Corrupt::Kind { .. }))));
    assert!(entries.next().is_none());
    assert!(entries.next().is_none());
}

#[test]
fn status_tells_the_error() {
    let mut sample = sample();
    let error = ParseError::Refused { reason: Reason::Truncated, offset: 77 };
    sample[8..16].copy_from_slice(&error.to_raw().to_le_bytes());
    assert_eq!(Records::new(&sample).unwrap().status(), Err(error));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes at all: the parser and what lists its answer never panic and always end.
//!
//! Three kinds of input: arbitrary bytes, keyrings of the test data with damage, and sequences of packets that are
//! mostly well-formed. What stands for the parser's answer may be any bytes too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::packets::*;
use common::{count, files, parse, testdata};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sbm_coding::{Memory, decode};
use sbm_pgp::{Keyring, ParseError, listing};

/// Parses any input and checks all that must hold.
fn check(input: &[u8]) {
    let Ok(keyring) = parse(input) else { return };
    assert!(keyring.is_sound());
    assert!(count(&keyring) <= input.len() / 2, "a packet has two bytes at least");
    list(&keyring);
    let bytes = postcard::to_allocvec(&keyring).unwrap();
    assert!(bytes.len() <= 25 * input.len(), "a packet of 2 bytes becomes an entry of 48");
    assert_eq!(decode::<Keyring>(&bytes, usize::MAX, Memory::ENOUGH).unwrap(), keyring);
}

/// Lists keys that may say anything.
fn list(keyring: &Keyring) {
    let mut text = String::new();
    listing::write_text(&mut text, keyring).unwrap();
    assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), count(keyring), "no text breaks its line");
    let mut json = String::new();
    listing::write_json(&mut json, None, keyring).unwrap();
    assert_eq!(json.lines().count(), keyring.certificates().count());
    assert!(!text.contains('\x1b') && !json.contains('\x1b'));
}

/// Reads what a sandbox may have answered, as its caller does.
fn list_answer(bytes: &[u8]) {
    if let Ok(Ok(keyring)) = decode::<Result<Keyring, ParseError>>(bytes, 1 << 16, Memory::ENOUGH) {
        assert!(count(&keyring) * 48 <= bytes.len());
        list(&keyring);
    }
}

/// One piece of damage.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Cut(Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        6 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (any::<Index>(), 1..8_u8).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn apply(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        if bytes.is_empty() {
            return bytes;
        }
        let len = bytes.len();
        match damage {
            Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
            Damage::Insert(at, more) => {
                let at = at.index(len);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = at.index(len);
                bytes.drain(at..(at + usize::from(*count)).min(len));
            }
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(len), to.index(len));
                bytes.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
    bytes
}

fn keyrings() -> Vec<Vec<u8>> {
    let malformed = files(&testdata("malformed"));
    let all = files(&testdata("")).into_iter().chain(malformed);
    all.map(|path| std::fs::read(path).unwrap()).filter(|bytes| bytes.len() < 20_000).collect()
}

fn key_body() -> impl Strategy<Value = Vec<u8>> {
    let material = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        Just(point(ED25519, 33)),
        Just(point_with_kdf(NISTP256, 65)),
        Just(octets(32, 1)),
        Just(octets(57, 1)),
        Just(join(&[&mpi(&octets(128, 1)), &mpi(&[3])])),
    ];
    let algorithm = select(&[1, 3, 16, 17, 18, 19, 22, 25, 26, 27, 28, 99][..]);
    (select(&[2, 3, 4, 4, 4, 6, 6, 5][..]), algorithm, material).prop_map(
        |(version, algorithm, material)| match version {
            2 | 3 => v3_body_with(version, algorithm, &material),
            6 => v6_body(algorithm, &material),
            _ => join(&[&[version], &v4_body(algorithm, &material)[1..]]),
        },
    )
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (select(&[PUBLIC_KEY, PUBLIC_SUBKEY, SECRET_KEY, SECRET_SUBKEY][..]), key_body())
            .prop_map(|(tag, body)| packet(tag, &body)),
        2 => Just(ed25519_key(PUBLIC_KEY)),
        3 => text.clone().prop_map(|text| packet(USER_ID, &text)),
        2 => (select(&[SIGNATURE, MARKER, TRUST, PADDING, USER_ATTRIBUTE, 60][..]), text.clone())
            .prop_map(|(tag, body)| packet(tag, &body)),
        1 => (0..16_u8, 0..4_u8, text.clone()).prop_map(|(tag, kind, body)| legacy_packet(tag, kind, &body)),
        1 => (0..64_u8, any::<u32>(), text).prop_map(|(tag, claimed, body)| packet_claiming(tag, claimed, &body)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn arbitrary_bytes_are_survived(input in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&input);
    }

    #[test]
    fn arbitrary_text_with_armor_is_survived(
        before in "[ -~\r\n=+-]{0,60}",
        kind in select(&["PUBLIC KEY BLOCK", "PRIVATE KEY BLOCK", "MESSAGE"][..]),
        inner in "[A-Za-z0-9+/=\r\n: -]{0,200}",
        after in "[ -~\r\n=+-]{0,60}",
    ) {
        check(format!("{before}\n-----BEGIN PGP {kind}-----\n{inner}\n-----END PGP {kind}-----\n{after}").as_bytes());
    }

    #[test]
    fn damaged_keyrings_are_survived(
        keyring in select(keyrings()),
        damage in prop::collection::vec(damage(), 0..6),
    ) {
        check(&apply(keyring, &damage));
    }

    #[test]
    fn sequences_of_packets_are_survived(packets in prop::collection::vec(any_packet(), 0..12)) {
        check(&packets.concat());
        check(&[ed25519_key(PUBLIC_KEY), packets.concat()].concat());
    }

    #[test]
    fn arbitrary_answers_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        list_answer(&bytes);
        // A list of entries, whose first bytes are mostly possible ones.
        let mut entries = bytes[..bytes.len() / 48 * 48].to_vec();
        entries.chunks_mut(48).for_each(|entry| (entry[0], entry[1]) = (entry[0] % 5, entry[1] % 2));
        let answer = (0_u8, entries.len(), entries, bytes.len(), &bytes, 0_u8);
        list_answer(&postcard::to_allocvec(&answer).unwrap());
    }

    #[test]
    fn damaged_answers_are_survived(
        keyring in select(keyrings()),
        damage in prop::collection::vec(damage(), 1..6),
    ) {
        list_answer(&apply(postcard::to_allocvec(&parse(&keyring)).unwrap(), &damage));
    }

    #[test]
    fn armor_gives_back_what_was_put_in(
        data in prop::collection::vec(any::<u8>(), 0..180),
        width in 1..100_usize,
        blank in select(&["\n", "\r\n", " \t\n", "\n\n"][..]),
    ) {
        let binary = join(&[&ed25519_key(PUBLIC_KEY), &packet(USER_ID, &data)]);
        let base64 = base64(&binary);
        let lines: Vec<_> = base64.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let text = format!(
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\nComment: x\n{blank}{}{blank}-----END PGP PUBLIC KEY BLOCK-----",
            lines.join(blank)
        );
        let keyring = parse(text.as_bytes()).unwrap();
        let (_, parts) = keyring.certificates().next().unwrap();
        prop_assert_eq!(parts.user_ids().collect::<Vec<_>>(), [&data[..]]);
        prop_assert_eq!(keyring, parse(&binary).unwrap());
    }
}

/// Encodes with padding (RFC 4648, 4).
fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for three in data.chunks(3) {
        let mut group = [0; 4];
        group[1..=three.len()].copy_from_slice(three);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS[(u32::from_be_bytes(group) >> shift & 63) as usize];
            base64.push(if at <= three.len() { digit.into() } else { '=' });
        }
    }
    base64
}

/// Inputs that would take hours if the work grew with the square of their size.
#[test]
fn large_inputs_take_linear_time() {
    const SIZE: usize = 2 << 20;
    let repeat = |piece: &[u8]| piece.repeat(SIZE / piece.len());
    let start = Instant::now();
    for input in [
        repeat(&packet(MARKER, b"")),
        [ed25519_key(PUBLIC_KEY), repeat(&packet(USER_ID, b""))].concat(),
        repeat(&packet(PUBLIC_KEY, &v4_body(99, b""))),
        repeat(&packet(PUBLIC_KEY, &v4_body(99, &[0; 60_000]))),
        repeat(b"-----BEGIN PGP \n"),
        repeat(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n"),
        [&b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"[..], &repeat(b"A:\n")].concat(),
        [&b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"[..], &repeat(b"A")].concat(),
        [&b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"[..], &repeat(b"\n")].concat(),
        repeat(b"-"),
        repeat(&[0xc3]),
    ] {
        // How it ends does not matter here.
        let _ = parse(&input);
    }
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

/// As small as a thread can have it: a sandbox's stack has 16 KiB, and some of it is used by the thread itself.
#[test]
fn parser_gets_along_with_a_small_stack() {
    for input in keyrings() {
        let thread = std::thread::Builder::new().stack_size(16 * 1024);
        let parser = thread.spawn(move || parse(&input).is_ok());
        parser.unwrap().join().unwrap();
    }
}

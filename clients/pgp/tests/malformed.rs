// SPDX-License-Identifier: MIT OR Apache-2.0
//! The corpus of malformed keyrings in `testdata/malformed`, one case to a file, each with its error.
//!
//! The files are made here; with `SBM_PGP_BLESS=1` in the environment they are written instead of compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::packets::*;
use common::{files, parse, read, testdata};
use sbm_pgp::{ParseError, Reason};

struct Case {
    name: &'static str,
    contents: Vec<u8>,
    reason: Reason,
    offset: usize,
}

fn case(name: &'static str, reason: Reason, offset: usize, contents: Vec<u8>) -> Case {
    Case { name, contents, reason, offset }
}

/// Makes a case with one key packet that is wrong in itself.
fn bad_key(name: &'static str, reason: Reason, body: &[u8]) -> Case {
    case(name, reason, 0, packet(PUBLIC_KEY, body))
}

/// Makes a case with a sound key and something wrong behind it.
fn after_key(name: &'static str, reason: Reason, behind: &[u8]) -> Case {
    let key = ed25519_key(PUBLIC_KEY);
    case(name, reason, key.len(), join(&[&key, behind]))
}

fn armored(inner: &str) -> Vec<u8> {
    format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n{inner}-----END PGP PUBLIC KEY BLOCK-----\n").into_bytes()
}

fn packets() -> Vec<Case> {
    let key = ed25519_key(PUBLIC_KEY);
    let body = v4_body(22, &point(ED25519, 33));
    vec![
        case("empty.pgp", Reason::NoKeys, 0, vec![]),
        case("only-a-marker.pgp", Reason::NoKeys, 5, packet(MARKER, b"PGP")),
        case("no-openpgp.txt", Reason::NotOpenPgp, 0, b"Dear reader,\n\nno key here.\n".to_vec()),
        after_key("no-packet.pgp", Reason::NotAPacket, b"text"),
        after_key("header-without-length.pgp", Reason::Truncated, &[0xcd]),
        after_key("two-octet-length-cut.pgp", Reason::Truncated, &[0xcd, 200]),
        after_key("five-octet-length-cut.pgp", Reason::Truncated, &[0xcd, 255, 0, 0]),
        after_key("legacy-length-cut.pgp", Reason::Truncated, &[0xb6, 0, 0]),
        after_key("body-cut.pgp", Reason::Truncated, &[0xcd, 5, b'A', b'n', b'n', b'a']),
        after_key("length-of-4-gib.pgp", Reason::Truncated, &packet_claiming(USER_ID, u32::MAX, b"Anna")),
        after_key("partial-length-user-id.pgp", Reason::PartialLength, &[0xcd, 0xe1, b'a', b'b', 0]),
        case("partial-length-key.pgp", Reason::PartialLength, 0, join(&[&[0xc6, 0xe9], &octets(512, 1), &[0]])),
        after_key("partial-length-private.pgp", Reason::PartialLength, &[0xff, 0xe0, 0, 0]),
        case("indeterminate-length-key.pgp", Reason::IndeterminateLength, 0, legacy_packet(PUBLIC_KEY, 3, &body)),
        after_key("indeterminate-length-user-id.pgp", Reason::IndeterminateLength, &[0xb7, b'A']),
        after_key("type-0.pgp", Reason::UnknownCriticalPacket, &packet(0, b"")),
        after_key("type-22-critical.pgp", Reason::UnknownCriticalPacket, &packet(22, b"?")),
        after_key("type-39-critical.pgp", Reason::UnknownCriticalPacket, &packet(39, b"?")),
        after_key("literal-data.pgp", Reason::UnexpectedPacket, &packet(11, b"b\0\0\0\0\0hello")),
        after_key("literal-data-partial.pgp", Reason::UnexpectedPacket, &join(&[&[0xcb, 0xe9], &octets(513, 2)])),
        after_key("compressed-data.pgp", Reason::UnexpectedPacket, &legacy_packet(8, 3, &[1, 2, 3])),
        after_key("one-pass-signature.pgp", Reason::UnexpectedPacket, &packet(4, &octets(13, 3))),
        case("signature-first.pgp", Reason::MissingPrimaryKey, 0, packet(SIGNATURE, &octets(70, 4))),
        case("user-id-first.pgp", Reason::MissingPrimaryKey, 0, join(&[&packet(USER_ID, b"Anna"), &key])),
        case("attribute-first.pgp", Reason::MissingPrimaryKey, 0, join(&[&packet(USER_ATTRIBUTE, b"1"), &key])),
        case("subkey-first.pgp", Reason::MissingPrimaryKey, 0, ed25519_key(PUBLIC_SUBKEY)),
    ]
}

fn keys() -> Vec<Case> {
    let point = point(ED25519, 33);
    let v6 = packet(PUBLIC_KEY, &v6_body(27, &octets(32, 5)));
    let v3 = packet(PUBLIC_KEY, &v3_body(3, &octets(64, 6), &[17]));
    let v4_subkey = ed25519_key(PUBLIC_SUBKEY);
    let rsa = join(&[&mpi(&octets(64, 7)), &mpi(&[1, 0, 1])]);
    vec![
        bad_key("key-empty.pgp", Reason::MalformedKey, &[]),
        bad_key("key-version-1.pgp", Reason::KeyVersion, &[1, 0, 0, 0, 0, 1]),
        bad_key("key-version-5.pgp", Reason::KeyVersion, &join(&[&[5], &v6_body(22, &point)[1..]])),
        bad_key("key-version-255.pgp", Reason::KeyVersion, &[255; 20]),
        bad_key("key-time-cut.pgp", Reason::MalformedKey, &[4, 0, 0, 0]),
        bad_key("key-without-algorithm.pgp", Reason::MalformedKey, &[4, 0, 0, 0, 0]),
        bad_key("v3-validity-cut.pgp", Reason::MalformedKey, &[3, 0, 0, 0, 0, 0]),
        bad_key("v3-dsa.pgp", Reason::Algorithm, &v3_body_with(3, 17, &rsa)),
        bad_key("v3-number-left-over.pgp", Reason::MalformedKey, &v3_body_with(3, 1, &join(&[&rsa, &mpi(&[1])]))),
        bad_key("v4-number-cut.pgp", Reason::MalformedKey, &v4_body(1, &rsa[..rsa.len() - 1])),
        bad_key("v4-number-of-65535-bits.pgp", Reason::MalformedKey, &v4_body(1, &mpi_claiming(65535, &[1; 40]))),
        bad_key("v4-number-missing.pgp", Reason::MalformedKey, &v4_body(17, &rsa)),
        bad_key("v4-left-over.pgp", Reason::MalformedKey, &v4_body(1, &join(&[&rsa, &[0]]))),
        bad_key("v4-oid-empty.pgp", Reason::MalformedKey, &v4_body(19, &join(&[&[0], &mpi(&octets(33, 1))]))),
        bad_key("v4-oid-255.pgp", Reason::MalformedKey, &v4_body(19, &join(&[&[255], &[1; 255], &mpi(&[1])]))),
        bad_key("v4-oid-cut.pgp", Reason::MalformedKey, &v4_body(22, &[9, 0x2b, 6, 1])),
        bad_key("v4-ecdh-without-kdf.pgp", Reason::MalformedKey, &v4_body(18, &point)),
        bad_key("v4-ecdh-kdf-empty.pgp", Reason::MalformedKey, &v4_body(18, &join(&[&point, &[0]]))),
        bad_key("v4-ecdh-kdf-cut.pgp", Reason::MalformedKey, &v4_body(18, &join(&[&point, &[3, 1, 8]]))),
        bad_key("v4-ed25519-short.pgp", Reason::MalformedKey, &v4_body(27, &octets(31, 1))),
        bad_key("v4-ed25519-long.pgp", Reason::MalformedKey, &v4_body(27, &octets(33, 1))),
        bad_key("v4-too-large.pgp", Reason::KeyTooLarge, &v4_body(99, &[0; 65530])),
        bad_key("v6-count-too-large.pgp", Reason::MalformedKey, &v6_body_claiming(27, 33, &octets(32, 1))),
        bad_key("v6-count-too-small.pgp", Reason::MalformedKey, &v6_body_claiming(27, 31, &octets(32, 1))),
        bad_key("v6-count-of-4-gib.pgp", Reason::MalformedKey, &v6_body_claiming(27, u32::MAX, &octets(32, 1))),
        bad_key("v6-count-with-left-over.pgp", Reason::MalformedKey, &v6_body(27, &octets(33, 1))),
        bad_key("v6-count-cut.pgp", Reason::MalformedKey, &v6_body(27, &[])[..8]),
        bad_key(
            "v6-number-with-leading-zeros.pgp",
            Reason::MalformedNumber,
            &v6_body(1, &join(&[&mpi_claiming(1024, &[&[0], &octets(127, 1)[..]].concat()), &mpi(&[3])])),
        ),
        bad_key("v6-ed25519-by-oid.pgp", Reason::LegacyCurve, &v6_body(22, &point)),
        bad_key("v6-curve25519-by-oid.pgp", Reason::LegacyCurve, &v6_body(18, &point_with_kdf(CURVE25519, 33))),
        case("v6-with-v4-subkey.pgp", Reason::SubkeyVersion, v6.len(), join(&[&v6, &v4_subkey])),
        case("v3-with-v4-subkey.pgp", Reason::SubkeyVersion, v3.len(), join(&[&v3, &v4_subkey])),
        case(
            "v3-with-v3-subkey.pgp",
            Reason::SubkeyVersion,
            v3.len(),
            join(&[&v3, &packet(PUBLIC_SUBKEY, &v3_body(3, &octets(64, 8), &[17]))]),
        ),
        after_key("v4-with-v6-subkey.pgp", Reason::SubkeyVersion, &packet(PUBLIC_SUBKEY, &v6_body(25, &octets(32, 9)))),
        case("secret-without-secret.pgp", Reason::MalformedKey, 0, ed25519_key(SECRET_KEY)),
        case("secret-unknown-algorithm.pgp", Reason::Algorithm, 0, packet(SECRET_KEY, &v4_body(99, &[1, 2, 3]))),
    ]
}

fn armor() -> Vec<Case> {
    let begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n";
    let before = "text before\n";
    vec![
        case("armor-of-a-message.asc", Reason::ArmorKind, 0, b"-----BEGIN PGP MESSAGE-----\n\nYQ==\n".to_vec()),
        case(
            "armor-of-a-signature.asc",
            Reason::ArmorKind,
            before.len(),
            format!("{before}-----BEGIN PGP SIGNATURE-----\n\nYQ==\n-----END PGP SIGNATURE-----\n").into_bytes(),
        ),
        case("armor-without-empty-line.asc", Reason::ArmorHeader, begin.len(), armored("mDMEaVW5gBYJ\n")),
        case("armor-without-end.asc", Reason::ArmorTail, 0, format!("{begin}\nmDME\n").into_bytes()),
        case("armor-cut-in-header.asc", Reason::ArmorTail, 0, format!("{begin}Version: 1\n").into_bytes()),
        case("armor-with-other-end.asc", Reason::ArmorTail, begin.len() + 1, {
            format!("{begin}\n-----END PGP PRIVATE KEY BLOCK-----\n").into_bytes()
        }),
        case("armor-in-armor.asc", Reason::ArmorTail, begin.len() + 1, format!("{begin}\n{begin}\n").into_bytes()),
        case("armor-with-star.asc", Reason::ArmorData, begin.len() + 1, armored("\nmDME*\n")),
        case("armor-padding-inside.asc", Reason::ArmorData, begin.len() + 1, armored("\nmD==mDME\n")),
        case("armor-padding-missing.asc", Reason::ArmorData, begin.len() + 8, armored("\nmDMEaV\n")),
        case("armor-data-behind-checksum.asc", Reason::ArmorData, begin.len() + 7, armored("\n=twTO\nmDME\n")),
        case("armor-empty.asc", Reason::NoKeys, 0, armored("\n=twTO\n")),
        case("armor-of-a-cut-packet.asc", Reason::Truncated, 0, armored("\nmDME\n")),
    ]
}

/// Returns all cases.
fn corpus() -> Vec<Case> {
    let keybox = case("keybox.kbx", Reason::Keybox, 0, read("malformed/keybox.kbx"));
    packets().into_iter().chain(keys()).chain(armor()).chain([keybox]).collect()
}

#[test]
fn corpus_is_as_made_here() {
    let bless = std::env::var_os("SBM_PGP_BLESS").is_some();
    let mut names = vec![];
    for Case { name, contents, .. } in corpus() {
        let path = testdata("malformed").join(name);
        if bless {
            std::fs::write(&path, &contents).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        assert!(found == contents, "{} is not what it should be; SBM_PGP_BLESS=1 writes it anew", path.display());
        names.push(path);
    }
    names.sort();
    assert_eq!(names, files(&testdata("malformed")), "no other file is there");
}

#[test]
fn every_malformed_keyring_is_refused_with_its_reason() {
    for Case { name, contents, reason, offset } in corpus() {
        let expected = ParseError { reason, offset: u32::try_from(offset).unwrap() };
        assert_eq!(parse(&contents), Err(expected), "{name}");
    }
}

#[test]
fn every_reason_has_a_case() {
    let reasons: Vec<Reason> = (0..).map_while(|number| postcard::from_bytes(&[number]).ok()).collect();
    assert_eq!(reasons.last(), Some(&Reason::InputTooLarge), "all are there");
    // An input that is too large is not kept as a file.
    for reason in reasons.into_iter().filter(|reason| *reason != Reason::InputTooLarge) {
        assert!(corpus().iter().any(|case| case.reason == reason), "{reason:?}");
    }
}

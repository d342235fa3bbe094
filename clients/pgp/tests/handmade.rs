// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keyrings made by hand, and the listings of keyrings: both stand in `testdata` and are compared with what is made here.
//!
//! With `SBM_PGP_BLESS=1` in the environment the files are written instead of compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::packets::*;
use common::{certificates, parse, parse_to_records, read, testdata};
use sbm_pgp::{ParseError, Reason, Records, listing};

/// Compares a file with what it should be, or writes it.
fn check_file(name: &str, contents: &[u8]) {
    if std::env::var_os("SBM_PGP_BLESS").is_some() {
        let path = testdata(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
    assert!(read(name) == contents, "testdata/{name} is not what it should be; SBM_PGP_BLESS=1 writes it anew");
}

/// Keys of versions 2 and 3.
fn v3() -> Vec<u8> {
    let modulus = octets(128, 3);
    join(&[
        &legacy_packet(PUBLIC_KEY, 1, &v3_body(3, &modulus, &[17])),
        &legacy_packet(USER_ID, 0, b"Thea Three <thea@example.org>"),
        &legacy_packet(SIGNATURE, 1, &octets(140, 1)),
        &legacy_packet(PUBLIC_KEY, 1, &v3_body(2, &octets(96, 2), &[1, 0, 1])),
        &legacy_packet(USER_ID, 0, b"Theo Two <theo@example.org>"),
    ])
}

/// Every way to frame a packet, and every packet that is to be ignored.
fn framing() -> Vec<u8> {
    let key = v4_body(22, &point(ED25519, 33));
    let long = [b"Lotte Long ".repeat(18), b"<lotte@example.org>".to_vec()].concat();
    join(&[
        &packet(MARKER, b"PGP"),
        &packet(PADDING, &octets(300, 4)),
        &legacy_packet(PUBLIC_KEY, 0, &key),
        &legacy_packet(TRUST, 0, &[0, 3]),
        &legacy_packet(USER_ID, 1, b"Frida Frame <frida@example.org>"),
        &legacy_packet(SIGNATURE, 2, &octets(80, 5)),
        &legacy_packet(PUBLIC_SUBKEY, 2, &key),
        &packet(PUBLIC_KEY, &key),
        &packet(USER_ID, &long),
        &packet(40, b"non-critical"),
        &packet(63, b"private"),
        &packet(USER_ATTRIBUTE, &octets(9000, 6)),
        &packet(SIGNATURE, &[]),
        &packet_claiming(PUBLIC_SUBKEY, key.len() as u32, &key),
        &packet(USER_ID, b"behind the subkey <frieda@example.org>"),
        &packet(MARKER, b"PGP"),
    ])
}

/// Keys with unusual contents: native curves, version 6, unknown algorithms and curves, odd user ids.
fn unusual() -> Vec<u8> {
    let rsa = join(&[&mpi(&octets(256, 8)), &mpi(&[1, 0, 1])]);
    join(&[
        &packet(PUBLIC_KEY, &v4_body(27, &octets(32, 9))),
        &packet(USER_ID, b""),
        &packet(PUBLIC_SUBKEY, &v4_body(25, &octets(32, 10))),
        &packet(PUBLIC_SUBKEY, &v4_body(99, b"an algorithm of the future")),
        &packet(PUBLIC_SUBKEY, &v4_body(19, &point(&[0x2a, 0x03, 0x04], 65))),
        &packet(PUBLIC_SUBKEY, &v4_body(18, &point_with_kdf(&[0x2b, 0x81], 65))),
        // Numbers with leading zeros, which versions before 6 may have: 1,016 bits in 128 octets.
        &packet(
            PUBLIC_SUBKEY,
            &v4_body(1, &join(&[&mpi_claiming(1024, &[&[0][..], &octets(127, 11)].concat()), &mpi(&[3])])),
        ),
        &packet(PUBLIC_KEY, &v6_body(28, &octets(57, 12))),
        &packet(USER_ID, "Sixtine \u{201c}Six\u{201d} <sixtine@example.org>".as_bytes()),
        &packet(PUBLIC_SUBKEY, &v6_body(26, &octets(56, 13))),
        &packet(PUBLIC_SUBKEY, &v6_body(1, &rsa)),
        &packet(PUBLIC_SUBKEY, &v6_body(19, &point(NISTP256, 65))),
        &packet(PUBLIC_SUBKEY, &v6_body(110, b"private use")),
        &packet(SECRET_KEY, &[v6_body(110, b"private use").as_slice(), &[0], b"secret"].concat()),
        &packet(USER_ID, b"Latin-1: J\xfcrgen"),
        &packet(USER_ID, b"escape: \x1b[31mred\x1b[0m, \"quoted\" \\ line\nbreak"),
        &packet(USER_ID, "right to left: \u{202e}gro.elpmaxe".as_bytes()),
        &packet(SECRET_SUBKEY, &[v6_body(25, &octets(32, 14)).as_slice(), &[0], &octets(32, 15)].concat()),
    ])
}

/// A key whose user id claims to have 256 MiB: see `PlantedBug::Overrun`.
fn planted_bug() -> Vec<u8> {
    join(&[&ed25519_key(PUBLIC_KEY), &packet_claiming(USER_ID, 0x0fff_ffff, b"Mallory Overrun <mallory@example.org>")])
}

/// A key whose user id claims so many bytes that header and body have 2^32: see `PlantedBug::Loop`.
fn planted_loop() -> Vec<u8> {
    join(&[
        &ed25519_key(PUBLIC_KEY),
        &packet_claiming(USER_ID, 6_u32.wrapping_neg(), b"Mallory Again <mallory@example.org>"),
    ])
}

#[test]
fn handmade_keyrings_are_as_made_here() {
    check_file("v3.pgp", &v3());
    check_file("framing.pgp", &framing());
    check_file("unusual.pgp", &unusual());
    check_file("planted-bug.pgp", &planted_bug());
    check_file("planted-loop.pgp", &planted_loop());
}

#[test]
fn listings_are_as_before() {
    for name in [
        "demo.pgp",
        "v3.pgp",
        "framing.pgp",
        "unusual.pgp",
        "attribute.pgp",
        "secret.pgp",
        "trust-packets.pgp",
        "two-blocks.asc",
        "rfc9580-a1-v4.asc",
        "rfc9580-a3-v6.asc",
        "rfc9580-a4-v6-secret.asc",
        "rfc9580-a5-v6-locked.asc",
    ] {
        let (result, output) = parse_to_records(&read(name));
        result.unwrap();
        let records = Records::new(&output).unwrap();
        let mut text = String::new();
        listing::write_text(&mut text, &records).unwrap();
        check_file(&format!("listings/{name}.txt"), text.as_bytes());
        let mut json = String::new();
        listing::write_json(&mut json, &records).unwrap();
        check_file(&format!("listings/{name}.json"), json.as_bytes());
    }
}

#[test]
fn objects_name_the_file_whatever_its_name_is() {
    let (_, output) = parse_to_records(&read("ed25519-cv25519.pgp"));
    let records = Records::new(&output).unwrap();
    let (mut plain, mut named) = (String::new(), String::new());
    listing::write_json(&mut plain, &records).unwrap();
    listing::write_json_of_file(&mut named, "a \"b\"\n{", &records).unwrap();
    assert_eq!(named, plain.replacen('{', r#"{"file":"a \"b\"\u000a{","#, 1));
}

#[test]
fn vectors_of_the_rfc_have_their_fingerprints() {
    let v4 = parse(&read("rfc9580-a1-v4.asc")).unwrap();
    let key = &v4[0].primary;
    assert_eq!(key.fingerprint, "C959BDBAFA32A2F89A153B678CFDE12197965A9A");
    assert_eq!((key.key_id.as_str(), key.spec.as_str()), ("8CFDE12197965A9A", "eddsa/ed25519"));
    assert_eq!(key.created, 1_408_458_507, "2014-08-19 14:28:27");
    for (name, tags) in [
        ("rfc9580-a3-v6.asc", ["pub", "sub"]),
        ("rfc9580-a4-v6-secret.asc", ["sec", "ssb"]),
        ("rfc9580-a5-v6-locked.asc", ["sec", "ssb"]),
    ] {
        let v6 = parse(&read(name)).unwrap();
        let keys: Vec<_> = v6[0].keys().collect();
        assert_eq!([keys[0].tag, keys[1].tag], tags);
        assert_eq!(keys[0].fingerprint, "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9");
        assert_eq!(keys[1].fingerprint, "12C83F1E706F6308FE151A417743A1F033790E93E9978488D1DB378DA9930885");
        assert_eq!([&keys[0].key_id, &keys[1].key_id], ["CB186C4F0609A697", "12C83F1E706F6308"]);
        assert_eq!([&keys[0].spec, &keys[1].spec], ["ed25519", "x25519"]);
        assert_eq!(keys[0].created, 1_669_824_483, "2022-11-30 16:08:03");
    }
}

#[test]
fn v3_fingerprints_are_those_of_md5sum() {
    let v3 = parse(&v3()).unwrap();
    let keys: Vec<_> = v3.iter().map(|certificate| &certificate.primary).collect();
    // Octets of the modulus and of the exponent through `md5sum`; the key id is the end of the modulus.
    assert_eq!(keys[0].fingerprint, "1F2B243B69B20E0F0243966B8DF8EF04");
    assert_eq!(keys[1].fingerprint, "44AC5FE50F7B77852FF1E6AB28D468F2");
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    assert_eq!(keys[0].key_id, hex(&octets(128, 3)[120..]));
    assert_eq!(keys[1].key_id, hex(&octets(96, 2)[88..]));
    assert_eq!((keys[0].version, keys[0].spec.as_str()), (3, "rsa1024"));
    assert_eq!((keys[1].version, keys[1].spec.as_str()), (2, "rsa768"));
}

#[test]
fn parts_of_an_armored_file_do_not_run_into_each_other() {
    // The first block ends in the middle of a packet, which the second one must not complete.
    let text = |data: &[u8]| {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        assert_eq!(data.len() % 3, 0, "no padding here");
        let base64: Vec<u8> = data
            .chunks(3)
            .flat_map(|three| {
                let group = u32::from_be_bytes([0, three[0], three[1], three[2]]);
                [18, 12, 6, 0].map(|shift| DIGITS[(group >> shift & 63) as usize])
            })
            .collect();
        format!(
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
            String::from_utf8(base64).unwrap()
        )
    };
    let key = ed25519_key(PUBLIC_KEY);
    let whole = join(&[&key, &packet(USER_ID, b"abcdefgh")]);
    assert_eq!(whole.len() % 3, 0);
    assert_eq!(parse(text(&whole).as_bytes()).unwrap()[0].user_ids, [b"abcdefgh".to_vec()]);
    let (first, second) = whole.split_at(key.len() / 3 * 3 + 3);
    let result = parse([text(first), text(second)].concat().as_bytes());
    assert_eq!(result, Err(ParseError::Refused { reason: Reason::Truncated, offset: key.len() as u32 }));
}

#[test]
fn what_was_found_before_an_error_can_be_read() {
    let input = join(&[&ed25519_key(PUBLIC_KEY), &packet(USER_ID, b"Anna"), &[0]]);
    let (result, output) = parse_to_records(&input);
    assert_eq!(result, Err(ParseError::Refused { reason: Reason::NotAPacket, offset: input.len() as u32 - 1 }));
    assert_eq!(Records::new(&output).unwrap().status(), result.map(|_| ()));
    assert_eq!(certificates(&output)[0].user_ids, [b"Anna".to_vec()]);
}

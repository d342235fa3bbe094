// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keyrings made by hand, and the listings of keyrings: both stand in `testdata` and are compared with what is made here.
//!
//! With `SBM_PGP_BLESS=1` in the environment the files are written instead of compared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::packets::*;
use common::{keys, parse, read, testdata};
use sbm_pgp::{ParseError, Reason, listing};

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

/// A key whose user id claims to have 256 MiB: see `parse_and_overrun`.
fn planted_bug() -> Vec<u8> {
    join(&[&ed25519_key(PUBLIC_KEY), &packet_claiming(USER_ID, 0x0fff_ffff, b"Mallory Overrun <mallory@example.org>")])
}

/// A key whose user id claims so many bytes that header and body have 2^32: see `parse_and_loop`.
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
        let keyring = parse(&read(name)).unwrap();
        let mut text = String::new();
        listing::write_text(&mut text, &keyring).unwrap();
        check_file(&format!("listings/{name}.txt"), text.as_bytes());
        let mut json = String::new();
        listing::write_json(&mut json, None, &keyring).unwrap();
        check_file(&format!("listings/{name}.json"), json.as_bytes());
    }
}

#[test]
fn times_are_listed_as_utc() {
    for (created, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_722_429_296, "2024-07-31T12:34:56Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (u32::MAX, "2106-02-07T06:28:15Z"),
    ] {
        let mut body = v4_body(22, &point(ED25519, 33));
        body[1..5].copy_from_slice(&u32::to_be_bytes(created));
        let keyring = parse(&packet(PUBLIC_KEY, &body)).unwrap();
        let (mut lines, mut json) = (String::new(), String::new());
        listing::write_text(&mut lines, &keyring).unwrap();
        listing::write_json(&mut json, None, &keyring).unwrap();
        assert!(lines.starts_with(&format!("pub   v4 eddsa/ed25519 {} ", &text[..10])), "{lines}");
        assert!(json.contains(&format!("\"created\":\"{text}\",\"user_ids\"")), "{json}");
    }
}

#[test]
fn objects_name_the_file_whatever_its_name_is() {
    let keyring = parse(&read("ed25519-cv25519.pgp")).unwrap();
    let (mut plain, mut named) = (String::new(), String::new());
    listing::write_json(&mut plain, None, &keyring).unwrap();
    listing::write_json(&mut named, Some("a \"b\"\n{"), &keyring).unwrap();
    assert_eq!(named, plain.replacen('{', r#"{"file":"a \"b\"\u000a{","#, 1));
}

#[test]
fn vectors_of_the_rfc_have_their_fingerprints() {
    let v4 = parse(&read("rfc9580-a1-v4.asc")).unwrap();
    let key = keys(&v4)[0];
    assert_eq!(key.fingerprint().to_string(), "C959BDBAFA32A2F89A153B678CFDE12197965A9A");
    assert_eq!((key.key_id().to_string(), key.to_string()), ("8CFDE12197965A9A".into(), "eddsa/ed25519".into()));
    assert_eq!(key.entry.created, 1_408_458_507, "2014-08-19 14:28:27");
    for (name, secret) in
        [("rfc9580-a3-v6.asc", false), ("rfc9580-a4-v6-secret.asc", true), ("rfc9580-a5-v6-locked.asc", true)]
    {
        let v6 = parse(&read(name)).unwrap();
        let [primary, subkey] = keys(&v6)[..] else { panic!("{name} has two keys") };
        assert_eq!([primary.is_secret(), subkey.is_secret()], [secret; 2]);
        let fingerprints = [primary, subkey].map(|key| key.fingerprint().to_string());
        assert_eq!(fingerprints[0], "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9");
        assert_eq!(fingerprints[1], "12C83F1E706F6308FE151A417743A1F033790E93E9978488D1DB378DA9930885");
        assert_eq!([primary, subkey].map(|key| key.key_id().to_string()), ["CB186C4F0609A697", "12C83F1E706F6308"]);
        assert_eq!([primary, subkey].map(|key| key.to_string()), ["ed25519", "x25519"]);
        assert_eq!(primary.entry.created, 1_669_824_483, "2022-11-30 16:08:03");
    }
}

#[test]
fn v3_fingerprints_are_those_of_md5sum() {
    let v3 = parse(&v3()).unwrap();
    let keys = keys(&v3);
    // Octets of the modulus and of the exponent through `md5sum`; the key id is the end of the modulus.
    assert_eq!(keys[0].fingerprint().to_string(), "1F2B243B69B20E0F0243966B8DF8EF04");
    assert_eq!(keys[1].fingerprint().to_string(), "44AC5FE50F7B77852FF1E6AB28D468F2");
    assert_eq!(keys[0].key_id().0, &octets(128, 3)[120..]);
    assert_eq!(keys[1].key_id().0, &octets(96, 2)[88..]);
    assert_eq!((keys[0].entry.version, keys[0].to_string()), (3, "rsa1024".into()));
    assert_eq!((keys[1].entry.version, keys[1].to_string()), (2, "rsa768".into()));
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
    let keyring = parse(text(&whole).as_bytes()).unwrap();
    let (_, parts) = keyring.certificates().next().unwrap();
    assert_eq!(parts.user_ids().collect::<Vec<_>>(), [b"abcdefgh"]);
    let (first, second) = whole.split_at(key.len() / 3 * 3 + 3);
    let result = parse([text(first), text(second)].concat().as_bytes());
    assert_eq!(result, Err(ParseError { reason: Reason::Truncated, offset: key.len() as u32 }));
}

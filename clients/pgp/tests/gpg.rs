// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comparison with GnuPG, key for key. Without it (package `gpg`) the test fails: `cargo xtask test` installs it.
//!
//! Every keyring of the test data and of the system must read as `gpg --show-keys` reads it: the same certificates in
//! the same order, the same user ids, and every key with the same fingerprint, key id, algorithm, size, curve and time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{files, parse, testdata};
use sbm_pgp::{Part, Parts};

/// A primary key or subkey, in GnuPG's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    tag: &'static str,
    version: u8,
    fingerprint: String,
    key_id: String,
    algorithm: u8,
    bits: u32,
    curve: Option<String>,
    created: u32,
}

impl Key {
    fn of([public, secret]: [&'static str; 2], key: sbm_pgp::Key<'_>) -> Self {
        Self {
            tag: if key.is_secret() { secret } else { public },
            version: key.entry.version,
            fingerprint: key.fingerprint().to_string(),
            key_id: key.key_id().to_string(),
            algorithm: key.entry.algorithm.0,
            bits: key.entry.bits,
            curve: key.curve().map(|curve| curve.name.into()),
            created: key.entry.created,
        }
    }
}

/// A certificate, in GnuPG's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Certificate {
    primary: Key,
    user_ids: Vec<Vec<u8>>,
    user_attributes: Vec<u32>,
    subkeys: Vec<Key>,
}

impl Certificate {
    /// Takes what the parser found; GnuPG lists user ids in an order of its own.
    fn of((primary, parts): (sbm_pgp::Key<'_>, Parts<'_>)) -> Self {
        let mut user_ids: Vec<_> = parts.user_ids().map(<[u8]>::to_vec).collect();
        user_ids.sort();
        let attribute = |part| if let Part::UserAttribute(len) = part { Some(len) } else { None };
        Self {
            primary: Key::of(["pub", "sec"], primary),
            user_ids,
            subkeys: parts.subkeys().map(|key| Key::of(["sub", "ssb"], key)).collect(),
            user_attributes: parts.filter_map(attribute).collect(),
        }
    }
}

/// What GnuPG 2 does not read: versions 3 and 6, algorithms of RFC 9580, secret keys of that kind, and packets that it
/// skips where the parser is strict.
const NOT_FOR_GPG: [&str; 9] = [
    "framing.pgp",
    "planted-bug.pgp",
    "planted-loop.pgp",
    "v3.pgp",
    "unusual.pgp",
    "rfc9580-a1-v4.asc",
    "rfc9580-a3-v6.asc",
    "rfc9580-a4-v6-secret.asc",
    "rfc9580-a5-v6-locked.asc",
];

/// Lists a keyring with GnuPG; the error is why it refuses to.
fn show_keys(keyring: &Path, home: &Path) -> Result<Vec<Certificate>, String> {
    let output = Command::new("gpg")
        .args(["--batch", "--no-tty", "--quiet", "--no-options", "--no-auto-check-trustdb", "--homedir"])
        .arg(home)
        .args(["--show-keys", "--with-colons", "--with-fingerprint", "--with-fingerprint"])
        .arg(keyring)
        .output()
        .unwrap_or_else(|error| panic!("gpg (package gpg): {error}"));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = output.stdout;
    let mut certificates: Vec<Certificate> = vec![];
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let field = |index: usize| String::from_utf8(fields[index].to_vec()).unwrap();
        let key = |tag| Key {
            tag,
            version: 4,
            fingerprint: String::new(),
            key_id: field(4),
            algorithm: field(3).parse().unwrap(),
            bits: field(2).parse().unwrap(),
            curve: (!fields[16].is_empty()).then(|| field(16)),
            created: field(5).parse().unwrap(),
        };
        match &field(0)[..] {
            tag @ ("pub" | "sec") => certificates.push(Certificate {
                primary: key(if tag == "pub" { "pub" } else { "sec" }),
                user_ids: vec![],
                user_attributes: vec![],
                subkeys: vec![],
            }),
            tag @ ("sub" | "ssb") => {
                let key = key(if tag == "sub" { "sub" } else { "ssb" });
                certificates.last_mut().unwrap().subkeys.push(key);
            }
            "fpr" => {
                let certificate = certificates.last_mut().unwrap();
                let key = certificate.subkeys.last_mut().unwrap_or(&mut certificate.primary);
                key.fingerprint = field(9);
            }
            "uid" => certificates.last_mut().unwrap().user_ids.push(unescape(fields[9])),
            "uat" => {
                let size = field(9).split(' ').next_back().unwrap().parse().unwrap();
                certificates.last_mut().unwrap().user_attributes.push(size);
            }
            _ => {}
        }
    }
    certificates.iter_mut().for_each(|certificate| certificate.user_ids.sort());
    Ok(certificates)
}

/// Undoes the escapes of the colon format.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = vec![];
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        if let [b'\\', b'x', high, low, behind @ ..] = rest {
            plain.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
            rest = behind;
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    plain
}

#[test]
fn keyrings_read_as_gpg_reads_them() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpg-home");
    std::fs::create_dir_all(&home).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let ours: Vec<_> =
        files(&testdata("")).into_iter().filter(|path| !NOT_FOR_GPG.iter().any(|name| path.ends_with(name))).collect();
    assert!(ours.len() > 10, "the test data is there");
    let system = files(Path::new("/usr/share/keyrings"));
    for keyring in ours.iter().chain(&system) {
        let expected = match show_keys(keyring, &home) {
            Ok(expected) => expected,
            Err(why) if system.contains(keyring) => {
                println!("{}: not compared, gpg refuses it: {why}", keyring.display());
                continue;
            }
            Err(why) => panic!("gpg refuses {}: {why}", keyring.display()),
        };
        let input = std::fs::read(keyring).unwrap();
        let found = parse(&input).unwrap_or_else(|error| panic!("{}: {error}", keyring.display()));
        let found: Vec<_> = found.certificates().map(Certificate::of).collect();
        assert_ne!(found.len(), 0);
        assert_eq!(found, expected, "{}", keyring.display());
        println!("{}: {} certificates agree", keyring.display(), found.len());
    }
}

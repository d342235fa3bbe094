// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys as GnuPG lists them.
//!
//! The format is GnuPG's `doc/DETAILS`: one record a line, fields between colons, counted from 1 there and from 0 here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::listed::{Certificate, Key};

/// GnuPG with a home folder of its own.
pub(super) struct Gpg {
    home: PathBuf,
}

/// Why GnuPG lists nothing.
#[derive(Debug)]
pub(super) enum NoList {
    /// It says that this is no keyring.
    Refused(String),
    /// It cannot be asked, or its answer is not understood.
    Unreadable(String),
}

impl Gpg {
    /// Names its home folder, which is made when it is used.
    pub(super) fn new(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// Lists a keyring.
    pub(super) fn show_keys(&self, keyring: &Path) -> Result<Vec<Certificate>, NoList> {
        let unreadable = |error: std::io::Error| NoList::Unreadable(format!("gpg: {error}"));
        private_folder(&self.home).map_err(unreadable)?;
        let output = Command::new("gpg")
            .args(["--batch", "--no-tty", "--quiet", "--no-options", "--no-auto-check-trustdb", "--homedir"])
            .arg(&self.home)
            // Twice, for the fingerprints of subkeys as well.
            .args(["--show-keys", "--with-colons", "--with-fingerprint", "--with-fingerprint"])
            .arg(keyring)
            .stdin(Stdio::null())
            .output()
            .map_err(unreadable)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(NoList::Refused(text.lines().next_back().unwrap_or("without a word").to_owned()));
        }
        read(&output.stdout).map_err(|line| NoList::Unreadable(format!("gpg's line is not understood: {line}")))
    }
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Reads a list; the error is the line that is not understood.
fn read(text: &[u8]) -> Result<Vec<Certificate>, String> {
    let mut certificates = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        take(line, &mut certificates).ok_or_else(|| String::from_utf8_lossy(line).into_owned())?;
    }
    certificates.iter_mut().for_each(|certificate: &mut Certificate| certificate.user_ids.sort());
    Ok(certificates)
}

/// Takes one record.
fn take(line: &[u8], certificates: &mut Vec<Certificate>) -> Option<()> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let field = |index: usize| fields.get(index).and_then(|field| std::str::from_utf8(field).ok());
    match field(0)? {
        tag @ ("pub" | "sec") => {
            certificates.push(Certificate { primary: key(tag, &field)?, ..Certificate::default() });
        }
        tag @ ("sub" | "ssb") => certificates.last_mut()?.subkeys.push(key(tag, &field)?),
        "fpr" => {
            let certificate = certificates.last_mut()?;
            let key = certificate.subkeys.last_mut().unwrap_or(&mut certificate.primary);
            field(9)?.clone_into(&mut key.fingerprint);
        }
        "uid" => {
            let user_id = unescape(fields.get(9)?);
            certificates.last_mut()?.user_ids.push(String::from_utf8_lossy(&user_id).into_owned());
        }
        "uat" => certificates.last_mut()?.user_attributes += 1,
        // Key grips, trust, and what else there may be.
        _ => {}
    }
    Some(())
}

fn key<'a>(tag: &str, field: &impl Fn(usize) -> Option<&'a str>) -> Option<Key> {
    Some(Key {
        tag: tag.to_owned(),
        // Stands in the record that follows.
        fingerprint: String::new(),
        key_id: field(4)?.to_owned(),
        algorithm: field(3)?.parse().ok()?,
        bits: field(2)?.parse().ok()?,
        curve: field(16).filter(|curve| !curve.is_empty()).map(str::to_owned),
        created: field(5)?.parse().ok()?,
    })
}

/// Undoes the escapes in a field, such as `\x3a` for a colon.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let escaped = match rest {
            [b'\\', b'x', high, low, behind @ ..] => hexadecimal(*high, *low).map(|byte| (byte, behind)),
            _ => None,
        };
        let (byte, behind) = escaped.unwrap_or((*first, behind));
        plain.push(byte);
        rest = behind;
    }
    plain
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_is_read() {
        let text = b"pub:-:255:22:18718EAADDBDB57F:1772708400:::-:::scESC:::::ed25519:::0:\n\
            fpr:::::::::AB18718EAADDBDB57F:\n\
            uid:-::::1772708400::X::A\\x3a B::::::::::0:\n\
            sub:-:3072:1:29B785E4400AE38B:1772708401::::::e::::::23:\n\
            fpr:::::::::CD29B785E4400AE38B:\n";
        let [certificate] = read(text).unwrap().try_into().unwrap();
        assert_eq!(certificate.primary.fingerprint, "AB18718EAADDBDB57F");
        assert_eq!(certificate.primary.curve.as_deref(), Some("ed25519"));
        assert_eq!(certificate.user_ids, ["A: B"]);
        let [subkey] = certificate.subkeys.try_into().unwrap();
        assert_eq!((subkey.fingerprint.as_str(), subkey.bits, subkey.curve), ("CD29B785E4400AE38B", 3072, None));
    }

    #[test]
    fn a_line_that_is_not_understood_is_told() {
        assert_eq!(read(b"pub:-:many\n"), Err("pub:-:many".to_owned()));
        assert!(read(b"fpr:::::::::AB:\n").is_err());
    }

    #[test]
    fn only_whole_escapes_are_undone() {
        assert_eq!(unescape(b"a\\x3ab\\x3\\xzz\\"), b"a:b\\x3\\xzz\\");
    }
}

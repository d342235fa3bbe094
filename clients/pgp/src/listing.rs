// SPDX-License-Identifier: MIT OR Apache-2.0
//! Printing of records, as text for people and as JSON for programs.
//!
//! Both print what they could read and then say what was wrong, so that a corrupt or cut-off list is seen as one.

use core::fmt::{self, Write};

use crate::algorithm::Curve;
use crate::key::{Key, Role};
use crate::records::{Corrupt, Entry, Records};
use crate::text::Json;

/// Error of [`write_text`] and [`write_json`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The records are corrupt.
    Corrupt(Corrupt),
    /// The text could not be written.
    Write,
}

impl From<Corrupt> for ListError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<fmt::Error> for ListError {
    fn from(_: fmt::Error) -> Self {
        Self::Write
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(corrupt) => corrupt.fmt(f),
            Self::Write => f.write_str("the list could not be written"),
        }
    }
}

impl core::error::Error for ListError {}

/// Writes one line for each record: `pub` and `sub` for keys (`sec` and `ssb` with the secret key), `uid` for user ids,
/// `uat` for user attributes, and an empty line between certificates.
///
/// ```text
/// pub   v4 ed25519 2026-05-20 3F0A...
/// uid   Alice Example <alice@example.org>
/// sub   v4 ecdh/cv25519 2026-05-20 77C1...
/// ```
///
/// # Errors
/// [`ListError`] if the records are corrupt or `out` fails; what was sound before is written.
pub fn write_text(out: &mut impl Write, records: &Records<'_>) -> Result<(), ListError> {
    let mut first = true;
    for entry in records.iter() {
        match entry? {
            Entry::Key(key) => {
                if key.role == Role::Primary && !first {
                    writeln!(out)?;
                }
                let Key { version, created, fingerprint, .. } = key;
                writeln!(out, "{}   v{} {key} {} {fingerprint}", tag(&key), version as u8, created.date())?;
            }
            Entry::UserId(user_id) => writeln!(out, "uid   {}", user_id.text())?,
            Entry::UserAttribute(attribute) => writeln!(out, "uat   {} bytes", attribute.len)?,
        }
        first = false;
    }
    Ok(())
}

/// Writes one line of JSON for each primary key, its user ids and subkeys in it.
///
/// An object has the members `type` (`pub`, `sec`), `version`, `fingerprint`, `key_id`, `algorithm`, `algorithm_id`,
/// `bits` and `curve` (null if not known or none), `created` (UTC), `user_ids`, `user_attributes` (their number) and
/// `subkeys`, which are objects with the same members up to `created`.
///
/// # Errors
/// [`ListError`] if the records are corrupt or `out` fails; no object is written whose records are not all sound.
pub fn write_json(out: &mut impl Write, records: &Records<'_>) -> Result<(), ListError> {
    write_objects(out, None, records)
}

/// As [`write_json`], with `file` as the first member of each object: the name of the file that the keys are from.
///
/// # Errors
/// As [`write_json`].
pub fn write_json_of_file(out: &mut impl Write, file: &str, records: &Records<'_>) -> Result<(), ListError> {
    write_objects(out, Some(file), records)
}

fn write_objects(out: &mut impl Write, file: Option<&str>, records: &Records<'_>) -> Result<(), ListError> {
    let mut entries = records.iter();
    let mut next = entries.next().transpose()?;
    while let Some(entry) = next {
        let Entry::Key(primary @ Key { role: Role::Primary, .. }) = entry else {
            // The iterator yields nothing before the first primary key, and the loop below ends at the next one.
            return Err(ListError::Corrupt(Corrupt::Order { offset: crate::records::HEADER_LEN }));
        };
        let certificate = entries.clone();
        let mut len = 0;
        loop {
            next = entries.next().transpose()?;
            match next {
                None | Some(Entry::Key(Key { role: Role::Primary, .. })) => break,
                Some(_) => len += 1,
            }
        }
        out.write_char('{')?;
        if let Some(file) = file {
            write!(out, "\"file\":{},", Json::new(file.as_bytes()))?;
        }
        write_certificate(out, &primary, || certificate.clone().take(len).flatten())?;
    }
    Ok(())
}

/// Writes the members of an object, and its end.
fn write_certificate<'a, I: Iterator<Item = Entry<'a>>>(
    out: &mut impl Write,
    primary: &Key<'_>,
    entries: impl Fn() -> I,
) -> fmt::Result {
    write_key(out, primary)?;
    out.write_str(",\"user_ids\":[")?;
    let mut comma = "";
    for entry in entries() {
        if let Entry::UserId(user_id) = entry {
            write!(out, "{comma}{}", user_id.json())?;
            comma = ",";
        }
    }
    let attributes = entries().filter(|entry| matches!(entry, Entry::UserAttribute(_))).count();
    write!(out, "],\"user_attributes\":{attributes},\"subkeys\":[")?;
    let mut comma = "";
    for entry in entries() {
        if let Entry::Key(key) = entry {
            write!(out, "{comma}{{")?;
            write_key(out, &key)?;
            out.write_char('}')?;
            comma = ",";
        }
    }
    out.write_str("]}\n")
}

fn write_key(out: &mut impl Write, key: &Key<'_>) -> fmt::Result {
    let Key { version, fingerprint, key_id, algorithm, created, .. } = key;
    write!(out, "\"type\":\"{}\",\"version\":{},\"fingerprint\":\"{fingerprint}\"", tag(key), *version as u8)?;
    write!(out, ",\"key_id\":\"{key_id}\",\"algorithm\":")?;
    match algorithm.name() {
        Some(name) => write!(out, "\"{name}\"")?,
        None => out.write_str("null")?,
    }
    write!(out, ",\"algorithm_id\":{},\"bits\":", algorithm.0)?;
    match key.bits {
        0 => out.write_str("null")?,
        bits => write!(out, "{bits}")?,
    }
    out.write_str(",\"curve\":")?;
    match (key.curve.name(), key.curve) {
        (Some(name), _) => write!(out, "\"{name}\"")?,
        (None, Curve::Other) => write!(out, "\"{}\"", key.oid)?,
        (None, _) => out.write_str("null")?,
    }
    write!(out, ",\"created\":\"{created}\"")
}

/// Returns the tag that GnuPG gives such a key.
const fn tag(key: &Key<'_>) -> &'static str {
    match (key.role, key.secret) {
        (Role::Primary, false) => "pub",
        (Role::Primary, true) => "sec",
        (Role::Subkey, false) => "sub",
        (Role::Subkey, true) => "ssb",
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Printing of keyrings, as text for people and as JSON for programs.

use core::fmt::{self, Write};

use time::OffsetDateTime;

use crate::keyring::{Key, Keyring, Part, Parts};
use crate::text::{Json, Text};

/// Writes a line for each key, `pub` and `sub`, or `sec` and `ssb` with the secret key; for each user id, `uid`; and for
/// each user attribute, `uat`; and an empty line between certificates.
///
/// ```text
/// pub   v4 ed25519 2026-05-20 3F0A...
/// uid   Alice Example <alice@example.org>
/// sub   v4 ecdh/cv25519 2026-05-20 77C1...
/// ```
///
/// # Errors
/// Whatever `out` returns.
pub fn write_text(out: &mut impl Write, keyring: &Keyring) -> fmt::Result {
    for (number, (primary, parts)) in keyring.certificates().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        write_line(out, "pub", "sec", primary)?;
        for part in parts {
            match part {
                Part::Key(key) => write_line(out, "sub", "ssb", key)?,
                Part::UserId(user_id) => writeln!(out, "uid   {}", Text(user_id))?,
                Part::UserAttribute(len) => writeln!(out, "uat   {len} bytes")?,
            }
        }
    }
    Ok(())
}

fn write_line(out: &mut impl Write, public: &str, secret: &str, key: Key<'_>) -> fmt::Result {
    let tag = if key.is_secret() { secret } else { public };
    let (version, date) = (key.entry.version, utc(key.entry.created).date());
    writeln!(out, "{tag}   v{version} {key} {date} {}", key.fingerprint())
}

/// Writes one line of JSON for each primary key, its user ids and subkeys in it.
///
/// An object has the members `file`, if that is given, `type` (`pub`, `sec`), `version`, `fingerprint`, `key_id`,
/// `algorithm`, `algorithm_id`, `bits` and `curve` (null if not known or none), `created` (UTC), `user_ids`,
/// `user_attributes` (their number) and `subkeys`, which are objects with the same members up to `created`.
///
/// # Errors
/// Whatever `out` returns.
pub fn write_json(out: &mut impl Write, file: Option<&str>, keyring: &Keyring) -> fmt::Result {
    keyring.certificates().try_for_each(|(primary, parts)| write_certificate(out, file, primary, &parts))
}

fn write_certificate(out: &mut impl Write, file: Option<&str>, primary: Key<'_>, parts: &Parts<'_>) -> fmt::Result {
    out.write_char('{')?;
    if let Some(file) = file {
        write!(out, "\"file\":{},", Json(file.as_bytes()))?;
    }
    write_key(out, "pub", "sec", primary)?;
    out.write_str(",\"user_ids\":[")?;
    for (number, user_id) in parts.user_ids().enumerate() {
        write!(out, "{}{}", if number > 0 { "," } else { "" }, Json(user_id))?;
    }
    let attributes = parts.clone().filter(|part| matches!(part, Part::UserAttribute(_))).count();
    write!(out, "],\"user_attributes\":{attributes},\"subkeys\":[")?;
    for (number, key) in parts.subkeys().enumerate() {
        out.write_str(if number > 0 { ",{" } else { "{" })?;
        write_key(out, "sub", "ssb", key)?;
        out.write_char('}')?;
    }
    out.write_str("]}\n")
}

fn write_key(out: &mut impl Write, public: &str, secret: &str, key: Key<'_>) -> fmt::Result {
    let tag = if key.is_secret() { secret } else { public };
    let (version, fingerprint) = (key.entry.version, key.fingerprint());
    write!(out, "\"type\":\"{tag}\",\"version\":{version},\"fingerprint\":\"{fingerprint}\"")?;
    write!(out, ",\"key_id\":\"{}\",\"algorithm\":", key.key_id())?;
    match key.entry.algorithm.name() {
        Some(name) => write!(out, "\"{name}\"")?,
        None => out.write_str("null")?,
    }
    write!(out, ",\"algorithm_id\":{},\"bits\":", key.entry.algorithm.0)?;
    match key.entry.bits {
        0 => out.write_str("null")?,
        bits => write!(out, "{bits}")?,
    }
    out.write_str(",\"curve\":")?;
    match key.curve() {
        Some(curve) => write!(out, "\"{}\"", curve.name)?,
        None if key.oid.0.is_empty() => out.write_str("null")?,
        None => write!(out, "\"{}\"", key.oid)?,
    }
    let created = utc(key.entry.created);
    let (hour, minute, second) = created.to_hms();
    write!(out, ",\"created\":\"{}T{hour:02}:{minute:02}:{second:02}Z\"", created.date())
}

/// Returns the time that is so many seconds behind the beginning of 1970.
fn utc(seconds: u32) -> OffsetDateTime {
    // 32 bits reach to the year 2106.
    OffsetDateTime::from_unix_timestamp(seconds.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

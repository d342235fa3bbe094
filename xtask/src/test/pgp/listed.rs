// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys as both sides list them, in terms that can be compared.

use serde_json::Value;

/// A primary key or subkey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// GnuPG's tag: `pub`, `sub`, `sec` or `ssb`.
    pub(super) tag: String,
    pub(super) fingerprint: String,
    pub(super) key_id: String,
    /// Number of the algorithm.
    pub(super) algorithm: u64,
    /// Bits; 0 if not known.
    pub(super) bits: u64,
    pub(super) curve: Option<String>,
    /// Seconds since 1970.
    pub(super) created: i64,
}

/// A primary key and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) primary: Key,
    /// Sorted: GnuPG lists them in an order of its own.
    pub(super) user_ids: Vec<String>,
    /// Number of user attributes.
    pub(super) user_attributes: u64,
    pub(super) subkeys: Vec<Key>,
}

/// Reads the client's objects.
///
/// # Errors
/// The member that is missing or of another kind.
pub(super) fn certificates(objects: &[Value]) -> Result<Vec<Certificate>, String> {
    objects.iter().map(certificate).collect()
}

fn certificate(object: &Value) -> Result<Certificate, String> {
    let list = |name: &str| object[name].as_array().ok_or_else(|| format!("`{name}` is no list in {object}"));
    let mut user_ids: Vec<_> =
        list("user_ids")?.iter().map(|user_id| user_id.as_str().unwrap_or_default().to_owned()).collect();
    user_ids.sort();
    Ok(Certificate {
        primary: key(object)?,
        user_ids,
        user_attributes: number(object, "user_attributes")?,
        subkeys: list("subkeys")?.iter().map(key).collect::<Result<_, _>>()?,
    })
}

fn key(object: &Value) -> Result<Key, String> {
    let text =
        |name: &str| object[name].as_str().map(str::to_owned).ok_or_else(|| format!("`{name}` is no text in {object}"));
    Ok(Key {
        tag: text("type")?,
        fingerprint: text("fingerprint")?,
        key_id: text("key_id")?,
        algorithm: number(object, "algorithm_id")?,
        bits: if object["bits"].is_null() { 0 } else { number(object, "bits")? },
        curve: object["curve"].as_str().map(str::to_owned),
        created: seconds(&text("created")?).ok_or_else(|| format!("`created` is no time in {object}"))?,
    })
}

fn number(object: &Value, name: &str) -> Result<u64, String> {
    object[name].as_u64().ok_or_else(|| format!("`{name}` is no number in {object}"))
}

/// Reads a time such as `2024-07-31T12:34:56Z` as seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(time, ':')?;
    let leap_years = |year: i64| year / 4 - year / 100 + year / 400;
    let is_leap = leap_years(year) > leap_years(year - 1);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (months, _) = lengths.split_at(usize::try_from(month - 1).ok().filter(|before| *before < lengths.len())?);
    let days_before = |year: i64| 365 * (year - 1) + leap_years(year - 1);
    let days = days_before(year) - days_before(1970) + months.iter().sum::<i64>() + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn three(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Vec<_> = text.split(separator).map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn known_times_are_read() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T00:00:00Z"), Some(951_782_400));
        assert_eq!(seconds("2024-07-31T12:34:56Z"), Some(1_722_429_296));
        assert_eq!(seconds("2100-03-01T00:00:00Z"), Some(4_107_542_400));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in ["", "2024-07-31", "2024-07-31T12:34Z", "2024-13-31T12:34:56Z", "x-07-31T12:34:56Z"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_missing_member_is_named() {
        let error = certificates(&[serde_json::json!({ "type": "pub", "user_ids": [], "subkeys": [] })]).unwrap_err();
        assert!(error.contains("fingerprint"), "{error}");
    }
}

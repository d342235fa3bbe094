// SPDX-License-Identifier: MIT OR Apache-2.0
//! The side of the caller: reading records that may be anything.

use super::{Corrupt, HEADER_LEN, KEY_LEN, KIND_KEY, KIND_USER_ATTRIBUTE, KIND_USER_ID, MAGIC, USER_ID_LEN, padded};
use crate::algorithm::{Algorithm, Curve, Oid};
use crate::cursor::Cursor;
use crate::error::ParseError;
use crate::fingerprint::{Fingerprint, KeyId};
use crate::key::{Key, KeyVersion, Role};
use crate::parser::{Summary, UserAttribute, UserId};
use crate::time::Timestamp;

/// A buffer of records, read as untrusted data.
///
/// The bytes must hold still while they are read: copy them first if their writer may still run.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    records: &'a [u8],
    status: Result<(), ParseError>,
    summary: Summary,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A primary key, with which a new certificate begins, or a subkey.
    Key(Key<'a>),
    /// A user id of the last primary key.
    UserId(UserId<'a>),
    /// A user attribute of the last primary key.
    UserAttribute(UserAttribute),
}

impl<'a> Records<'a> {
    /// Checks the header; the records are checked one by one as they are reached.
    ///
    /// # Errors
    /// [`Corrupt`] if there is no sound header at the start of `buffer`.
    pub fn new(buffer: &'a [u8]) -> Result<Self, Corrupt> {
        let (header, _) = buffer.split_first_chunk::<HEADER_LEN>().ok_or(Corrupt::TooShort { len: buffer.len() })?;
        let mut cursor = Cursor::new(header);
        if cursor.array() != Some(&MAGIC) {
            return Err(Corrupt::Magic);
        }
        let used = cursor.le32().unwrap_or(0);
        let records = buffer.get(HEADER_LEN..used as usize).ok_or(Corrupt::Used { claimed: used })?;
        let status = match cursor.le64().ok_or(Corrupt::Status)? {
            0 => Ok(()),
            raw => Err(ParseError::from_raw(raw).ok_or(Corrupt::Status)?),
        };
        let summary = read_summary(&mut cursor).ok_or(Corrupt::Status)?;
        if cursor.rest().iter().any(|byte| *byte != 0) {
            return Err(Corrupt::Status);
        }
        Ok(Self { records, status, summary })
    }

    /// Returns how the parse ended, as the writer claims.
    ///
    /// # Errors
    /// The error with which it ended. The records up to there can be read nevertheless.
    pub const fn status(&self) -> Result<(), ParseError> {
        self.status
    }

    /// Returns the numbers in the header. They are claims: nothing ties them to the records.
    pub const fn claimed_summary(&self) -> Summary {
        self.summary
    }

    /// Returns an iterator over the records. After the first [`Corrupt`] it ends.
    pub const fn iter(&self) -> Entries<'a> {
        Entries { rest: Some(self.records), offset: HEADER_LEN, in_certificate: false }
    }
}

impl<'a> IntoIterator for Records<'a> {
    type Item = Result<Entry<'a>, Corrupt>;
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

/// Iterator over records; the first one that it yields is a primary key.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    /// `None` after a corrupt record.
    rest: Option<&'a [u8]>,
    offset: usize,
    /// True once there was a primary key.
    in_certificate: bool,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take().filter(|rest| !rest.is_empty())?;
        Some(read_record(rest, self.offset).and_then(|(entry, rest, size)| {
            self.in_certificate |= matches!(entry, Entry::Key(Key { role: Role::Primary, .. }));
            if !self.in_certificate {
                return Err(Corrupt::Order { offset: self.offset });
            }
            self.rest = Some(rest);
            self.offset = self.offset.saturating_add(size);
            Ok(entry)
        }))
    }
}

fn read_summary(cursor: &mut Cursor<'_>) -> Option<Summary> {
    Some(Summary {
        primary_keys: cursor.le32()?,
        subkeys: cursor.le32()?,
        user_ids: cursor.le32()?,
        user_attributes: cursor.le32()?,
        signatures: cursor.le32()?,
        ignored: cursor.le32()?,
        checksum_mismatches: cursor.le32()?,
    })
}

/// Reads the record at the front of `bytes`, which is at `offset` in the buffer; returns the rest and the record's size.
fn read_record(bytes: &[u8], offset: usize) -> Result<(Entry<'_>, &[u8], usize), Corrupt> {
    let cut = Corrupt::Cut { offset };
    let mut cursor = Cursor::new(bytes);
    let head = cursor.array::<4>().ok_or(cut)?;
    let claimed = cursor.le32().ok_or(cut)?;
    let size = claimed as usize;
    let record = bytes.get(..size).ok_or(Corrupt::Size { offset, claimed })?;
    let rest = bytes.get(size..).ok_or(Corrupt::Size { offset, claimed })?;
    let mut fields = Cursor::new(record);
    fields.take(8).ok_or(Corrupt::Size { offset, claimed })?;
    let (entry, expected) = match *head {
        [KIND_KEY, role, secret, version] => {
            let (key, size) = read_key(&mut fields, [role, secret, version]).map_err(|bad| bad.at(offset))?;
            (Entry::Key(key), size)
        }
        [kind @ (KIND_USER_ID | KIND_USER_ATTRIBUTE), 0, 0, 0] => {
            let packet_offset = fields.le32().ok_or(cut)?;
            let len = fields.le32().ok_or(cut)?;
            if kind == KIND_USER_ATTRIBUTE {
                (Entry::UserAttribute(UserAttribute { len, offset: packet_offset }), Some(USER_ID_LEN))
            } else {
                let bytes = fields.take(len as usize).ok_or(cut)?;
                let size = USER_ID_LEN.checked_add(bytes.len()).and_then(padded);
                (Entry::UserId(UserId { bytes, offset: packet_offset }), size)
            }
        }
        [KIND_USER_ID | KIND_USER_ATTRIBUTE, ..] => return Err(Corrupt::Field { offset }),
        [claimed, ..] => return Err(Corrupt::Kind { offset, claimed }),
    };
    if expected != Some(size) {
        return Err(Corrupt::Size { offset, claimed });
    }
    Ok((entry, rest, size))
}

/// Why a key's record is corrupt, before its place is known.
enum Bad {
    Cut,
    Field,
}

impl Bad {
    const fn at(self, offset: usize) -> Corrupt {
        match self {
            Self::Cut => Corrupt::Cut { offset },
            Self::Field => Corrupt::Field { offset },
        }
    }
}

/// Reads a key's record from its creation time on; returns the size that the record should have.
fn read_key<'a>(fields: &mut Cursor<'a>, [role, secret, version]: [u8; 3]) -> Result<(Key<'a>, Option<usize>), Bad> {
    let created = Timestamp(fields.le32().ok_or(Bad::Cut)?);
    let offset = fields.le32().ok_or(Bad::Cut)?;
    let algorithm = Algorithm(fields.u8().ok_or(Bad::Cut)?);
    let curve = fields.u8().ok_or(Bad::Cut)?;
    let bits = fields.le16().ok_or(Bad::Cut)?;
    let [oid_len, reserved @ ..] = fields.array::<4>().ok_or(Bad::Cut)?;
    let key_id = KeyId(*fields.array().ok_or(Bad::Cut)?);
    let fingerprint = fields.array::<32>().ok_or(Bad::Cut)?;
    let oid = Oid(fields.take(usize::from(*oid_len)).ok_or(Bad::Cut)?);
    let version = KeyVersion::from_raw(version).ok_or(Bad::Field)?;
    let secret = match secret {
        0 => false,
        1 => true,
        _ => return Err(Bad::Field),
    };
    if reserved != &[0; 3] {
        return Err(Bad::Field);
    }
    let key = Key {
        role: Role::from_raw(role).ok_or(Bad::Field)?,
        secret,
        version,
        created,
        algorithm,
        bits,
        curve: Curve::from_raw(curve).ok_or(Bad::Field)?,
        oid,
        fingerprint: read_fingerprint(version, fingerprint).ok_or(Bad::Field)?,
        key_id,
        offset,
    };
    Ok((key, KEY_LEN.checked_add(oid.0.len()).and_then(padded)))
}

/// Takes as many bytes as the version's fingerprint has; behind them must be zeros.
fn read_fingerprint(version: KeyVersion, bytes: &[u8; 32]) -> Option<Fingerprint> {
    let mut cursor = Cursor::new(bytes);
    let fingerprint = match version {
        KeyVersion::V2 | KeyVersion::V3 => Fingerprint::Md5(*cursor.array()?),
        KeyVersion::V4 => Fingerprint::Sha1(*cursor.array()?),
        KeyVersion::V6 => Fingerprint::Sha256(*cursor.array()?),
    };
    cursor.rest().iter().all(|byte| *byte == 0).then_some(fingerprint)
}

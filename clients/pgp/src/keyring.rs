// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a keyring holds.
//!
//! [`Keyring`] is plain data and the text to it, each in one piece: on its way out of a sandbox a list of any length is
//! copied twice and takes no more memory than bytes. [`Keyring::certificates`] puts it together again.

use alloc::vec::Vec;
use core::fmt;

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

use crate::algorithm::{Algorithm, Curve, Oid, Public};

/// What a keyring holds. One that a sandbox made may say anything: see [`is_sound`](Self::is_sound).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    #[serde(with = "plain")]
    pub(crate) entries: Vec<Entry>,
    #[serde(with = "serde_bytes")]
    text: Vec<u8>,
    /// Armored blocks whose checksum is wrong, which is no reason to refuse them (RFC 9580, 6.1).
    pub checksum_mismatches: u32,
}

/// A key, a user id or a user attribute, without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Entry {
    pub(crate) role: Role,
    /// 1 if the packet holds the secret key too, and 0 if not.
    pub(crate) secret: u8,
    /// Version of a key's packet.
    pub version: u8,
    /// A key's algorithm.
    pub algorithm: Algorithm,
    /// Bytes of a user id, of a user attribute, of the OID of a key's curve.
    pub(crate) len: u32,
    /// When the key was made, as it says itself: seconds since 1970.
    pub created: u32,
    /// Size of a key: of the modulus or prime, or of the curve; 0 if not known.
    pub bits: u32,
    /// The fingerprint, as long as the version has it. Behind that of versions 2 and 3 stands the key id.
    pub(crate) fingerprint: [u8; 32],
}

/// What an entry is of: 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Role(u8);

impl Role {
    pub(crate) const PRIMARY_KEY: Self = Self(0);
    pub(crate) const SUBKEY: Self = Self(1);
    pub(crate) const USER_ID: Self = Self(2);
    pub(crate) const USER_ATTRIBUTE: Self = Self(3);
}

impl Entry {
    /// Makes an entry that is no key.
    pub(crate) fn new(role: Role, len: u32) -> Self {
        Self { role, len, ..Self::zeroed() }
    }

    /// Returns how much text it has.
    const fn text_len(&self) -> usize {
        if let Role::USER_ATTRIBUTE = self.role { 0 } else { self.len as usize }
    }
}

impl Keyring {
    /// Makes an empty one with room for what most keyrings hold.
    pub(crate) fn new() -> Self {
        Self { entries: Vec::with_capacity(32), text: Vec::with_capacity(1024), checksum_mismatches: 0 }
    }

    /// Puts an entry behind the others.
    pub(crate) fn push(&mut self, entry: Entry, text: &[u8]) {
        self.entries.push(entry);
        self.text.extend_from_slice(text);
    }

    /// Tells whether it is as [`parse`](crate::parse) makes them: it begins with a primary key, and has the text that its
    /// entries claim. Of others, [`certificates`](Self::certificates) leaves out what belongs to none, and text ends early.
    pub fn is_sound(&self) -> bool {
        let is_possible = |entry: &Entry| entry.role.0 <= Role::USER_ATTRIBUTE.0 && entry.secret <= 1;
        let text = self.entries.iter().try_fold(0_usize, |sum, entry| sum.checked_add(entry.text_len()));
        let begins_with_key = self.entries.first().is_some_and(|entry| entry.role == Role::PRIMARY_KEY);
        begins_with_key && self.entries.iter().all(is_possible) && text == Some(self.text.len())
    }

    /// Yields the primary keys, each with what belongs to it.
    pub fn certificates(&self) -> impl Iterator<Item = (Key<'_>, Parts<'_>)> {
        let mut rest = Parts { entries: &self.entries, text: &self.text };
        core::iter::from_fn(move || {
            let Part::Key(primary) = rest.find(|part| matches!(part, Part::Key(key) if key.is_primary()))? else {
                return None;
            };
            let len = rest.entries.iter().take_while(|entry| entry.role != Role::PRIMARY_KEY).count();
            Some((primary, Parts { entries: rest.entries.get(..len)?, text: rest.text }))
        })
    }
}

/// What belongs to a primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A further key.
    Key(Key<'a>),
    /// A user id, which should be UTF-8 and need not be.
    UserId(&'a [u8]),
    /// A user attribute (an image, mostly), of which only the bytes are counted.
    UserAttribute(u32),
}

/// Yields what belongs to a primary key, in the order of the input.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    entries: &'a [Entry],
    text: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let entry = self.entries.split_off_first()?;
        let text = self.text.split_off(..entry.text_len()).unwrap_or_default();
        Some(match entry.role {
            Role::PRIMARY_KEY | Role::SUBKEY => Part::Key(Key { entry, oid: Oid(text) }),
            Role::USER_ID => Part::UserId(text),
            Role(_) => Part::UserAttribute(entry.len),
        })
    }
}

impl<'a> Parts<'a> {
    /// Yields the subkeys alone.
    pub fn subkeys(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        self.clone().filter_map(|part| if let Part::Key(key) = part { Some(key) } else { None })
    }

    /// Yields the user ids alone.
    pub fn user_ids(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.clone().filter_map(|part| if let Part::UserId(text) = part { Some(text) } else { None })
    }
}

/// A primary key or a subkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// What is said of it in numbers.
    pub entry: &'a Entry,
    /// The curve's OID as it stands in the packet; empty if there is none.
    pub oid: Oid<'a>,
}

impl<'a> Key<'a> {
    /// Tells whether the packet holds the secret key too.
    pub const fn is_secret(&self) -> bool {
        self.entry.secret != 0
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.entry.role == Role::PRIMARY_KEY
    }

    /// Returns the curve, if there is one and it is known.
    pub fn curve(&self) -> Option<&'static Curve> {
        match self.entry.algorithm.public() {
            Some(Public::Octets(_, name)) => Curve::named(name),
            _ => Curve::of_oid(self.oid.0),
        }
    }

    /// Returns the fingerprint: 16 bytes for version 2 and 3, 20 for version 4, 32 for version 6.
    pub fn fingerprint(&self) -> Hex<'a> {
        let len = match self.entry.version {
            2 | 3 => 16,
            4 => 20,
            _ => 32,
        };
        Hex(self.entry.fingerprint.get(..len).unwrap_or_default())
    }

    /// Returns the 64 bits by which old data names a key; not unique.
    pub fn key_id(&self) -> Hex<'a> {
        let place = match self.entry.version {
            2 | 3 => 16..24,
            4 => 12..20,
            _ => 0..8,
        };
        Hex(self.entry.fingerprint.get(place).unwrap_or_default())
    }
}

/// Prints the algorithm with its bits or curve: `rsa4096`, `ecdh/nistp256`, `ed25519`, `algorithm 99`.
impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.entry.algorithm.name() else {
            return write!(f, "algorithm {}", self.entry.algorithm.0);
        };
        match (self.curve(), self.oid.0.is_empty()) {
            (Some(curve), false) => write!(f, "{name}/{}", curve.name),
            (None, false) => write!(f, "{name}/{}", self.oid),
            (Some(_), true) => f.write_str(name),
            (None, true) => write!(f, "{name}{}", self.entry.bits),
        }
    }
}

/// Bytes that print as hexadecimal digits in upper case, as GnuPG does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// Entries as their bytes, for serde.
mod plain {
    use alloc::vec::Vec;

    use bytemuck::{Zeroable, cast_slice, cast_slice_mut};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Entry;

    pub(super) fn serialize<S: Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(cast_slice(entries))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        let (whole, rest) = bytes.as_chunks::<{ size_of::<Entry>() }>();
        if !rest.is_empty() {
            return Err(D::Error::invalid_length(bytes.len(), &"whole entries"));
        }
        let mut entries = Vec::new();
        entries.try_reserve_exact(whole.len()).map_err(D::Error::custom)?;
        entries.resize(whole.len(), Entry::zeroed());
        cast_slice_mut(&mut entries).copy_from_slice(bytes);
        Ok(entries)
    }
}

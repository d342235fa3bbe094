// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a keyring is refused.

use displaydoc::Display;
use serde::{Deserialize, Serialize};

/// {reason} (at byte {offset})
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseError {
    /// What is wrong.
    pub reason: Reason,
    /// Where: the first byte of the packet, counted in the binary form. For armored input that is the decoded data of all
    /// its blocks one after another; only for the `Armor*` reasons it is the place in the text.
    pub offset: u32,
}

impl core::error::Error for ParseError {}

/// What is wrong with a refused keyring.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// neither OpenPGP packets nor ASCII armor
    NotOpenPgp,
    /// a GnuPG keybox; write its keys with `gpg --export > FILE` and read that file
    Keybox,
    /// no keys in it
    NoKeys,
    /// no packet starts here
    NotAPacket,
    /// the packet reaches past the end of the input
    Truncated,
    /// partial body length in a packet that may not have it
    // Only data packets may (RFC 9580, 4.2.1.4).
    PartialLength,
    /// indeterminate length in a packet that may not have it
    // Only data packets may (RFC 9580, 4.2.2).
    IndeterminateLength,
    /// unknown packet that must be understood
    // By its type (RFC 9580, 4.3).
    UnknownCriticalPacket,
    /// packet that does not belong into a keyring
    UnexpectedPacket,
    /// subkey, user id or signature before any primary key
    MissingPrimaryKey,
    /// unknown key version
    KeyVersion,
    /// the subkey's version does not go with its primary key
    // See RFC 9580, 10.1.
    SubkeyVersion,
    /// algorithm not possible for this key
    // Or its public part has no known end.
    Algorithm,
    /// malformed key
    // A field of it reaches past its packet, or something is left over.
    MalformedKey,
    /// number not in its shortest form
    // In a version 6 key (RFC 9580, 3.2).
    MalformedNumber,
    /// curve not allowed in a version 6 key
    // Only version 4 keys may use it (RFC 9580, 9.2).
    LegacyCurve,
    /// key too large for a fingerprint
    // A version 4 key of more than 65,535 bytes.
    KeyTooLarge,
    /// armored data that is no key block
    ArmorKind,
    /// malformed armor header
    ArmorHeader,
    /// malformed base64
    ArmorData,
    /// armor without its end line
    ArmorTail,
    /// larger than 4 GiB
    InputTooLarge,
}

impl Reason {
    /// Makes the error for this reason at `offset`.
    pub(crate) const fn at(self, offset: u32) -> ParseError {
        ParseError { reason: self, offset }
    }
}

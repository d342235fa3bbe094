// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a keyring is refused, and how the error crosses the sandbox's border.
//!
//! [`ParseError`] fits in one word ([`ParseError::to_raw`]), so it can be the result of a sandboxed function and stand in
//! the record header as well. The way back ([`ParseError::from_raw`]) is checked, because the word is untrusted then.

use core::fmt;

/// Error of [`parse`](crate::parse) and [`parse_keyring`](crate::parse_keyring).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The input is refused.
    Refused {
        /// What is wrong.
        reason: Reason,
        /// Where: the first byte of the packet, counted in the binary form. For armored input that is the decoded data
        /// of all its blocks one after another; only for the `Armor*` reasons it is the place in the text.
        offset: u32,
    },
    /// The records do not fit into the output.
    OutputFull {
        /// Bytes that the output must have for this input.
        needed: u32,
    },
    /// The decoded data of an armored block does not fit into the scratch buffer.
    ScratchFull {
        /// Bytes that this block needs; [`scratch_bound`](crate::scratch_bound) is enough for all.
        needed: u32,
    },
    /// The input has more than 2^32 - 1 bytes, so that offsets would not fit.
    InputTooLarge,
}

/// What is wrong with a refused keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Neither OpenPGP packets nor ASCII armor.
    NotOpenPgp = 1,
    /// GnuPG's keybox format, which is not OpenPGP.
    Keybox = 2,
    /// Correct as far as it goes, but without any key.
    NoKeys = 3,
    /// A byte that starts no packet where a packet should start.
    NotAPacket = 4,
    /// The packet reaches past the end of the input.
    Truncated = 5,
    /// A partial body length, which only data packets may have (RFC 9580, 4.2.1.4).
    PartialLength = 6,
    /// An indeterminate length outside a data packet (RFC 9580, 4.2.2).
    IndeterminateLength = 7,
    /// An unknown packet of the types that must be understood (RFC 9580, 4.3).
    UnknownCriticalPacket = 8,
    /// A known packet that does not belong into a keyring.
    UnexpectedPacket = 9,
    /// A subkey, user id or signature before any primary key.
    MissingPrimaryKey = 10,
    /// A key of a version other than 2, 3, 4 and 6.
    KeyVersion = 11,
    /// A subkey whose version does not go with its primary key (RFC 9580, 10.1).
    SubkeyVersion = 12,
    /// An algorithm that this version or kind of key cannot have, or whose public part has no known end.
    Algorithm = 13,
    /// A field of the key reaches past its packet, or something is left over.
    MalformedKey = 14,
    /// A version 6 key with a number that is not in its shortest form (RFC 9580, 3.2).
    MalformedNumber = 15,
    /// A version 6 key on a curve that only version 4 keys may use (RFC 9580, 9.2).
    LegacyCurve = 16,
    /// A version 4 key of more than 65,535 bytes, which has no fingerprint.
    KeyTooLarge = 17,
    /// ASCII armor of something else than keys.
    ArmorKind = 18,
    /// A malformed header in the armor.
    ArmorHeader = 19,
    /// Something that is not base64 in the armor.
    ArmorData = 20,
    /// The end line of the armor is missing or of another kind.
    ArmorTail = 21,
}

impl Reason {
    /// All reasons, in the order of their values.
    pub const ALL: [Self; 21] = [
        Self::NotOpenPgp,
        Self::Keybox,
        Self::NoKeys,
        Self::NotAPacket,
        Self::Truncated,
        Self::PartialLength,
        Self::IndeterminateLength,
        Self::UnknownCriticalPacket,
        Self::UnexpectedPacket,
        Self::MissingPrimaryKey,
        Self::KeyVersion,
        Self::SubkeyVersion,
        Self::Algorithm,
        Self::MalformedKey,
        Self::MalformedNumber,
        Self::LegacyCurve,
        Self::KeyTooLarge,
        Self::ArmorKind,
        Self::ArmorHeader,
        Self::ArmorData,
        Self::ArmorTail,
    ];

    /// Returns the reason with this value.
    pub fn from_raw(raw: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == raw)
    }

    /// Makes the error for this reason at `offset`.
    pub(crate) const fn at(self, offset: u32) -> ParseError {
        ParseError::Refused { reason: self, offset }
    }
}

/// Values of bits 32 to 39 of the raw form that are not a [`Reason`].
const RAW_OUTPUT_FULL: u8 = 0xf0;
const RAW_SCRATCH_FULL: u8 = 0xf1;
const RAW_INPUT_TOO_LARGE: u8 = 0xf2;

impl ParseError {
    /// Packs the error into one word: the kind in bits 32 to 39, its number in bits 0 to 31.
    ///
    /// The word is 2^32 at least, so that one word can tell either a 32-bit result or an error.
    pub const fn to_raw(self) -> u64 {
        let (kind, value) = match self {
            Self::Refused { reason, offset } => (reason as u8, offset),
            Self::OutputFull { needed } => (RAW_OUTPUT_FULL, needed),
            Self::ScratchFull { needed } => (RAW_SCRATCH_FULL, needed),
            Self::InputTooLarge => (RAW_INPUT_TOO_LARGE, 0),
        };
        ((kind as u64) << 32) | value as u64
    }

    /// Unpacks what [`to_raw`](Self::to_raw) has packed; `None` for every other word.
    pub fn from_raw(raw: u64) -> Option<Self> {
        let kind = u8::try_from(raw >> 32).ok()?;
        let value = (raw & u64::from(u32::MAX)) as u32;
        match kind {
            RAW_OUTPUT_FULL => Some(Self::OutputFull { needed: value }),
            RAW_SCRATCH_FULL => Some(Self::ScratchFull { needed: value }),
            RAW_INPUT_TOO_LARGE => (value == 0).then_some(Self::InputTooLarge),
            _ => Reason::from_raw(kind).map(|reason| reason.at(value)),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpenPgp => "neither OpenPGP packets nor ASCII armor",
            Self::Keybox => "a GnuPG keybox; write its keys with `gpg --export > FILE` and read that file",
            Self::NoKeys => "no keys in it",
            Self::NotAPacket => "no packet starts here",
            Self::Truncated => "the packet reaches past the end of the input",
            Self::PartialLength => "partial body length in a packet that may not have it",
            Self::IndeterminateLength => "indeterminate length in a packet that may not have it",
            Self::UnknownCriticalPacket => "unknown packet that must be understood",
            Self::UnexpectedPacket => "packet that does not belong into a keyring",
            Self::MissingPrimaryKey => "subkey, user id or signature before any primary key",
            Self::KeyVersion => "unknown key version",
            Self::SubkeyVersion => "the subkey's version does not go with its primary key",
            Self::Algorithm => "algorithm not possible for this key",
            Self::MalformedKey => "malformed key",
            Self::MalformedNumber => "number not in its shortest form",
            Self::LegacyCurve => "curve not allowed in a version 6 key",
            Self::KeyTooLarge => "key too large for a fingerprint",
            Self::ArmorKind => "armored data that is no key block",
            Self::ArmorHeader => "malformed armor header",
            Self::ArmorData => "malformed base64",
            Self::ArmorTail => "armor without its end line",
        })
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason, offset } => write!(f, "{reason} (at byte {offset})"),
            Self::OutputFull { needed } => write!(f, "output buffer too small, {needed} bytes needed"),
            Self::ScratchFull { needed } => write!(f, "scratch buffer too small, {needed} bytes needed"),
            Self::InputTooLarge => f.write_str("input larger than 4 GiB"),
        }
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_form_survives_the_round_trip() {
        for reason in Reason::ALL {
            for offset in [0, 1, u32::MAX] {
                let error = reason.at(offset);
                assert_eq!(ParseError::from_raw(error.to_raw()), Some(error));
            }
        }
        for error in [
            ParseError::OutputFull { needed: 7 },
            ParseError::ScratchFull { needed: u32::MAX },
            ParseError::InputTooLarge,
        ] {
            assert_eq!(ParseError::from_raw(error.to_raw()), Some(error));
        }
    }

    #[test]
    fn raw_forms_that_mean_nothing_are_refused() {
        for raw in [0, 1, u64::from(u32::MAX), 22 << 32, 0xef << 32, (0xf2 << 32) | 1, 0xf3 << 32, 1 << 40, u64::MAX] {
            assert_eq!(ParseError::from_raw(raw), None, "{raw:#x}");
        }
    }
}

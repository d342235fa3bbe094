// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packet framing: type and length, in both formats (RFC 9580, 4.2 and 4.3).
//!
//! Everything is taken from the front of what is left: each step either yields what was asked for and moves on, or yields
//! `None`; there is no indexing that could panic.
//!
//! [`Header::read`] reads one header and never looks at the body. Lengths are *claimed* until [`Header::body`] finds the
//! body inside the input. Partial and indeterminate lengths are refused here: only data packets may have them, and a
//! keyring holds none, so that a key's body is always one piece.

use crate::error::Reason;

/// What a packet is, as far as a keyring is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    PublicKey,
    SecretKey,
    PublicSubkey,
    SecretSubkey,
    UserId,
    UserAttribute,
    Signature,
    /// Marker, trust and padding packets: known, and to be ignored.
    Ignored,
    /// Unknown, and of the types that may be skipped.
    NonCritical,
}

/// Type and claimed length of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) claimed: u32,
}

impl Header {
    /// Takes the header, and leaves the body.
    pub(crate) fn read(rest: &mut &[u8]) -> Result<Self, Reason> {
        let first = octet(rest).ok_or(Reason::Truncated)?;
        if first & 0x80 == 0 {
            return Err(Reason::NotAPacket);
        }
        let legacy = first & 0x40 == 0;
        let tag = if legacy { (first >> 2) & 0x0f } else { first & 0x3f };
        let kind = classify(tag)?;
        let claimed = if legacy { legacy_length(first & 3, rest)? } else { length(rest)? };
        Ok(Self { kind, claimed })
    }

    /// Takes the body, if all of it is there.
    pub(crate) fn body<'a>(&self, rest: &mut &'a [u8]) -> Result<&'a [u8], Reason> {
        rest.split_off(..self.claimed as usize).ok_or(Reason::Truncated)
    }
}

/// Sorts the packet types by what a keyring does with them (RFC 9580, table 3).
const fn classify(tag: u8) -> Result<Kind, Reason> {
    match tag {
        2 => Ok(Kind::Signature),
        5 => Ok(Kind::SecretKey),
        6 => Ok(Kind::PublicKey),
        7 => Ok(Kind::SecretSubkey),
        10 | 12 | 21 => Ok(Kind::Ignored),
        13 => Ok(Kind::UserId),
        14 => Ok(Kind::PublicSubkey),
        17 => Ok(Kind::UserAttribute),
        1 | 3 | 4 | 8 | 9 | 11 | 18 | 19 => Err(Reason::UnexpectedPacket),
        0 | 15 | 16 | 20 | 22..=39 => Err(Reason::UnknownCriticalPacket),
        40..=u8::MAX => Ok(Kind::NonCritical),
    }
}

/// Reads a length in the current format (RFC 9580, 4.2.1).
fn length(rest: &mut &[u8]) -> Result<u32, Reason> {
    match octet(rest).ok_or(Reason::Truncated)? {
        one @ 0..=191 => Ok(u32::from(one)),
        first @ 192..=223 => {
            let second = octet(rest).ok_or(Reason::Truncated)?;
            Ok((u32::from(first - 192) << 8) + u32::from(second) + 192)
        }
        224..=254 => Err(Reason::PartialLength),
        255 => be32(rest).ok_or(Reason::Truncated),
    }
}

/// Reads a length in the legacy format; `length_type` is the low two bits of the header (RFC 9580, 4.2.2).
fn legacy_length(length_type: u8, rest: &mut &[u8]) -> Result<u32, Reason> {
    match length_type {
        0 => octet(rest).map(u32::from),
        1 => be16(rest).map(u32::from),
        2 => be32(rest),
        _ => return Err(Reason::IndeterminateLength),
    }
    .ok_or(Reason::Truncated)
}

/// Takes one octet.
pub(crate) fn octet(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

/// Takes a 2-octet scalar, big-endian as all of OpenPGP's (RFC 9580, 3.1).
pub(crate) fn be16(rest: &mut &[u8]) -> Option<u16> {
    rest.split_off(..2)?.try_into().map(u16::from_be_bytes).ok()
}

/// Takes a 4-octet scalar.
pub(crate) fn be32(rest: &mut &[u8]) -> Option<u32> {
    rest.split_off(..4)?.try_into().map(u32::from_be_bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Kind, u32, usize), Reason> {
        let mut rest = bytes;
        let header = Header::read(&mut rest)?;
        Ok((header.kind, header.claimed, bytes.len() - rest.len()))
    }

    #[test]
    fn lengths_of_the_current_format_are_read() {
        assert_eq!(read(&[0xcd, 0x64]), Ok((Kind::UserId, 100, 2)));
        assert_eq!(read(&[0xcd, 191]), Ok((Kind::UserId, 191, 2)));
        assert_eq!(read(&[0xcd, 192, 0]), Ok((Kind::UserId, 192, 3)));
        assert_eq!(read(&[0xcd, 0xc5, 0xfb]), Ok((Kind::UserId, 1723, 3)));
        assert_eq!(read(&[0xcd, 223, 255]), Ok((Kind::UserId, 8383, 3)));
        assert_eq!(read(&[0xcd, 0xff, 0x00, 0x01, 0x86, 0xa0]), Ok((Kind::UserId, 100_000, 6)));
    }

    #[test]
    fn lengths_of_the_legacy_format_are_read() {
        assert_eq!(read(&[0x98, 7]), Ok((Kind::PublicKey, 7, 2)));
        assert_eq!(read(&[0x99, 1, 2]), Ok((Kind::PublicKey, 0x0102, 3)));
        assert_eq!(read(&[0x9a, 1, 2, 3, 4]), Ok((Kind::PublicKey, 0x0102_0304, 5)));
    }

    #[test]
    fn lengths_that_keyrings_may_not_have_are_refused() {
        for partial in 224..=254 {
            assert_eq!(read(&[0xc6, partial, 0, 0]), Err(Reason::PartialLength));
            assert_eq!(read(&[0xff, partial, 0, 0]), Err(Reason::PartialLength), "non-critical packets neither");
        }
        assert_eq!(read(&[0x9b, 0, 0]), Err(Reason::IndeterminateLength));
    }

    #[test]
    fn headers_cut_short_are_refused() {
        for whole in [&[0xcd, 0xff, 0, 0, 0, 1][..], &[0xcd, 192, 0], &[0xcd, 5], &[0x9a, 0, 0, 0, 1], &[0x99, 0, 1]] {
            for len in 0..whole.len() {
                assert_eq!(read(whole.get(..len).unwrap()), Err(Reason::Truncated));
            }
        }
    }

    #[test]
    fn every_type_is_sorted_by_its_criticality() {
        for tag in 0..64_u8 {
            let critical = tag < 40;
            match (tag, read(&[0xc0 | tag, 0])) {
                (2 | 5..=7 | 10 | 12..=14 | 17 | 21, result) => assert!(result.is_ok(), "{tag}"),
                (1 | 3 | 4 | 8 | 9 | 11 | 18 | 19, result) => {
                    assert_eq!(result, Err(Reason::UnexpectedPacket), "{tag}")
                }
                (_, result) if critical => assert_eq!(result, Err(Reason::UnknownCriticalPacket), "{tag}"),
                (_, result) => assert_eq!(result.unwrap().0, Kind::NonCritical, "{tag}"),
            }
        }
    }
}

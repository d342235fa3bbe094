// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public key algorithms and elliptic curves (RFC 9580, 9.1 and 9.2).

use alloc::vec::Vec;
use core::fmt;

use bytemuck::{Pod, Zeroable};

/// A public key algorithm by its number in the registry. Any number is possible: keys of unknown algorithms have
/// fingerprints too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Algorithm(pub u8);

/// What the public part of a key consists of (RFC 9580, 5.5.5).
pub(crate) enum Public {
    /// So many numbers, of which the first gives the key its size.
    Numbers(u8),
    /// A curve's OID and a point on it.
    Point,
    /// The same, and how a shared secret becomes a key.
    PointAndKdf,
    /// So many octets, on the curve with this name.
    Octets(usize, &'static str),
}

impl Algorithm {
    /// Returns a short name in lower case, or `None` if the number is not known.
    pub fn name(self) -> Option<&'static str> {
        self.known().map(|known| known.0)
    }

    pub(crate) fn public(self) -> Option<Public> {
        self.known().map(|known| known.1)
    }

    const fn known(self) -> Option<(&'static str, Public)> {
        Some(match self.0 {
            1..=3 => ("rsa", Public::Numbers(2)),
            16 | 20 => ("elgamal", Public::Numbers(3)),
            17 => ("dsa", Public::Numbers(4)),
            18 => ("ecdh", Public::PointAndKdf),
            19 => ("ecdsa", Public::Point),
            22 => ("eddsa", Public::Point),
            25 => ("x25519", Public::Octets(32, "cv25519")),
            26 => ("x448", Public::Octets(56, "cv448")),
            27 => ("ed25519", Public::Octets(32, "ed25519")),
            28 => ("ed448", Public::Octets(57, "ed448")),
            _ => return None,
        })
    }
}

/// What is known of an elliptic curve.
#[derive(Debug, PartialEq, Eq)]
pub struct Curve {
    /// Its OID in DER, without type and length.
    pub(crate) oid: &'static [u8],
    /// The name that GnuPG uses.
    pub name: &'static str,
    /// Size of its field in bits.
    pub bits: u16,
}

const fn curve(name: &'static str, bits: u16, oid: &'static [u8]) -> Curve {
    Curve { oid, name, bits }
}

/// The first two are those that only version 4 keys may name by OID (RFC 9580, 9.2).
static CURVES: [Curve; 13] = [
    curve("ed25519", 255, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01]),
    curve("cv25519", 255, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01]),
    curve("nistp256", 256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
    curve("nistp384", 384, &[0x2b, 0x81, 0x04, 0x00, 0x22]),
    curve("nistp521", 521, &[0x2b, 0x81, 0x04, 0x00, 0x23]),
    curve("brainpoolP256r1", 256, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07]),
    curve("brainpoolP384r1", 384, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b]),
    curve("brainpoolP512r1", 512, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d]),
    // Not in RFC 9580, but GnuPG makes such keys.
    curve("secp256k1", 256, &[0x2b, 0x81, 0x04, 0x00, 0x0a]),
    curve("ed448", 448, &[0x2b, 0x65, 0x71]),
    curve("cv448", 448, &[0x2b, 0x65, 0x6f]),
    // Once more by the OIDs of RFC 8410, which some programs write.
    curve("ed25519", 255, &[0x2b, 0x65, 0x70]),
    curve("cv25519", 255, &[0x2b, 0x65, 0x6e]),
];

impl Curve {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        CURVES.iter().find(|curve| curve.name == name)
    }

    pub(crate) fn of_oid(oid: &[u8]) -> Option<&'static Self> {
        CURVES.iter().find(|curve| curve.oid == oid)
    }

    /// Tells whether a version 6 key may name a curve by this OID.
    pub(crate) fn is_allowed_in_v6(oid: &[u8]) -> bool {
        !CURVES.iter().take(2).any(|curve| curve.oid == oid)
    }
}

/// An object identifier in DER, without type and length.
///
/// Prints as numbers with dots; as hexadecimal digits after `#` when it is no correct encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oid<'a>(pub &'a [u8]);

impl Oid<'_> {
    /// Returns the numbers; the first one still holds the first two (X.690, 8.19).
    fn numbers(&self) -> Option<Vec<u32>> {
        let is_last = |byte: &u8| byte & 0x80 == 0;
        self.0.last().filter(|byte| is_last(byte))?;
        let digits = |number: &[u8]| {
            number.iter().try_fold(0_u32, |value, byte| Some(value.checked_mul(0x80)? | u32::from(byte & 0x7f)))
        };
        self.0.split_inclusive(is_last).map(digits).collect()
    }
}

impl fmt::Display for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.numbers();
        let Some([first, others @ ..]) = numbers.as_deref() else {
            f.write_str("#")?;
            return self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"));
        };
        let root = (first / 40).min(2);
        write!(f, "{root}.{}", first - root * 40)?;
        others.iter().try_for_each(|number| write!(f, ".{number}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn curves_are_known_by_oid() {
        for curve in &CURVES {
            assert_eq!(Curve::of_oid(curve.oid), Some(curve));
            assert_eq!(Curve::named(curve.name).map(|named| named.bits), Some(curve.bits));
        }
    }

    #[test]
    fn other_oids_are_not_mistaken_for_a_curve() {
        for oid in [&[][..], &[0x2b, 0x81, 0x04, 0x00], &[0x2b, 0x81, 0x04, 0x00, 0x22, 0x00]] {
            assert_eq!(Curve::of_oid(oid), None);
        }
    }

    fn print(oid: &[u8]) -> std::string::String {
        Oid(oid).to_string()
    }

    #[test]
    fn oids_print_as_numbers() {
        assert_eq!(print(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]), "1.2.840.10045.3.1.7");
        assert_eq!(print(&[0x2b, 0x81, 0x04, 0x00, 0x22]), "1.3.132.0.34");
        assert_eq!(print(&[0x88, 0x37]), "2.999");
        assert_eq!(print(&[0x2b, 0x8f, 0xff, 0xff, 0xff, 0x7f]), "1.3.4294967295");
    }

    #[test]
    fn broken_oids_print_as_digits() {
        assert_eq!(print(&[]), "#");
        assert_eq!(print(&[0x2b, 0x81]), "#2B81");
        assert_eq!(print(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "#FFFFFFFFFF7F");
        assert_eq!(print(&[0x2b, 0x90, 0x80, 0x80, 0x80, 0x00]), "#2B9080808000");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Public key algorithms and elliptic curves (RFC 9580, 9.1 and 9.2).
//!
//! [`Algorithm`] is the number from the registry and any number is possible: keys of unknown algorithms have
//! fingerprints too. [`Curve`] is closed; what is not in the table is [`Curve::Other`] and known by its [`Oid`] only.

use core::fmt;

/// A public key algorithm by its number in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm(pub u8);

impl Algorithm {
    /// RSA for encryption and signatures.
    pub const RSA: Self = Self(1);
    /// RSA for encryption only.
    pub const RSA_ENCRYPT: Self = Self(2);
    /// RSA for signatures only.
    pub const RSA_SIGN: Self = Self(3);
    /// Elgamal for encryption only.
    pub const ELGAMAL: Self = Self(16);
    /// DSA.
    pub const DSA: Self = Self(17);
    /// ECDH on a curve given by its OID.
    pub const ECDH: Self = Self(18);
    /// ECDSA on a curve given by its OID.
    pub const ECDSA: Self = Self(19);
    /// Elgamal for encryption and signatures, withdrawn.
    pub const ELGAMAL_SIGN: Self = Self(20);
    /// EdDSA on a curve given by its OID, as version 4 keys have it.
    pub const EDDSA_LEGACY: Self = Self(22);
    /// X25519.
    pub const X25519: Self = Self(25);
    /// X448.
    pub const X448: Self = Self(26);
    /// Ed25519.
    pub const ED25519: Self = Self(27);
    /// Ed448.
    pub const ED448: Self = Self(28);

    /// Returns a short name in lower case, or `None` if the number is not known.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::RSA | Self::RSA_ENCRYPT | Self::RSA_SIGN => Some("rsa"),
            Self::ELGAMAL | Self::ELGAMAL_SIGN => Some("elgamal"),
            Self::DSA => Some("dsa"),
            Self::ECDH => Some("ecdh"),
            Self::ECDSA => Some("ecdsa"),
            Self::EDDSA_LEGACY => Some("eddsa"),
            Self::X25519 => Some("x25519"),
            Self::X448 => Some("x448"),
            Self::ED25519 => Some("ed25519"),
            Self::ED448 => Some("ed448"),
            Self(_) => None,
        }
    }
}

/// An elliptic curve, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Curve {
    /// The algorithm has no curve.
    None = 0,
    /// NIST P-256.
    NistP256 = 1,
    /// NIST P-384.
    NistP384 = 2,
    /// NIST P-521.
    NistP521 = 3,
    /// brainpoolP256r1.
    BrainpoolP256 = 4,
    /// brainpoolP384r1.
    BrainpoolP384 = 5,
    /// brainpoolP512r1.
    BrainpoolP512 = 6,
    /// Ed25519, by OID in version 4 keys or implied by the algorithm.
    Ed25519 = 7,
    /// Curve25519, by OID in version 4 keys or implied by the algorithm.
    Curve25519 = 8,
    /// secp256k1: not in RFC 9580, but GnuPG makes such keys.
    Secp256k1 = 9,
    /// Ed448.
    Ed448 = 10,
    /// Curve448.
    Curve448 = 11,
    /// A curve that is not in this table.
    Other = 255,
}

/// What the table knows of a curve: itself, its OID in DER without type and length, its name in GnuPG, its size in bits.
struct Known(Curve, &'static [u8], &'static str, u16);

const KNOWN: [Known; 13] = [
    Known(Curve::Ed25519, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01], "ed25519", 255),
    Known(Curve::Curve25519, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01], "cv25519", 255),
    Known(Curve::NistP256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], "nistp256", 256),
    Known(Curve::NistP384, &[0x2b, 0x81, 0x04, 0x00, 0x22], "nistp384", 384),
    Known(Curve::NistP521, &[0x2b, 0x81, 0x04, 0x00, 0x23], "nistp521", 521),
    Known(Curve::BrainpoolP256, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], "brainpoolP256r1", 256),
    Known(Curve::BrainpoolP384, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], "brainpoolP384r1", 384),
    Known(Curve::BrainpoolP512, &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], "brainpoolP512r1", 512),
    Known(Curve::Secp256k1, &[0x2b, 0x81, 0x04, 0x00, 0x0a], "secp256k1", 256),
    Known(Curve::Ed448, &[0x2b, 0x65, 0x71], "ed448", 448),
    Known(Curve::Curve448, &[0x2b, 0x65, 0x6f], "cv448", 448),
    // The same curves once more by the OIDs of RFC 8410, which some programs write.
    Known(Curve::Ed25519, &[0x2b, 0x65, 0x70], "ed25519", 255),
    Known(Curve::Curve25519, &[0x2b, 0x65, 0x6e], "cv25519", 255),
];

impl Curve {
    /// Returns the curve with this OID.
    pub(crate) fn from_oid(oid: &[u8]) -> Self {
        KNOWN.iter().find(|known| known.1 == oid).map_or(Self::Other, |known| known.0)
    }

    /// Returns the curve with this value.
    pub fn from_raw(raw: u8) -> Option<Self> {
        if raw == Self::None as u8 {
            return Some(Self::None);
        }
        if raw == Self::Other as u8 {
            return Some(Self::Other);
        }
        KNOWN.iter().map(|known| known.0).find(|curve| *curve as u8 == raw)
    }

    /// Returns the name that GnuPG uses; `None` for no curve and for one that is not known.
    pub fn name(self) -> Option<&'static str> {
        self.known().map(|known| known.2)
    }

    /// Returns the size of the curve's field in bits; 0 for no curve and for one that is not known.
    pub fn bits(self) -> u16 {
        self.known().map_or(0, |known| known.3)
    }

    /// Returns true if a version 6 key may name this curve by the given OID (RFC 9580, 9.2).
    pub(crate) fn allowed_in_v6(oid: &[u8]) -> bool {
        let [ed25519, curve25519, ..] = &KNOWN;
        oid != ed25519.1 && oid != curve25519.1
    }

    fn known(self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.0 == self)
    }
}

/// An object identifier in DER, without type and length.
///
/// Prints as numbers with dots; as hexadecimal digits after `#` when it is no correct encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oid<'a>(pub &'a [u8]);

impl Oid<'_> {
    /// Yields the numbers; the first one still holds the first two (X.690, 8.19). `None` marks a broken encoding.
    fn numbers(&self) -> impl Iterator<Item = Option<u32>> {
        let mut rest = self.0.iter();
        core::iter::from_fn(move || {
            let mut value = 0_u32;
            let mut byte = *rest.next()?;
            loop {
                if value >= 1 << 25 {
                    return Some(None);
                }
                value = value << 7 | u32::from(byte & 0x7f);
                if byte & 0x80 == 0 {
                    return Some(Some(value));
                }
                let Some(next) = rest.next() else { return Some(None) };
                byte = *next;
            }
        })
    }
}

impl fmt::Display for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() || self.numbers().any(|number| number.is_none()) {
            f.write_str("#")?;
            return self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"));
        }
        let mut numbers = self.numbers().flatten();
        if let Some(first) = numbers.next() {
            let root = (first / 40).min(2);
            write!(f, "{root}.{}", first - root * 40)?;
        }
        numbers.try_for_each(|number| write!(f, ".{number}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn curves_are_known_by_oid_and_by_value() {
        for Known(curve, oid, name, bits) in &KNOWN {
            assert_eq!(Curve::from_oid(oid), *curve);
            assert_eq!(Curve::from_raw(*curve as u8), Some(*curve));
            assert_eq!((curve.name(), curve.bits()), (Some(*name), *bits));
        }
        for curve in [Curve::None, Curve::Other] {
            assert_eq!(Curve::from_raw(curve as u8), Some(curve));
            assert_eq!((curve.name(), curve.bits()), (None, 0));
        }
    }

    #[test]
    fn other_oids_and_values_are_not_mistaken_for_a_curve() {
        assert_eq!(Curve::from_oid(&[]), Curve::Other);
        assert_eq!(Curve::from_oid(&[0x2b, 0x81, 0x04, 0x00]), Curve::Other);
        assert_eq!(Curve::from_oid(&[0x2b, 0x81, 0x04, 0x00, 0x22, 0x00]), Curve::Other);
        assert!((12..255).all(|raw| Curve::from_raw(raw).is_none()));
    }

    #[test]
    fn oids_print_as_numbers() {
        assert_eq!(Oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]).to_string(), "1.2.840.10045.3.1.7");
        assert_eq!(Oid(&[0x2b, 0x81, 0x04, 0x00, 0x22]).to_string(), "1.3.132.0.34");
        assert_eq!(Oid(&[0x88, 0x37]).to_string(), "2.999");
    }

    #[test]
    fn broken_oids_print_as_digits() {
        assert_eq!(Oid(&[]).to_string(), "#");
        assert_eq!(Oid(&[0x2b, 0x81]).to_string(), "#2B81");
        assert_eq!(Oid(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).to_string(), "#FFFFFFFFFF7F");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key packets of versions 2, 3, 4 and 6 (RFC 9580, 5.5).
//!
//! [`parse`] reads the body of one key packet. Of a secret key only the public part is read; the rest is not looked at.
//! The parts that have no use here (the numbers behind the first, points, KDF parameters) are still measured, so that a
//! key whose fields do not add up to its packet is refused and not listed under a wrong fingerprint.

use core::fmt;

use crate::algorithm::{Algorithm, Curve, Oid};
use crate::cursor::Cursor;
use crate::error::Reason;
use crate::fingerprint::{Fingerprint, KeyId};
use crate::time::Timestamp;

/// A primary key or a subkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// What the key is in its certificate.
    pub role: Role,
    /// True if the packet holds the secret key too.
    pub secret: bool,
    /// Version of the packet.
    pub version: KeyVersion,
    /// When the key was made, as it says itself.
    pub created: Timestamp,
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Size: of the modulus or prime, or of the curve; 0 if not known.
    pub bits: u16,
    /// Curve, if the algorithm has one.
    pub curve: Curve,
    /// The curve's OID as it stands in the packet; empty if there is none.
    pub oid: Oid<'a>,
    /// Fingerprint.
    pub fingerprint: Fingerprint,
    /// Key id.
    pub key_id: KeyId,
    /// Where the packet starts in the (decoded) input.
    pub offset: u32,
}

/// What a key is in its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The first key, to which user ids and subkeys belong.
    Primary = 1,
    /// A further key.
    Subkey = 2,
}

/// Version of a key packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyVersion {
    /// As version 3, but for the number.
    V2 = 2,
    /// PGP 2.6 and earlier.
    V3 = 3,
    /// RFC 4880.
    V4 = 4,
    /// RFC 9580.
    V6 = 6,
}

impl KeyVersion {
    /// Returns the version with this number.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            6 => Some(Self::V6),
            _ => None,
        }
    }
}

impl Role {
    /// Returns the role with this value.
    pub const fn from_raw(raw: u8) -> Option<Self> {
        match raw {
            1 => Some(Self::Primary),
            2 => Some(Self::Subkey),
            _ => None,
        }
    }
}

/// Prints the algorithm with its bits or curve: `rsa4096`, `ecdh/nistp256`, `ed25519`, `algorithm 99`.
impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.algorithm.name() else {
            return write!(f, "algorithm {}", self.algorithm.0);
        };
        f.write_str(name)?;
        if !self.oid.0.is_empty() {
            match self.curve.name() {
                Some(curve) => write!(f, "/{curve}"),
                None => write!(f, "/{}", self.oid),
            }
        } else if self.curve == Curve::None {
            write!(f, "{}", self.bits)
        } else {
            Ok(())
        }
    }
}

/// What the algorithm-specific part of a key tells.
struct Material<'a> {
    bits: u16,
    curve: Curve,
    oid: &'a [u8],
}

/// Reads the body of a key packet that starts at `offset`.
pub(crate) fn parse(body: &[u8], role: Role, secret: bool, offset: u32) -> Result<Key<'_>, Reason> {
    let mut cursor = Cursor::new(body);
    let version = cursor.u8().ok_or(Reason::MalformedKey)?;
    let version = KeyVersion::from_raw(version).ok_or(Reason::KeyVersion)?;
    let created = Timestamp(cursor.be32().ok_or(Reason::MalformedKey)?);
    if let KeyVersion::V2 | KeyVersion::V3 = version {
        // Days of validity; expiry is not listed.
        cursor.be16().ok_or(Reason::MalformedKey)?;
    }
    let algorithm = Algorithm(cursor.u8().ok_or(Reason::MalformedKey)?);
    let (material, fingerprint, key_id) = match version {
        KeyVersion::V2 | KeyVersion::V3 => parse_v3(&mut cursor, algorithm)?,
        KeyVersion::V4 => parse_v4(&mut cursor, algorithm, body, secret)?,
        KeyVersion::V6 => parse_v6(&mut cursor, algorithm, body)?,
    };
    // Behind the public part stands the secret part, which has at least the octet that says how it is protected.
    if cursor.is_empty() == secret {
        return Err(Reason::MalformedKey);
    }
    let Material { bits, curve, oid } = material;
    Ok(Key { role, secret, version, created, algorithm, bits, curve, oid: Oid(oid), fingerprint, key_id, offset })
}

type Parts<'a> = (Material<'a>, Fingerprint, KeyId);

fn parse_v3<'a>(cursor: &mut Cursor<'a>, algorithm: Algorithm) -> Result<Parts<'a>, Reason> {
    if !matches!(algorithm, Algorithm::RSA | Algorithm::RSA_ENCRYPT | Algorithm::RSA_SIGN) {
        return Err(Reason::Algorithm);
    }
    let modulus = Number::read(cursor)?;
    let exponent = Number::read(cursor)?;
    let material = Material { bits: modulus.bits(), curve: Curve::None, oid: &[] };
    Ok((material, Fingerprint::of_v3(modulus.octets, exponent.octets), KeyId::of_v3(modulus.octets)))
}

fn parse_v4<'a>(
    cursor: &mut Cursor<'a>,
    algorithm: Algorithm,
    body: &'a [u8],
    secret: bool,
) -> Result<Parts<'a>, Reason> {
    let material = match parse_material(cursor, algorithm, Form::Tolerant)? {
        Some(material) => material,
        // An unknown public part has no end but that of the packet.
        None if secret => return Err(Reason::Algorithm),
        None => skip_unknown(cursor),
    };
    let public = public_part(body, cursor)?;
    let len = u16::try_from(public.len()).map_err(|_| Reason::KeyTooLarge)?;
    identified(material, Fingerprint::of_v4(len, public))
}

fn parse_v6<'a>(cursor: &mut Cursor<'a>, algorithm: Algorithm, body: &'a [u8]) -> Result<Parts<'a>, Reason> {
    let len = cursor.be32().ok_or(Reason::MalformedKey)?;
    let mut inner = Cursor::new(cursor.take(len as usize).ok_or(Reason::MalformedKey)?);
    let material = match parse_material(&mut inner, algorithm, Form::Shortest)? {
        Some(material) => material,
        None => skip_unknown(&mut inner),
    };
    if !inner.is_empty() {
        return Err(Reason::MalformedKey);
    }
    if !Curve::allowed_in_v6(material.oid) {
        return Err(Reason::LegacyCurve);
    }
    let public = public_part(body, cursor)?;
    let len = u32::try_from(public.len()).map_err(|_| Reason::KeyTooLarge)?;
    identified(material, Fingerprint::of_v6(len, public))
}

/// Returns what of `body` lies before the cursor, which reads in it.
fn public_part<'a>(body: &'a [u8], cursor: &Cursor<'_>) -> Result<&'a [u8], Reason> {
    body.len().checked_sub(cursor.rest().len()).and_then(|len| body.get(..len)).ok_or(Reason::MalformedKey)
}

fn identified(material: Material<'_>, fingerprint: Fingerprint) -> Result<Parts<'_>, Reason> {
    let key_id = fingerprint.key_id().ok_or(Reason::MalformedKey)?;
    Ok((material, fingerprint, key_id))
}

fn skip_unknown<'a>(cursor: &mut Cursor<'a>) -> Material<'a> {
    *cursor = Cursor::new(&[]);
    Material { bits: 0, curve: Curve::None, oid: &[] }
}

/// Whether numbers may have leading zeros: versions before 6 have such keys, and GnuPG takes them (RFC 9580, 3.2).
#[derive(Clone, Copy)]
enum Form {
    Tolerant,
    Shortest,
}

/// Reads the algorithm-specific part (RFC 9580, 5.5.5); `None` if the algorithm is not known.
fn parse_material<'a>(
    cursor: &mut Cursor<'a>,
    algorithm: Algorithm,
    form: Form,
) -> Result<Option<Material<'a>>, Reason> {
    Ok(Some(match algorithm {
        Algorithm::RSA | Algorithm::RSA_ENCRYPT | Algorithm::RSA_SIGN => numbers(cursor, 2, form)?,
        Algorithm::ELGAMAL | Algorithm::ELGAMAL_SIGN => numbers(cursor, 3, form)?,
        Algorithm::DSA => numbers(cursor, 4, form)?,
        Algorithm::ECDSA | Algorithm::EDDSA_LEGACY => point(cursor, form)?,
        Algorithm::ECDH => {
            let material = point(cursor, form)?;
            sized_field(cursor)?;
            material
        }
        Algorithm::X25519 => native(cursor, 32, Curve::Curve25519)?,
        Algorithm::X448 => native(cursor, 56, Curve::Curve448)?,
        Algorithm::ED25519 => native(cursor, 32, Curve::Ed25519)?,
        Algorithm::ED448 => native(cursor, 57, Curve::Ed448)?,
        Algorithm(_) => return Ok(None),
    }))
}

/// Reads `count` numbers, of which the first gives the key its size.
fn numbers<'a>(cursor: &mut Cursor<'a>, count: u8, form: Form) -> Result<Material<'a>, Reason> {
    let bits = Number::read(cursor)?.checked(form)?.bits();
    for _ in 1..count {
        Number::read(cursor)?.checked(form)?;
    }
    Ok(Material { bits, curve: Curve::None, oid: &[] })
}

/// Reads a curve's OID and a point.
fn point<'a>(cursor: &mut Cursor<'a>, form: Form) -> Result<Material<'a>, Reason> {
    let oid = sized_field(cursor)?;
    Number::read(cursor)?.checked(form)?;
    let curve = Curve::from_oid(oid);
    Ok(Material { bits: curve.bits(), curve, oid })
}

/// Reads a field with its length in one octet before it; 0 and 255 are reserved.
fn sized_field<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Reason> {
    match cursor.u8() {
        Some(len @ 1..=254) => cursor.take(usize::from(len)).ok_or(Reason::MalformedKey),
        Some(0 | 255) | None => Err(Reason::MalformedKey),
    }
}

/// Reads a public key that is nothing but `len` octets.
fn native<'a>(cursor: &mut Cursor<'a>, len: usize, curve: Curve) -> Result<Material<'a>, Reason> {
    cursor.take(len).ok_or(Reason::MalformedKey)?;
    Ok(Material { bits: curve.bits(), curve, oid: &[] })
}

/// A multiprecision integer (RFC 9580, 3.2).
struct Number<'a> {
    claimed_bits: u16,
    octets: &'a [u8],
}

impl<'a> Number<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Reason> {
        let claimed_bits = cursor.be16().ok_or(Reason::MalformedKey)?;
        let octets = cursor.take(usize::from(claimed_bits).div_ceil(8)).ok_or(Reason::MalformedKey)?;
        Ok(Self { claimed_bits, octets })
    }

    /// Returns the number's true size, whatever its header says.
    fn bits(&self) -> u16 {
        let zeros = self.octets.iter().take_while(|octet| **octet == 0).count();
        let Some(first) = self.octets.get(zeros) else { return 0 };
        let octets_behind = self.octets.len() - zeros - 1;
        // Only 65,536 is too large, which takes a number with more bits than its header can say.
        u16::try_from(octets_behind * 8 + (8 - first.leading_zeros() as usize)).unwrap_or(u16::MAX)
    }

    fn checked(self, form: Form) -> Result<Self, Reason> {
        match form {
            Form::Shortest if self.bits() != self.claimed_bits => Err(Reason::MalformedNumber),
            Form::Shortest | Form::Tolerant => Ok(self),
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Key packets of versions 2, 3, 4 and 6 (RFC 9580, 5.5).
//!
//! [`parse`] reads the body of one key packet. Of a secret key only the public part is read; the rest is not looked at.
//! The parts that have no use here (the numbers behind the first, points, KDF parameters) are still measured, so that a
//! key whose fields do not add up to its packet is refused and not listed under a wrong fingerprint.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::algorithm::{Algorithm, Curve, Public};
use crate::error::Reason;
use crate::keyring::{Entry, Role};
use crate::packet::{be16, be32, octet};

/// Reads the body of a key packet: what is known of the key, and the OID of its curve.
pub(crate) fn parse(body: &[u8], role: Role, secret: bool) -> Result<(Entry, &[u8]), Reason> {
    let mut rest = body;
    let version = octet(&mut rest).ok_or(Reason::MalformedKey)?;
    if !matches!(version, 2..=4 | 6) {
        return Err(Reason::KeyVersion);
    }
    let (created, algorithm) = head(&mut rest, version).ok_or(Reason::MalformedKey)?;
    let mut fingerprint = [0; 32];
    let (bits, oid) = match version {
        4 => {
            // An unknown public part has no end but that of the packet.
            if secret && algorithm.public().is_none() {
                return Err(Reason::Algorithm);
            }
            let material = material(&mut rest, algorithm, false)?;
            let public = read_of(body, rest);
            let len = u16::try_from(public.len()).map_err(|_| Reason::KeyTooLarge)?;
            let hash = Sha1::new().chain_update([0x99]).chain_update(len.to_be_bytes()).chain_update(public);
            put(&mut fingerprint, &hash.finalize());
            material
        }
        6 => {
            let len = be32(&mut rest).ok_or(Reason::MalformedKey)?;
            let mut inner = rest.split_off(..len as usize).ok_or(Reason::MalformedKey)?;
            let material = material(&mut inner, algorithm, true)?;
            if !inner.is_empty() {
                return Err(Reason::MalformedKey);
            }
            if !Curve::is_allowed_in_v6(material.1) {
                return Err(Reason::LegacyCurve);
            }
            let public = read_of(body, rest);
            let len = u32::try_from(public.len()).map_err(|_| Reason::KeyTooLarge)?;
            let hash = Sha256::new().chain_update([0x9b]).chain_update(len.to_be_bytes()).chain_update(public);
            put(&mut fingerprint, &hash.finalize());
            material
        }
        _ => {
            if algorithm.name() != Some("rsa") {
                return Err(Reason::Algorithm);
            }
            let (modulus, exponent) = (Number::read(&mut rest)?, Number::read(&mut rest)?);
            let hash = Md5::new().chain_update(modulus.octets).chain_update(exponent.octets).finalize();
            // The key id, the low 64 bits of the modulus, which no fingerprint tells.
            let id = modulus.octets.iter().fold(0_u64, |id, octet| id << 8 | u64::from(*octet));
            put(&mut fingerprint, &[&hash[..], &id.to_be_bytes()].concat());
            (modulus.bits(), &[][..])
        }
    };
    // Behind the public part stands the secret part, which has at least the octet that says how it is protected.
    if rest.is_empty() == secret {
        return Err(Reason::MalformedKey);
    }
    // An OID's length is one octet.
    let len = u32::try_from(oid.len()).unwrap_or(u32::MAX);
    Ok((Entry { role, secret: secret.into(), version, algorithm, len, created, bits: bits.into(), fingerprint }, oid))
}

/// Puts a hash to the start of the place for fingerprints.
fn put(place: &mut [u8; 32], hash: &[u8]) {
    place.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
}

/// Reads what all versions begin with.
fn head(rest: &mut &[u8], version: u8) -> Option<(u32, Algorithm)> {
    let created = be32(rest)?;
    if version < 4 {
        // Days of validity; expiry is not listed.
        be16(rest)?;
    }
    Some((created, Algorithm(octet(rest)?)))
}

/// Returns what of `body` lies before `rest`, which is its end.
fn read_of<'a>(body: &'a [u8], rest: &[u8]) -> &'a [u8] {
    body.len().checked_sub(rest.len()).and_then(|len| body.get(..len)).unwrap_or_default()
}

/// Reads the algorithm-specific part (RFC 9580, 5.5.5), and returns the key's bits and its curve's OID. Of an algorithm that
/// is not known it is all that there is.
fn material<'a>(rest: &mut &'a [u8], algorithm: Algorithm, shortest: bool) -> Result<(u16, &'a [u8]), Reason> {
    match algorithm.public() {
        Some(Public::Numbers(count)) => {
            let bits = Number::read_as(rest, shortest)?.bits();
            for _ in 1..count {
                Number::read_as(rest, shortest)?;
            }
            Ok((bits, &[]))
        }
        Some(form @ (Public::Point | Public::PointAndKdf)) => {
            let oid = sized_field(rest)?;
            Number::read_as(rest, shortest)?;
            if let Public::PointAndKdf = form {
                sized_field(rest)?;
            }
            Ok((Curve::of_oid(oid).map_or(0, |curve| curve.bits), oid))
        }
        Some(Public::Octets(len, curve)) => {
            rest.split_off(..len).ok_or(Reason::MalformedKey)?;
            Ok((Curve::named(curve).map_or(0, |curve| curve.bits), &[]))
        }
        None => {
            *rest = &[];
            Ok((0, &[]))
        }
    }
}

/// Reads a field with its length in one octet before it; 0 and 255 are reserved.
fn sized_field<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Reason> {
    let len = octet(rest).filter(|len| !matches!(len, 0 | 255));
    len.and_then(|len| rest.split_off(..len.into())).ok_or(Reason::MalformedKey)
}

/// A multiprecision integer (RFC 9580, 3.2).
struct Number<'a> {
    claimed_bits: u16,
    octets: &'a [u8],
}

impl<'a> Number<'a> {
    fn read(rest: &mut &'a [u8]) -> Result<Self, Reason> {
        let claimed_bits = be16(rest).ok_or(Reason::MalformedKey)?;
        let octets = rest.split_off(..usize::from(claimed_bits).div_ceil(8)).ok_or(Reason::MalformedKey)?;
        Ok(Self { claimed_bits, octets })
    }

    /// Reads a number that may have leading zeros or not: versions before 6 have such keys, and GnuPG takes them.
    fn read_as(rest: &mut &'a [u8], shortest: bool) -> Result<Self, Reason> {
        let number = Self::read(rest)?;
        if shortest && number.bits() != number.claimed_bits { Err(Reason::MalformedNumber) } else { Ok(number) }
    }

    /// Returns the number's true size, whatever its header says.
    fn bits(&self) -> u16 {
        let zeros = self.octets.iter().take_while(|octet| **octet == 0).count();
        let Some(first) = self.octets.get(zeros) else { return 0 };
        let octets_behind = self.octets.len() - zeros - 1;
        // Only 65,536 is too large, which takes a number with more bits than its header can say.
        u16::try_from(octets_behind * 8 + (8 - first.leading_zeros() as usize)).unwrap_or(u16::MAX)
    }
}

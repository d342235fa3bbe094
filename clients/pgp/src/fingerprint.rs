// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fingerprints and key ids (RFC 9580, 5.5.4).

use core::fmt;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A fingerprint: 16 bytes for version 2 and 3, 20 for version 4, 32 for version 6.
///
/// Prints as hexadecimal digits in upper case, as GnuPG does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fingerprint {
    /// MD5 of the numbers of a version 2 or 3 key.
    Md5([u8; 16]),
    /// SHA-1 of a version 4 key packet.
    Sha1([u8; 20]),
    /// SHA-256 of a version 6 key packet.
    Sha256([u8; 32]),
}

/// The 64 bits by which old data names a key; not unique.
///
/// Prints as 16 hexadecimal digits in upper case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub [u8; 8]);

impl Fingerprint {
    /// Computes the fingerprint of a version 2 or 3 key from its modulus and exponent.
    pub(crate) fn of_v3(modulus: &[u8], exponent: &[u8]) -> Self {
        Self::Md5(Md5::new().chain_update(modulus).chain_update(exponent).finalize().into())
    }

    /// Computes the fingerprint of a version 4 key from the public part of its packet; `len` is the length of `public`.
    pub(crate) fn of_v4(len: u16, public: &[u8]) -> Self {
        let hash = Sha1::new().chain_update([0x99]).chain_update(len.to_be_bytes()).chain_update(public);
        Self::Sha1(hash.finalize().into())
    }

    /// Computes the fingerprint of a version 6 key from the public part of its packet; `len` is the length of `public`.
    pub(crate) fn of_v6(len: u32, public: &[u8]) -> Self {
        let hash = Sha256::new().chain_update([0x9b]).chain_update(len.to_be_bytes()).chain_update(public);
        Self::Sha256(hash.finalize().into())
    }

    /// Returns the bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        }
    }

    /// Returns the key id that follows from the fingerprint; for version 2 and 3 none does.
    pub(crate) fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Md5(_) => None,
            Self::Sha1(bytes) => bytes.last_chunk(),
            Self::Sha256(bytes) => bytes.first_chunk(),
        }
        .map(|id| KeyId(*id))
    }
}

impl KeyId {
    /// Returns the key id of a version 2 or 3 key: the low 64 bits of its modulus.
    pub(crate) fn of_v3(modulus: &[u8]) -> Self {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().rev().zip(modulus.iter().rev()) {
            *to = *from;
        }
        Self(id)
    }
}

/// Writes hexadecimal digits, in one piece because a writer may be slow for each.
fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = [[0; 2]; 32];
    let mut len = 0;
    for (to, byte) in text.iter_mut().zip(bytes) {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?');
        *to = [digit(byte >> 4), digit(byte & 15)];
        len += 1;
    }
    let digits = text.get(..len).unwrap_or_default().as_flattened();
    f.write_str(core::str::from_utf8(digits).map_err(|_| fmt::Error)?)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self.as_bytes(), f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(self.as_bytes(), f)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_id_of_a_short_modulus_is_padded() {
        assert_eq!(KeyId::of_v3(&[1, 2]), KeyId([0, 0, 0, 0, 0, 0, 1, 2]));
        assert_eq!(KeyId::of_v3(&[]), KeyId([0; 8]));
        assert_eq!(KeyId::of_v3(&[9, 1, 2, 3, 4, 5, 6, 7, 8]), KeyId([1, 2, 3, 4, 5, 6, 7, 8]));
    }
}

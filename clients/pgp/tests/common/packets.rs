// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets and keys made by hand, with made-up numbers in them.

/// Type ids of packets.
pub const SIGNATURE: u8 = 2;
pub const SECRET_KEY: u8 = 5;
pub const PUBLIC_KEY: u8 = 6;
pub const SECRET_SUBKEY: u8 = 7;
pub const MARKER: u8 = 10;
pub const TRUST: u8 = 12;
pub const USER_ID: u8 = 13;
pub const PUBLIC_SUBKEY: u8 = 14;
pub const USER_ATTRIBUTE: u8 = 17;
pub const PADDING: u8 = 21;

/// 2026-01-01 00:00:00 UTC.
pub const CREATED: u32 = 1_767_225_600;

/// DER of some curves' OIDs.
pub const NISTP256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub const ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
pub const CURVE25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01];

/// Joins pieces.
pub fn join(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

/// Makes a packet in the current format, its length in as few octets as possible.
pub fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = match body.len() {
        len @ 0..192 => vec![len as u8],
        len @ 192..8384 => vec![((len - 192) >> 8) as u8 + 192, (len - 192) as u8],
        len => join(&[&[255], &(len as u32).to_be_bytes()]),
    };
    join(&[&[0xc0 | tag], &length, body])
}

/// Makes a packet in the current format that claims any length, in five octets.
pub fn packet_claiming(tag: u8, claimed: u32, body: &[u8]) -> Vec<u8> {
    join(&[&[0xc0 | tag, 255], &claimed.to_be_bytes(), body])
}

/// Makes a packet in the legacy format; `length_type` 0, 1 and 2 stand for 1, 2 and 4 octets, 3 for no length.
pub fn legacy_packet(tag: u8, length_type: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let length = match length_type {
        0 => &length[3..],
        1 => &length[2..],
        2 => &length[..],
        _ => &[],
    };
    join(&[&[0x80 | tag << 2 | length_type], length, body])
}

/// Returns octets that look random, the first without leading zeros and the last odd.
pub fn octets(len: usize, seed: u8) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 ^ u32::from(seed);
    let mut octets: Vec<u8> = (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    if let [first, ..] = &mut octets[..] {
        *first |= 0x80;
    }
    if let [.., last] = &mut octets[..] {
        *last |= 1;
    }
    octets
}

/// Makes a number out of octets, its length in bits as it should be.
pub fn mpi(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.first().map_or(0, |first| first.leading_zeros());
    mpi_claiming((octets.len() * 8) as u16 - zeros as u16, octets)
}

/// Makes a number that claims any length in bits.
pub fn mpi_claiming(bits: u16, octets: &[u8]) -> Vec<u8> {
    join(&[&bits.to_be_bytes(), octets])
}

/// Makes the body of a version 2 or 3 key, which is RSA always.
pub fn v3_body(version: u8, modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    v3_body_with(version, 1, &join(&[&mpi(modulus), &mpi(exponent)]))
}

/// Makes the body of a version 2 or 3 key with any algorithm and material.
pub fn v3_body_with(version: u8, algorithm: u8, material: &[u8]) -> Vec<u8> {
    join(&[&[version], &CREATED.to_be_bytes(), &[0, 0, algorithm], material])
}

/// Makes the body of a version 4 key.
pub fn v4_body(algorithm: u8, material: &[u8]) -> Vec<u8> {
    join(&[&[4], &CREATED.to_be_bytes(), &[algorithm], material])
}

/// Makes the body of a version 6 key.
pub fn v6_body(algorithm: u8, material: &[u8]) -> Vec<u8> {
    v6_body_claiming(algorithm, material.len() as u32, material)
}

/// Makes the body of a version 6 key that claims any length of its material.
pub fn v6_body_claiming(algorithm: u8, claimed: u32, material: &[u8]) -> Vec<u8> {
    join(&[&[6], &CREATED.to_be_bytes(), &[algorithm], &claimed.to_be_bytes(), material])
}

/// Makes the material of an ECDSA or EdDSA key.
pub fn point(oid: &[u8], len: usize) -> Vec<u8> {
    let mut point = octets(len, 7);
    point[0] = 0x40;
    join(&[&[oid.len() as u8], oid, &mpi(&point)])
}

/// Makes the material of an ECDH key.
pub fn point_with_kdf(oid: &[u8], len: usize) -> Vec<u8> {
    join(&[&point(oid, len), &[3, 1, 8, 7]])
}

/// A version 4 Ed25519 key packet, the smallest usual key.
pub fn ed25519_key(tag: u8) -> Vec<u8> {
    packet(tag, &v4_body(22, &point(ED25519, 33)))
}

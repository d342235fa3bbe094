// SPDX-License-Identifier: MIT OR Apache-2.0
//! The side of the sandbox: writing records.

use super::{HEADER_LEN, KEY_LEN, KIND_KEY, KIND_USER_ATTRIBUTE, KIND_USER_ID, MAGIC, USER_ID_LEN, padded};
use crate::error::ParseError;
use crate::key::Key;
use crate::parser::{Sink, Summary, UserAttribute, UserId};

/// Writes records into a buffer.
///
/// When a record does not fit, it and all that follow are only counted, so that [`finish`](Self::finish) can tell how
/// large the buffer must be.
pub struct Writer<'a> {
    /// What is left of the buffer, behind the header and the records so far; empty once something did not fit.
    free: &'a mut [u8],
    header: Option<&'a mut [u8; HEADER_LEN]>,
    /// Bytes that header and records take, whether they fit or not.
    needed: usize,
    /// Bytes that header and records have taken.
    used: usize,
}

impl<'a> Writer<'a> {
    /// Starts with an empty list in `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        let (header, free) = match buffer.split_first_chunk_mut() {
            Some((header, free)) => (Some(header), free),
            None => (None, Default::default()),
        };
        Self { free, header, needed: HEADER_LEN, used: HEADER_LEN }
    }

    /// Writes the header and returns the bytes used.
    ///
    /// The header tells `result` too, and the records that are there can be read even after an error.
    ///
    /// # Errors
    /// The error in `result`; if there is none, [`ParseError::OutputFull`] when the buffer was too small.
    pub fn finish(self, summary: &Summary, result: Result<(), ParseError>) -> Result<u32, ParseError> {
        let result = result.and_then(|()| match self.header {
            Some(_) if self.used == self.needed => Ok(()),
            Some(_) | None => Err(ParseError::OutputFull { needed: u32::try_from(self.needed).unwrap_or(u32::MAX) }),
        });
        let used = u32::try_from(self.used).map_err(|_| ParseError::OutputFull { needed: u32::MAX })?;
        if let Some(header) = self.header {
            let mut out = Out { free: header };
            out.put(&MAGIC);
            out.put(&used.to_le_bytes());
            out.put(&result.err().map_or(0, ParseError::to_raw).to_le_bytes());
            let Summary { primary_keys, subkeys, user_ids, user_attributes, signatures, ignored, checksum_mismatches } =
                *summary;
            for number in
                [primary_keys, subkeys, user_ids, user_attributes, signatures, ignored, checksum_mismatches, 0]
            {
                out.put(&number.to_le_bytes());
            }
        }
        result.map(|()| used)
    }

    /// Makes room for a record with `fixed` bytes and `tail` more, if there is any.
    fn record(&mut self, fixed: usize, tail: usize) -> Option<(Out<'a>, u32)> {
        let size = fixed.checked_add(tail).and_then(padded);
        let fits = size.and_then(|size| Some((size, u32::try_from(size).ok()?)));
        self.needed = self.needed.saturating_add(size.unwrap_or(usize::MAX));
        // Taken out first: where one record does not fit, no smaller one may come after it.
        let (record, free) = fits.and_then(|(size, _)| core::mem::take(&mut self.free).split_at_mut_checked(size))?;
        let (size, claimed) = fits?;
        self.free = free;
        self.used = self.used.saturating_add(size);
        Some((Out { free: record }, claimed))
    }
}

impl Sink for Writer<'_> {
    fn key(&mut self, key: &Key<'_>) {
        let oid = key.oid.0;
        let Some((mut out, size)) = self.record(KEY_LEN, oid.len()) else { return };
        let bits = key.bits.to_le_bytes();
        // An OID's length is one octet in the packet.
        let oid_len = u8::try_from(oid.len()).unwrap_or(u8::MAX);
        out.put(&[KIND_KEY, key.role as u8, u8::from(key.secret), key.version as u8]);
        out.put(&size.to_le_bytes());
        out.put(&key.created.0.to_le_bytes());
        out.put(&key.offset.to_le_bytes());
        out.put(&[key.algorithm.0, key.curve as u8]);
        out.put(&bits);
        out.put(&[oid_len, 0, 0, 0]);
        out.put(&key.key_id.0);
        let fingerprint = key.fingerprint.as_bytes();
        out.put(fingerprint);
        out.zero(32_usize.saturating_sub(fingerprint.len()));
        out.put(oid);
        out.pad();
    }

    fn user_id(&mut self, user_id: UserId<'_>) {
        let Some((mut out, size)) = self.record(USER_ID_LEN, user_id.bytes.len()) else { return };
        out.put(&[KIND_USER_ID, 0, 0, 0]);
        out.put(&size.to_le_bytes());
        out.put(&user_id.offset.to_le_bytes());
        // Smaller than `size`, which is a u32.
        out.put(&u32::try_from(user_id.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.put(user_id.bytes);
        out.pad();
    }

    fn user_attribute(&mut self, attribute: UserAttribute) {
        let Some((mut out, size)) = self.record(USER_ID_LEN, 0) else { return };
        out.put(&[KIND_USER_ATTRIBUTE, 0, 0, 0]);
        out.put(&size.to_le_bytes());
        out.put(&attribute.offset.to_le_bytes());
        out.put(&attribute.len.to_le_bytes());
    }

    #[cfg(feature = "planted-bug")]
    fn user_id_as_claimed(&mut self, input: &[u8], start: usize, claimed: usize) {
        crate::planted::copy_as_claimed(self.free, USER_ID_LEN, input, start, claimed);
    }
}

/// The part of a record that is still to be written.
struct Out<'a> {
    free: &'a mut [u8],
}

impl Out<'_> {
    /// Writes `bytes`, as far as there is room; records are measured before, so there is.
    fn put(&mut self, bytes: &[u8]) {
        let free = core::mem::take(&mut self.free);
        let Some((to, free)) = free.split_at_mut_checked(bytes.len()) else { return };
        to.copy_from_slice(bytes);
        self.free = free;
    }

    /// Writes `count` zeros.
    fn zero(&mut self, count: usize) {
        let free = core::mem::take(&mut self.free);
        let Some((to, free)) = free.split_at_mut_checked(count) else { return };
        to.fill(0);
        self.free = free;
    }

    /// Writes zeros up to the end.
    fn pad(self) {
        self.free.fill(0);
    }
}

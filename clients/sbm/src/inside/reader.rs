// SPDX-License-Identifier: MIT OR Apache-2.0
//! A reader inside: `embedded-io`'s traits over chunks that the caller has.

use embedded_io::{BufRead, ErrorKind, ErrorType, Read, Seek, SeekFrom};
use serde::{Deserialize, Serialize};

use crate::Proxy;

/// A service: bytes that a function reads piece by piece, by a [`Reader`].
#[crate::service]
pub trait Chunks {
    /// Returns how many bytes there are.
    fn length(&self) -> u64;

    /// Fills `into` with the bytes from `at` on, and returns how many there were: fewer than it holds only at the end.
    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<u32, ChunkError>;
}

/// Error: the caller cannot read the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkError;

impl core::fmt::Display for ChunkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the caller cannot read these bytes")
    }
}

impl core::error::Error for ChunkError {}

impl embedded_io::Error for ChunkError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl Chunks for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<u32, ChunkError> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        u32::try_from(count).map_err(|_| ChunkError)
    }
}

/// Reads what a [`Chunks`] service has, `N` bytes at a time, by the traits of `embedded-io`.
///
/// It reads ahead: a parser that takes byte after byte asks its caller once for `N` of them. What is longer than that is
/// read straight to where it is wanted. A reader lies where it is made: on a sandbox's stack, mostly.
#[derive(Debug)]
pub struct Reader<const N: usize> {
    chunks: Proxy<dyn Chunks>,
    /// Where the bytes after the buffer are.
    next: u64,
    buffer: [u8; N],
    /// Of the buffer, what has not been taken yet.
    from: usize,
    to: usize,
}

impl<const N: usize> Reader<N> {
    /// Reads from the beginning.
    #[must_use]
    pub const fn new(chunks: Proxy<dyn Chunks>) -> Self {
        const { assert!(N > 0, "a reader reads a byte at least") };
        Self { chunks, next: 0, buffer: [0; N], from: 0, to: 0 }
    }

    /// Returns where the next byte is.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.next - (self.to - self.from) as u64
    }
}

impl<const N: usize> ErrorType for Reader<N> {
    type Error = ChunkError;
}

impl<const N: usize> BufRead for Reader<N> {
    fn fill_buf(&mut self) -> Result<&[u8], ChunkError> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            self.to = (self.chunks.read_at(self.next, &mut self.buffer)? as usize).min(N);
            self.next += self.to as u64;
        }
        Ok(&self.buffer[self.from..self.to])
    }

    fn consume(&mut self, count: usize) {
        self.from = self.from.saturating_add(count).min(self.to);
    }
}

impl<const N: usize> Read for Reader<N> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ChunkError> {
        if self.from == self.to && into.len() >= N {
            let count = (self.chunks.read_at(self.next, into)? as usize).min(into.len());
            self.next += count as u64;
            return Ok(count);
        }
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<const N: usize> Seek for Reader<N> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ChunkError> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(back) => self.chunks.length().checked_add_signed(back),
            SeekFrom::Current(on) => self.position().checked_add_signed(on),
        };
        let to = to.ok_or(ChunkError)?;
        let first = self.next - self.to as u64;
        if (first..=self.next).contains(&to) {
            // Below `N`, which has a size.
            self.from = usize::try_from(to - first).unwrap_or(self.to);
        } else {
            (self.next, self.from, self.to) = (to, 0, 0);
        }
        Ok(to)
    }
}

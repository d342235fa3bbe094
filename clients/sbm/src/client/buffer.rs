// SPDX-License-Identifier: MIT OR Apache-2.0
//! One buffer of a sandbox, and which of its bytes may be other than zero.
#![expect(unsafe_code, reason = "the client's own slice of memory that a sandbox can only read")]

use core::num::NonZeroU32;

use sbm_abi::{BufferAccess, Pages};
use sbm_coding::{Encoded, NotEncodable};
use serde::Serialize;

use super::memory::SharedMemory;

/// Names a buffer that the client asked for by itself: in one client's life no two have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BufferName {
    /// Where it stands among those of its sandbox.
    pub(crate) index: usize,
    /// Says which sandbox that is.
    pub(crate) serial: u64,
}

/// One buffer. For calls of one shape exactly the bytes of the arguments are live, and nothing has to be zeroed.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: SharedMemory,
    access: BufferAccess,
    live_from: u32,
    live_to: u32,
    /// The base of the growth that the buffer is all of; `None` if it was set up with the sandbox.
    growth: Option<NonZeroU32>,
}

impl Buffer {
    /// Refers to a buffer of zeros.
    pub(crate) const fn new(pages: Pages, access: BufferAccess, growth: Option<NonZeroU32>) -> Self {
        Self { memory: SharedMemory::from_server(pages), access, live_from: 0, live_to: 0, growth }
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.memory.len()
    }

    #[inline]
    pub(crate) const fn address(&self, offset: usize) -> u64 {
        (self.memory.address() + offset) as u64
    }

    pub(crate) const fn memory(&self) -> SharedMemory {
        self.memory
    }

    pub(crate) const fn access(&self) -> BufferAccess {
        self.access
    }

    pub(crate) const fn growth(&self) -> Option<NonZeroU32> {
        self.growth
    }

    /// Returns the bytes of a buffer that the sandbox can only read; of another, which may be changing, none.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self.access {
            BufferAccess::ReadOnly => {
                self.set_live();
                // SAFETY: the sandbox holds the pages read-only, and the buffer is borrowed as long as the slice.
                unsafe { self.memory.slice_mut() }
            }
            BufferAccess::ReadWrite => &mut [],
        }
    }

    /// Returns two parts of a buffer that the sandbox can only read, for as long as the caller needs them: the first `room`
    /// bytes, and `length` from `behind` on. Of another buffer, or if they are not all inside and apart, none.
    pub(crate) fn parts<'a>(&mut self, room: usize, behind: usize, length: usize) -> (&'a mut [u8], &'a [u8]) {
        if self.access == BufferAccess::ReadWrite {
            return (&mut [], &[]);
        }
        self.set_live();
        // SAFETY: the sandbox holds the pages read-only. A mailbox, whose parts these are, is written and given back only
        // by a request or a result that comes after the one that they were returned for.
        let bytes = unsafe { self.memory.slice_mut() };
        match bytes.split_at_mut_checked(behind) {
            Some((first, second)) if room <= behind && length <= second.len() => {
                (&mut first[..room], &second[..length])
            }
            _ => (&mut [], &[]),
        }
    }

    /// Takes note that all of it may be other than zero.
    const fn set_live(&mut self) {
        self.live_from = 0;
        self.live_to = self.memory.pages().bytes();
    }

    /// Copies `bytes` to `offset`; everything else that was written there before becomes zero.
    #[inline]
    pub(crate) fn fill(&mut self, offset: usize, bytes: &[u8]) {
        self.retire(offset, bytes.len());
        self.memory.write(offset, bytes);
    }

    /// Writes a value's form to the start of a buffer that the sandbox can only read; everything else that was written
    /// there before becomes zero.
    pub(crate) fn encode<T: Serialize>(&mut self, value: &T) -> Result<Encoded, NotEncodable> {
        if self.access == BufferAccess::ReadWrite {
            return Err(NotEncodable);
        }
        // SAFETY: the sandbox holds the pages read-only, and the buffer is borrowed as long as the slice.
        let bytes = unsafe { self.memory.slice_mut() };
        let encoded = sbm_coding::encode(value, bytes);
        match encoded {
            Ok(Encoded::Fits(length)) => self.retire(0, length),
            _ => self.set_live(),
        }
        encoded
    }

    /// Copies `source`, which is not longer, to the start; everything else that was written there before becomes zero.
    pub(crate) fn fill_from(&mut self, source: SharedMemory) {
        self.retire(0, source.len());
        source.copy_to(self.memory);
    }

    /// Makes everything zero that was written there before, and `length` bytes at `offset`.
    #[inline]
    pub(crate) fn clear(&mut self, offset: usize, length: usize) {
        self.retire(offset, length);
        self.memory.zero(offset, length);
    }

    #[inline]
    pub(crate) fn read(&self, offset: usize, target: &mut [u8]) {
        self.memory.read(offset, target);
    }

    /// Makes all of it zero, whatever the sandbox has written where it can.
    pub(crate) fn wipe(&mut self) {
        if self.access == BufferAccess::ReadWrite {
            self.set_live();
        }
        self.zero_live();
        (self.live_from, self.live_to) = (0, 0);
    }

    /// Zeroes what the client has written.
    pub(crate) fn zero_live(&self) {
        self.memory.zero(self.live_from as usize, (self.live_to - self.live_from) as usize);
    }

    /// Zeroes what is live outside of the range that is going to be, which is nothing for calls of one shape.
    #[inline]
    fn retire(&mut self, offset: usize, length: usize) {
        // Offsets lie within the buffer, whose size has 32 bits.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let (from, to) = (offset as u32, (offset + length) as u32);
        if self.live_from < from || self.live_to > to {
            self.zero_outside(from, to);
        }
        self.live_from = from;
        self.live_to = to;
    }

    #[cold]
    fn zero_outside(&self, from: u32, to: u32) {
        let zero = |from: u32, to: u32| self.memory.zero(from as usize, to.saturating_sub(from) as usize);
        zero(self.live_from, from.min(self.live_to));
        zero(to.max(self.live_from), self.live_to);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fields of words.

/// A field of a word: so many bits from a lowest one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    shift: u32,
    width: u32,
}

impl Field {
    /// Makes a field; the generator has checked that it lies in a word, and that it is not empty.
    pub(crate) const fn new(shift: u32, width: u32) -> Self {
        assert!(width > 0 && shift + width <= u64::BITS);
        Self { shift, width }
    }

    /// Returns the number of bits.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Returns the largest value that fits.
    const fn max(self) -> u64 {
        u64::MAX >> (u64::BITS - self.width)
    }

    /// Returns a word with `value` in the field, of which bits that do not fit are cut off, and 0 elsewhere.
    #[inline]
    pub const fn put(self, value: u64) -> u64 {
        (value & self.max()) << self.shift
    }

    /// Returns the value of the field in `word`.
    #[inline]
    pub const fn get(self, word: u64) -> u64 {
        word >> self.shift & self.max()
    }
}

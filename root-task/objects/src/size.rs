// SPDX-License-Identifier: MIT OR Apache-2.0
//! Power-of-two sizes
//!
//! seL4 gives every object and block a size of a power of two and passes its exponent; so does everything here.

use core::fmt;

/// The binary logarithm of a size: in bytes for memory and addresses, in slots for slots. At most 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeBits(u8);

impl SizeBits {
    /// The size of one: one byte, one slot.
    pub const ONE: Self = Self(0);
    /// Number of different sizes.
    pub(crate) const COUNT: usize = 64;

    /// Takes an exponent that is known at compile time; one above 63 does not compile.
    pub const fn of<const BITS: u8>() -> Self {
        const { assert!(BITS < 64) };
        Self(BITS)
    }

    /// Takes an exponent, unless it is above 63.
    pub const fn new(bits: u8) -> Option<Self> {
        if bits < 64 { Some(Self(bits)) } else { None }
    }

    /// Finds the smallest size that holds `units`, unless that is above `2^63`.
    pub const fn holding(units: u64) -> Option<Self> {
        match units.checked_next_power_of_two() {
            Some(power) => Some(Self(power.trailing_zeros() as u8)),
            None => None,
        }
    }

    /// Returns the exponent.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the size itself.
    pub const fn size(self) -> u64 {
        1 << self.0
    }

    /// Tells whether `address` is a multiple of this size.
    pub const fn aligns(self, address: u64) -> bool {
        address & (self.size() - 1) == 0
    }

    /// Returns half this size, unless it is one.
    pub(crate) const fn half(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// Lists this size and all that are larger.
    pub(crate) fn and_larger(self) -> impl Iterator<Item = Self> {
        (self.0..Self::COUNT as u8).map(Self)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number of halvings that lead from this size to `smaller`.
    pub(crate) const fn steps_to(self, smaller: Self) -> usize {
        self.0.saturating_sub(smaller.0) as usize
    }
}

impl fmt::Display for SizeBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^{}", self.0)
    }
}

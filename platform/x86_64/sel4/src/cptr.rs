// SPDX-License-Identifier: MIT OR Apache-2.0
//! Capability pointers: names of slots in the CSpace of the thread that uses them.

use crate::sys;

/// The raw bits of a capability pointer.
pub type CPtrBits = sys::seL4_CPtr;

/// A capability pointer, resolved in the CSpace of the thread that uses it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CPtr {
    bits: CPtrBits,
}

impl CPtr {
    /// The null capability pointer: slot 0 of an initial CSpace is always empty.
    pub const NULL: Self = Self::from_bits(0);

    /// Makes a capability pointer of its bits.
    pub const fn from_bits(bits: CPtrBits) -> Self {
        Self { bits }
    }

    /// Returns the bits.
    pub const fn bits(self) -> CPtrBits {
        self.bits
    }
}

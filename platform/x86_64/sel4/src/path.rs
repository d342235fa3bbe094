// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths to slots, also in other CSpaces.
//!
//! An [`AbsoluteCPtr`] names a slot from a CNode that the thread can invoke, with an explicit number of bits to resolve;
//! the CNode invocations (manual, chapter "Capability Spaces") are its methods, in `invocations/cnode.rs`.

use crate::{CPtr, CPtrBits, Word, cap, sys};

/// A slot, as a path from a CNode that this thread can invoke.
///
/// Unlike a [`Cap`](crate::Cap) it reaches slots that hold CNodes, by limiting the depth, and slots of other threads'
/// CSpaces.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct AbsoluteCPtr {
    root: cap::CNode,
    bits: CPtrBits,
    depth: u8,
}

impl AbsoluteCPtr {
    /// Returns root, index and depth, the three words that invocations take.
    #[inline]
    pub(crate) const fn words(&self) -> (sys::seL4_CPtr, Word, Word) {
        (self.root.bits(), self.bits, self.depth as Word)
    }
}

impl cap::CNode {
    /// Returns the path to `cptr` from this CNode, with all bits of a word.
    pub const fn absolute_cptr(self, cptr: CPtr) -> AbsoluteCPtr {
        self.absolute_cptr_from_bits_with_depth(cptr.bits(), Word::BITS as u8)
    }

    /// Returns the path of `bits`, of which the low `depth` are resolved, from this CNode.
    ///
    /// The kernel answers [`Error::FailedLookup`](crate::Error::FailedLookup) to a depth beyond the bits of a word.
    pub const fn absolute_cptr_from_bits_with_depth(self, bits: CPtrBits, depth: u8) -> AbsoluteCPtr {
        AbsoluteCPtr { root: self, bits, depth }
    }

    /// Returns the path of depth 0: this CNode as the destination of a retype.
    pub const fn absolute_cptr_for_self(self) -> AbsoluteCPtr {
        self.absolute_cptr_from_bits_with_depth(0, 0)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Capability pointers, and paths to slots in other CSpaces.
//!
//! A [`CPtr`] names a slot in the CSpace of the thread that uses it. An [`AbsoluteCPtr`] names a slot from a CNode that
//! the thread can invoke, with an explicit number of bits to resolve; the CNode invocations (manual, chapter
//! "Capability Spaces") are its methods, in `cnode.rs`.

use crate::{Cap, CapType, Word, cap, sys};

/// Number of bits in a [`Word`].
pub const WORD_SIZE: usize = Word::BITS as usize;

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

    /// Marks this pointer as one to a capability of type `T`. Nothing is checked; the kernel does, at each invocation.
    pub const fn cast<T: CapType>(self) -> Cap<T> {
        Cap::from_cptr(self)
    }
}

/// A capability pointer with the number of its bits to resolve.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CPtrWithDepth {
    bits: CPtrBits,
    depth: u8,
}

impl CPtrWithDepth {
    /// Makes a path of `bits`, of which the low `depth` are resolved.
    ///
    /// The kernel answers [`Error::FailedLookup`](crate::Error::FailedLookup) to a depth beyond [`WORD_SIZE`].
    pub const fn from_bits_with_depth(bits: CPtrBits, depth: u8) -> Self {
        Self { bits, depth }
    }

    /// Returns the bits.
    pub const fn bits(&self) -> CPtrBits {
        self.bits
    }

    /// Returns the number of bits to resolve.
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// Makes the path of depth 0: the CNode itself, where an invocation takes one (retype's destination).
    pub const fn empty() -> Self {
        Self::from_bits_with_depth(0, 0)
    }
}

impl From<CPtr> for CPtrWithDepth {
    fn from(cptr: CPtr) -> Self {
        Self::from_bits_with_depth(cptr.bits(), Word::BITS as u8)
    }
}

/// What has a path that resolves all bits of a word, or its own number of them.
pub trait HasCPtrWithDepth {
    /// Returns the path.
    fn cptr_with_depth(self) -> CPtrWithDepth;
}

impl HasCPtrWithDepth for CPtr {
    fn cptr_with_depth(self) -> CPtrWithDepth {
        self.into()
    }
}

impl<T: CapType> HasCPtrWithDepth for Cap<T> {
    fn cptr_with_depth(self) -> CPtrWithDepth {
        self.cptr().into()
    }
}

impl HasCPtrWithDepth for CPtrWithDepth {
    fn cptr_with_depth(self) -> CPtrWithDepth {
        self
    }
}

/// A slot, as a path from a CNode that this thread can invoke.
///
/// Unlike a [`Cap`] it reaches slots that hold CNodes, by limiting the depth, and slots of other threads' CSpaces.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct AbsoluteCPtr {
    root: cap::CNode,
    path: CPtrWithDepth,
}

impl AbsoluteCPtr {
    /// Makes the path `path` from `root`.
    pub const fn new(root: cap::CNode, path: CPtrWithDepth) -> Self {
        Self { root, path }
    }

    /// Returns the CNode at which the lookup starts.
    pub const fn root(&self) -> cap::CNode {
        self.root
    }

    /// Returns the path from there.
    pub const fn path(&self) -> CPtrWithDepth {
        self.path
    }
}

impl cap::CNode {
    /// Returns the path to `path` from this CNode.
    pub fn absolute_cptr<P: HasCPtrWithDepth>(self, path: P) -> AbsoluteCPtr {
        AbsoluteCPtr::new(self, path.cptr_with_depth())
    }

    /// Returns the path of `depth` bits from this CNode.
    pub const fn absolute_cptr_from_bits_with_depth(self, bits: CPtrBits, depth: u8) -> AbsoluteCPtr {
        AbsoluteCPtr::new(self, CPtrWithDepth::from_bits_with_depth(bits, depth))
    }

    /// Returns the path of depth 0: this CNode as the destination of a retype.
    pub const fn absolute_cptr_for_self(self) -> AbsoluteCPtr {
        AbsoluteCPtr::new(self, CPtrWithDepth::empty())
    }
}

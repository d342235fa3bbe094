// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rights of capabilities, and guards of CNodes.

use crate::{Word, sys, version};

/// The rights of a capability: `seL4_CapRights_t` (manual, section "Capability Rights").
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CapRights(Word);

impl CapRights {
    /// Makes rights. Before seL4 11 there is no grant-reply, and `grant_reply` is ignored.
    #[inline]
    pub const fn new(grant_reply: bool, grant: bool, read: bool, write: bool) -> Self {
        Self(
            version::grant_reply_right(grant_reply)
                | sys::bf::seL4_CapRights::capAllowGrant.put(grant as Word)
                | sys::bf::seL4_CapRights::capAllowRead.put(read as Word)
                | sys::bf::seL4_CapRights::capAllowWrite.put(write as Word),
        )
    }

    /// Makes all rights.
    pub const fn all() -> Self {
        Self::new(true, true, true, true)
    }

    /// Makes read and write.
    pub const fn read_write() -> Self {
        Self::new(false, false, true, true)
    }

    /// Makes read: a frame that is not written, an endpoint that only receives.
    pub const fn read_only() -> Self {
        Self::new(false, false, true, false)
    }

    /// Makes what a caller needs of an endpoint, and a thread of its fault endpoint: write, and the least right with
    /// which the kernel makes a reply capability. That is grant-reply where the kernel knows it (11.0 and later), and
    /// grant before; with grant the holder can also send capabilities.
    pub const fn call() -> Self {
        Self::new(true, !version::HAS_GRANT_REPLY, false, true)
    }

    /// Returns the word that invocations take.
    pub const fn into_word(self) -> Word {
        self.0
    }
}

/// The guard of a CNode capability: `seL4_CNode_CapData` (manual, section "Capability Address Lookup").
///
/// It is the badge of a mint or mutate, and the `cspace_root_data` of a thread. Up to seL4 7 the word also says that it
/// is a guard and no badge, and guards have 18 bits.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct CNodeCapData(Word);

impl CNodeCapData {
    /// Makes a guard of the low `guard_size` bits of `guard`.
    #[inline]
    pub const fn new(guard: Word, guard_size: u8) -> Self {
        Self(version::cnode_cap_data(guard, guard_size))
    }

    /// Makes a guard of `num_bits` zeros.
    #[inline]
    pub const fn skip(num_bits: u8) -> Self {
        Self::new(0, num_bits)
    }

    /// Makes the guard with which a CNode of `2^cnode_size_bits` slots resolves a whole word, so that the index of a
    /// slot is a [`CPtr`](crate::CPtr) to it.
    #[inline]
    pub const fn skip_high_bits(cnode_size_bits: usize) -> Self {
        Self::skip((Word::BITS as usize - cnode_size_bits) as u8)
    }

    /// Returns the word that invocations take.
    #[inline]
    pub const fn into_word(self) -> Word {
        self.0
    }
}

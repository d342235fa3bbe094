// SPDX-License-Identifier: MIT OR Apache-2.0
//! The head of a message: label, number of words, capabilities.

use core::fmt;

use crate::{Word, sys};

/// The head of a message: `seL4_MessageInfo_t` (manual, section "IPC Buffer").
#[derive(Copy, Clone, PartialEq, Eq)]
#[repr(transparent)]
pub struct MessageInfo(Word);

impl MessageInfo {
    /// Number of bits of a label: 52, or 20 up to seL4 9.0.
    pub const LABEL_BITS: u32 = sys::bf::seL4_MessageInfo::label.width();

    /// Makes a head. Bits beyond a field's width are cut off.
    #[inline]
    pub const fn new(label: Word, caps_unwrapped: usize, extra_caps: usize, length: usize) -> Self {
        Self(
            sys::bf::seL4_MessageInfo::label.put(label)
                | sys::bf::seL4_MessageInfo::capsUnwrapped.put(caps_unwrapped as Word)
                | sys::bf::seL4_MessageInfo::extraCaps.put(extra_caps as Word)
                | sys::bf::seL4_MessageInfo::length.put(length as Word),
        )
    }

    /// Makes a head of a word as it travels in `rsi`.
    #[inline]
    pub const fn from_word(word: Word) -> Self {
        Self(word)
    }

    /// Returns the word that travels in `rsi`.
    #[inline]
    pub const fn into_word(self) -> Word {
        self.0
    }

    /// Returns the label, [`LABEL_BITS`](Self::LABEL_BITS) wide.
    #[inline]
    pub const fn label(self) -> Word {
        sys::bf::seL4_MessageInfo::label.get(self.0)
    }

    /// Returns, as a bit per capability, which of those received were unwrapped: their badges stand in the IPC buffer.
    #[inline]
    pub const fn caps_unwrapped(self) -> usize {
        sys::bf::seL4_MessageInfo::capsUnwrapped.get(self.0) as usize
    }

    /// Returns the number of capabilities.
    #[inline]
    pub const fn extra_caps(self) -> usize {
        sys::bf::seL4_MessageInfo::extraCaps.get(self.0) as usize
    }

    /// Returns the number of words.
    #[inline]
    pub const fn length(self) -> usize {
        sys::bf::seL4_MessageInfo::length.get(self.0) as usize
    }
}

impl fmt::Debug for MessageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageInfo")
            .field("label", &self.label())
            .field("caps_unwrapped", &self.caps_unwrapped())
            .field("extra_caps", &self.extra_caps())
            .field("length", &self.length())
            .finish()
    }
}

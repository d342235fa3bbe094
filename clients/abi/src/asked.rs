// SPDX-License-Identifier: MIT OR Apache-2.0
//! The head of a request: what a function in a sandbox asks its caller for.
//!
//! ```text
//!   bits  0..16   number of the method
//!        16..24   of what: the argument that is a service, counted from 0, or one of the constants here
//!        24..25   coded: the arguments stand in the outbox, and the next word is their length
//!        32..64   room: bytes that the caller is to fill
//! ```
//!
//! It is followed by two words: the arguments, or the length of their form. Answered by two words, in the same way.

/// A request's head. It is the sandbox's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Of what: the argument that is a service, counted from 0, or [`Asked::OUTBOX`].
    pub of: u8,
    /// Number of the method.
    pub method: u16,
    /// Whether the arguments stand in the outbox.
    pub coded: bool,
    /// Bytes that the caller is to fill.
    pub room: u32,
}

impl Asked {
    /// Asks for a larger outbox: the first word is its length in bytes. Answered by address and length.
    pub const OUTBOX: u8 = 0xff;

    /// Codes the head.
    #[inline]
    #[must_use]
    pub const fn into_word(self) -> u64 {
        (self.room as u64) << 32 | (self.coded as u64) << 24 | (self.of as u64) << 16 | self.method as u64
    }

    /// Decodes a head, unless bits are set that have no meaning.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u64) -> Option<Self> {
        if word & 0xfe00_0000 != 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "each takes its bits")]
        Some(Self {
            of: (word >> 16) as u8,
            method: word as u16,
            coded: word >> 24 & 1 == 1,
            room: (word >> 32) as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_comes_back_as_it_was(of: u8, method: u16, coded: bool, room: u32) {
            let head = Asked { of, method, coded, room };
            prop_assert_eq!(Asked::from_word(head.into_word()), Some(head));
        }

        #[test]
        fn a_word_is_a_head_or_has_bits_that_mean_nothing(word: u64) {
            match Asked::from_word(word) {
                Some(head) => prop_assert_eq!(head.into_word(), word),
                None => prop_assert!(word & 0xfe00_0000 != 0),
            }
        }
    }
}

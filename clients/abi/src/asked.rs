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
pub struct Asked(u64);

impl Asked {
    /// Asks for a larger outbox: the first word is its length in bytes. Answered by address and length.
    pub const OUTBOX: Self = Self::new(0xff, 0, 0);

    /// Prints text: the first word is how many bytes of it stand in the argument page. Answered by two zeros.
    pub const TEXT: Self = Self::new(0xfe, 0, 0);

    const CODED: u64 = 1 << 24;
    const MEANINGLESS: u64 = 0xfe00_0000;

    /// Asks the argument at place `of` for its method of that number, which is to fill `room` bytes.
    #[inline]
    #[must_use]
    pub const fn new(of: u8, method: u16, room: u32) -> Self {
        Self((room as u64) << 32 | (of as u64) << 16 | method as u64)
    }

    /// Says that the arguments stand in the outbox.
    #[inline]
    #[must_use]
    pub const fn coded(self) -> Self {
        Self(self.0 | Self::CODED)
    }

    /// Returns the head as a word.
    #[inline]
    #[must_use]
    pub const fn into_word(self) -> u64 {
        self.0
    }

    /// Takes a word for a head, unless bits are set that have no meaning.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u64) -> Option<Self> {
        if word & Self::MEANINGLESS == 0 { Some(Self(word)) } else { None }
    }

    /// Returns of what: the place of the argument that is a service.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "it has these bits")]
    pub const fn of(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Returns the number of the method.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "it has these bits")]
    pub const fn method(self) -> u16 {
        self.0 as u16
    }

    /// Tells whether the arguments stand in the outbox.
    #[inline]
    #[must_use]
    pub const fn is_coded(self) -> bool {
        self.0 & Self::CODED != 0
    }

    /// Returns how many bytes the caller is to fill.
    #[inline]
    #[must_use]
    pub const fn room(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_comes_back_as_it_was(of: u8, method: u16, room: u32) {
            for head in [Asked::new(of, method, room), Asked::new(of, method, room).coded()] {
                prop_assert_eq!(Asked::from_word(head.into_word()), Some(head));
                prop_assert_eq!((head.of(), head.method(), head.room()), (of, method, room));
            }
            prop_assert!(!Asked::new(of, method, room).is_coded());
            prop_assert!(Asked::new(of, method, room).coded().is_coded());
            prop_assert!(Asked::new(of, method, room).coded().coded().is_coded());
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a sandboxed function can return: at most two words, in registers.

/// A value of one word.
///
/// Implement it for an error enum of your own with [`word_enum!`](crate::word_enum).
pub trait Word: Sized + 'static {
    /// Codes the value.
    fn to_word(self) -> u64;
    /// Decodes what a sandbox sent, if it is a value of this type.
    fn from_word(word: u64) -> Option<Self>;
}

macro_rules! integers {
    ($($unsigned:ty)*; $($signed:ty)*) => {
        $(impl Word for $unsigned {
            fn to_word(self) -> u64 { self as u64 }
            fn from_word(word: u64) -> Option<Self> { Self::try_from(word).ok() }
        })*
        $(impl Word for $signed {
            #[expect(clippy::cast_sign_loss, reason = "the same bits come back")]
            fn to_word(self) -> u64 { self as i64 as u64 }
            #[expect(clippy::cast_possible_wrap, reason = "the same bits come back")]
            fn from_word(word: u64) -> Option<Self> { Self::try_from(word as i64).ok() }
        })*
    };
}

integers!(u8 u16 u32 u64 usize; i8 i16 i32 i64 isize);

impl Word for () {
    fn to_word(self) -> u64 {
        0
    }
    fn from_word(_: u64) -> Option<Self> {
        Some(())
    }
}

impl Word for bool {
    fn to_word(self) -> u64 {
        u64::from(self)
    }
    fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// What a sandboxed function can return.
pub trait Value: Sized + 'static {
    /// Codes the value.
    fn to_words(self) -> [u64; 2];
    /// Decodes what a sandbox sent, if it is a value of this type.
    fn from_words(words: [u64; 2]) -> Option<Self>;
}

impl<T: Word> Value for T {
    #[inline]
    fn to_words(self) -> [u64; 2] {
        [self.to_word(), 0]
    }
    #[inline]
    fn from_words([word, _]: [u64; 2]) -> Option<Self> {
        T::from_word(word)
    }
}

impl<T: Word, E: Word> Value for Result<T, E> {
    #[inline]
    fn to_words(self) -> [u64; 2] {
        match self {
            Ok(value) => [value.to_word(), 0],
            Err(error) => [error.to_word(), 1],
        }
    }
    #[inline]
    fn from_words([word, tag]: [u64; 2]) -> Option<Self> {
        match tag {
            0 => T::from_word(word).map(Ok),
            1 => E::from_word(word).map(Err),
            _ => None,
        }
    }
}

impl<T: Word> Value for Option<T> {
    #[inline]
    fn to_words(self) -> [u64; 2] {
        match self {
            Some(value) => [value.to_word(), 1],
            None => [0, 0],
        }
    }
    #[inline]
    fn from_words([word, tag]: [u64; 2]) -> Option<Self> {
        match tag {
            0 => Some(None),
            1 => T::from_word(word).map(Some),
            _ => None,
        }
    }
}

/// Defines an enum without fields that a sandboxed function can return, as itself or as an error.
///
/// <!-- tests/conformance/src/plain.rs -->
/// ```ignore
/// word_enum! {
///     /// An error that a function returns.
///     enum Refusal {
///         /// The only one.
///         Empty = 1,
///     }
/// }
/// ```
#[macro_export]
macro_rules! word_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        $vis enum $name { $($(#[$doc])* $variant = $value),+ }

        impl $crate::Word for $name {
            fn to_word(self) -> u64 { self as u64 }
            fn from_word(word: u64) -> Option<Self> {
                match word { $($value => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

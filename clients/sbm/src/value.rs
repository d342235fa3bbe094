// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a sandboxed function can return: a value of any type that serde knows.

use serde::{Serialize, de::DeserializeOwned};

/// What a sandboxed function can return, and what can be its argument by [`value`](crate::value()): anything that serde
/// can write and read again without borrowing.
///
/// What fits two words travels in registers, as [`sbm_coding::words`] says; everything else through a buffer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between a client and its sandbox",
    label = "has to be a type that serde can write and read, and that borrows nothing",
    note = "write `#[derive(serde::Serialize, serde::Deserialize)]` on it; for a type of another crate, use that crate's \
            feature `serde`"
)]
pub trait Value: Serialize + DeserializeOwned + 'static {}

impl<T: Serialize + DeserializeOwned + 'static> Value for T {}

/// A number: any word of it is one.
pub trait Word: Sized + 'static {
    /// Codes the value.
    fn to_word(self) -> u64;
}

macro_rules! integers {
    ($($unsigned:ty)*; $($signed:ty)*) => {
        $(impl Word for $unsigned {
            fn to_word(self) -> u64 { self as u64 }
        })*
        $(impl Word for $signed {
            #[expect(clippy::cast_sign_loss, reason = "the same bits come back")]
            fn to_word(self) -> u64 { self as i64 as u64 }
        })*
    };
}

integers!(u8 u16 u32 u64 usize; i8 i16 i32 i64 isize);

/// Defines an enum without fields whose variants have numbers of their own, to be returned as itself or as an error.
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

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.serialize_u8(*self as u8)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                match <u8 as $crate::serde::Deserialize>::deserialize(deserializer)? {
                    $($value => ::core::result::Result::Ok(Self::$variant),)+
                    _ => ::core::result::Result::Err($crate::serde::de::Error::custom("no variant")),
                }
            }
        }
    };
}

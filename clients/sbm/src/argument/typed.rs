// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that are no plain bytes: values of any type that serde knows, text, floats, characters.
#![expect(unsafe_code, reason = "the sandbox's side makes references of the words that the client's side sent")]

use sbm_abi::BufferAccess;
use sbm_coding::Encoded;

use super::{Argument, copied::Payload};
use crate::{
    client::instance::Instance,
    error::{Error, Unfit},
    value::Value,
};

/// Argument: coded in a buffer of its own, and decoded inside. See [`value`].
pub struct ByValue<'a, T>(&'a T);

/// Passes a value of any type that serde knows. The function gets one like it, of its own.
#[must_use]
pub const fn value<T: Value>(value: &T) -> ByValue<'_, T> {
    ByValue(value)
}

/// Writes a value's form to the buffer of argument `at`, and returns the words that name it.
fn stage<T: Value>(value: &T, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
    let mut bytes = 0;
    // The second time there is room for what the first time told.
    for _ in 0..2 {
        let buffer = instance.buffer(at, bytes, BufferAccess::ReadOnly)?;
        match buffer.encode(value).map_err(|_| Error::Argument { number: at + 1, why: Unfit::NotEncodable })? {
            Encoded::Fits(length) => return Ok([buffer.address(0), length as u64]),
            Encoded::Needs(length) => bytes = length,
        }
    }
    Err(Error::Argument { number: at + 1, why: Unfit::NotEncodable })
}

// SAFETY: `stage` names bytes of a buffer of the sandbox's, which it can read.
unsafe impl<T: Value> Argument for ByValue<'_, T> {
    type Inside<'x> = T;

    #[inline]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        stage(self.0, instance, at)
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> Self::Inside<'x> {
        // SAFETY: the words are those of `stage`.
        let bytes = unsafe { <[u8]>::refer(address as usize, bytes as usize) };
        match sbm_coding::read(bytes) {
            Ok(value) => value,
            Err(_) => unreadable(),
        }
    }
}

/// Ends a call whose argument cannot be read back.
#[cold]
#[expect(clippy::panic, reason = "in a sandbox it ends the call, and says why")]
fn unreadable() -> ! {
    panic!("serde cannot read an argument back as it wrote it")
}

// SAFETY: the words name bytes of a buffer of the sandbox's, which it can read.
unsafe impl Argument for &str {
    type Inside<'x> = &'x str;

    #[inline]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        let buffer = instance.buffer(at, self.len(), BufferAccess::ReadOnly)?;
        buffer.fill(0, self.as_bytes());
        Ok([buffer.address(0), self.len() as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x str {
        // SAFETY: the words are those of `stage`, which wrote text there, and the sandbox cannot write it.
        unsafe { core::str::from_utf8_unchecked(<[u8]>::refer(address as usize, bytes as usize)) }
    }
}

macro_rules! by_value {
    ($($type:ty: |$value:ident| $to:expr, |$word:ident| $from:expr;)*) => {
        $(
            // SAFETY: the words name no memory.
            unsafe impl Argument for $type {
                type Inside<'x> = Self;

                #[inline]
                fn stage(&mut self, _: &mut Instance, _: usize) -> Result<[u64; 2], Error> {
                    let $value = *self;
                    Ok([$to, 0])
                }

                #[inline]
                fn finish(&mut self, _: &Instance, _: usize) {}

                #[inline]
                unsafe fn inside<'x>([$word, _]: [u64; 2]) -> Self::Inside<'x> {
                    $from
                }
            }
        )*
    };
}

by_value! {
    bool: |value| u64::from(value), |word| word != 0;
    char: |value| u64::from(value), |word| char::from_u32(word as u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    f32: |value| u64::from(value.to_bits()), |word| f32::from_bits(word as u32);
    f64: |value| value.to_bits(), |word| f64::from_bits(word);
}

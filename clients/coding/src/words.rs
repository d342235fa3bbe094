// SPDX-License-Identifier: MIT OR Apache-2.0
//! The form in two words, for what is small enough: it travels in registers.
//!
//! | value | first word | second word |
//! | --- | --- | --- |
//! | integer, `bool`, `char`, float, `()` | itself | 0 |
//! | `None`, `Some(v)` | 0, v | 0, 1 |
//! | variant of an enum, with one word or none | that word, or 0 | the variant's number |
//! | tuple, array or struct of at most two words | the one | the other |
//!
//! Within another value there is room for one word: a variant without content is its number there. Whatever does not fit
//! goes through a buffer; the compiler knows for most types that it never does, and leaves the other way out.

use core::fmt;

use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeSeed, Deserializer, EnumAccess, SeqAccess, VariantAccess, Visitor},
    ser::{self, Impossible, Serializer},
};

/// Codes a value, if it fits.
#[inline]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Option<[u64; 2]> {
    value.serialize(ToWords::<false>).ok()
}

/// Decodes what a sandbox sent, if it is a value of the type in this form.
#[inline]
#[must_use]
pub fn decode<'de, T: Deserialize<'de>>(words: [u64; 2]) -> Option<T> {
    T::deserialize(FromWords::<false>(words)).ok()
}

/// Error: the value does not fit two words, or the words are no value.
#[derive(Debug)]
struct NoFit;

impl fmt::Display for NoFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not in two words")
    }
}

impl core::error::Error for NoFit {}

impl ser::Error for NoFit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl de::Error for NoFit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

type Coded = Result<[u64; 2], NoFit>;

/// Codes a value, or one within another, which has the first word alone.
struct ToWords<const WITHIN: bool>;

macro_rules! codes {
    ($($method:ident $type:ty: |$value:ident| $word:expr;)*) => {
        $(
            #[inline]
            #[expect(clippy::allow_attributes, reason = "not every type needs it")]
            #[allow(clippy::cast_sign_loss, clippy::cast_lossless, reason = "the same bits come back")]
            fn $method(self, $value: $type) -> Coded {
                Ok([$word, 0])
            }
        )*
    };
}

impl<const WITHIN: bool> Serializer for ToWords<WITHIN> {
    type Ok = [u64; 2];
    type Error = NoFit;
    type SerializeSeq = Impossible<[u64; 2], NoFit>;
    type SerializeTuple = Pair;
    type SerializeTupleStruct = Pair;
    type SerializeTupleVariant = Impossible<[u64; 2], NoFit>;
    type SerializeMap = Impossible<[u64; 2], NoFit>;
    type SerializeStruct = Pair;
    type SerializeStructVariant = Impossible<[u64; 2], NoFit>;

    codes! {
        serialize_bool bool: |value| u64::from(value);
        serialize_u8 u8: |value| value as u64;
        serialize_u16 u16: |value| value as u64;
        serialize_u32 u32: |value| value as u64;
        serialize_u64 u64: |value| value;
        serialize_i8 i8: |value| value as i64 as u64;
        serialize_i16 i16: |value| value as i64 as u64;
        serialize_i32 i32: |value| value as i64 as u64;
        serialize_i64 i64: |value| value as u64;
        serialize_f32 f32: |value| value.to_bits() as u64;
        serialize_f64 f64: |value| value.to_bits();
        serialize_char char: |value| value as u64;
    }

    #[inline]
    fn serialize_str(self, _: &str) -> Coded {
        Err(NoFit)
    }

    #[inline]
    fn serialize_bytes(self, _: &[u8]) -> Coded {
        Err(NoFit)
    }

    #[inline]
    fn serialize_none(self) -> Coded {
        if WITHIN { Err(NoFit) } else { Ok([0, 0]) }
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Coded {
        if WITHIN { Err(NoFit) } else { Ok([word(value)?, 1]) }
    }

    #[inline]
    fn serialize_unit(self) -> Coded {
        Ok([0, 0])
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Coded {
        Ok([0, 0])
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Coded {
        Ok(if WITHIN { [u64::from(index), 0] } else { [0, u64::from(index)] })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Coded {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Coded {
        if WITHIN { Err(NoFit) } else { Ok([word(value)?, u64::from(index)]) }
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NoFit> {
        Err(NoFit)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Pair, NoFit> {
        if WITHIN || length > 2 { Err(NoFit) } else { Ok(Pair { words: [0; 2], count: 0 }) }
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Pair, NoFit> {
        self.serialize_tuple(length)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NoFit> {
        Err(NoFit)
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NoFit> {
        Err(NoFit)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Pair, NoFit> {
        self.serialize_tuple(length)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NoFit> {
        Err(NoFit)
    }

    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Coded {
        Err(NoFit)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Codes a value that has one word.
#[inline]
fn word<T: Serialize + ?Sized>(value: &T) -> Result<u64, NoFit> {
    value.serialize(ToWords::<true>).map(|[word, _]| word)
}

/// Two words of a tuple or struct.
struct Pair {
    words: [u64; 2],
    count: usize,
}

impl Pair {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoFit> {
        *self.words.get_mut(self.count).ok_or(NoFit)? = word(value)?;
        self.count += 1;
        Ok(())
    }
}

impl ser::SerializeTuple for Pair {
    type Ok = [u64; 2];
    type Error = NoFit;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoFit> {
        self.add(value)
    }

    #[inline]
    fn end(self) -> Coded {
        Ok(self.words)
    }
}

impl ser::SerializeTupleStruct for Pair {
    type Ok = [u64; 2];
    type Error = NoFit;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoFit> {
        self.add(value)
    }

    #[inline]
    fn end(self) -> Coded {
        Ok(self.words)
    }
}

impl ser::SerializeStruct for Pair {
    type Ok = [u64; 2];
    type Error = NoFit;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), NoFit> {
        self.add(value)
    }

    #[inline]
    fn end(self) -> Coded {
        Ok(self.words)
    }
}

/// Decodes a value, or one within another, of which the first word is all.
struct FromWords<const WITHIN: bool>([u64; 2]);

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
                visitor.$visit(<$type>::try_from(self.0[0]).map_err(|_| NoFit)?)
            }
        )*
    };
}

macro_rules! signed {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
                visitor.$visit(<$type>::try_from(self.0[0].cast_signed()).map_err(|_| NoFit)?)
            }
        )*
    };
}

macro_rules! never {
    ($($method:ident)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, NoFit> {
                Err(NoFit)
            }
        )*
    };
}

impl<'de, const WITHIN: bool> Deserializer<'de> for FromWords<WITHIN> {
    type Error = NoFit;

    integers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }
    signed! {
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }
    never! {
        deserialize_any deserialize_ignored_any deserialize_i128 deserialize_u128 deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_seq deserialize_map deserialize_identifier
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
        match self.0[0] {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(NoFit),
        }
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
        visitor.visit_f32(f32::from_bits(u32::try_from(self.0[0]).map_err(|_| NoFit)?))
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
        visitor.visit_f64(f64::from_bits(self.0[0]))
    }

    #[inline]
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
        visitor.visit_char(u32::try_from(self.0[0]).ok().and_then(char::from_u32).ok_or(NoFit)?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
        match self.0 {
            _ if WITHIN => Err(NoFit),
            [_, 0] => visitor.visit_none(),
            [word, 1] => visitor.visit_some(FromWords::<true>([word, 0])),
            _ => Err(NoFit),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoFit> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, NoFit> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, NoFit> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, NoFit> {
        if WITHIN || length > 2 { Err(NoFit) } else { visitor.visit_seq(Parts { words: self.0, next: 0, length }) }
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, NoFit> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoFit> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoFit> {
        let [word, tag] = self.0;
        let (index, word) = if WITHIN { (word, None) } else { (tag, Some(word)) };
        visitor.visit_enum(Variant { index: u32::try_from(index).map_err(|_| NoFit)?, word })
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The values of a tuple or struct.
struct Parts {
    words: [u64; 2],
    next: usize,
    length: usize,
}

impl<'de> SeqAccess<'de> for Parts {
    type Error = NoFit;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, NoFit> {
        if self.next >= self.length {
            return Ok(None);
        }
        let word = *self.words.get(self.next).ok_or(NoFit)?;
        self.next += 1;
        seed.deserialize(FromWords::<true>([word, 0])).map(Some)
    }
}

/// A variant, and the word that it has.
struct Variant {
    index: u32,
    word: Option<u64>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = NoFit;
    type Variant = Content;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content), NoFit> {
        let index: de::value::U32Deserializer<NoFit> = de::IntoDeserializer::into_deserializer(self.index);
        Ok((seed.deserialize(index)?, Content(self.word)))
    }
}

/// What a variant holds, where it has room for any.
struct Content(Option<u64>);

impl<'de> VariantAccess<'de> for Content {
    type Error = NoFit;

    #[inline]
    fn unit_variant(self) -> Result<(), NoFit> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, NoFit> {
        seed.deserialize(FromWords::<true>([self.0.ok_or(NoFit)?, 0]))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, NoFit> {
        Err(NoFit)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, NoFit> {
        Err(NoFit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};
    use core::fmt::Debug;
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(f64),
        Square { side: u32 },
        Deep(Option<u8>),
    }

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    enum Why {
        Short,
        Long,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Span {
        from: u64,
        to: u32,
    }

    fn is<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, words: [u64; 2]) {
        assert_eq!(encode(&value), Some(words), "{value:?}");
        assert_eq!(decode::<T>(words), Some(value));
    }

    #[test]
    fn what_fits_two_words_comes_back() {
        is((), [0, 0]);
        is(7u8, [7, 0]);
        is(-7i32, [(-7i64).cast_unsigned(), 0]);
        is(true, [1, 0]);
        is('x', [120, 0]);
        is(1.5f32, [u64::from(1.5f32.to_bits()), 0]);
        is(Some(9u64), [9, 1]);
        is(None::<u64>, [0, 0]);
        is(Ok::<u32, Why>(3), [3, 0]);
        is(Err::<u32, Why>(Why::Long), [1, 1]);
        is(Shape::Point, [0, 0]);
        is(Shape::Circle(2.0), [2.0f64.to_bits(), 1]);
        is(Why::Long, [0, 1]);
        is((5u16, Why::Long), [5, 1]);
        is([1u8, 2], [1, 2]);
        is(Span { from: u64::MAX, to: 4 }, [u64::MAX, 4]);
        is(Ok::<(), ()>(()), [0, 0]);
    }

    #[test]
    fn what_does_not_fit_says_so() {
        assert_eq!(encode("text"), None);
        assert_eq!(encode(&[1u8; 3]), None);
        assert_eq!(encode(&Vec::<u8>::new()), None);
        assert_eq!(encode(&Shape::Square { side: 1 }), None);
        assert_eq!(encode(&Shape::Deep(Some(1))), None);
        assert_eq!(encode(&Some(Some(1))), None);
        assert_eq!(encode(&u128::MAX), None);
        assert_eq!(encode(&((1, 2), 3)), None);
    }

    #[test]
    fn words_that_are_no_value_are_refused() {
        assert_eq!(decode::<u8>([256, 0]), None);
        assert_eq!(decode::<i8>([200, 0]), None);
        assert_eq!(decode::<bool>([2, 0]), None);
        assert_eq!(decode::<char>([0xd800, 0]), None);
        assert_eq!(decode::<f32>([1 << 32, 0]), None);
        assert_eq!(decode::<Option<u8>>([0, 2]), None);
        assert_eq!(decode::<Result<u8, u8>>([0, 2]), None);
        assert_eq!(decode::<Result<u8, Why>>([2, 1]), None);
        assert_eq!(decode::<Why>([0, u64::MAX]), None);
        assert_eq!(decode::<String>([0, 0]), None);
        assert_eq!(decode::<Shape>([0, 2]), None);
        assert_eq!(decode::<Shape>([0, 3]), None);
        assert_eq!(decode::<(u8, u8)>([0, 256]), None);
        assert_eq!(decode::<[u8; 3]>([0, 0]), None);
    }

    proptest! {
        #[test]
        fn any_words_are_a_value_or_none(words: [u64; 2]) {
            let _ = decode::<Shape>(words);
            let _ = decode::<Option<Why>>(words);
            let _ = decode::<(i16, char)>(words);
        }

        #[test]
        fn a_pair_comes_back(value: (u64, i64)) {
            let words = encode(&value);
            prop_assert_eq!(words.and_then(decode::<(u64, i64)>), Some(value));
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Limits of what decoding does, whatever the bytes are.
//!
//! postcard checks each byte, but lets a value nest as deep as its bytes say, which is the reader's stack; count elements
//! that take no byte, which is the reader's time; and be small on the wire and large in memory. So every value of more
//! than a number passes through a [`Bounded`] deserializer, which counts depth and memory and leaves the rest to it.

use core::{cell::Cell, fmt, marker::PhantomData, mem::needs_drop};

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor},
};

use crate::account::{Heap, NoRoom, Room};

/// How deep a value may nest: lists in lists, structs in enums, and so on.
pub const MAX_NESTING: usize = 128;

/// Why bytes are no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// They are not the form of a value of the type.
    Malformed,
    /// The value nests deeper than [`MAX_NESTING`], or than the stack of its reader has room for.
    Nested {
        /// How deep it may.
        limit: usize,
    },
    /// The value takes more memory than the limit.
    Large {
        /// Bytes that it may take.
        limit: usize,
    },
    /// The reader's heap has no room for it: as much again has to be free as it takes.
    NoRoom {
        /// Bytes that there were not, in one piece.
        bytes: usize,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("is no value of its type"),
            Self::Nested { limit } => write!(f, "nests deeper than {limit} levels"),
            Self::Large { limit } => write!(f, "takes more than {limit} bytes of memory"),
            Self::NoRoom { bytes } => {
                write!(f, "does not fit its reader's heap, which lacks {bytes} bytes in one piece: see `heap` of main!")
            }
        }
    }
}

/// The memory of whoever decodes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Its heap.
    pub heap: Heap,
    /// The lowest address of its stack; 0 where somebody else looks after that.
    pub stack_end: usize,
}

impl Memory {
    /// As much as the host of a test has.
    pub const ENOUGH: Self = Self { heap: Heap::ENDLESS, stack_end: 0 };
}

/// Bytes of stack that one level may take, beside copies of the value.
const LEVEL: usize = 16 << 10;

/// Copies of a value that may lie on the stack at one level. How large the outermost value is, its reader has chosen, and not
/// the bytes.
const COPIES: usize = 3;

/// Bytes that one step may take without more ado: the reserve has as many for some steps.
const SMALL: usize = 1024;

/// What may still be decoded.
///
/// Memory is counted by the sizes of types: elements of a list, and what of a value lies outside of the one around it, in a
/// box. An element without a size counts as a byte, since it costs time.
#[derive(Debug)]
pub struct Bounds {
    limit: usize,
    left: Cell<usize>,
    /// Size of the value around the next one.
    within: Cell<usize>,
    room: Room,
    /// Below this address there is no stack for another level.
    stack_end: usize,
    reason: Cell<Unreadable>,
}

impl Bounds {
    /// Begins to read a `T` that takes at most `limit` bytes, into this memory.
    #[inline]
    pub(crate) fn new<T>(limit: usize, memory: Memory) -> Result<Self, Unreadable> {
        let left = limit.checked_sub(size_of::<T>()).ok_or(Unreadable::Large { limit })?;
        Ok(Self {
            limit,
            left: Cell::new(left),
            within: Cell::new(size_of::<T>()),
            room: Room::new(memory.heap).map_err(|NoRoom(bytes)| Unreadable::NoRoom { bytes })?,
            stack_end: memory.stack_end.saturating_add(LEVEL),
            reason: Cell::new(Unreadable::Malformed),
        })
    }

    /// Ends with a value, or with why there is none.
    #[inline]
    pub(crate) fn end<T, E>(self, value: Result<T, E>) -> Result<T, Unreadable> {
        let reason = self.reason.get();
        self.room.end(value.map_err(|_| reason), |NoRoom(bytes)| Unreadable::NoRoom { bytes })
    }

    #[cold]
    fn refuse<E: serde::de::Error>(&self, reason: Unreadable) -> E {
        self.reason.set(reason);
        E::custom(reason)
    }

    /// Makes sure that the next step has room, which takes `more` bytes at once.
    #[inline]
    fn check<E: serde::de::Error>(&self, more: usize) -> Result<(), E> {
        self.room.check(more).map_err(|NoRoom(bytes)| self.refuse(Unreadable::NoRoom { bytes }))
    }

    /// Goes a level deeper to read a `T`. What of it does not fit in the value around it is in a box.
    #[inline]
    fn enter<T, E: serde::de::Error>(&self, depth: usize) -> Result<(), E> {
        let around = self.within.get();
        if size_of::<T>() > around {
            self.count(size_of::<T>() - around)?;
        }
        self.within.set(size_of::<T>());
        // Somewhere in the frame of this level.
        let here = core::ptr::from_ref(&around).addr();
        let copies = if depth == 0 { 0 } else { COPIES };
        if depth >= MAX_NESTING || here < self.stack_end.saturating_add(copies * size_of::<T>()) {
            return Err(self.refuse(Unreadable::Nested { limit: depth }));
        }
        Ok(())
    }

    /// Leaves a level with a `T`, which is put in a box perhaps, unless that has failed.
    #[inline]
    fn leave<T, E: serde::de::Error>(&self, value: Result<T, E>) -> Result<T, E> {
        let boxed = size_of::<T>() + alignment::<T>();
        if value.is_ok() && (needs_drop::<T>() || boxed > SMALL) {
            self.check(if boxed > SMALL { boxed } else { 0 })?;
        }
        value
    }

    /// Counts so many bytes of a value.
    #[inline]
    fn count<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| self.refuse(Unreadable::Large { limit: self.limit }))?);
        Ok(())
    }
}

/// Returns what a `T` may take for its alignment beside its size, where that is more than every allocation has.
const fn alignment<T>() -> usize {
    if align_of::<T>() > align_of::<u128>() { align_of::<T>() } else { 0 }
}

/// Returns what an `L` may take with its first element, a `T`: a node of a tree, which has eleven. What is small goes without
/// saying, and what is large has its elements within.
const fn first<L, T>() -> usize {
    let bytes = 12 * size_of::<T>();
    if bytes <= SMALL || size_of::<L>() >= SMALLEST_FIXED { 0 } else { bytes }
}

/// What a list takes that has room for elements within, at least; lists, trees and tables take less.
const SMALLEST_FIXED: usize = 256;

/// Something of serde's at some depth, within bounds; a `LIST` that has as many elements as its bytes say, or none.
pub(crate) struct Bounded<'b, T, const LIST: bool = false> {
    inner: T,
    bounds: &'b Bounds,
    depth: usize,
}

impl<'b, T> Bounded<'b, T> {
    #[inline]
    pub(crate) const fn new(inner: T, bounds: &'b Bounds) -> Self {
        Self { inner, bounds, depth: 0 }
    }
}

impl<'b, T, const LIST: bool> Bounded<'b, T, LIST> {
    #[inline]
    const fn with<U>(&self, inner: U) -> Bounded<'b, U> {
        Bounded { inner, bounds: self.bounds, depth: self.depth }
    }

    #[inline]
    const fn below<U>(&self, inner: U) -> Bounded<'b, U> {
        Bounded { inner, bounds: self.bounds, depth: self.depth + 1 }
    }
}

/// Elements of an `L`, or its fields, within bounds.
struct Elements<'b, A, L, const LIST: bool> {
    inner: A,
    bounds: &'b Bounds,
    depth: usize,
    /// What the key that was read last may take with its value, beside that.
    key: usize,
    of: PhantomData<L>,
}

impl<'b, A, L, const LIST: bool> Elements<'b, A, L, LIST> {
    /// Reads a `T`, by what reads it without bounds.
    #[inline]
    fn read<S, T, E: serde::de::Error>(
        &mut self,
        seed: S,
        read: impl FnOnce(&mut A, Bounded<'b, S>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let bounds = self.bounds;
        let is_counted = LIST || size_of::<T>() == 0 || size_of::<T>() > size_of::<L>();
        // What has no box in it lies within what is around it.
        let is_within = !is_counted && !needs_drop::<T>();
        if !is_within {
            bounds.within.set(size_of::<T>());
        }
        let element = read(&mut self.inner, Bounded { inner: seed, bounds, depth: self.depth });
        if !is_within {
            bounds.within.set(size_of::<L>());
        }
        if is_counted && matches!(element, Ok(Some(_))) {
            bounds.count(size_of::<T>().max(1))?;
        }
        if element.is_ok() {
            bounds.check(first::<L, T>())?;
        }
        element
    }
}

/// Methods that read a number or nothing: none of them comes back here.
macro_rules! plain {
    ($($method:ident)*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
                self.inner.$method(visitor)
            }
        )*
    };
}

/// Methods that read what may hold more values.
macro_rules! compound {
    ($($method:ident($($name:ident: $type:ty),*))*) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
                let visitor = self.with(visitor);
                self.inner.$method($($name,)* visitor)
            }
        )*
    };
}

/// Methods that take text or bytes, which may be copied twice where they do not lie within the value.
macro_rules! text {
    ($($method:ident($type:ty))*) => {
        $(
            #[inline]
            fn $method<E: serde::de::Error>(self, text: $type) -> Result<V::Value, E> {
                if needs_drop::<V::Value>() && text.len() >= size_of::<V::Value>().max(SMALL / 2) {
                    self.bounds.check(2 * text.len())?;
                }
                self.inner.$method(text)
            }
        )*
    };
}

/// Methods that visit a level.
macro_rules! level {
    ($($method:ident<$part:ident: $trait:ident<'de>>)*) => {
        $(
            #[inline]
            fn $method<$part: $trait<'de>>(self, inner: $part) -> Result<V::Value, $part::Error> {
                self.bounds.enter::<V::Value, $part::Error>(self.depth)?;
                let (bounds, inner) = (self.bounds, self.below(inner));
                bounds.leave(self.inner.$method(inner))
            }
        )*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    plain! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_unit deserialize_identifier
    }
    compound! {
        deserialize_any()
        deserialize_ignored_any()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = Bounded::<V, true> { inner: visitor, bounds: self.bounds, depth: self.depth };
        self.inner.deserialize_seq(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>, const LIST: bool> Visitor<'de> for Bounded<'_, V, LIST> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    text! {
        visit_str(&str)
        visit_borrowed_str(&'de str)
        visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8])
    }

    level! {
        visit_some<D: Deserializer<'de>>
        visit_newtype_struct<D: Deserializer<'de>>
        visit_enum<A: EnumAccess<'de>>
    }

    #[inline]
    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.bounds.enter::<V::Value, E>(self.depth)?;
        self.inner.visit_none()
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self { inner: visitor, bounds, depth } = self;
        bounds.enter::<V::Value, A::Error>(depth)?;
        let elements = Elements::<_, V::Value, LIST> { inner, bounds, depth: depth + 1, key: 0, of: PhantomData };
        bounds.leave(visitor.visit_seq(elements))
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let Self { inner: visitor, bounds, depth } = self;
        bounds.enter::<V::Value, A::Error>(depth)?;
        let elements = Elements::<_, V::Value, true> { inner, bounds, depth: depth + 1, key: 0, of: PhantomData };
        bounds.leave(visitor.visit_map(elements))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.deserialize(inner)
    }
}

// No size hint is passed on: room would be made for as many elements as the bytes claim to hold.
impl<'de, A: SeqAccess<'de>, L, const LIST: bool> SeqAccess<'de> for Elements<'_, A, L, LIST> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.read(seed, A::next_element_seed)
    }
}

impl<'de, A: MapAccess<'de>, L> MapAccess<'de> for Elements<'_, A, L, true> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.key = first::<L, S::Value>();
        self.read(seed, A::next_key_seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let value = self.read(seed, |inner, seed| inner.next_value_seed(seed).map(Some))?;
        if self.key > 0 {
            self.bounds.check(self.key + first::<L, S::Value>())?;
        }
        value.ok_or_else(|| serde::de::Error::custom("no value"))
    }
}

impl<'b, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let Self { inner, bounds, depth } = self;
        let (value, inner) = inner.variant_seed(seed)?;
        Ok((value, Bounded { inner, bounds, depth }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        // What it holds lies within the enum; what a box in it holds does not.
        if needs_drop::<S::Value>() {
            self.bounds.within.set(size_of::<S::Value>());
        }
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

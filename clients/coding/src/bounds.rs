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

use crate::room::{Growing, NoRoom, Room};

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
    /// The reader's heap has no room for it.
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
    /// Tells whether its heap has so many bytes in one piece. It is asked before anything is made of them.
    pub has_room: fn(usize) -> bool,
    /// The lowest address of its stack; 0 where somebody else looks after that.
    pub stack_end: usize,
}

impl Memory {
    /// As much as the host of a test has.
    pub const ENOUGH: Self = Self { has_room: |_| true, stack_end: 0 };
}

/// Bytes of stack that one level may take, beside copies of the value.
const LEVEL: usize = 16 << 10;

/// Copies of a value that may lie on the stack at one level. How large the outermost value is, its reader has chosen, and not
/// the bytes.
const COPIES: usize = 3;

/// What may still be decoded.
///
/// Memory is counted by the sizes of types. What lies within another value is counted with it, as far as it fits in there:
/// elements of a list, or what a box holds, do not. An element without a size counts as a byte, and text by the bytes that
/// it is read from.
#[derive(Debug)]
pub struct Bounds {
    limit: usize,
    left: Cell<usize>,
    /// Bytes of the value around the next one that nothing in it has taken yet.
    within: Cell<usize>,
    depth: Cell<usize>,
    room: Room,
    stack_end: usize,
    reason: Cell<Unreadable>,
}

impl Bounds {
    /// Begins to read a value of at most `limit` bytes, into this memory.
    pub(crate) const fn new(limit: usize, memory: Memory) -> Self {
        Self {
            limit,
            left: Cell::new(limit),
            within: Cell::new(0),
            depth: Cell::new(0),
            room: Room::new(memory.has_room),
            stack_end: memory.stack_end,
            reason: Cell::new(Unreadable::Malformed),
        }
    }

    /// Returns why decoding failed, if it did.
    pub(crate) const fn reason(&self) -> Unreadable {
        self.reason.get()
    }

    #[cold]
    fn refuse<E: serde::de::Error>(&self, reason: Unreadable) -> E {
        self.reason.set(reason);
        E::custom(reason)
    }

    #[cold]
    fn refuse_for_room<E: serde::de::Error>(&self, NoRoom(bytes): NoRoom) -> E {
        self.refuse(Unreadable::NoRoom { bytes })
    }

    /// Promises room for one allocation.
    #[inline]
    fn promise<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        self.room.promise(bytes).map_err(|error| self.refuse_for_room(error))
    }

    /// Promises room for a box with a number, if a `T` can be one: a pointer, and nothing else.
    #[inline]
    fn promise_box<T, E: serde::de::Error>(&self) -> Result<(), E> {
        let is_pointer = needs_drop::<T>() && size_of::<T>() == size_of::<usize>();
        if is_pointer { self.promise(size_of::<u128>()) } else { Ok(()) }
    }

    /// Goes a level deeper to read a `T`. What of it does not fit in the value around it is in a box.
    #[inline]
    fn enter<T, E: serde::de::Error>(&self) -> Result<Level<'_>, E> {
        let level = self.count::<T, E>(0)?;
        if level.taken > 0 {
            self.promise(size_of::<T>() + alignment::<T>())?;
        }
        self.promise_box::<T, E>()?;
        // Somewhere in the frame of this level.
        let here = core::ptr::from_ref(&level).addr();
        let copies = if level.depth == 0 { 0 } else { COPIES };
        if level.depth >= MAX_NESTING || here < self.stack_end.saturating_add(LEVEL + copies * size_of::<T>()) {
            return Err(self.refuse(Unreadable::Nested { limit: level.depth }));
        }
        self.depth.set(level.depth + 1);
        Ok(level)
    }

    /// Counts the whole value.
    pub(crate) fn begin<T, E: serde::de::Error>(&self) -> Result<(), E> {
        drop(self.count::<T, E>(0)?);
        self.within.set(size_of::<T>());
        self.promise_box::<T, E>()
    }

    /// Counts a `T`, which takes `least` bytes at least.
    #[inline]
    fn count<T, E: serde::de::Error>(&self, least: usize) -> Result<Level<'_>, E> {
        let (size, around) = (size_of::<T>(), self.within.get());
        let taken = size.saturating_sub(around).max(least);
        match self.left.get().checked_sub(taken) {
            Some(left) => self.left.set(left),
            None => return Err(self.refuse(Unreadable::Large { limit: self.limit })),
        }
        self.within.set(size);
        Ok(Level { bounds: self, depth: self.depth.get(), left_around: around.saturating_sub(size), taken })
    }

    /// Counts an element of a list, which takes a byte at least, since it costs time.
    #[inline]
    fn count_element<T, E: serde::de::Error>(&self) -> Result<Level<'_>, E> {
        self.count::<T, E>(usize::from(size_of::<T>() == 0))
    }
}

/// Returns what a `T` may take for its alignment beside its size, where that is more than every allocation has.
const fn alignment<T>() -> usize {
    if align_of::<T>() > align_of::<u128>() { align_of::<T>() } else { 0 }
}

/// A value that is being read, until it is dropped.
struct Level<'b> {
    bounds: &'b Bounds,
    depth: usize,
    left_around: usize,
    taken: usize,
}

impl Level<'_> {
    /// Counts as nothing: there was no such element.
    #[inline]
    fn forget(&self) {
        self.bounds.left.set(self.bounds.left.get() + self.taken);
    }
}

impl Drop for Level<'_> {
    #[inline]
    fn drop(&mut self) {
        self.bounds.depth.set(self.depth);
        self.bounds.within.set(self.left_around);
    }
}

/// Something of serde's, within bounds.
pub(crate) struct Bounded<'b, T> {
    inner: T,
    bounds: &'b Bounds,
    is_list: bool,
}

impl<'b, T> Bounded<'b, T> {
    pub(crate) const fn new(inner: T, bounds: &'b Bounds) -> Self {
        Self { inner, bounds, is_list: false }
    }

    const fn with<U>(&self, inner: U) -> Bounded<'b, U> {
        Bounded::new(inner, self.bounds)
    }
}

/// Elements of an `L`, or its fields, within bounds.
struct Elements<'b, A, L> {
    inner: A,
    bounds: &'b Bounds,
    of: PhantomData<L>,
    growing: Option<Growing>,
    /// Size of the key that was read last.
    key: usize,
}

impl<'b, A, L> Elements<'b, A, L> {
    #[inline]
    fn new(inner: A, bounds: &'b Bounds, is_list: bool) -> Self {
        let growing = if needs_drop::<L>() && is_list { Some(Growing::new(&bounds.room)) } else { None };
        Self { inner, bounds, of: PhantomData, growing, key: 0 }
    }

    /// Promises room for one more, a `T` of `size` bytes with what belongs to it.
    #[inline]
    fn grow<T, E: serde::de::Error>(&mut self, size: usize) -> Result<(), E> {
        if let Some(growing) = &mut self.growing {
            growing
                .next::<L>(&self.bounds.room, size, alignment::<T>())
                .map_err(|error| self.bounds.refuse_for_room(error))?;
        }
        self.bounds.promise_box::<T, E>()
    }

    /// Takes note that there are no more.
    #[inline]
    fn end(&self) {
        if let Some(growing) = &self.growing {
            growing.end(&self.bounds.room);
        }
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

/// Methods that take text or bytes, for which room is promised where they are copied.
macro_rules! text {
    ($($method:ident($type:ty))*) => {
        $(
            #[inline]
            fn $method<E: serde::de::Error>(self, text: $type) -> Result<V::Value, E> {
                if !needs_drop::<V::Value>() {
                    return self.inner.$method(text);
                }
                let taken = self.bounds.room.take(text.len(), || self.inner.$method(text));
                taken.unwrap_or_else(|error| Err(self.bounds.refuse_for_room(error)))
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
        let visitor = Bounded { is_list: true, ..self.with(visitor) };
        self.inner.deserialize_seq(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, V> {
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

    #[inline]
    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        let _level = self.bounds.enter::<V::Value, E>()?;
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let _level = self.bounds.enter::<V::Value, D::Error>()?;
        let inner = self.with(inner);
        self.inner.visit_some(inner)
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let _level = self.bounds.enter::<V::Value, D::Error>()?;
        let inner = self.with(inner);
        self.inner.visit_newtype_struct(inner)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let _level = self.bounds.enter::<V::Value, A::Error>()?;
        let elements = Elements::<_, V::Value>::new(inner, self.bounds, self.is_list);
        self.inner.visit_seq(elements)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let _level = self.bounds.enter::<V::Value, A::Error>()?;
        let elements = Elements::<_, V::Value>::new(inner, self.bounds, true);
        self.inner.visit_map(elements)
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let _level = self.bounds.enter::<V::Value, A::Error>()?;
        let inner = self.with(inner);
        self.inner.visit_enum(inner)
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
impl<'de, A: SeqAccess<'de>, L> SeqAccess<'de> for Elements<'_, A, L> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        if self.inner.size_hint() != Some(0) {
            self.grow::<S::Value, A::Error>(size_of::<S::Value>())?;
        }
        let seed = Bounded::new(seed, self.bounds);
        let level = self.bounds.count_element::<S::Value, A::Error>()?;
        let element = self.inner.next_element_seed(seed)?;
        if element.is_none() {
            level.forget();
            self.end();
        }
        Ok(element)
    }
}

impl<'de, A: MapAccess<'de>, L> MapAccess<'de> for Elements<'_, A, L> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.bounds.promise_box::<S::Value, A::Error>()?;
        self.key = size_of::<S::Value>();
        let seed = Bounded::new(seed, self.bounds);
        let level = self.bounds.count_element::<S::Value, A::Error>()?;
        let key = self.inner.next_key_seed(seed)?;
        if key.is_none() {
            level.forget();
            self.end();
        }
        Ok(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.grow::<S::Value, A::Error>(self.key + size_of::<S::Value>())?;
        let seed = Bounded::new(seed, self.bounds);
        let _level = self.bounds.count_element::<S::Value, A::Error>()?;
        self.inner.next_value_seed(seed)
    }
}

impl<'b, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let bounds = self.bounds;
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded::new(variant, bounds)))
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
        self.bounds.promise_box::<S::Value, A::Error>()?;
        let seed = self.with(seed);
        // What it holds lies within the enum; what a box in it holds does not.
        let _level = self.bounds.count::<S::Value, A::Error>(0)?;
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The form in bytes: `postcard`, into a room that may be too small.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::bounds::{Bounded, Bounds, Memory, Unreadable};

/// How long a value's form is, and whether it had room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// It stands in the first bytes of the room, as many as this.
    Fits(usize),
    /// It takes so many bytes, and what stands in the room is nothing.
    Needs(usize),
}

/// Error: the value itself refuses to be coded, or its type has no form in postcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotEncodable;

/// Writes what there is room for, and counts all of it.
struct Room<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Flavor for Room<'_> {
    type Output = usize;

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        if let Some(room) = self.bytes.get_mut(self.length..).and_then(|rest| rest.get_mut(..data.len())) {
            room.copy_from_slice(data);
        }
        self.length += data.len();
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        if let Some(room) = self.bytes.get_mut(self.length) {
            *room = data;
        }
        self.length += 1;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.length)
    }
}

/// Writes a value's form into `room`, or tells how much it takes.
///
/// # Errors
/// [`NotEncodable`].
pub fn encode<T: Serialize + ?Sized>(value: &T, room: &mut [u8]) -> Result<Encoded, NotEncodable> {
    let limit = room.len();
    let length = postcard::serialize_with_flavor(value, Room { bytes: room, length: 0 }).map_err(|_| NotEncodable)?;
    Ok(if length <= limit { Encoded::Fits(length) } else { Encoded::Needs(length) })
}

/// Reads a value that a sandbox wrote: within bounds, into memory that is there, and no byte may be left.
///
/// # Errors
/// [`Unreadable`].
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8], most_bytes: usize, memory: Memory) -> Result<T, Unreadable> {
    let bounds = Bounds::new::<T>(most_bytes, memory)?;
    let mut deserializer = postcard::Deserializer::from_bytes(bytes);
    let mut value = T::deserialize(Bounded::new(&mut deserializer, &bounds));
    if value.is_ok() && deserializer.finalize().is_ok_and(|left| !left.is_empty()) {
        value = Err(postcard::Error::DeserializeBadEncoding);
    }
    bounds.end(value)
}

/// Reads a value that the one who reads trusts to be one: in a sandbox, what its client wrote.
///
/// # Errors
/// [`Unreadable::Malformed`].
pub fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Unreadable> {
    postcard::from_bytes(bytes).map_err(|_| Unreadable::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use alloc::{boxed::Box, string::String, vec, vec::Vec};
    use core::fmt::Debug;
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use crate::MAX_NESTING;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Leaf,
        Node(Box<Tree>),
        Named { name: String, weight: f64 },
        Many(Vec<Tree>),
    }

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    const ROOMY: usize = 1 << 20;

    fn read_in<'de, T: Deserialize<'de>>(bytes: &'de [u8], most_bytes: usize) -> Result<T, Unreadable> {
        decode(bytes, most_bytes, Memory::ENOUGH)
    }

    fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
        let mut room = [0; 4096];
        let Encoded::Fits(length) = encode(&value, &mut room).unwrap() else { panic!("no room for {value:?}") };
        assert_eq!(read_in::<T>(&room[..length], ROOMY).unwrap(), value);
        assert_eq!(encode(&value, &mut room[..length - 1]).unwrap(), Encoded::Needs(length));
    }

    #[test]
    fn values_come_back_as_they_were_and_tell_what_they_need() {
        comes_back(vec![(1u8, -5i64, 2.5f32, 'x')]);
        comes_back(Some(String::from("text")));
        comes_back(Tree::Many(vec![
            Tree::Leaf,
            Tree::Node(Box::new(Tree::Named { name: String::from("a"), weight: 1.5 })),
        ]));
        comes_back(alloc::collections::BTreeMap::from([(1u16, [7u8; 3]), (2, [8; 3])]));
        comes_back(u128::MAX);
        comes_back(vec![Nothing; 9]);
    }

    fn nested(depth: usize) -> Vec<u8> {
        let mut bytes = vec![1; depth];
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_value_nests_up_to_its_limit_and_no_further() {
        // An enum and what it holds: one level each.
        assert!(read_in::<Tree>(&nested(MAX_NESTING - 1), ROOMY).is_ok());
        assert_eq!(read_in::<Tree>(&nested(MAX_NESTING), ROOMY), Err(Unreadable::Nested { limit: MAX_NESTING }));
        assert_eq!(read_in::<Tree>(&nested(1 << 20), ROOMY), Err(Unreadable::Nested { limit: MAX_NESTING }));
        // Beside each other is not within each other.
        let flat = Tree::Many(vec![Tree::Leaf; 3 * MAX_NESTING]);
        comes_back(flat);
    }

    /// A length of 2^60, as postcard writes it, and some bytes.
    const HUGE: [u8; 13] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 1, 1, 1];

    #[test]
    fn a_length_is_not_believed() {
        assert_eq!(read_in::<Vec<u64>>(&HUGE, ROOMY), Err(Unreadable::Malformed));
        assert_eq!(read_in::<String>(&HUGE, ROOMY), Err(Unreadable::Malformed));
        assert_eq!(read_in::<&[u8]>(&HUGE, ROOMY), Err(Unreadable::Malformed));
        // Elements that take no byte on the wire are counted all the same.
        assert_eq!(read_in::<Vec<Nothing>>(&HUGE, ROOMY), Err(Unreadable::Large { limit: ROOMY }));
        assert_eq!(read_in::<Vec<[u8; 0]>>(&HUGE, ROOMY), Err(Unreadable::Large { limit: ROOMY }));
        let maps = read_in::<alloc::collections::BTreeMap<(), ()>>(&HUGE, ROOMY);
        assert_eq!(maps, Err(Unreadable::Large { limit: ROOMY }));
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_counted_as_it_is_in_memory() {
        let mut bytes = vec![0; 1 << 14];
        (bytes[0], bytes[1]) = (0xfe, 0x7f);
        // 16,382 elements of a byte each.
        assert!(read_in::<Vec<u8>>(&bytes, ROOMY).is_ok());
        assert_eq!(read_in::<Vec<Option<[u64; 32]>>>(&bytes, ROOMY), Err(Unreadable::Large { limit: ROOMY }));
        assert_eq!(read_in::<Vec<Box<Option<[u64; 32]>>>>(&bytes, ROOMY), Err(Unreadable::Large { limit: ROOMY }));
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        assert_eq!(read_in::<u8>(&[7], ROOMY), Ok(7));
        assert_eq!(read_in::<u8>(&[7, 0], ROOMY), Err(Unreadable::Malformed));
        assert_eq!(read_in::<u8>(&[], ROOMY), Err(Unreadable::Malformed));
        assert_eq!(read_in::<bool>(&[2], ROOMY), Err(Unreadable::Malformed));
        assert_eq!(read_in::<&str>(&[1, 0xff], ROOMY), Err(Unreadable::Malformed));
        assert_eq!(read_in::<&str>(&[1, b'a'], ROOMY), Ok("a"));
        assert_eq!(read_in::<Tree>(&[9], ROOMY), Err(Unreadable::Malformed));
    }

    struct Stubborn;

    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }

    #[test]
    fn a_value_that_refuses_is_an_error() {
        assert_eq!(encode(&Stubborn, &mut []), Err(NotEncodable));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_in::<Tree>(&bytes, ROOMY);
            let _ = read_in::<Vec<Option<(String, Nothing)>>>(&bytes, ROOMY);
            let _ = read_in::<alloc::collections::BTreeMap<u8, Tree>>(&bytes, ROOMY);
            let _ = read_in::<(&str, &[u8], [Option<u16>; 3])>(&bytes, ROOMY);
        }
    }
}

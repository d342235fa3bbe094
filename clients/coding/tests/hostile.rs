// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes bytes of any kind into heaps that are nearly full. An allocation that finds no room would end this program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::vec_box, unsafe_code, reason = "a test, whose types allocate")]

mod heap;

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, LinkedList, VecDeque},
    fmt,
    marker::PhantomData,
};

use heap::{DECODES, begin, decode_small, has_room};
use proptest::prelude::*;
use sbm_coding::{MAX_NESTING, Unreadable};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};

/// A list that keeps its elements three times, in lists of its own.
#[derive(Debug, Default)]
struct Thrice<T>(Vec<T>, Vec<T>, VecDeque<Box<T>>);

impl<'de, T: Deserialize<'de> + Clone> Deserialize<'de> for Thrice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Clone> Visitor<'de> for Keep<T> {
            type Value = Thrice<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Thrice<T>, A::Error> {
                let mut all = Thrice(Vec::new(), Vec::new(), VecDeque::new());
                while let Some(element) = list.next_element::<T>()? {
                    all.0.push(element.clone());
                    all.1.push(element.clone());
                    all.2.push_front(Box::new(element));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Keep(PhantomData))
    }
}

/// A list whose length comes first, and which is then read as a tuple of that length.
#[derive(Debug)]
struct Counted(#[expect(dead_code, reason = "what is made")] Vec<Box<[u8; 100]>>);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rest(usize);
        impl<'de> DeserializeSeed<'de> for Rest {
            type Value = Counted;
            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Counted, D::Error> {
                deserializer.deserialize_tuple(self.0, self)
            }
        }
        impl<'de> Visitor<'de> for Rest {
            type Value = Counted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("as many as were said")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counted, A::Error> {
                let mut all = Vec::new();
                while let Some(()) = list.next_element()? {
                    all.push(Box::new([7; 100]));
                }
                Ok(Counted(all))
            }
        }
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Counted;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length, and as many")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Counted, A::Error> {
                let length = parts.next_element()?.unwrap_or(0);
                parts.next_element_seed(Rest(length))?.ok_or_else(|| A::Error::custom("nothing"))
            }
        }
        deserializer.deserialize_tuple(2, Whole)
    }
}

/// A map whose keys stay, in a list, and whose values are copied.
#[derive(Debug)]
struct Split((Vec<Box<u32>>, LinkedList<[String; 2]>));

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Split;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Split, A::Error> {
                let mut split = Split((Vec::new(), LinkedList::new()));
                while let Some(key) = map.next_key()? {
                    split.0.0.push(Box::new(key));
                    let value: String = map.next_value()?;
                    split.0.1.push_back([value.clone(), value]);
                }
                Ok(split)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// What is read as a list and kept as another collection.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<String>")]
struct Moved(#[expect(dead_code, reason = "what is made")] BTreeSet<String>);

impl From<Vec<String>> for Moved {
    fn from(list: Vec<String>) -> Self {
        Self(list.into_iter().collect())
    }
}

/// What is read as a list of which a copy is kept.
#[derive(Debug, Deserialize)]
#[serde(from = "Vec<String>")]
struct Copied(#[expect(dead_code, reason = "what is made")] [Vec<String>; 2]);

impl From<Vec<String>> for Copied {
    fn from(list: Vec<String>) -> Self {
        Self([list.clone(), list])
    }
}

/// A value without memory of its own, whose reader takes some.
#[derive(Debug, Clone, Copy)]
struct Sum(#[expect(dead_code, reason = "what is made")] u64);

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Sum;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sum, A::Error> {
                let mut all = LinkedList::new();
                while let Some(number) = list.next_element::<u8>()? {
                    all.push_back(Box::new(u64::from(number)));
                }
                Ok(Sum(all.iter().map(|number| **number).sum()))
            }
        }
        deserializer.deserialize_seq(Numbers)
    }
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "what is made")]
enum Tree {
    Leaf,
    Node(Box<Tree>),
    Wide(Box<[[u64; 32]; 2]>),
    Named { name: String, weight: Option<Box<u16>> },
    Many(LinkedList<Tree>),
    Some(Option<Box<Option<Box<Tree>>>>),
}

/// A type of which each box takes two pages.
type Aligned = Box<Page>;

#[derive(Debug, Deserialize)]
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "what is made")] u8);

/// A number as postcard writes it.
fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Leaves about so many bytes of a heap free, in one piece or, if there are holes, in many.
fn fill(free: usize, hole: usize) -> impl Drop {
    struct Filled(Vec<Box<[u8]>>, #[expect(dead_code, reason = "for as long")] Box<dyn Send>);
    impl Drop for Filled {
        fn drop(&mut self) {
            self.0.clear();
        }
    }
    let mut taken = Vec::with_capacity(1 << 14);
    DECODES.set(true);
    for size in [4096, 512, 64, 24] {
        while has_room(size) {
            taken.push(vec![0; size].into_boxed_slice());
        }
    }
    let mut left = free;
    let step = if hole == 0 { 1 } else { 2 };
    for index in (0..taken.len()).rev().step_by(step) {
        let Some(rest) = left.checked_sub(taken[index].len() + 8) else { continue };
        taken[index] = Box::default();
        left = rest;
    }
    DECODES.set(false);
    Filled(taken, Box::new(()))
}

/// Reads bytes as a `T` where so much is free, and once more where all is.
fn read<T: DeserializeOwned>(bytes: &[u8], free: usize, hole: usize) -> Option<Unreadable> {
    let (guard, kept) = begin(1 << 16, &[]);
    let filled = fill(free, hole);
    let refused = decode_small::<T>(bytes, 1 << 20).err();
    drop(filled);
    // Whatever became of it, the heap is as good as before, with its reserve.
    DECODES.set(true);
    let (is_free, is_lent) = (has_room(60_000), has_room(1 << 16));
    DECODES.set(false);
    assert!(is_free && !is_lent, "{is_free} {is_lent}: the heap is not what it was after {refused:?}");
    let _ = decode_small::<T>(bytes, 1 << 20);
    drop(kept);
    drop(guard);
    refused
}

/// Reads bytes as each of the types.
fn read_all(bytes: &[u8], free: usize, hole: usize) {
    read::<Tree>(bytes, free, hole);
    read::<LinkedList<LinkedList<Box<u8>>>>(bytes, free, hole);
    read::<LinkedList<[u64; 9]>>(bytes, free, hole);
    read::<Thrice<u16>>(bytes, free, hole);
    read::<Thrice<String>>(bytes, free, hole);
    read::<Vec<Thrice<Box<u8>>>>(bytes, free, hole);
    read::<Counted>(bytes, free, hole);
    read::<Vec<Counted>>(bytes, free, hole);
    read::<Split>(bytes, free, hole);
    read::<BTreeMap<u8, Split>>(bytes, free, hole);
    read::<Moved>(bytes, free, hole);
    read::<Copied>(bytes, free, hole);
    read::<LinkedList<Moved>>(bytes, free, hole);
    read::<Sum>(bytes, free, hole);
    read::<[Sum; 3]>(bytes, free, hole);
    read::<Vec<Sum>>(bytes, free, hole);
    read::<BinaryHeap<Vec<()>>>(bytes, free, hole);
    read::<HashMap<u8, VecDeque<BTreeSet<u16>>>>(bytes, free, hole);
    read::<(Box<u8>, Box<u8>, Vec<Box<u8>>, Box<[u8]>, Box<str>)>(bytes, free, hole);
    read::<Vec<Aligned>>(bytes, free, hole);
    read::<Option<Box<Option<Box<[[u64; 20]; 10]>>>>>(bytes, free, hole);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_end_the_program(
        bytes in proptest::collection::vec(prop_oneof![3 => 0_u8..6, 1 => any::<u8>()], 0..600),
        free in prop_oneof![0_usize..400, 0_usize..60_000],
        hole in 0_usize..2,
    ) {
        read_all(&bytes, free, hole);
    }

    #[test]
    fn no_long_list_ends_the_program(
        length in prop_oneof![0_u64..3000, Just(1 << 40), any::<u64>()],
        byte in 0_u8..4,
        free in prop_oneof![0_usize..400, 0_usize..60_000],
        hole in 0_usize..2,
    ) {
        let mut bytes = number(length);
        bytes.extend(std::iter::repeat_n(byte, 4000));
        read_all(&bytes, free, hole);
    }
}

/// A list that claims 2^40 elements, and has some.
fn claim(byte: u8) -> Vec<u8> {
    let mut bytes = number(1 << 40);
    bytes.extend(std::iter::repeat_n(byte, 30_000));
    bytes
}

fn is_refused<T: DeserializeOwned>(bytes: &[u8]) {
    for free in [0, 100, 1000, 10_000, 60_000] {
        for hole in [0, 1] {
            let refused = read::<T>(bytes, free, hole);
            assert!(matches!(refused, Some(Unreadable::NoRoom { .. })), "{free}: {refused:?}");
        }
    }
}

#[test]
fn linked_lists_that_claim_a_trillion_nodes_are_refused() {
    is_refused::<LinkedList<u8>>(&claim(1));
    is_refused::<LinkedList<LinkedList<u8>>>(&claim(0));
    is_refused::<Vec<LinkedList<Box<u8>>>>(&claim(1));
}

#[test]
fn types_that_allocate_for_each_element_are_refused() {
    is_refused::<Thrice<u8>>(&claim(1));
    is_refused::<Sum>(&claim(1));
    is_refused::<Split>(&claim(1));
    is_refused::<Moved>(&claim(1));
    is_refused::<Copied>(&claim(1));
    is_refused::<Counted>(&number(1 << 40));
}

#[test]
fn lists_without_bytes_are_refused_when_they_have_counted_to_the_limit() {
    let bytes = number(1 << 60);
    assert_eq!(read::<Vec<()>>(&bytes, 0, 0), Some(Unreadable::Large { limit: 1 << 20 }));
    assert_eq!(read::<Vec<[u64; 0]>>(&bytes, 0, 0), Some(Unreadable::Large { limit: 1 << 20 }));
    let many: Vec<u8> = [number(1 << 40), number(1 << 60)].concat();
    assert_eq!(read::<Vec<Vec<()>>>(&many, 60_000, 0), Some(Unreadable::Large { limit: 1 << 20 }));
    is_refused::<LinkedList<()>>(&bytes);
}

#[test]
fn chains_of_boxes_end_where_the_limit_or_the_heap_does() {
    let chain = [1; 4000];
    assert_eq!(read::<Tree>(&chain, 60_000, 0), Some(Unreadable::Nested { limit: MAX_NESTING }));
    assert!(read::<Tree>(&[vec![1; 100], vec![0]].concat(), 60_000, 0).is_none());
    for free in 0..40 {
        let full = read::<Tree>(&[vec![1; 100], vec![2; 65]].concat(), 64 * free, 0);
        assert!(matches!(full, None | Some(Unreadable::NoRoom { .. })), "{full:?}");
    }
}

#[test]
fn a_large_box_is_asked_for() {
    type Large = [[u64; 32]; 32];
    for free in [0, 1000, 10_000] {
        let refused = read::<Option<Box<(Large, Large)>>>(&[1; 1 + 2048], free, 0);
        assert!(matches!(refused, Some(Unreadable::NoRoom { .. })), "{free}: {refused:?}");
    }
    assert_eq!(read::<Option<Box<(Large, Large)>>>(&[1; 1 + 2048], 60_000, 0), None);
}

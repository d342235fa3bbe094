// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes values into heaps of all sizes: what does not fit is an error. An allocation that finds no room would end this
//! program.
#![allow(clippy::unwrap_used, clippy::panic, unsafe_code, reason = "a test, with an allocator of its own")]

mod heap;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque},
    fmt::Debug,
};

use heap::{DECODES, begin, decode_small, has_room};
use proptest::prelude::*;
use sbm_coding::{Encoded, Memory as Reader, Unreadable, decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Decodes a value into ever larger heaps, until it fits.
fn fits_or_is_refused<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, holes: &[usize]) {
    fits_in(value, holes, 100);
}

/// The same, where a byte of its form may take so many of a heap.
fn fits_in<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, holes: &[usize], times: usize) {
    let mut room = vec![0; 1 << 16];
    let Encoded::Fits(length) = encode(value, &mut room).unwrap() else { return };
    let mut bytes = 2048;
    loop {
        let (guard, kept) = begin(bytes, holes);
        let result = decode_small::<T>(&room[..length], 1 << 22);
        match &result {
            Ok(decoded) => return assert_eq!(decoded, value),
            Err(Unreadable::NoRoom { .. }) => {
                let taken: usize = holes.iter().sum();
                assert!(bytes < times * length + 4 * taken + 8192, "{bytes} are enough for a value of {length}");
            }
            Err(other) => panic!("{other:?}"),
        }
        drop((result, kept));
        drop(guard);
        bytes = (bytes + bytes / 16) & !63;
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Node(Box<Tree>),
    Named { name: String, weight: Box<u16>, large: Option<Box<[u64; 9]>> },
    Many(Vec<Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Leaf),
        ("[a-z]{0,40}", any::<u16>(), any::<Option<[u64; 9]>>()).prop_map(|(name, weight, large)| Tree::Named {
            name,
            weight: Box::new(weight),
            large: large.map(Box::new)
        }),
    ];
    leaf.prop_recursive(8, 256, 10, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Node(Box::new(tree))),
            proptest::collection::vec(inner, 0..10).prop_map(Tree::Many),
        ]
    })
}

fn holes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1_usize..400, 0..30)
}

fn quiet() -> ProptestConfig {
    ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() }
}

/// An enum that is large beside what a box of it takes in another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "what is tested")]
enum Wide {
    Leaf,
    Node(Box<Wide>),
    Data([[u64; 32]; 2]),
}

#[repr(align(1024))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Aligned(u8);

#[test]
fn chains_of_large_boxes_are_counted() {
    for depth in [1, 5, 20, 60] {
        let chain = (0..depth).fold(Wide::Leaf, |chain, _| Wide::Node(Box::new(chain)));
        fits_in(&chain, &[100; 5], 2000);
        fits_in(&vec![chain.clone(), Wide::Data([[7; 32]; 2]), chain.clone()], &[], 2000);
        let mut bytes = [0; 128];
        let Encoded::Fits(length) = encode(&chain, &mut bytes).unwrap() else { panic!() };
        let limit = depth * size_of::<Wide>();
        let large = decode::<Wide>(&bytes[..length], limit, Reader::ENOUGH);
        assert_eq!(large, Err(Unreadable::Large { limit }), "{depth}");
    }
}

#[test]
fn large_alignments_have_room() {
    for length in [1, 2, 5] {
        fits_in(&(0..length).map(|byte| Box::new(Aligned(byte))).collect::<Vec<_>>(), &[100; 9], 20_000);
        fits_in(&(0..length).map(Aligned).collect::<Vec<_>>(), &[300; 7], 20_000);
    }
}

#[test]
fn a_value_nests_no_deeper_than_the_stack_has_room_for() {
    let local = std::hint::black_box(0_u8);
    let here = std::ptr::from_ref(&local).addr();
    let chain = (0..100).fold(Wide::Leaf, |chain, _| Wide::Node(Box::new(chain)));
    let mut bytes = [0; 128];
    let Encoded::Fits(length) = encode(&chain, &mut bytes).unwrap() else { panic!() };
    let within = |stack: usize| {
        decode::<Wide>(&bytes[..length], 1 << 20, Reader { stack_end: here.saturating_sub(stack), ..Reader::ENOUGH })
    };
    let Err(Unreadable::Nested { limit }) = within(40 << 10) else { panic!("no limit") };
    assert!((1..100).contains(&limit), "{limit}");
    assert_eq!(within(0), Err(Unreadable::Nested { limit: 0 }));
}

macro_rules! values {
    ($($test:ident: $type:ty;)*) => {
        proptest! {
            #![proptest_config(quiet())]
            $(
                #[test]
                fn $test(value: $type, holes in holes()) {
                    fits_or_is_refused(&value, &holes);
                }
            )*
        }
    };
}

values! {
    lists_of_bytes: Vec<u8>;
    lists_of_words: (Vec<u64>, Vec<u16>, Vec<u32>);
    lists_of_lists: Vec<Vec<Vec<u8>>>;
    lists_of_arrays: Vec<[u64; 7]>;
    texts: (String, Vec<String>, Option<String>, Box<str>);
    boxes: Vec<Box<(Box<u8>, Option<Box<u64>>, Box<[u8; 30]>)>>;
    boxes_of_numbers: Vec<(Box<u8>, Box<u8>, Box<u8>)>;
    maps: BTreeMap<u16, Vec<Option<Box<u64>>>>;
    small_maps: Vec<BTreeMap<u8, u8>>;
    maps_of_bytes: BTreeMap<(u8, u8), ()>;
    maps_of_boxes: BTreeMap<Box<u16>, Box<u32>>;
    hashes: HashMap<u32, Box<[u8; 20]>>;
    sets: (BTreeSet<u64>, HashSet<u16>, BTreeSet<u8>, HashSet<u8>);
    sets_of_texts: BTreeSet<String>;
    queues: VecDeque<Option<(u8, Vec<u16>)>>;
    linked_lists: (LinkedList<u8>, LinkedList<(u64, String)>, LinkedList<LinkedList<u16>>);
}

proptest! {
    #![proptest_config(quiet())]
    #[test]
    fn trees(value in tree(), holes in holes()) {
        fits_or_is_refused(&value, &holes);
    }

    #[test]
    fn long_lists(length in 0_usize..30_000, holes in holes()) {
        fits_or_is_refused(&vec![7_u8; length], &holes);
        fits_or_is_refused(&vec![[7_u16; 3]; length / 10], &holes);
        fits_or_is_refused(&(0..length).map(|it| it as u16).collect::<BTreeSet<_>>(), &holes);
        fits_or_is_refused(&(0..length).map(|it| (it as u16, 1)).collect::<HashMap<u16, u8>>(), &holes);
    }
}

#[test]
fn a_heap_that_is_full_takes_nothing() {
    fn decode_in<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, free: usize) {
        let mut room = [0; 64];
        let Encoded::Fits(length) = encode(value, &mut room).unwrap() else { panic!("too long for the test") };
        let (guard, kept) = begin(4096, &[]);
        DECODES.set(true);
        let mut taken: [Option<Box<[u8; 24]>>; 256] = [const { None }; 256];
        for place in &mut taken {
            *place = has_room(24).then(|| Box::new([0; 24]));
        }
        taken.iter_mut().take(free).for_each(|place| *place = None);
        DECODES.set(false);
        let result = decode_small::<T>(&room[..length], 1 << 20);
        assert!(matches!(&result, Ok(decoded) if decoded == value) || matches!(result, Err(Unreadable::NoRoom { .. })));
        drop((result, taken, kept));
        drop(guard);
    }
    for free in 0..20 {
        decode_in(&(Box::new(1_u8), Box::new(2_u8), Box::new(3_u8), Box::new([4_u64; 2])), free);
        decode_in(&(Some(Box::new(1_u8)), Some(Box::new(2_u8)), Box::new(Box::new(3_u64))), free);
        decode_in(&Box::new(1_u128), free);
        decode_in(&[String::from("a"), String::from("b"), String::from("thirty characters, or so of text")], free);
        decode_in(&(vec![1_u8], vec![1_u64], vec![[1_u16; 3]]), free);
        decode_in(&(BTreeSet::from([1_u8]), BTreeMap::from([(1_u8, Box::new(1_u8))])), free);
    }
}

#[test]
fn a_long_text_is_asked_for_as_a_whole() {
    let text = "x".repeat(30_000);
    fits_or_is_refused(&text, &[]);
    fits_or_is_refused(&(Some(text.clone()), vec![text[..20_000].to_owned()]), &[100; 9]);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox sends values that would take more than its client has: in nodes, boxes, lists of lists, and types of one's own.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, LinkedList},
    string::String,
    vec::Vec,
};
use core::{
    fmt::{self, Debug},
    marker::PhantomData,
};

use harness::{Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Error, MAX_NESTING, Proxy, Sbm, Tainted, Unreadable, Value, serve};
use sbm_abi::{Asked, Label, limits::SANDBOX_ENDPOINT_SLOT};
use sel4::{MessageInfo, syscall::REPLY_RECV};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use crate::{
    observer::Observer,
    values::{claim, outbox, random_bytes},
};

pub(crate) const TESTS: &[Test] = tests![
    linked_lists_without_end_are_refused,
    lists_of_lists_are_refused,
    lists_of_nothing_are_refused,
    chains_of_boxes_are_refused,
    a_type_that_allocates_for_each_element_is_refused,
    a_request_with_a_list_without_end_is_refused,
    bytes_of_any_kind_end_no_client_whose_heap_is_nearly_full,
];

/// A list that keeps each element twice, and a box for it.
#[derive(Debug, PartialEq)]
#[expect(clippy::vec_box, reason = "what is tested")]
struct Thrice<T>(Vec<T>, LinkedList<T>, Vec<Box<u64>>);

impl<T> Serialize for Thrice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de, T: Deserialize<'de> + Clone> Deserialize<'de> for Thrice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Clone> Visitor<'de> for Keep<T> {
            type Value = Thrice<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Thrice<T>, A::Error> {
                let mut all = Thrice(Vec::new(), LinkedList::new(), Vec::new());
                while let Some(element) = list.next_element::<T>()? {
                    all.0.push(element.clone());
                    all.1.push_back(element);
                    all.2.push(Box::new(7));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(Keep(PhantomData))
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Chain {
    End,
    Link(Box<Self>),
    Wide(Box<[[u64; 16]; 16]>),
    Many(LinkedList<Self>),
}

#[sbm::service]
trait Lists {
    fn take(&mut self, list: LinkedList<u8>) -> u32;
}

#[derive(Default)]
struct Counter(u32);

impl Lists for Counter {
    fn take(&mut self, list: LinkedList<u8>) -> u32 {
        self.0 += 1;
        u32::try_from(list.len()).unwrap_or(u32::MAX)
    }
}

// Functions that run in sandboxes.

/// Writes to the outbox that there is a list of 2^40 elements, all of which are this byte, and returns what that takes.
fn write_trillion(byte: u8, length: u64) -> u64 {
    let head = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
    for (at, byte) in head.into_iter().chain(core::iter::repeat_n(byte, length as usize)).enumerate() {
        raw::write(outbox() + at, byte);
    }
    head.len() as u64 + length
}

fn claim_trillion<T>(byte: u8, length: u64) -> T {
    claim(write_trillion(byte, length))
}

/// Sends a list of two elements, each of which is one of 2^40 elements.
fn claim_two<T>(byte: u8, length: u64) -> T {
    let end = write_trillion(byte, length);
    for at in (0..end).rev() {
        raw::write(outbox() + at as usize + 1, raw::read(outbox() + at as usize));
    }
    raw::write(outbox(), 2);
    claim(end + 1)
}

/// Sends a box in a box, so many times, and this byte in the last one.
fn claim_chain<T>(depth: u64, last: u8, length: u64) -> T {
    for at in 0..depth + length {
        raw::write(outbox() + at as usize, if at < depth { 1 } else { last });
    }
    claim(depth + length)
}

fn ask_with_trillion(byte: u8, length: u64, mut lists: Proxy<dyn Lists>) -> u32 {
    // There is an outbox now.
    lists.take([1; 100].into_iter().collect());
    let info = MessageInfo::new(Label::Asked as u64, 0, 0, 3).into_word();
    let words = [Asked::new(2, 0, 0).coded().into_word(), write_trillion(byte, length), 0, 0];
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, info, words);
    0
}

/// Fills the client's heap, but for so many bytes in pieces of 512.
fn fill(free: usize) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    // With room for all of them, so that it need not grow when there is none.
    let _ = pieces.try_reserve_exact(1024);
    for size in [496, 48, 8] {
        let mut piece = Vec::new();
        while pieces.len() < 1024 && piece.try_reserve_exact(size).is_ok() {
            pieces.push(core::mem::take(&mut piece));
        }
    }
    pieces.drain(..pieces.len().min(free / 512));
    pieces
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().no_budget().report(false).heap(1 << 16).room_result(64 * 1024).build()
}

/// Expects a result to be refused for the client's heap, however full that is.
fn is_refused<T: Value + Debug>(function: fn(u8, u64) -> T, byte: u8) -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for free in [0, 512, 2048, 8192, 1 << 16] {
        let kept = fill(free);
        let result = sbm.call(function, (byte, 20_000_u64));
        drop(kept);
        let refused = matches!(result, Err(Error::Unreadable(Unreadable::NoRoom { .. })));
        check!(refused, "{free}: {:?}", result.map(Tainted::assume_checked));
        sbm.reset()?;
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn linked_lists_without_end_are_refused() -> Verdict {
    is_refused::<LinkedList<u8>>(claim_trillion, 1)?;
    is_refused::<LinkedList<String>>(claim_trillion, 0)?;
    is_refused::<BTreeMap<u8, LinkedList<u64>>>(claim_two, 1)
}

fn lists_of_lists_are_refused() -> Verdict {
    is_refused::<LinkedList<LinkedList<u8>>>(claim_trillion, 1)?;
    is_refused::<LinkedList<Vec<u8>>>(claim_trillion, 0)?;
    is_refused::<Vec<LinkedList<Vec<u8>>>>(claim_two, 0)
}

fn lists_of_nothing_are_refused() -> Verdict {
    is_refused::<LinkedList<()>>(claim_trillion, 0)?;
    let mut sbm = sandbox()?;
    let kept = fill(0);
    let result = sbm.call(claim_trillion::<Vec<()>>, (0_u8, 0_u64)).map(Tainted::assume_checked);
    drop(kept);
    same!(result, Err(Error::Unreadable(Unreadable::Large { limit: 1 << 20 })));
    sbm.reset()?;
    let result = sbm.call(claim_two::<Vec<Vec<()>>>, (0_u8, 0_u64)).map(Tainted::assume_checked);
    same!(result, Err(Error::Unreadable(Unreadable::Large { limit: 1 << 20 })));
    sbm.reset()?;
    works(&mut sbm)
}

fn chains_of_boxes_are_refused() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for depth in [1, 40, 100, 126, 127, 4000_u64] {
        for free in [0, 512, 2048, 8192, 1 << 15] {
            let kept = fill(free);
            // A box that is large, or none.
            for (last, length) in [(0_u8, 1_u64), (2, 257)] {
                match sbm.call(claim_chain::<Chain>, (depth, last, length)) {
                    Ok(_) if depth < MAX_NESTING as u64 && free > 0 => {}
                    Err(Error::Unreadable(Unreadable::NoRoom { .. } | Unreadable::Nested { .. })) => {}
                    other => {
                        let other = other.map(|_| "was taken");
                        return Err(Why::new(format_args!("depth {depth}, {free} free: {other:?}")));
                    }
                }
                sbm.reset()?;
            }
            drop(kept);
        }
    }
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn a_type_that_allocates_for_each_element_is_refused() -> Verdict {
    is_refused::<Thrice<u8>>(claim_trillion, 1)?;
    is_refused::<Thrice<Vec<u8>>>(claim_trillion, 1)?;
    is_refused::<Vec<Thrice<u8>>>(claim_two, 1)
}

fn a_request_with_a_list_without_end_is_refused() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for free in [0, 2048, 1 << 15] {
        let mut counter = Counter::default();
        let kept = fill(free);
        let result = sbm.call(ask_with_trillion, (1_u8, 10_000_u64, serve::<dyn Lists>(&mut counter)));
        drop(kept);
        let refused = matches!(result, Err(Error::Unreadable(Unreadable::NoRoom { .. })));
        check!(refused, "{free}: {:?}", result.map(Tainted::assume_checked));
        check!(counter.0 <= 1, "it reached the handler");
        sbm.reset()?;
    }
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn any_bytes<T: Value + Debug>(sbm: &mut Sbm, seed: u64, free: usize) -> Verdict {
    let kept = fill(free);
    let result = sbm.call(random_bytes::<T>, (seed, seed % 700)).map(drop);
    drop(kept);
    check!(matches!(result, Ok(()) | Err(Error::Unreadable(_))), "{result:?}");
    Ok(sbm.reset()?)
}

fn bytes_of_any_kind_end_no_client_whose_heap_is_nearly_full() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for seed in 0..60 {
        let free = (seed as usize % 7) * 700;
        any_bytes::<Chain>(&mut sbm, seed, free)?;
        any_bytes::<Thrice<LinkedList<u8>>>(&mut sbm, seed, free)?;
        any_bytes::<LinkedList<(u8, String, Option<Box<u64>>)>>(&mut sbm, seed, free)?;
        any_bytes::<BTreeMap<u8, Vec<Chain>>>(&mut sbm, seed, free)?;
    }
    works(&mut sbm)?;
    observer.nothing_lost()
}

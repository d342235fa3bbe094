// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox sends results that are none: lengths, bytes and requests for room that it makes up.

use alloc::{boxed::Box, collections::BTreeSet, string::String};
use core::fmt::{self, Debug};

use harness::{Random, Test, Verdict, Why, check, expect::works, raw, same, tests};
use heapless::Vec;
use sbm::{Error, MAX_NESTING, Sbm, Tainted, Unreadable, Value};
use sbm_abi::{
    Asked, CODED, Label,
    limits::{ARENA_BASE, CLIENT_STACK_BASE, OUTBOX_OFFSET, SANDBOX_ENDPOINT_SLOT, SELF_OFFSET},
};
use sel4::{
    MessageInfo,
    syscall::{REPLY, REPLY_RECV},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    a_length_beyond_the_outbox_is_no_result,
    a_result_in_an_outbox_that_is_not_there_is_none,
    bytes_of_any_kind_are_a_result_or_an_error,
    a_result_that_nests_without_end_is_an_error,
    a_result_that_nests_deeper_than_the_stack_is_an_error,
    a_result_that_counts_without_end_is_an_error,
    a_result_that_fills_the_clients_heap_is_an_error,
    a_result_that_changes_while_it_is_read_is_one_value_or_an_error,
    an_outbox_that_is_moved_harms_its_own_call_only,
    room_for_more_than_the_limit_is_refused,
    a_flood_of_requests_for_room_is_ended,
    requests_that_nobody_knows_end_their_call,
    a_request_after_the_answer_reaches_nobody,
    a_request_that_is_not_waited_for_ends_with_its_budget,
    an_answer_in_place_of_a_request_is_the_answer,
];

/// A value that nests as deep as its bytes say, and takes no memory.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Deep(u32);

impl Serialize for Deep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_none(),
            depth => serializer.serialize_some(&Self(depth - 1)),
        }
    }
}

impl<'de> Deserialize<'de> for Deep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Self>::deserialize(deserializer)?.map_or(Self(0), |inner| Self(inner.0 + 1)))
    }
}

/// A list whose elements take no byte.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Count(u64);

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.0).map(|_| ()))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<()>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Counting)
    }
}

/// A result that takes 64 bytes.
type Large = [[u8; 32]; 2];

type Text = heapless::String<64>;
type Mixed = (Vec<(u16, Option<Text>), 8>, Result<f32, Text>, Deep);

// Functions that run in sandboxes.

fn page() -> usize {
    usize::try_from(raw::argument_page_word(SELF_OFFSET as usize)).unwrap_or(0)
}

pub(crate) fn outbox() -> usize {
    usize::try_from(raw::argument_page_word(OUTBOX_OFFSET as usize)).unwrap_or(0)
}

/// Makes an outbox, by a result that needs one.
fn large() -> Large {
    [[7; 32]; 2]
}

fn answer(words: [u64; 2]) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [words[0], words[1], 0, 0]);
}

/// Answers as if `length` bytes of a result stood in the outbox.
pub(crate) fn claim<T>(length: u64) -> T {
    answer([length, CODED]);
    loop {
        core::hint::spin_loop();
    }
}

/// Fills the outbox with a byte, ends that with another one, and answers so.
fn fill<T>(byte: u8, last: u8, length: u64) -> T {
    for at in 0..length {
        raw::write(outbox() + at as usize, if at + 1 == length { last } else { byte });
    }
    claim(length)
}

/// Claims a list of `length` elements, or pairs of elements, each of which is this byte.
fn claim_list<T>(byte: u8, length: u64) -> T {
    let head = [length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8];
    for (at, byte) in head.into_iter().chain(core::iter::repeat_n(byte, 2 * length as usize)).enumerate() {
        raw::write(outbox() + at, byte);
    }
    claim(head.len() as u64 + length)
}

pub(crate) fn random_bytes<T>(seed: u64, length: u64) -> T {
    let mut random = Random::new(seed);
    for at in 0..length {
        // Small numbers are lengths, variants and flags: what decodes goes further.
        let byte = if random.below(2) == 0 { random.below(4) } else { random.below(256) };
        raw::write(outbox() + at as usize, byte as u8);
    }
    claim(length)
}

fn claim_and_write_on() -> Vec<u8, 4000> {
    let first = outbox();
    raw::write(first, 0x80);
    raw::write(first + 1, 0x10);
    answer([2050, CODED]);
    loop {
        for at in first..first + 2050 {
            raw::write(at, raw::read(at).wrapping_add(1));
        }
    }
}

fn ask_without_waiting(head: u64) {
    let info = MessageInfo::new(Label::Asked as u64, 0, 0, 3).into_word();
    raw::system_call(REPLY, 0, info, [head, 100, 0, 0]);
}

fn ask(head: u64, first: u64) {
    let info = MessageInfo::new(Label::Asked as u64, 0, 0, 3).into_word();
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, info, [head, first, 0, 0]);
}

const ROOM: u64 = Asked::OUTBOX.into_word();

fn ask_for_room(bytes: u64) -> Large {
    ask(ROOM, bytes);
    large()
}

fn flood() {
    loop {
        ask(ROOM, 1);
    }
}

fn move_outbox(address: u64, length: u64) -> Large {
    raw::write_word(page() + OUTBOX_OFFSET as usize, address);
    raw::write_word(page() + OUTBOX_OFFSET as usize + 8, length);
    large()
}

fn sandbox() -> Result<Sbm, Error> {
    let mut sbm = Sbm::builder().no_budget().report(false).build()?;
    sbm.call(large, ())?.assume_checked();
    Ok(sbm)
}

/// Expects a call to fail, whose sandbox works again after a reset.
fn fails<T: Debug + PartialEq>(sbm: &mut Sbm, result: Result<Tainted<T>, Error>, wanted: &Error) -> Verdict {
    same!(result.map(Tainted::assume_checked).err().as_ref(), Some(wanted));
    check!(sbm.error() == Some(wanted), "it does not stick");
    sbm.reset()?;
    sbm.call(large, ())?.assume_checked();
    works(sbm)
}

fn a_length_beyond_the_outbox_is_no_result() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for length in [4097_u64, 1 << 20, 1 << 32, u64::MAX] {
        let result = sbm.call(claim::<Large>, (length,));
        fails(&mut sbm, result, &Error::Garbled)?;
    }
    for length in [0_u64, 63, 65, 4096] {
        let result = sbm.call(claim::<Large>, (length,));
        fails(&mut sbm, result, &Error::Unreadable(Unreadable::Malformed))?;
    }
    observer.nothing_lost()
}

fn a_result_in_an_outbox_that_is_not_there_is_none() -> Verdict {
    for length in [0_u64, 64] {
        let mut sbm = Sbm::builder().no_budget().report(false).build()?;
        let result = sbm.call(claim::<Large>, (length,));
        fails(&mut sbm, result, &Error::Garbled)?;
    }
    Ok(())
}

fn any_bytes<T: Value + Debug>(sbm: &mut Sbm, seed: u64) -> Verdict {
    match sbm.call(random_bytes::<T>, (seed, seed % 300)) {
        Ok(_) | Err(Error::Unreadable(_)) => {}
        Err(other) => return Err(other.into()),
    }
    sbm.reset()?;
    sbm.call(large, ())?.assume_checked();
    Ok(())
}

fn bytes_of_any_kind_are_a_result_or_an_error() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for seed in 0..300 {
        any_bytes::<Mixed>(&mut sbm, seed)?;
        any_bytes::<Vec<Mixed, 4>>(&mut sbm, seed)?;
        any_bytes::<Count>(&mut sbm, seed)?;
    }
    observer.nothing_lost()
}

fn a_result_that_nests_without_end_is_an_error() -> Verdict {
    let mut sbm = sandbox()?;
    let deep = || Deep(100);
    same!(sbm.call(deep, ())?.assume_checked(), Deep(100));
    let result = sbm.call(fill::<Deep>, (1_u8, 0_u8, 4096_u64));
    fails(&mut sbm, result, &Error::Unreadable(Unreadable::Nested { limit: MAX_NESTING }))
}

/// A value that is large for each byte of its form.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "what is tested")]
enum Wide {
    Leaf,
    Node(Box<Self>),
    Data([[u64; 32]; 4]),
}

fn a_result_that_nests_deeper_than_the_stack_is_an_error() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    let shallow = sbm.call(fill::<Wide>, (1_u8, 0_u8, 6_u64))?.assume_checked();
    check!(matches!(shallow, Wide::Node(_)));
    for length in [60_u64, 90, 126] {
        sbm.reset()?;
        let result = sbm.call(fill::<Wide>, (1_u8, 0_u8, length));
        let refused = matches!(
            result,
            Err(Error::Unreadable(Unreadable::Nested { .. } | Unreadable::NoRoom { .. } | Unreadable::Large { .. }))
        );
        check!(refused, "{length}: {:?}", result.map(Tainted::assume_checked));
    }
    sbm.reset()?;
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn a_result_that_counts_without_end_is_an_error() -> Verdict {
    let mut sbm = sandbox()?;
    same!(sbm.call(|| Count(3000), ())?.assume_checked(), Count(3000));
    // The number 2^63 and something.
    let result = sbm.call(fill::<Count>, (0xff_u8, 1_u8, 10_u64));
    fails(&mut sbm, result, &Error::Unreadable(Unreadable::Large { limit: 1 << 20 }))
}

fn a_result_that_fills_the_clients_heap_is_an_error() -> Verdict {
    fn is_refused<T: Value + Debug + PartialEq>(sbm: &mut Sbm, result: Result<Tainted<T>, Error>) -> Verdict {
        let refused = matches!(result, Err(Error::Unreadable(Unreadable::NoRoom { .. })));
        check!(refused, "{:?}", result.map(Tainted::assume_checked));
        sbm.reset()?;
        works(sbm)
    }
    let mut sbm = Sbm::builder().no_budget().report(false).room_result(256 * 1024).build()?;
    let mut observer = Observer::new()?;
    for _ in 0..10 {
        // 100,000 bytes as one text, as a list, and as lists of one element each.
        let text = sbm.call(claim_list::<String>, (b'a', 100_000_u64));
        is_refused(&mut sbm, text)?;
        let bytes = sbm.call(claim_list::<alloc::vec::Vec<u8>>, (1_u8, 100_000_u64));
        is_refused(&mut sbm, bytes)?;
        let lists = sbm.call(claim_list::<alloc::vec::Vec<alloc::vec::Vec<bool>>>, (1_u8, 20_000_u64));
        is_refused(&mut sbm, lists)?;
        let map = sbm.call(claim_list::<BTreeSet<u8>>, (1_u8, 3_u64));
        same!(map?.assume_checked(), BTreeSet::from([1]));
        sbm.reset()?;
    }
    observer.nothing_lost()
}

fn a_result_that_changes_while_it_is_read_is_one_value_or_an_error() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for _ in 0..40 {
        match sbm.call(claim_and_write_on, ()) {
            // What was decoded holds still.
            Ok(list) => {
                let list = list.assume_checked();
                let seen = list.clone();
                for _ in 0..20 {
                    sel4::r#yield();
                    check!(list == seen, "a decoded value changes");
                }
            }
            Err(Error::Unreadable(Unreadable::Malformed)) => {}
            Err(other) => return Err(other.into()),
        }
        sbm.reset()?;
        sbm.call(large, ())?.assume_checked();
    }
    observer.nothing_lost()
}

fn an_outbox_that_is_moved_harms_its_own_call_only() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for address in [8, u64::from(CLIENT_STACK_BASE), u64::from(ARENA_BASE), u64::MAX - 4096] {
        match sbm.call(move_outbox, (address, 4096_u64)) {
            Err(Error::Fault { .. }) => {}
            other => return Err(Why::new(format_args!("no fault but {other:?}"))),
        }
        sbm.reset()?;
        same!(sbm.call(large, ())?.assume_checked(), large());
    }
    // Onto its own stack, where it can write: the client reads the outbox that it made.
    let stack = sbm.call(raw_stack, ())?.assume_checked() as u64 - 2048;
    check!(matches!(sbm.call(move_outbox, (stack, 128_u64)), Ok(_) | Err(Error::Unreadable(_))));
    observer.nothing_lost()
}

fn raw_stack() -> usize {
    raw::stack_pointer()
}

fn room_for_more_than_the_limit_is_refused() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    same!(sbm.call(ask_for_room, (1_u64,))?.assume_checked(), large());
    for bytes in [(1 << 20) + 1, 1 << 40] {
        let result = sbm.call(ask_for_room, (bytes as u64,));
        fails(&mut sbm, result, &Error::Long { bytes, limit: 1 << 20 })?;
    }
    observer.nothing_lost()
}

fn a_flood_of_requests_for_room_is_ended() -> Verdict {
    let mut sbm = Sbm::builder().no_budget().report(false).request_limit(1000).build()?;
    let result = sbm.call(flood, ());
    fails(&mut sbm, result, &Error::Requests { limit: 1000 })?;
    let mut sbm =
        Sbm::builder().budget(core::time::Duration::from_millis(20)).report(false).request_limit(u32::MAX).build()?;
    match sbm.call(flood, ()) {
        // What waits elsewhere than the library does looks like one that runs on, and is stopped.
        Err(Error::TimedOut { .. } | Error::Fault { .. }) => {}
        other => return Err(Why::new(format_args!("requests make a budget longer: {other:?}"))),
    }
    sbm.reset()?;
    works(&mut sbm)
}

fn requests_that_nobody_knows_end_their_call() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for of in 0..=u8::MAX {
        let head = Asked::new(of, u16::from([Asked::OUTBOX, Asked::TEXT].map(Asked::of).contains(&of)), 0);
        let result = sbm.call(ask, (head.into_word(), 1_u64));
        fails(&mut sbm, result, &Error::Request)?;
    }
    for head in [ROOM | 1 << 25, ROOM | 1 << 31, u64::MAX] {
        let result = sbm.call(ask, (head, 1_u64));
        fails(&mut sbm, result, &Error::Garbled)?;
    }
    observer.nothing_lost()
}

fn answer_and_ask() -> u64 {
    answer([5, 0]);
    ask_without_waiting(ROOM);
    ask(ROOM, 1);
    6
}

fn a_request_after_the_answer_reaches_nobody() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for _ in 0..10 {
        same!(sbm.call(answer_and_ask, ())?.assume_checked(), 5);
        observer.undisturbed()?;
        sbm.reset()?;
    }
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn ask_and_run_on() {
    ask_without_waiting(ROOM);
    loop {
        core::hint::spin_loop();
    }
}

fn a_request_that_is_not_waited_for_ends_with_its_budget() -> Verdict {
    let mut sbm = Sbm::builder().budget(core::time::Duration::from_millis(20)).report(false).build()?;
    let mut observer = Observer::new()?;
    for _ in 0..3 {
        check!(sbm.call(ask_and_run_on, ()).is_err(), "it returned");
        sbm.reset()?;
        works(&mut sbm)?;
    }
    let _ = observer.undisturbed();
    Ok(())
}

fn answer_for_a_request() -> Large {
    answer([9, 0]);
    [[7; 32]; 2]
}

fn an_answer_in_place_of_a_request_is_the_answer() -> Verdict {
    let mut sbm = sandbox()?;
    let result = sbm.call(answer_for_a_request, ());
    fails(&mut sbm, result, &Error::Garbled)
}

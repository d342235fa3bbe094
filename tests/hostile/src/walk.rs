// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox builds what would lead its client astray: wild pointers, cycles, lengths, and what changes meanwhile.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use harness::{Random, Test, Verdict, check, expect::works, raw, same, tests};
use sbm::{Error, Far, FarSlice, Sbm, Tainted, WalkError, bytemuck, serve};
use sbm_abi::limits::{ARENA_BASE, CLIENT_IPC_BUFFER, CLIENT_STACK_BASE, CODE_BASE, HEAP_OFFSET, INPUT_BASE};
use sel4::{MessageInfo, syscall::REPLY};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    pointers_out_of_the_heap_lead_nowhere,
    slices_that_leave_the_heap_lead_nowhere,
    a_list_that_runs_out_of_the_heap_ends_there,
    a_list_without_end_ends_with_the_steps,
    text_that_is_none_is_refused,
    a_heap_of_any_words_is_walked_without_harm,
    what_a_later_call_changes_is_checked_again,
    what_changes_while_it_is_walked_is_an_error_or_a_value,
    pointers_that_a_request_told_are_checked_like_others,
];

const HEAP: usize = 64 * 1024;

/// One element of a list.
#[repr(C)]
#[derive(Debug, Clone, Copy, sbm::Pod)]
struct Node {
    value: u64,
    next: Option<Far<Node>>,
}

/// A pointer to whatever an address holds; `None` for null.
fn far<T: 'static>(address: usize) -> Option<Far<T>> {
    bytemuck::cast(address)
}

fn slice<T: 'static>(address: usize, length: usize) -> FarSlice<T> {
    bytemuck::cast([address, length])
}

// Functions that run in sandboxes.

fn claim(address: usize) -> Option<Far<Node>> {
    far(address)
}

fn claim_slice(address: usize, length: usize) -> FarSlice<u64> {
    slice(address, length)
}

fn heap_start() -> usize {
    raw::argument_page_word(HEAP_OFFSET as usize) as usize & 0xffff_ffff
}

/// Builds a list whose last element names that address; without one, its own first element.
fn build_list(length: u64, last: usize) -> Option<Far<Node>> {
    let end = Box::leak(Box::new(Node { value: 7, next: far(last) }));
    let end_at = Far::of(end);
    let first = (1..length).fold(end_at, |next, value| Far::of(Box::leak(Box::new(Node { value, next: Some(next) }))));
    if last == 0 {
        raw::write_word(end_at.address() + 8, first.address() as u64);
    }
    Some(first)
}

fn build_text(kind: usize) -> FarSlice<u8> {
    let mut bytes = Vec::from(&b"text of its own"[..]);
    match kind {
        0 => {}
        1 => bytes[3] = 0xff,
        2 => bytes[14] = 0xc3,
        _ => bytes[0] = 0x80,
    }
    FarSlice::of(bytes.leak())
}

/// Fills the heap with words that are values, pointers into it, and others.
fn fill(seed: u64) -> Option<Far<Node>> {
    let mut random = Random::new(seed);
    let start = heap_start();
    for address in (start..start + HEAP).step_by(8) {
        let word = match random.below(8) {
            0 => random.word(),
            1 => (start + random.index(HEAP)) as u64,
            2 => 0,
            _ => (start + random.index(HEAP)) as u64 & !7,
        };
        raw::write_word(address, word);
    }
    far(start + (random.index(HEAP) & !7))
}

fn write(address: usize, word: u64) {
    raw::write_word(address, word);
}

/// Answers with a pointer to a node, and changes where that leads from then on.
fn answer_then_change() {
    let end = Far::of(Box::leak(Box::new(Node { value: 1, next: None }))).address();
    let first = Far::of(Box::leak(Box::new(Node { value: 1, next: None }))).address();
    let words =
        [end, 0, heap_start() - 8, end + 4, first, CLIENT_STACK_BASE as usize, heap_start() + HEAP - 8, 1 << 47];
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [first as u64, 1, 0, 0]);
    loop {
        for word in words {
            raw::write_word(first + 8, word as u64);
        }
    }
}

#[sbm::service]
trait Told {
    fn tell(&mut self, at: Option<Far<Node>>);
}

/// Tells its caller of a list, and spoils it afterwards.
fn tell_then_spoil(mut told: sbm::Proxy<dyn Told>) {
    let list = build_list(3, 8);
    told.tell(list);
    told.tell(far(CODE_BASE as usize));
    if let Some(first) = list {
        raw::write_word(first.address() + 8, u64::MAX - 7);
    }
}

#[derive(Default)]
struct Kept(Vec<Option<Far<Node>>>);

impl Told for Kept {
    fn tell(&mut self, at: Option<Far<Node>>) {
        self.0.push(at);
    }
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().heap(HEAP).walked().report(false).build()
}

/// Follows a list to its end: how many elements there were, and how it ended.
fn follow(sbm: &Sbm, first: Option<Far<Node>>, steps: u32) -> Result<(u32, Result<(), WalkError>), Error> {
    let mut walk = sbm.walk(steps)?;
    let (mut count, mut at) = (0, first);
    while let Some(pointer) = at {
        match walk.get(pointer) {
            Ok(node) => at = node.assume_checked().next,
            Err(error) => return Ok((count, Err(error))),
        }
        count += 1;
    }
    Ok((count, Ok(())))
}

/// Lists addresses that are not in a heap, or not with all of a node.
fn wild(start: usize, other: usize) -> [usize; 20] {
    let end = start + HEAP;
    let own = 0_u64;
    [
        8,
        CODE_BASE as usize,
        &raw const own as usize & !7,
        CLIENT_STACK_BASE as usize - 8,
        CLIENT_IPC_BUFFER as usize,
        INPUT_BASE as usize,
        ARENA_BASE as usize,
        start - 4096,
        start - 16,
        start - 8,
        end - 8,
        end,
        end + 4096,
        other,
        0xdead_b000,
        1 << 32 | start,
        1 << 47,
        usize::MAX << 47,
        usize::MAX - 7,
        usize::MAX - 15,
    ]
}

fn pointers_out_of_the_heap_lead_nowhere() -> Verdict {
    let (mut sbm, mut other) = (sandbox()?, sandbox()?);
    let mut observer = Observer::new()?;
    let start = sbm.call(heap_start, ())?.assume_checked();
    let elsewhere = other.call(heap_start, ())?.assume_checked();
    for address in wild(start, elsewhere) {
        let pointer = sbm.call(claim, (address,))?.far();
        same!(follow(&sbm, pointer, 5)?, (0, Err(WalkError::Outside { address, bytes: 16 })));
    }
    for address in [start + 1, start + 4, start + HEAP - 1, usize::MAX, 1] {
        let pointer = sbm.call(claim, (address,))?.far();
        same!(follow(&sbm, pointer, 5)?, (0, Err(WalkError::Unaligned { address, align: 8 })));
    }
    for address in [start, start + HEAP - 16] {
        let pointer = sbm.call(claim, (address,))?.far();
        same!(follow(&sbm, pointer, 5)?, (1, Ok(())));
    }
    observer.undisturbed()?;
    works(&mut sbm)
}

fn slices_that_leave_the_heap_lead_nowhere() -> Verdict {
    let (mut sbm, mut other) = (sandbox()?, sandbox()?);
    let mut observer = Observer::new()?;
    let start = sbm.call(heap_start, ())?.assume_checked();
    let elsewhere = other.call(heap_start, ())?.assume_checked();
    let mut room = [0x5a5a_5a5a_5a5a_5a5a_u64; 64];
    for address in wild(start, elsewhere) {
        for length in [2, 64] {
            let claimed = sbm.call(claim_slice, (address, length))?.far();
            let error = sbm.walk(1)?.slice(claimed, &mut room).err();
            same!(error, Some(WalkError::Outside { address, bytes: 8 * length }));
        }
    }
    for length in [65, HEAP, 1 << 61, (1 << 61) + 1, usize::MAX] {
        let claimed = sbm.call(claim_slice, (start, length))?.far();
        same!(sbm.walk(1)?.slice(claimed, &mut room).err(), Some(WalkError::Long { length, limit: 64 }));
        for index in [length / 2, length - 1] {
            let Some(element) = claimed.get(index) else { continue };
            check!(index * 8 < HEAP - 7 || sbm.walk(1)?.get(element).is_err(), "element {index} of {length}");
        }
    }
    check!(room.iter().all(|word| *word == 0x5a5a_5a5a_5a5a_5a5a), "what was refused was copied");
    for (address, length) in [(start, 64), (start + HEAP - 8 * 64, 64), (start + HEAP, 0), (3, 0)] {
        let claimed = sbm.call(claim_slice, (address, length))?.far();
        same!(sbm.walk(1)?.slice(claimed, &mut room)?.assume_checked().len(), length);
    }
    observer.undisturbed()?;
    works(&mut sbm)
}

fn a_list_that_runs_out_of_the_heap_ends_there() -> Verdict {
    let (mut sbm, mut observer) = (sandbox()?, Observer::new()?);
    let start = sbm.call(heap_start, ())?.assume_checked();
    for address in wild(start, CODE_BASE as usize + 8) {
        let first = sbm.call(build_list, (20_u64, address))?.far();
        same!(follow(&sbm, first, 100)?, (20, Err(WalkError::Outside { address, bytes: 16 })));
        sbm.reset()?;
    }
    observer.undisturbed()
}

fn a_list_without_end_ends_with_the_steps() -> Verdict {
    let mut sbm = sandbox()?;
    for length in [1_u64, 2, 50] {
        let first = sbm.call(build_list, (length, 0_usize))?.far();
        for limit in [0, 1, 10_000] {
            same!(follow(&sbm, first, limit)?, (limit, Err(WalkError::Steps { limit })));
        }
    }
    works(&mut sbm)
}

fn text_that_is_none_is_refused() -> Verdict {
    let mut sbm = sandbox()?;
    let mut room = [0; 15];
    let text = sbm.call(build_text, (0_usize,))?.far();
    same!(sbm.walk(1)?.text(text, &mut room)?.assume_checked(), "text of its own");
    same!(sbm.walk(1)?.text(text, &mut room[..14]).err(), Some(WalkError::Long { length: 15, limit: 14 }));
    for kind in 1..4_usize {
        let text = sbm.call(build_text, (kind,))?.far();
        same!(sbm.walk(1)?.text(text, &mut room).err(), Some(WalkError::NotText), "kind {kind}");
    }
    Ok(())
}

fn a_heap_of_any_words_is_walked_without_harm() -> Verdict {
    let (mut sbm, mut observer) = (sandbox()?, Observer::new()?);
    let (mut ends, mut steps) = ([0; 4], 0);
    for seed in 1..40_u64 {
        let first = sbm.call(fill, (seed,))?.far();
        let (count, end) = follow(&sbm, first, 500)?;
        steps += count;
        ends[match end {
            Ok(()) => 0,
            Err(WalkError::Outside { .. }) => 1,
            Err(WalkError::Unaligned { .. }) => 2,
            Err(_) => 3,
        }] += 1;
        observer.undisturbed()?;
        // The allocator's own state is among what was overwritten.
        sbm.reset()?;
        works(&mut sbm)?;
    }
    check!(ends.iter().take(3).all(|count| *count > 0) && steps > 50, "only {ends:?}, {steps} steps");
    observer.nothing_lost()
}

fn what_a_later_call_changes_is_checked_again() -> Verdict {
    let mut sbm = sandbox()?;
    let first = sbm.call(build_list, (5_u64, 8_usize))?.far();
    let Some(pointer) = first else { return Err(harness::Why::new(format_args!("no list"))) };
    let before = sbm.walk(1)?.get(pointer)?.assume_checked();
    same!(before.value, 4);
    sbm.call(write, (pointer.address() + 8, 0x0f10_0000_u64))?;
    let after = sbm.walk(1)?.get(pointer)?.assume_checked();
    check!(before.next.is_some() && before.next != after.next, "what was copied has changed");
    same!(follow(&sbm, first, 10)?, (1, Err(WalkError::Outside { address: 0x0f10_0000, bytes: 16 })));
    // What was copied before is followed as it was.
    same!(follow(&sbm, before.next, 10)?.0, 4);
    Ok(())
}

fn what_changes_while_it_is_walked_is_an_error_or_a_value() -> Verdict {
    // Of a shape of its own: one that was kept, and called with a budget before, would be stopped.
    let mut sbm = Sbm::builder().heap(HEAP).walked().stack(HEAP).no_budget().report(false).build()?;
    let mut observer = Observer::new()?;
    let answer = sbm.call(answer_as_pointer, ())?;
    let (mut changes, mut last, mut ends) = (0, None, [0; 2]);
    let start = sbm::now();
    // For some quanta beside a neighbour, until the sandbox has its turn.
    while (changes < 5 || ends.contains(&0)) && sbm::now() - start < Duration::from_millis(500) {
        sel4::r#yield();
        let (count, end) = follow(&sbm, answer.far(), 50)?;
        check!(count > 0, "the first one cannot be read");
        ends[usize::from(end.is_err())] += 1;
        changes += u32::from(last != Some((count, end)));
        last = Some((count, end));
    }
    check!(changes >= 5 && !ends.contains(&0), "{changes} changes, ends {ends:?}");
    observer.undisturbed()?;
    sbm.reset()?;
    works(&mut sbm)?;
    observer.nothing_lost()
}

/// As what it answers by itself reads like a pointer, that is what its caller is told it returns.
fn answer_as_pointer() -> Option<Far<Node>> {
    answer_then_change();
    None
}

fn pointers_that_a_request_told_are_checked_like_others() -> Verdict {
    let mut sbm = sandbox()?;
    let mut kept = Kept::default();
    sbm.call(tell_then_spoil, (serve::<dyn Told>(&mut kept),))?;
    same!(kept.0.len(), 2);
    same!(follow(&sbm, kept.0[0], 10)?, (1, Err(WalkError::Outside { address: usize::MAX - 7, bytes: 16 })));
    let code = WalkError::Outside { address: CODE_BASE as usize, bytes: 16 };
    same!(follow(&sbm, kept.0[1], 10)?, (0, Err(code)));
    let told: Tainted<Option<Far<Node>>> = Tainted::new(kept.0[0]);
    check!(told.far() == kept.0[0]);
    Ok(())
}

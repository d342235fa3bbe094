// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox with a guarded heap asks for what is none of it, spoils what it notes, and asks when it should not.

use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::time::Duration;

use harness::{Random, Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Errno, Error, FaultKind, Sbm};
use sbm_abi::{
    guarded::{NUMBER, PageAsk},
    limits::{CODE_BASE, HEAP_OFFSET, PAGE, SELF_OFFSET},
};
use sel4::{MessageInfo, syscall::REPLY};

use crate::observer::{Observer, keep_up};

pub(crate) const TESTS: &[Test] = tests![
    pages_that_are_none_of_its_guarded_heap_are_refused,
    numbers_that_are_none_are_refused,
    without_a_guarded_heap_a_request_for_a_page_is_a_fault,
    pages_of_another_guarded_heap_are_refused,
    pages_that_are_asked_for_in_any_order_lose_nothing,
    a_flood_of_requests_for_pages_ends_with_its_call,
    requests_for_pages_while_no_call_runs_harm_nobody,
    a_guarded_heap_that_is_asked_for_while_it_is_reset_is_pristine,
    a_guarded_heap_that_is_asked_for_while_it_is_destroyed_is_gone,
    spoiled_records_harm_their_own_calls_until_a_reset,
    spoiled_records_are_reported_as_they_are,
    guarded_heaps_are_used_up_to_the_clients_share_and_no_further,
];

const KIB: usize = 1024;

// Functions that run in sandboxes.

fn records() -> usize {
    raw::argument_page_word(HEAP_OFFSET as usize) as usize >> 32
}

/// Returns where the guarded heap begins, and its pages.
fn heap() -> [u32; 2] {
    let word = raw::read_word(records());
    [word as u32, (word >> 32) as u32]
}

fn argument_page() -> u32 {
    raw::argument_page_word(SELF_OFFSET as usize) as u32
}

fn ask(number: u64, word: u64) {
    raw::ask(number, word);
}

fn ask_page(address: u32, mapped: bool) {
    raw::ask(NUMBER, PageAsk { address, mapped }.into_word());
}

fn ask_and_read(address: u32) -> u8 {
    ask_page(address, true);
    raw::read(address as usize)
}

fn read_at(address: usize) -> u8 {
    raw::read(address)
}

/// Asks for pages, and for none, at random; what it has then it can use.
fn ask_around(seed: u64, times: usize) -> usize {
    let mut random = Random::new(seed);
    let [start, pages] = heap();
    // Bits for 512 pages.
    let mut there = [0_u64; 8];
    for _ in 0..times {
        let page = random.index(pages.min(512) as usize);
        let mapped = random.below(2) == 0;
        let address = start + page as u32 * PAGE;
        // What was never there cannot be given back.
        if !mapped {
            ask_page(address, true);
        }
        ask_page(address, mapped);
        there[page / 64] = (there[page / 64] & !(1 << (page % 64))) | (u64::from(mapped) << (page % 64));
    }
    for page in 0..512 {
        if there[page / 64] & 1 << (page % 64) != 0 {
            raw::write_word((start + page as u32 * PAGE) as usize, u64::MAX);
        }
    }
    there.iter().map(|word| word.count_ones() as usize).sum()
}

fn flood() {
    let [start, pages] = heap();
    for number in 0.. {
        ask_page(start + number % pages * PAGE, number % 3 != 2);
    }
}

fn answer_then_flood() {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    flood();
}

fn answer_then_ask(address: u32, mapped: bool) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    ask_page(address, mapped);
    raw::undefined();
}

fn churn(rounds: usize) -> usize {
    let mut kept = BTreeMap::new();
    for number in 0..rounds {
        kept.insert(number * 7 % 31, vec![number; 1 + number * 13 % 50]);
        if number % 3 == 0 {
            kept.remove(&(number % 31));
        }
    }
    kept.values().map(Vec::len).sum()
}

/// Writes one of several kinds of garbage over what the heap notes; the head, or all but the head.
fn spoil(seed: u64, bytes: usize, with_head: bool) {
    let mut random = Random::new(seed);
    let start = records() + if with_head { 0 } else { 24 };
    let [heap, _] = heap();
    for address in (start..start + bytes).step_by(8) {
        let word = match seed % 5 {
            0 => random.word(),
            1 => u64::from(heap) + random.below(1 << 18),
            2 => u64::MAX,
            3 => (u64::from(CODE_BASE) + random.below(1 << 16)) | (random.below(1 << 10) << 32),
            _ => random.below(4) | (random.below(1 << 10) << 32),
        };
        if seed % 7 != 6 || random.below(8) == 0 {
            raw::write_word(address, word);
        }
    }
}

/// Spoils what the heap notes, and reads a page of it that is not there.
fn spoil_then_fault(seed: u64, bytes: usize, with_head: bool) {
    drop(vec![7_u8; 24]);
    let [start, pages] = heap();
    spoil(seed, bytes, with_head);
    raw::read((start + (seed as u32 % pages) * PAGE) as usize);
}

fn take(start: u32, from: u32, to: u32) {
    for page in from..to {
        ask_page(start + page * PAGE, true);
    }
}

fn sandbox(heap: usize) -> Result<Sbm, Error> {
    Sbm::builder().heap(heap).guarded().report(false).build()
}

/// Checks that a call was ended as by any system call that there is not.
fn refused<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>, what: core::fmt::Arguments<'_>) -> Verdict {
    let told = matches!(&result, Err(Error::Fault { fault, .. }) if fault.kind == FaultKind::SystemCall);
    check!(told, "{what}: {result:?}");
    sbm.reset()?;
    works(sbm)
}

fn pages_that_are_none_of_its_guarded_heap_are_refused() -> Verdict {
    let mut sbm = sandbox(64 * KIB)?;
    let mut observer = Observer::new()?;
    let [start, pages] = sbm.call(heap, ())?.assume_checked();
    let arguments = sbm.call(argument_page, ())?.assume_checked();
    let records = sbm.call(records, ())?.assume_checked() as u32;
    sbm.reset()?;
    let end = start + pages * PAGE;
    let own = [start - PAGE, end, end + PAGE, arguments, arguments + 2 * PAGE, records];
    let others = [0, CODE_BASE, 0x0f10_0000, 0x4000_0000, 0xffff_f000];
    for address in own.into_iter().chain(others) {
        for mapped in [true, false] {
            let result = sbm.call(ask_page, (address, mapped));
            refused(&mut sbm, result, format_args!("{address:#x}"))?;
        }
        observer.undisturbed()?;
    }
    let result = sbm.call(ask_page, (start, false));
    refused(&mut sbm, result, format_args!("given back before it was there"))?;
    same!(sbm.call(ask_and_read, (start,))?.assume_checked(), 0, "and what is its own it gets");
    sbm.reset()?;
    observer.nothing_lost()
}

fn numbers_that_are_none_are_refused() -> Verdict {
    let mut sbm = sandbox(64 * KIB)?;
    let mut observer = Observer::new()?;
    let [start, _] = sbm.call(heap, ())?.assume_checked();
    let good = PageAsk { address: start, mapped: true }.into_word();
    for (number, word) in [
        (NUMBER, good | 2),
        (NUMBER, good + 8),
        (NUMBER, good | 1 << 32),
        (NUMBER, u64::MAX),
        (NUMBER + 1, good),
        (NUMBER | 1 << 32, good),
        (0, good),
        (1 << 63, good),
    ] {
        let result = sbm.call(ask, (number, word));
        refused(&mut sbm, result, format_args!("{number:#x}, {word:#x}"))?;
    }
    observer.nothing_lost()
}

fn without_a_guarded_heap_a_request_for_a_page_is_a_fault() -> Verdict {
    let mut observer = Observer::new()?;
    for kib in [0, 64] {
        let mut sbm = Sbm::builder().heap(kib * KIB).report(false).build()?;
        let heap = sbm.call(raw_heap_word, ())?.assume_checked() as u32;
        let arguments = sbm.call(argument_page, ())?.assume_checked();
        for address in [heap, arguments, arguments + 0x1_0000] {
            for mapped in [true, false] {
                let result = sbm.call(ask_page, (address, mapped));
                refused(&mut sbm, result, format_args!("{address:#x}"))?;
            }
        }
    }
    observer.undisturbed()
}

fn raw_heap_word() -> u64 {
    raw::argument_page_word(HEAP_OFFSET as usize)
}

fn pages_of_another_guarded_heap_are_refused() -> Verdict {
    let (mut one, mut two) = (sandbox(64 * KIB)?, sandbox(64 * KIB)?);
    let [theirs, _] = one.call(heap, ())?.assume_checked();
    one.call(ask_page, (theirs, true))?;
    for mapped in [true, false] {
        let result = two.call(ask_page, (theirs, mapped));
        refused(&mut two, result, format_args!("{mapped}"))?;
    }
    let result = two.call(read_at, (theirs as usize,));
    check!(matches!(result, Err(Error::Fault { .. })), "it reads {result:?}");
    same!(one.call(read_at, (theirs as usize,))?.assume_checked(), 0, "which still has it");
    Ok(())
}

fn pages_that_are_asked_for_in_any_order_lose_nothing() -> Verdict {
    let mut sbm = sandbox(2048 * KIB)?;
    let mut observer = Observer::new()?;
    for seed in 1..6_u64 {
        check!(sbm.call(ask_around, (seed, 1000_usize))?.assume_checked() > 100, "seed {seed}");
        observer.undisturbed()?;
        sbm.reset()?;
        same!(sbm.call(churn, (100_usize,))?.assume_checked(), churn(100), "seed {seed}");
        sbm.reset()?;
    }
    observer.nothing_lost()
}

fn a_flood_of_requests_for_pages_ends_with_its_call() -> Verdict {
    let mut sbm = sandbox(1024 * KIB)?;
    let mut observer = Observer::new()?;
    for _ in 0..3 {
        let result = sbm.call_within(Duration::from_millis(30), flood, ());
        // Within the time it may come to a page that was never there.
        let ended = match &result {
            Err(Error::TimedOut { .. }) => true,
            Err(Error::Fault { fault, .. }) => fault.kind == FaultKind::SystemCall,
            _ => false,
        };
        check!(ended, "{result:?}");
        observer.undisturbed()?;
        sbm.reset()?;
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn requests_for_pages_while_no_call_runs_harm_nobody() -> Verdict {
    let mut observer = Observer::new()?;
    for mapped in [true, false] {
        for offset in [0_u32, 5 * PAGE, 64 * PAGE, 0x8000_0000] {
            let mut sbm = sandbox(256 * KIB)?;
            let [start, _] = sbm.call(heap, ())?.assume_checked();
            sbm.call(answer_then_ask, (start.wrapping_add(offset), mapped))?;
            sel4::r#yield();
            observer.undisturbed()?;
            works(&mut sbm)?;
            sbm.reset()?;
            same!(sbm.call(churn, (20_usize,))?.assume_checked(), churn(20));
        }
    }
    observer.nothing_lost()
}

fn a_guarded_heap_that_is_asked_for_while_it_is_reset_is_pristine() -> Verdict {
    let mut sbm = sandbox(1024 * KIB)?;
    let mut observer = Observer::new()?;
    let [start, _] = sbm.call(heap, ())?.assume_checked();
    for round in 0..5 {
        keep_up(&mut sbm)?;
        sbm.call(answer_then_flood, ())?;
        for _ in 0..round {
            sel4::r#yield();
        }
        sbm.reset()?;
        let result = sbm.call(read_at, (start as usize,));
        check!(matches!(result, Err(Error::Fault { .. })), "round {round}: it reads {result:?}");
        sbm.reset()?;
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_guarded_heap_that_is_asked_for_while_it_is_destroyed_is_gone() -> Verdict {
    let mut observer = Observer::new()?;
    for round in 0..5 {
        let mut sbm = sandbox(1024 * KIB)?;
        keep_up(&mut sbm)?;
        sbm.call(answer_then_flood, ())?;
        for _ in 0..round {
            sel4::r#yield();
        }
        drop(sbm);
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn spoiled_records_harm_their_own_calls_until_a_reset() -> Verdict {
    let mut sbm = sandbox(1024 * KIB)?;
    let mut observer = Observer::new()?;
    let wanted = churn(50);
    let mut harmed = 0;
    for seed in 1..60_u64 {
        sbm.call(spoil, (seed, if seed % 2 == 0 { 3000 } else { 40 * KIB }, seed % 3 == 0))?;
        match sbm.call_within(Duration::from_millis(50), churn, (50_usize,)) {
            Ok(_) => {}
            Err(Error::Fault { .. } | Error::TimedOut { .. } | Error::Panic(_) | Error::NoRoom { .. }) => harmed += 1,
            Err(error) => return Err(Why::new(format_args!("seed {seed}: {error}"))),
        }
        observer.undisturbed()?;
        sbm.reset()?;
        same!(sbm.call(churn, (50_usize,))?.assume_checked(), wanted, "after seed {seed}");
        sbm.reset()?;
    }
    check!(harmed > 10, "only {harmed} calls were harmed");
    observer.nothing_lost()
}

/// The library reads them where it reports, here for a few of them.
fn spoiled_records_are_reported_as_they_are() -> Verdict {
    let mut sbm = Sbm::builder().heap(1024 * KIB).guarded().build()?;
    let mut observer = Observer::new()?;
    for seed in 1..15_u64 {
        let result = sbm.call(spoil_then_fault, (seed, 40 * KIB, seed % 3 == 0));
        let told = matches!(&result, Err(Error::Fault { fault, .. }) if fault.kind == FaultKind::Page);
        check!(told, "seed {seed}: {result:?}");
        observer.undisturbed()?;
        sbm.reset()?;
        same!(sbm.call(churn, (20_usize,))?.assume_checked(), churn(20), "after seed {seed}");
        sbm.reset()?;
    }
    observer.nothing_lost()
}

fn guarded_heaps_are_used_up_to_the_clients_share_and_no_further() -> Verdict {
    const SIZE: usize = 16 * 1024 * KIB;
    let mut observer = Observer::new()?;
    let mut taken = Vec::new();
    let error = loop {
        let mut sbm = match sandbox(SIZE) {
            Ok(sbm) => sbm,
            Err(error) => break error,
        };
        let [start, pages] = sbm.call(heap, ())?.assume_checked();
        // The last page brings half of them.
        match sbm.call(take, (start, pages - 1, pages)) {
            Ok(_) => taken.push(sbm),
            Err(error) => break error,
        }
        check!(taken.len() < 1000, "there is no limit");
    };
    match &error {
        Error::Fault { fault, .. } if fault.kind == FaultKind::OverQuota => same!(error.errno(), Errno::Quota),
        Error::Fault { fault, .. } if fault.kind == FaultKind::NoMemory => same!(error.errno(), Errno::NoMemory),
        Error::Server(Errno::NoMemory | Errno::Quota) | Error::Quota(_) => {}
        _ => return Err(Why::new(format_args!("another error: {error}"))),
    }
    check!(taken.len() > 2, "after {}: {error}", taken.len());
    drop(taken.pop());
    observer.undisturbed()?;
    drop(taken);
    observer.nothing_lost()
}

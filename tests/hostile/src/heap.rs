// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox spoils its heap, uses more of it than there is memory, touches it when it should not, and another's.

use alloc::{boxed::Box, collections::BTreeMap, vec, vec::Vec};
use core::time::Duration;

use harness::{Random, Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Errno, Error, FaultKind, Region, Sbm, SharedPage};
use sbm_abi::{
    Request, Response,
    limits::{HEAP_OFFSET, SANDBOX_FAULT_SLOT},
};
use sel4::{
    MessageInfo, sys,
    syscall::{CALL, NB_SEND, REPLY, SEND},
};

use crate::observer::{Observer, keep_up};

pub(crate) const TESTS: &[Test] = tests![
    a_spoiled_heap_harms_its_own_calls_until_a_reset,
    a_heap_of_another_sandbox_is_out_of_reach,
    what_a_spare_left_in_its_heap_is_gone,
    a_spare_whose_heap_is_there_in_part_is_cleared,
    what_a_reset_finds_in_part_is_gone_afterwards,
    a_large_sandbox_that_was_destroyed_writes_no_more,
    a_heap_that_is_touched_while_no_call_runs_harms_nobody,
    a_forged_touch_brings_what_a_touch_would_have_brought,
    heaps_are_used_up_to_the_clients_share_and_no_further,
];

const KIB: usize = 1024;

// Functions that run in sandboxes.

/// Allocates and frees in an order that visits most of an allocator.
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

fn heap_start() -> usize {
    raw::argument_page_word(HEAP_OFFSET as usize) as usize & 0xffff_ffff
}

/// Writes one of several kinds of garbage over the heap's first bytes.
fn spoil(seed: u64, bytes: usize) {
    let mut random = Random::new(seed);
    let start = heap_start();
    for address in (start..start + bytes).step_by(8) {
        let inside = (start + random.index(bytes)) as u64 & !7;
        match seed % 5 {
            0 => raw::write_word(address, random.word()),
            1 => raw::write_word(address, inside),
            2 => raw::write_word(address, u64::MAX),
            3 if random.below(8) == 0 => raw::write_word(address, inside),
            // A state that says it is there, and lists that lead to themselves.
            4 => raw::write_word(address, address as u64),
            _ => {}
        }
    }
}

fn read_at(address: usize) -> u8 {
    raw::read(address)
}

fn leak(words: usize) -> usize {
    Box::leak(vec![u64::MAX; words].into_boxed_slice()).as_ptr() as usize
}

/// Counts what is not zero from an address on.
fn leftovers(from: usize, bytes: usize) -> usize {
    (from..from + bytes).step_by(8).filter(|address| raw::read_word(*address) != 0).count()
}

/// Answers, and touches its heap then, when nobody waits.
fn answer_then_touch(offset: usize) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    raw::write(heap_start().wrapping_add(offset), 1);
    raw::undefined();
}

/// Sends the message of a write to the heap on the fault endpoint, and returns what is at that address then.
fn forge_touch(number: i64, offset: usize) -> u8 {
    let address = (heap_start() + offset) as u64;
    let info = MessageInfo::new(sys::seL4_Fault_VMFault as u64, 0, 0, 4).into_word();
    raw::system_call(number, SANDBOX_FAULT_SLOT, info, [0x11, address, 0, 6]);
    raw::read(address as usize)
}

fn touch(offset: usize) {
    raw::write(heap_start() + offset, 1);
}

fn sandbox(heap: usize) -> Result<Sbm, Error> {
    Sbm::builder().heap(heap).report(false).build()
}

fn a_spoiled_heap_harms_its_own_calls_until_a_reset() -> Verdict {
    let mut sbm = sandbox(64 * KIB)?;
    let mut observer = Observer::new()?;
    let wanted = sbm.call(churn, (200_usize,))?.assume_checked();
    let mut harmed = 0;
    for seed in 1..60_u64 {
        sbm.call(spoil, (seed, if seed % 2 == 0 { 3000 } else { 60 * KIB }))?;
        match sbm.call_within(Duration::from_millis(20), churn, (200_usize,)) {
            Ok(_) => {}
            Err(Error::Fault { .. } | Error::TimedOut { .. } | Error::Panic(_) | Error::NoRoom { .. }) => harmed += 1,
            Err(error) => return Err(Why::new(format_args!("seed {seed}: {error}"))),
        }
        observer.undisturbed()?;
        sbm.reset()?;
        same!(sbm.call(churn, (200_usize,))?.assume_checked(), wanted, "after seed {seed}");
    }
    check!(harmed > 20, "only {harmed} calls were harmed");
    observer.nothing_lost()
}

fn a_heap_of_another_sandbox_is_out_of_reach() -> Verdict {
    let (mut one, mut two) = (sandbox(64 * KIB)?, sandbox(64 * KIB)?);
    let theirs = one.call(leak, (1000_usize,))?.assume_checked();
    let own = two.call(leak, (10_usize,))?.assume_checked();
    check!(theirs.abs_diff(own) >= 64 * KIB, "heaps at the same address");
    let result = two.call(read_at, (theirs,));
    check!(matches!(result, Err(Error::Fault { region: Region::Guard, .. })), "it reads {result:?}");
    let mut without = sandbox(0)?;
    let result = without.call(read_at, (theirs,));
    check!(matches!(result, Err(Error::Fault { region: Region::Guard, .. })), "it reads {result:?}");
    same!(one.call(read_at, (theirs,))?.assume_checked(), 0xff);
    Ok(())
}

fn what_a_spare_left_in_its_heap_is_gone() -> Verdict {
    for round in 0..10_usize {
        let mut sbm = sandbox(256 * KIB)?;
        let start = sbm.call(heap_start, ())?.assume_checked();
        same!(sbm.call(leftovers, (start, 256 * KIB))?.assume_checked(), 0, "round {round}");
        // It goes on writing while it is dropped.
        sbm.call(leak, (1000 * (round + 1),))?;
        sbm.call(answer_then_touch, (200 * KIB,))?;
    }
    Ok(())
}

/// A chunk of more pages than come by one touch is there in part, and the next one holds what is looked for.
fn a_spare_whose_heap_is_there_in_part_is_cleared() -> Verdict {
    const SIZE: usize = 2048 * KIB;
    for round in 0..3 {
        let mut sbm = sandbox(SIZE)?;
        let start = sbm.call(heap_start, ())?.assume_checked();
        for offset in [512 * KIB, 1024 * KIB] {
            same!(sbm.call(leftovers, (start + offset, 8_usize))?.assume_checked(), 0, "round {round}, at {offset}");
        }
        for offset in [256 * KIB, 512 * KIB, 1024 * KIB] {
            sbm.call(touch, (offset,))?;
        }
        drop(sbm);
        // It has the time to clear what it has.
        for _ in 0..20 {
            sel4::r#yield();
        }
    }
    Ok(())
}

fn what_a_reset_finds_in_part_is_gone_afterwards() -> Verdict {
    let mut sbm = sandbox(2048 * KIB)?;
    let start = sbm.call(heap_start, ())?.assume_checked();
    for round in 0..3 {
        for offset in [0, 256 * KIB, 512 * KIB, 1024 * KIB] {
            sbm.call(touch, (offset,))?;
        }
        sbm.reset()?;
        for offset in [0, 256 * KIB, 512 * KIB, 1024 * KIB] {
            let left = sbm.call(leftovers, (start + offset, 8_usize))?.assume_checked();
            same!(left, 0, "round {round}, at {offset}");
        }
        works(&mut sbm)?;
    }
    Ok(())
}

static SHARED: [SharedPage; 1] = [const { SharedPage::ZERO }; 1];

/// Ends its call, and goes on with a count in a page that the client reads.
fn answer_and_count(page: &mut [u8]) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    let address = page.as_ptr() as usize;
    for number in 1.. {
        raw::write_word(address, number);
    }
}

fn count() -> u64 {
    let mut bytes = [0; 8];
    SharedPage::read(&SHARED, 0, &mut bytes);
    u64::from_le_bytes(bytes)
}

fn a_large_sandbox_that_was_destroyed_writes_no_more() -> Verdict {
    for size in [64 * KIB, 2048 * KIB] {
        let mut sbm = sandbox(size)?;
        for offset in [size / 8, size / 4, size / 2, size - 1] {
            sbm.call(touch, (offset,))?;
        }
        keep_up(&mut sbm)?;
        sbm.call(answer_and_count, (sbm::map_writable(&SHARED),))?;
        for _ in 0..3 {
            sel4::r#yield();
        }
        check!(count() > 0);
        drop(sbm);
        let first = count();
        for _ in 0..20 {
            sel4::r#yield();
            same!(count(), first, "of a heap of {size}");
        }
    }
    Ok(())
}

fn a_heap_that_is_touched_while_no_call_runs_harms_nobody() -> Verdict {
    let mut observer = Observer::new()?;
    for offset in [0, 5000, 100 * KIB, 256 * KIB, usize::MAX - (1 << 20)] {
        let mut sbm = sandbox(256 * KIB)?;
        sbm.call(answer_then_touch, (offset,))?;
        sel4::r#yield();
        observer.undisturbed()?;
        works(&mut sbm)?;
        sbm.reset()?;
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn a_forged_touch_brings_what_a_touch_would_have_brought() -> Verdict {
    // Of a size that nothing else here has, so that no spare stands ready.
    let mut sbm = sandbox(512 * KIB)?;
    let mut observer = Observer::new()?;
    for (offset, number) in [(0, CALL), (20 * KIB, SEND), (40 * KIB, NB_SEND)] {
        same!(sbm.call(forge_touch, (number, offset))?.assume_checked(), 0);
        // What is there cannot be touched.
        let result = sbm.call(forge_touch, (number, offset));
        let told = matches!(&result, Err(Error::Fault { region: Region::Heap, fault }) if fault.ip == 0x11);
        check!(told, "{number}: {result:?}");
        sbm.reset()?;
        observer.undisturbed()?;
    }
    let result = sbm.call(forge_touch, (CALL, 512 * KIB));
    check!(matches!(result, Err(Error::Fault { region: Region::HeapGuard, .. })), "past its end: {result:?}");
    sbm.reset()?;
    works(&mut sbm)?;
    observer.nothing_lost()
}

/// Sandboxes of which each takes 12 of its 16 MiB by two touches.
fn heaps_are_used_up_to_the_clients_share_and_no_further() -> Verdict {
    const LAST: usize = 16 * 1024 * KIB - 1;
    let mut observer = Observer::new()?;
    // Memory runs out before addresses do.
    let mut others = Vec::new();
    for _ in 0..20 {
        let mut builder = Sbm::builder().report(false);
        builder.input(4000 * KIB);
        builder.input(4000 * KIB);
        others.push(builder.build()?);
    }
    let mut taken = Vec::new();
    let error = loop {
        let mut sbm = sandbox(LAST + 1)?;
        match sbm.call(touch, (LAST,)).and_then(|_| sbm.call(touch, (LAST / 2,))) {
            Ok(_) => taken.push(sbm),
            Err(error) => break error,
        }
        check!(taken.len() < 1000, "there is no limit");
    };
    let Error::Fault { fault, region: Region::Heap } = &error else {
        return Err(Why::new(format_args!("another error: {error}")));
    };
    match fault.kind {
        FaultKind::OverQuota => same!(error.errno(), Errno::Quota),
        FaultKind::NoMemory => same!(error.errno(), Errno::NoMemory),
        _ => return Err(Why::new(format_args!("another kind: {error}"))),
    }
    check!(taken.len() > 2, "after {} touches: {error}", taken.len());
    // What is left may be less than the observer takes for a moment.
    drop(taken.pop());
    observer.undisturbed()?;
    // The others have what they have, and what one gives up another one can take.
    for sbm in &mut taken {
        sbm.call(touch, (LAST,))?;
    }
    drop(taken);
    drop(others);
    let Response::Usage { .. } = harness::server::request(&Request::Usage)? else {
        return Err(Why::new(format_args!("no usage")));
    };
    sandbox(LAST + 1)?.call(touch, (LAST,))?;
    observer.nothing_lost()
}

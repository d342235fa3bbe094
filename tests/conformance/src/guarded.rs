// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guarded heap: bugs that it turns into faults, and programs without them, for which it is a heap as any other.

use core::alloc::Layout;

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec, vec::Vec};

use harness::{
    Test, Verdict, Why, check,
    expect::{aborted, page, stuck_as, works},
    raw, same, tests,
};
use sbm::{Access, Errno, Error, Fault, FaultKind, Isolation, Region, Sbm, copy_in};
use sbm_abi::limits::PAGE;

pub(crate) const TESTS: &[Test] = tests![
    collections_work_in_a_guarded_heap,
    one_byte_too_many_is_a_fault,
    one_byte_too_many_is_none_without_guards,
    up_to_an_alignment_nothing_is_noticed,
    what_was_freed_is_out_of_reach,
    what_was_moved_is_out_of_reach,
    a_second_free_is_a_fault,
    a_free_of_what_is_no_allocation_is_a_fault,
    what_was_freed_is_used_again_late,
    thousands_of_allocations_lose_nothing,
    large_alignments_are_kept_in_a_guarded_heap,
    what_is_asked_for_zeroed_is,
    a_guarded_heap_that_is_full_has_no_room,
    a_guarded_heap_is_pristine_after_a_reset,
    a_guarded_heap_is_pristine_in_the_next_sandbox,
    a_guarded_heap_of_the_largest_size_is_one,
    a_snapshot_of_a_guarded_heap_is_refused,
    without_isolation_nothing_is_guarded,
];

const KIB: usize = 1024;

fn sandbox(heap: usize) -> Result<Sbm, Error> {
    Sbm::builder().heap(heap).guarded().report(false).build()
}

// Functions that run in sandboxes.

fn count_words(text: &[u8]) -> u64 {
    let mut counts = BTreeMap::<String, Vec<usize>>::new();
    for (at, word) in text.split(|byte| *byte == b' ').enumerate() {
        counts.entry(String::from_utf8_lossy(word).into_owned()).or_default().push(at);
    }
    let mut lines: Vec<Box<str>> = counts.iter().map(|(word, places)| format!("{word}:{places:?}").into()).collect();
    lines.sort_by_key(|line| core::cmp::Reverse(line.len()));
    lines.concat().bytes().fold(0, |sum, byte| u64::wrapping_add(sum.wrapping_mul(31), byte.into()))
}

/// Allocates so many bytes, and touches the one at `at`.
fn touch(bytes: usize, at: usize, write: bool) -> usize {
    let memory = vec![7_u8; bytes];
    let address = memory.as_ptr() as usize;
    touch_at(address + at, write);
    address
}

fn touch_at(address: usize, write: bool) {
    if write {
        raw::write(address, 1);
    } else {
        raw::read(address);
    }
}

fn allocate(bytes: usize) -> usize {
    Vec::leak(vec![7_u8; bytes]).as_ptr() as usize
}

fn free(address: usize, bytes: usize) {
    #[expect(unsafe_code, reason = "bugs, on purpose; the sandbox contains them")]
    // SAFETY: none, where it was freed; the sandbox is where that is found.
    drop(unsafe { Vec::from_raw_parts(address as *mut u8, bytes, bytes) });
}

fn use_after_free(bytes: usize, at: usize, write: bool) {
    let memory = vec![7_u8; bytes];
    let address = memory.as_ptr() as usize;
    drop(core::hint::black_box(memory));
    touch_at(address + at, write);
}

/// Keeps an address while what is there grows, or shrinks.
fn use_after_move(from: usize, to: usize) -> usize {
    let mut memory = vec![7_u8; from];
    let address = memory.as_ptr() as usize;
    if to > from {
        memory.reserve_exact(to - from);
    } else {
        memory.truncate(to);
        memory.shrink_to_fit();
    }
    let kept = memory.iter().take(from.min(to)).filter(|byte| **byte == 7).count();
    if kept == from.min(to) {
        raw::read(address);
    }
    kept
}

fn touch_aligned(bytes: usize, align: usize, at: usize) -> usize {
    let Ok(layout) = Layout::from_size_align(bytes, align) else { return 0 };
    #[expect(unsafe_code, reason = "as an allocator is called")]
    // SAFETY: its size is not zero.
    let address = unsafe { alloc::alloc::alloc(layout) } as usize;
    raw::write(address + at, 1);
    address % align
}

/// Allocates and frees, and tells after how many rounds an address came again.
fn rounds_until_again(bytes: usize) -> usize {
    let take_and_free = |_: usize| {
        let memory = core::hint::black_box(vec![0_u8; bytes]);
        memory.as_ptr() as usize
    };
    let first = take_and_free(0);
    1 + (1..10_000).map(take_and_free).take_while(|address| *address != first).count()
}

/// Allocates and frees in an order that leaves gaps, and checks what it wrote.
fn churn(rounds: usize) -> usize {
    let mut kept = BTreeMap::new();
    let mut wrong = 0;
    for number in 0..rounds {
        kept.insert(number * 7 % 31, vec![number; 1 + number * 13 % 1500]);
        if let Some(gone) = kept.remove(&(number * 5 % 31)) {
            wrong += usize::from(gone.iter().any(|word| *word != gone[0]));
        }
    }
    wrong
}

fn zeroed(bytes: usize) -> usize {
    (0..200)
        .map(|_| core::mem::replace(&mut vec![0_u8; bytes], vec![0xff; bytes]).iter().filter(|it| **it != 0).count())
        .sum()
}

fn count_until_full() -> usize {
    let mut kept = Vec::with_capacity(1000);
    while let Ok(()) = kept.try_reserve(1) {
        let mut memory = Vec::<u8>::new();
        if memory.try_reserve_exact(1).is_err() {
            break;
        }
        kept.push(memory);
    }
    kept.len()
}

fn fill_pages(bytes: usize) -> usize {
    let mut memory = vec![0_u8; bytes];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 7);
    memory.iter().filter(|byte| **byte == 7).count()
}

fn fault_at(access: Access, address: u64) -> harness::expect::Expected {
    let ip = match access {
        Access::Write => raw::write as extern "C" fn(usize, u8) as usize,
        _ => raw::read as extern "C" fn(usize) -> u8 as usize,
    };
    page(access, address, ip as u64, Region::Heap)
}

const TEXT: &[u8] = b"a rose is a rose is a rose and this is a text with words of which some are a rose as well";

fn collections_work_in_a_guarded_heap() -> Verdict {
    let mut sbm = sandbox(2048 * KIB)?;
    let wanted = count_words(TEXT);
    for _ in 0..3 {
        same!(sbm.call(count_words, (copy_in(TEXT),))?.assume_checked(), wanted);
        sbm.reset()?;
    }
    same!(sbm.call(churn, (300_usize,))?.assume_checked(), 0);
    Ok(())
}

fn one_byte_too_many_is_a_fault() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for bytes in [1_usize, 24, 100, 4095, 4096, 4097, 9000] {
        for (write, access) in [(true, Access::Write), (false, Access::Read)] {
            let address = sbm.call(touch, (bytes, bytes - 1, write))?.assume_checked();
            same!((address + bytes) % PAGE as usize, 0, "{bytes} bytes");
            sbm.reset()?;
            for beyond in [0, 1, 4095] {
                let result = sbm.call(touch, (bytes, bytes + beyond, write));
                aborted(&mut sbm, result, fault_at(access, (address + bytes + beyond) as u64))?;
            }
        }
    }
    Ok(())
}

fn one_byte_too_many_is_none_without_guards() -> Verdict {
    let mut sbm = Sbm::builder().heap(256 * KIB).report(false).build()?;
    sbm.call(touch, (24_usize, 24_usize, false))?;
    sbm.call(use_after_free, (24_usize, 3_usize, true))?;
    Ok(())
}

fn up_to_an_alignment_nothing_is_noticed() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for (bytes, align, noticed) in [(13_usize, 8_usize, 16_usize), (16, 16, 16), (1, 64, 64), (100, 4096, 4096)] {
        for at in [bytes - 1, noticed - 1] {
            same!(sbm.call(touch_aligned, (bytes, align, at))?.assume_checked(), 0, "alignment");
        }
        let result = sbm.call(touch_aligned, (bytes, align, noticed));
        check!(matches!(result, Err(Error::Fault { region: Region::Heap, .. })), "{bytes}, {align}: {result:?}");
        sbm.reset()?;
    }
    Ok(())
}

fn what_was_freed_is_out_of_reach() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for bytes in [1_usize, 24, 5000] {
        let first = sbm.call(allocate, (bytes,))?.assume_checked();
        sbm.reset()?;
        for (write, access) in [(true, Access::Write), (false, Access::Read)] {
            for at in [0, bytes - 1] {
                let result = sbm.call(use_after_free, (bytes, at, write));
                aborted(&mut sbm, result, fault_at(access, (first + at) as u64))?;
            }
        }
    }
    Ok(())
}

fn what_was_moved_is_out_of_reach() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for (from, to) in [(24_usize, 25_usize), (24, 23), (6000, 9000), (9000, 100)] {
        let result = sbm.call(use_after_move, (from, to));
        let told = matches!(&result, Err(Error::Fault { region: Region::Heap, fault }) if fault.access == Access::Read);
        check!(told, "from {from} to {to}: {result:?}");
        sbm.reset()?;
    }
    Ok(())
}

fn a_second_free_is_a_fault() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for bytes in [24_usize, 5000] {
        let address = sbm.call(allocate, (bytes,))?.assume_checked();
        sbm.call(free, (address, bytes))?;
        let result = sbm.call(free, (address, bytes));
        let at = |fault: &Fault| (fault.kind, fault.access, fault.address);
        let wanted = (FaultKind::Page, Access::Read, address as u64);
        check!(matches!(&result, Err(Error::Fault { fault, .. }) if at(fault) == wanted), "{result:?}");
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

fn a_free_of_what_is_no_allocation_is_a_fault() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for offset in [1_usize, 4096, 100_000, usize::MAX - 4096] {
        let address = sbm.call(allocate, (4100_usize,))?.assume_checked();
        let result = sbm.call(free, (address.wrapping_add(offset), 8_usize));
        check!(matches!(result, Err(Error::Fault { .. })), "{offset}: {result:?}");
        sbm.reset()?;
    }
    works(&mut sbm)
}

fn what_was_freed_is_used_again_late() -> Verdict {
    for (heap, bytes) in [(64 * KIB, 24_usize), (1024 * KIB, 24), (1024 * KIB, 5000)] {
        let takes = 1 + bytes.div_ceil(4096);
        let rounds = sandbox(heap)?.call(rounds_until_again, (bytes,))?.assume_checked();
        same!(rounds, heap / 4096 / takes, "{bytes} bytes of {heap}");
    }
    Ok(())
}

fn thousands_of_allocations_lose_nothing() -> Verdict {
    let mut sbm = sandbox(512 * KIB)?;
    let before = sbm::usage()?;
    let mut first = None;
    for _ in 0..3 {
        same!(sbm.call(churn, (2000_usize,))?.assume_checked(), 0);
        let usage = sbm::usage()?;
        // All of its pages are there, and no more for what is allocated anew.
        same!(*first.get_or_insert(usage), usage);
        check!(usage.bytes - before.bytes >= 512 * KIB as u64, "{usage:?} after {before:?}");
    }
    sbm.reset()?;
    same!(sbm::usage()?, before);
    same!(sbm.call(churn, (100_usize,))?.assume_checked(), 0);
    Ok(())
}

fn large_alignments_are_kept_in_a_guarded_heap() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    for align in [32_usize, 4096, 8192, 65_536] {
        same!(sbm.call(touch_aligned, (5000_usize, align, 4999_usize))?.assume_checked(), 0, "{align}");
    }
    Ok(())
}

fn what_is_asked_for_zeroed_is() -> Verdict {
    let mut sbm = sandbox(64 * KIB)?;
    for bytes in [24_usize, 5000] {
        same!(sbm.call(zeroed, (bytes,))?.assume_checked(), 0, "{bytes} bytes");
    }
    Ok(())
}

fn a_guarded_heap_that_is_full_has_no_room() -> Verdict {
    let heap = 64 * KIB;
    let mut sbm = sandbox(heap)?;
    // The list itself takes six pages and a guard.
    same!(sbm.call(count_until_full, ())?.assume_checked(), (16 - 7) / 2);
    sbm.reset()?;
    for bytes in [heap, heap - PAGE as usize + 1, 1 << 40] {
        let result = sbm.call(allocate, (bytes,));
        let Err(error) = result else { return Err(Why::new(format_args!("{bytes}: there was room"))) };
        same!(error, Error::NoRoom { bytes, heap });
        stuck_as(&mut sbm, &error, Errno::NoMemory)?;
    }
    sbm.call(allocate, (heap - PAGE as usize,))?;
    Ok(())
}

fn a_guarded_heap_is_pristine_after_a_reset() -> Verdict {
    let mut sbm = sandbox(256 * KIB)?;
    let before = sbm::usage()?;
    let address = sbm.call(allocate, (9000_usize,))?.assume_checked();
    for at in [address, address + 8999] {
        sbm.call(touch_at, (at, true))?;
    }
    sbm.reset()?;
    same!(sbm::usage()?, before, "what it took is back");
    for at in [address, address + 8999] {
        let result = sbm.call(touch_at, (at, false));
        aborted(&mut sbm, result, fault_at(Access::Read, at as u64))?;
    }
    same!(sbm.call(allocate, (9000_usize,))?.assume_checked(), address);
    Ok(())
}

fn a_guarded_heap_is_pristine_in_the_next_sandbox() -> Verdict {
    for _ in 0..3 {
        let mut sbm = sandbox(128 * KIB)?;
        let address = sbm.call(allocate, (9000_usize,))?.assume_checked();
        sbm.call(free, (address, 9000_usize))?;
        let result = sbm.call(touch_at, (address, true));
        aborted(&mut sbm, result, fault_at(Access::Write, address as u64))?;
        let again = sbm.call(allocate, (9000_usize,))?.assume_checked();
        same!(again, address, "nothing of it is left");
    }
    Ok(())
}

fn a_guarded_heap_of_the_largest_size_is_one() -> Verdict {
    const LARGEST: usize = 64 * 1024 * KIB;
    let mut sbm = Sbm::builder().heap(LARGEST).guarded().report(false).build()?;
    same!(sbm.call(fill_pages, (1000 * KIB,))?.assume_checked(), 250);
    works(&mut sbm)
}

fn a_snapshot_of_a_guarded_heap_is_refused() -> Verdict {
    let mut sbm = sandbox(64 * KIB)?;
    sbm.call(allocate, (10_usize,))?;
    let Err(error) = sbm.snapshot() else { return Err(Why::new(format_args!("a snapshot"))) };
    same!((error.errno(), error), (Errno::Invalid, Error::Guarded));
    works(&mut sbm)
}

fn without_isolation_nothing_is_guarded() -> Verdict {
    let mut plain = Sbm::builder().heap(64 * KIB).guarded().isolation(Isolation::None).report(false).build()?;
    same!(plain.call(count_words, (copy_in(TEXT),))?.assume_checked(), count_words(TEXT));
    // One byte behind lies the rest of the client's heap.
    plain.call(touch, (24_usize, 24_usize, false))?;
    Ok(())
}

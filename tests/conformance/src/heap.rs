// SPDX-License-Identifier: MIT OR Apache-2.0
//! The crate `alloc` in a sandbox: its heap, its limits, and what a reset and the next life find there.
#![expect(clippy::panic, reason = "in sandboxes, on purpose")]

use core::time::Duration;

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec, vec::Vec};

use harness::{
    Test, Verdict, Why, check,
    expect::{aborted, page, stuck_as, works},
    raw, same, tests,
};
use sbm::{Access, Errno, Error, Isolation, Region, Sbm, copy_in};
use sbm_abi::limits::{ARENA_BASE, ARENA_END, HEAP_OFFSET, HEAP_PAGES, PAGE};

pub(crate) const TESTS: &[Test] = tests![
    collections_work_in_a_sandbox_as_in_its_client,
    memory_that_is_freed_is_used_again,
    a_heap_can_be_used_nearly_to_its_end,
    a_large_heap_is_one,
    what_grows_keeps_its_content,
    large_alignments_are_kept,
    no_room_is_an_error_with_the_size,
    no_heap_is_an_error_with_the_size,
    a_function_that_allows_for_no_room_goes_on,
    a_panic_about_memory_is_a_panic_where_there_was_room,
    a_heap_takes_memory_as_it_is_used,
    calls_that_end_well_leave_the_heap_as_it_is,
    a_heap_is_pristine_after_a_reset,
    a_heap_of_a_warm_sandbox_is_pristine,
    a_heap_ends_with_guards,
    heaps_out_of_limits_are_refused,
    without_isolation_the_heap_is_the_clients,
];

const KIB: usize = 1024;

// Functions that run in sandboxes.

/// Counts words with all that `alloc` has, and returns a number that depends on each step.
fn count_words(text: &[u8]) -> u64 {
    let mut counts = BTreeMap::<String, Vec<usize>>::new();
    for (at, word) in text.split(|byte| *byte == b' ').enumerate() {
        counts.entry(String::from_utf8_lossy(word).into_owned()).or_default().push(at);
    }
    let mut lines: Vec<Box<str>> = counts.iter().map(|(word, places)| format!("{word}:{places:?}").into()).collect();
    lines.sort_by_key(|line| core::cmp::Reverse(line.len()));
    lines.concat().bytes().fold(0, |sum, byte| u64::wrapping_add(sum.wrapping_mul(31), byte.into()))
}

fn take_and_free(bytes: usize, times: usize) -> usize {
    (0..times).map(|number| vec![u8::try_from(number % 251).unwrap_or(0); bytes][bytes / 2] as usize).sum()
}

fn fill_up(bytes: usize) -> usize {
    let mut kept = Vec::new();
    while kept.len() * 1000 < bytes {
        kept.push(Box::new([kept.len(); 125]));
    }
    kept.iter().enumerate().filter(|(number, array)| array.iter().all(|it| it == number)).count()
}

fn grow_in_turn(bytes: usize) -> bool {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for number in 0..bytes {
        one.push(number as u8);
        two.push(!number as u8);
    }
    two.truncate(bytes / 2);
    two.shrink_to_fit();
    one.iter().enumerate().all(|(number, byte)| *byte == number as u8)
        && two.iter().enumerate().all(|(number, byte)| *byte == !number as u8)
}

#[repr(align(4096))]
struct Page([u8; 100]);

fn align() -> usize {
    let (one, two) = (Box::new(Page([1; 100])), Box::new(Page([2; 100])));
    let aligned = [&raw const *one as usize, &raw const *two as usize].map(|address| address % 4096);
    aligned[0] + aligned[1] + usize::from(one.0[99]) + usize::from(two.0[99])
}

/// Writes each page of so many bytes, and counts those that hold what was written.
fn fill_pages(bytes: usize) -> usize {
    let mut memory = vec![0_u8; bytes];
    let number = |page: usize| (page % 251) as u8 + 1;
    memory.iter_mut().step_by(4096).enumerate().for_each(|(page, byte)| *byte = number(page));
    memory.iter().step_by(4096).enumerate().filter(|(page, byte)| **byte == number(*page)).count()
}

fn try_to_reserve(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
}

fn fail_then_panic(bytes: usize, text: u32) {
    if try_to_reserve(bytes) {
        return;
    }
    match text {
        0 => panic!("memory allocation of 5 bytes failed"),
        1 => panic!("something else"),
        _ => {}
    }
}

fn leak(secret: u64, words: usize) -> usize {
    let words: &'static mut [u64] = Vec::leak(vec![secret; words]);
    words.as_ptr() as usize
}

fn heap_word() -> u64 {
    raw::argument_page_word(HEAP_OFFSET as usize)
}

/// Counts the words other than zero of the heap's first bytes.
fn leftovers(bytes: usize) -> usize {
    let start = heap_word() as usize & 0xffff_ffff;
    (start..start + bytes).step_by(8).filter(|address| raw::read_word(*address) != 0).count()
}

fn write_at(address: usize) {
    raw::write(address, 1);
}

fn quiet(heap: usize) -> Result<Sbm, Error> {
    Sbm::builder().heap(heap).report(false).build()
}

/// Checks that a call ended with an allocation of that size, and that the sandbox is usable after a reset.
fn no_room<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>, bytes: usize, heap: usize) -> Verdict {
    let Err(error) = result else { return Err(Why::new(format_args!("there was room: {result:?}"))) };
    same!(error, Error::NoRoom { bytes, heap });
    stuck_as(sbm, &error, Errno::NoMemory)
}

const TEXT: &[u8] = b"a rose is a rose is a rose and this is a text with words of which some are a rose as well";

fn collections_work_in_a_sandbox_as_in_its_client() -> Verdict {
    let mut sbm = quiet(64 * KIB)?;
    let wanted = count_words(TEXT);
    for _ in 0..5 {
        same!(sbm.call(count_words, (copy_in(TEXT),))?.assume_checked(), wanted);
        // The client's own heap is another one, and works on.
        same!(count_words(TEXT), wanted);
    }
    sbm.reset()?;
    same!(sbm.call(count_words, (copy_in(TEXT),))?.assume_checked(), wanted);
    Ok(())
}

fn memory_that_is_freed_is_used_again() -> Verdict {
    let mut sbm = quiet(16 * KIB)?;
    for bytes in [1_usize, 100, 8000, 12_000] {
        let sum = (0..300).map(|number| number % 251).sum::<usize>();
        same!(sbm.call(take_and_free, (bytes, 300_usize))?.assume_checked(), sum, "{bytes} bytes");
    }
    Ok(())
}

fn a_heap_can_be_used_nearly_to_its_end() -> Verdict {
    for heap in [16 * KIB, 64 * KIB, 1024 * KIB] {
        let mut sbm = quiet(heap)?;
        let bytes = heap - heap / 10 - 4 * KIB;
        same!(sbm.call(fill_up, (bytes,))?.assume_checked(), bytes.div_ceil(1000), "a heap of {heap}");
        let result = sbm.call(fill_up, (heap,));
        check!(matches!(result, Err(Error::NoRoom { .. })), "more than there is: {result:?}");
    }
    Ok(())
}

fn a_large_heap_is_one() -> Verdict {
    const LARGEST: usize = 128 << 20;
    let mut sbm = Sbm::builder().heap(LARGEST).budget(Duration::from_secs(120)).report(false).build()?;
    let bytes = LARGEST - LARGEST / 8;
    for _ in 0..2 {
        same!(sbm.call(fill_pages, (bytes,))?.assume_checked(), bytes / 4096);
        sbm.reset()?;
    }
    let refused = sbm.call(fill_pages, (LARGEST,));
    no_room(&mut sbm, refused, LARGEST, LARGEST)
}

fn what_grows_keeps_its_content() -> Verdict {
    let mut sbm = quiet(256 * KIB)?;
    for bytes in [1_usize, 10, 1000, 40_000] {
        check!(sbm.call(grow_in_turn, (bytes,))?.assume_checked(), "{bytes} bytes");
    }
    Ok(())
}

fn large_alignments_are_kept() -> Verdict {
    // The compiler may keep both on the stack at first, each in a page of its own.
    let mut sbm = Sbm::builder().report(false).heap(64 * KIB).stack(32 * KIB).build()?;
    same!(sbm.call(align, ())?.assume_checked(), 3);
    Ok(())
}

fn no_room_is_an_error_with_the_size() -> Verdict {
    let heap = 64 * KIB;
    let mut sbm = quiet(heap)?;
    for bytes in [heap, heap + 1, 1 << 30, isize::MAX as usize] {
        let result = sbm.call(take_and_free, (bytes, 1_usize));
        no_room(&mut sbm, result, bytes, heap)?;
    }
    same!(sbm.call(take_and_free, (heap / 2, 5_usize))?.assume_checked(), 10);
    Ok(())
}

fn no_heap_is_an_error_with_the_size() -> Verdict {
    let mut sbm = quiet(0)?;
    let result = sbm.call(take_and_free, (77_usize, 1_usize));
    no_room(&mut sbm, result, 77, 0)?;
    works(&mut sbm)
}

fn a_function_that_allows_for_no_room_goes_on() -> Verdict {
    let mut sbm = quiet(16 * KIB)?;
    check!(!sbm.call(try_to_reserve, (16 * KIB,))?.assume_checked());
    check!(sbm.call(try_to_reserve, (8 * KIB,))?.assume_checked());
    check!(!quiet(0)?.call(try_to_reserve, (1_usize,))?.assume_checked());
    Ok(())
}

fn a_panic_about_memory_is_a_panic_where_there_was_room() -> Verdict {
    let mut sbm = quiet(16 * KIB)?;
    for text in [0_u32, 1] {
        let result = sbm.call(fail_then_panic, (1_usize << 20, text));
        check!(matches!(result, Err(Error::Panic(_))), "no panic but {result:?}");
        sbm.reset()?;
    }
    sbm.call(fail_then_panic, (1_usize << 20, 2_u32))?;
    Ok(())
}

fn a_heap_takes_memory_as_it_is_used() -> Verdict {
    let before = sbm::usage()?.bytes;
    let mut sbm = quiet(4096 * KIB)?;
    let taken = || Ok::<_, Error>(sbm::usage()?.bytes.saturating_sub(before) as usize);
    check!(taken()? <= 96 * KIB, "{} bytes for a heap of which nothing is used", taken()?);
    sbm.call(fill_up, (8 * KIB,))?;
    check!(taken()? <= 128 * KIB, "{} bytes for a heap of which little is used", taken()?);
    sbm.call(fill_up, (100 * KIB,))?;
    check!((100 * KIB..=320 * KIB).contains(&taken()?), "{} bytes where 100 KiB are used", taken()?);
    Ok(())
}

fn calls_that_end_well_leave_the_heap_as_it_is() -> Verdict {
    let mut sbm = quiet(64 * KIB)?;
    let first = sbm.call(leak, (7_u64, 100_usize))?.assume_checked();
    check!((ARENA_BASE as usize..ARENA_END as usize).contains(&first), "allocated at {first:#x}");
    same!(sbm.call(raw_read_word, (first,))?.assume_checked(), 7);
    let second = sbm.call(leak, (8_u64, 100_usize))?.assume_checked();
    check!(second != first, "given out twice");
    sbm.reset()?;
    same!(sbm.call(leak, (9_u64, 100_usize))?.assume_checked(), first);
    Ok(())
}

fn raw_read_word(address: usize) -> u64 {
    raw::read_word(address)
}

const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;

fn a_heap_is_pristine_after_a_reset() -> Verdict {
    let mut sbm = quiet(256 * KIB)?;
    for words in [100_usize, 20_000] {
        sbm.call(leak, (SECRET, words))?;
        check!(sbm.call(leftovers, (256 * KIB,))?.assume_checked() > words, "nothing was left");
        sbm.reset()?;
        same!(sbm.call(leftovers, (256 * KIB,))?.assume_checked(), 0);
    }
    Ok(())
}

fn a_heap_of_a_warm_sandbox_is_pristine() -> Verdict {
    let mut sbm = quiet(128 * KIB)?;
    let address = sbm.call(leak, (SECRET, 9_000_usize))?.assume_checked();
    drop(sbm);
    let mut sbm = quiet(128 * KIB)?;
    same!(sbm.call(leftovers, (128 * KIB,))?.assume_checked(), 0);
    same!(sbm.call(leak, (SECRET, 9_000_usize))?.assume_checked(), address, "the same sandbox");
    Ok(())
}

fn a_heap_ends_with_guards() -> Verdict {
    let mut sbm = quiet(16 * KIB)?;
    let word = sbm.call(heap_word, ())?.assume_checked() as usize;
    let (start, pages) = (word & 0xffff_ffff, word >> 32);
    same!(pages, 4);
    let ip = raw::write as extern "C" fn(usize, u8) as usize as u64;
    for address in [start - 1, start + 16 * KIB, start + 16 * KIB + PAGE as usize - 1] {
        let result = sbm.call(write_at, (address,));
        aborted(&mut sbm, result, page(Access::Write, address as u64, ip, Region::HeapGuard))?;
    }
    sbm.call(write_at, (start + 16 * KIB - 1,))?;
    Ok(())
}

fn heaps_out_of_limits_are_refused() -> Verdict {
    let limit = *HEAP_PAGES.end() as usize * 4096;
    for bytes in [limit + 1, usize::MAX] {
        let Err(error) = quiet(bytes) else { return Err(Why::new(format_args!("a heap of {bytes} bytes"))) };
        same!(error, Error::Heap { bytes, limit });
        same!(error.errno(), Errno::Invalid);
    }
    quiet(limit)?.call(fill_up, (KIB,))?;
    quiet(1)?.call(fill_up, (KIB,))?;
    Ok(())
}

fn without_isolation_the_heap_is_the_clients() -> Verdict {
    let mut plain = Sbm::builder().isolation(Isolation::None).report(false).build()?;
    same!(plain.call(count_words, (copy_in(TEXT),))?.assume_checked(), count_words(TEXT));
    Ok(())
}

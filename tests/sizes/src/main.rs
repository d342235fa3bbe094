// SPDX-License-Identifier: MIT OR Apache-2.0
//! The largest buffers and heaps, on a machine with memory for them: used to their ends, and given back.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

extern crate alloc;

use alloc::vec;
use core::{cell::OnceCell, time::Duration};

use harness::{Test, Verdict, Why, check, expect::works, raw, same, server, tests};
use sbm::{Builder, Env, Errno, Error, Far, InputFile, Region, Sbm, Tainted, copy_in, shared, shared_out};
use sbm_abi::{
    BufferAccess, Request, Response, Spec,
    limits::{HEAP_PAGES, MAX_BUFFER_PAGES},
};

sbm::main!(main);

const TESTS: &[Test] = tests![
    a_buffer_of_the_largest_size_is_used_to_its_ends,
    a_heap_of_the_largest_size_is_one,
    a_walked_heap_can_be_as_large_as_a_buffer,
    what_is_set_up_together_fills_the_machine,
    a_snapshot_of_a_large_heap_is_what_a_reset_returns_to,
    a_large_input_is_mapped_as_a_whole,
    a_part_of_a_large_page_of_an_input_is_refused,
    more_than_there_is_is_refused_with_the_figures,
    large_memory_comes_back,
];

struct Inputs(OnceCell<&'static Env>);

// SAFETY: a client has one thread, and this is none of what a sandbox is given.
unsafe impl Sync for Inputs {}

static ENV: Inputs = Inputs(OnceCell::new());

fn main(env: &'static Env) -> u8 {
    ENV.0.get_or_init(|| env);
    harness::run(env, &[TESTS])
}

/// Finds the input file of so many MiB.
fn input(mib: usize) -> Result<InputFile, Why> {
    let file = ENV.0.get().and_then(|env| env.inputs().find(|file| file.bytes.len() == mib * MIB));
    file.ok_or_else(|| Why::new(format_args!("no input of {mib} MiB; run it by ./x test")))
}

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
const LARGEST: usize = MAX_BUFFER_PAGES as usize * PAGE;
const LARGEST_HEAP: usize = *HEAP_PAGES.end() as usize * PAGE;

// Functions that run in sandboxes.

/// Writes a number to each page, and counts those that hold it afterwards.
fn number_pages(bytes: &mut [u8], from: u8) -> usize {
    let number = |page: usize| (page % 251) as u8 ^ from;
    bytes.iter_mut().step_by(PAGE).enumerate().for_each(|(page, byte)| *byte = number(page));
    bytes.iter().step_by(PAGE).enumerate().filter(|(page, byte)| **byte == number(*page)).count()
}

fn fill_heap(bytes: usize) -> usize {
    number_pages(&mut vec![0; bytes], 1)
}

/// Counts the pages of fresh memory that do not begin with zeros.
fn count_used(bytes: usize) -> usize {
    vec![0_u8; bytes].iter().step_by(PAGE).filter(|byte| **byte != 0).count()
}

/// Keeps memory, with this byte at its start and its end.
fn keep(bytes: usize, byte: u8) -> [usize; 2] {
    let memory = vec![byte; bytes].leak();
    [&raw const memory[0] as usize, &raw const memory[bytes - 1] as usize]
}

fn read_both(first: usize, last: usize) -> [u8; 2] {
    [raw::read(first), raw::read(last)]
}

fn write_both(first: usize, last: usize, byte: u8) {
    raw::write(first, byte);
    raw::write(last, byte);
}

fn number_far(bytes: usize) -> Far<u8> {
    let memory = vec![0_u8; bytes].leak();
    memory[bytes - 1] = 7;
    Far::of(&memory[bytes - 1])
}

fn quiet() -> Builder {
    Sbm::builder().budget(Duration::from_secs(60)).report(false)
}

fn a_buffer_of_the_largest_size_is_used_to_its_ends() -> Verdict {
    let mut builder = quiet();
    let (input, output) = (builder.input(LARGEST), builder.output(LARGEST - 8 * MIB));
    let mut sbm = builder.build()?;
    let bytes = sbm.input(input)?;
    same!(bytes.len(), LARGEST);
    check!(bytes.iter().step_by(PAGE).all(|byte| *byte == 0), "it does not begin as zeros");
    (bytes[0], bytes[LARGEST - 1]) = (3, 5);
    let ends = |bytes: &[u8]| [bytes[0], bytes[bytes.len() / 2], bytes[bytes.len() - 1]];
    same!(sbm.call(ends, (shared(input, LARGEST),))?.assume_checked(), [3, 0, 5]);
    let pages = sbm.call(number_pages, (shared_out(output), 1_u8))?.assume_checked();
    same!(pages, (LARGEST - 8 * MIB) / PAGE);
    let view = sbm.output(output)?;
    let page = |page: usize| view.get::<u8>(page * PAGE).map(Tainted::assume_checked);
    same!([page(0), page(1), page(120_000)], [Some(1), Some(0), Some((120_000 % 251) as u8 ^ 1)]);
    works(&mut sbm)
}

fn a_heap_of_the_largest_size_is_one() -> Verdict {
    let mut sbm = quiet().heap(LARGEST_HEAP).build()?;
    let bytes = LARGEST_HEAP - LARGEST_HEAP / 8;
    for _ in 0..2 {
        same!(sbm.call(fill_heap, (bytes,))?.assume_checked(), bytes / PAGE);
        sbm.reset()?;
    }
    same!(sbm.call(count_used, (bytes,))?.assume_checked(), 0, "a reset has left something");
    let refused = sbm.call(fill_heap, (LARGEST_HEAP,)).map(drop);
    same!(refused, Err(Error::NoRoom { bytes: LARGEST_HEAP, heap: LARGEST_HEAP }));
    Ok(())
}

fn a_walked_heap_can_be_as_large_as_a_buffer() -> Verdict {
    let mut sbm = quiet().heap(LARGEST).walked().build()?;
    let far = sbm.call(number_far, (LARGEST / 2 + MIB,))?.assume_checked();
    same!(sbm.walk(1)?.get(far).map(Tainted::assume_checked), Ok(7));
    Ok(())
}

/// With the large pages of one sandbox in two GiB of addresses.
fn what_is_set_up_together_fills_the_machine() -> Verdict {
    let mut sbm = quiet().room_in(1, 400 * MIB).room_out(2, 300 * MIB).heap(256 * MIB).build()?;
    same!(sbm.call(fill_heap, (200 * MIB,))?.assume_checked(), 200 * MIB / PAGE);
    let length = sbm.call(|bytes: &[u8]| bytes.len(), (copy_in(&b"few"[..]),))?.assume_checked();
    same!(length, 3);
    // Others lie beside it.
    let mut other = quiet().room_in(1, 40 * MIB).build()?;
    works(&mut other)?;
    works(&mut sbm)
}

fn a_snapshot_of_a_large_heap_is_what_a_reset_returns_to() -> Verdict {
    let mut sbm = quiet().heap(64 * MIB).build()?;
    let [first, last] = sbm.call(keep, (20 * MIB, 1_u8))?.assume_checked();
    sbm.snapshot()?;
    for byte in 2..4 {
        sbm.call(write_both, (first, last, byte))?;
        same!(sbm.call(read_both, (first, last))?.assume_checked(), [byte; 2]);
        sbm.reset()?;
        same!(sbm.call(read_both, (first, last))?.assume_checked(), [1; 2]);
        // And what comes after it is gone.
        let [first, last] = sbm.call(keep, (10 * MIB, byte))?.assume_checked();
        sbm.reset()?;
        let found = sbm.call(read_both, (first, last))?.assume_checked();
        check!(found != [byte; 2], "what came later is still there");
    }
    Ok(())
}

/// Checks that each MiB begins with its number, and counts them.
fn count_mibs(file: &[u8]) -> Option<usize> {
    let numbers = file.chunks(MIB).map(|mib| Some(u32::from_le_bytes(mib.get(..4)?.try_into().ok()?)));
    (0..).zip(numbers).try_fold(0, |count, (wanted, found)| (found == Some(wanted)).then_some(count + 1))
}

fn a_large_input_is_mapped_as_a_whole() -> Verdict {
    let mut sbm = quiet().build()?;
    let before = sbm::usage()?.slots;
    for mib in [240, 1, 5, 3] {
        let file = input(mib)?;
        same!(count_mibs(file.bytes), Some(mib), "the client's own");
        same!(sbm.call(count_mibs, (file.map(),))?.assume_checked(), Some(mib), "{mib} MiB");
        let last = file.bytes.as_ptr() as usize + file.bytes.len() - 1;
        let written = sbm.call(|at: usize| raw::write(at, 1), (last,));
        check!(matches!(written, Err(Error::Fault { region: Region::ClientInput, .. })), "{mib} MiB: {written:?}");
        sbm.reset()?;
    }
    let slots = sbm::usage()?.slots - before;
    // 120 large pages, 256 small ones, 2 large and 256 small ones, 768 small ones, each as a power of two; and page tables.
    check!(slots < 128 + 256 + 512 + 1024 + 32, "{slots} slots");
    Ok(())
}

fn a_part_of_a_large_page_of_an_input_is_refused() -> Verdict {
    let Response::Ready { handle, .. } = server::request(&Request::Init(Spec::default()))? else {
        return Err(Why::new(format_args!("no sandbox")));
    };
    let start = |mib| input(mib).map(|file| file.bytes.as_ptr() as u32);
    let (large, small, both) = (start(240)?, start(3)?, start(5)?);
    let mib = MIB as u32;
    for (address, pages, answer) in [
        (large, 256, Response::Refused(Errno::Invalid)),
        (large + PAGE as u32, 511, Response::Refused(Errno::Invalid)),
        (large + 101 * mib, 256, Response::Refused(Errno::Invalid)),
        (large + 239 * mib, 256, Response::Refused(Errno::Invalid)),
        (both + 3 * mib, 512, Response::Refused(Errno::Invalid)),
        (large + 4 * mib, 1024, Response::Done),
        // Of small pages any can be mapped, those behind the large ones too.
        (both + 4 * mib + PAGE as u32, 3, Response::Done),
        (small + PAGE as u32, 1, Response::Done),
    ] {
        let asked = Request::Map { handle, address, pages, access: BufferAccess::ReadOnly };
        same!(server::request(&asked)?, answer, "{address:#x}, {pages} pages");
    }
    same!(server::request(&Request::Destroy(handle))?, Response::Done);
    Ok(())
}

fn more_than_there_is_is_refused_with_the_figures() -> Verdict {
    let first = quiet().room_in(1, LARGEST).room_in(2, LARGEST - 8 * MIB).build()?;
    let Err(error) = quiet().room_in(1, LARGEST).build() else { return Err(Why::new(format_args!("granted"))) };
    check!(matches!(error, Error::Quota(over) if over.requested >= MAX_BUFFER_PAGES), "{error}");
    same!(error.errno(), Errno::Quota);
    drop(first);
    works(&mut quiet().room_in(1, LARGEST).build()?)
}

/// What is freed in large pages is there for small ones, and the other way round.
fn large_memory_comes_back() -> Verdict {
    let mut before = None;
    for round in 0..4_u8 {
        for bytes in [LARGEST, MIB, 200 * MIB] {
            let mut many = heapless::Vec::<Sbm, 8>::new();
            while many.len() < 8 {
                match quiet().room_out(1, bytes).build() {
                    Ok(sbm) => drop(many.push(sbm)),
                    // The rest may not be in pieces of a large page.
                    Err(error) if matches!(error.errno(), Errno::Quota | Errno::NoMemory) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            check!(many.len() >= 2, "{} of {bytes} bytes", many.len());
            for sbm in &mut many {
                works(sbm)?;
            }
        }
        let usage = sbm::usage()?;
        if round > 1 {
            same!(before, Some(usage));
        }
        before = Some(usage);
    }
    Ok(())
}

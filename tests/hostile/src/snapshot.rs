// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots of a spoiled state, and a sandbox that runs on while one is taken.

use alloc::vec;

use harness::{Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Error, Sbm};
use sbm_abi::limits::HEAP_OFFSET;
use sel4::{MessageInfo, syscall::REPLY};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    a_snapshot_of_a_spoiled_heap_harms_its_own_sandbox_only,
    what_a_reset_copies_from_cannot_be_written,
    a_sandbox_that_runs_on_while_a_snapshot_is_taken_harms_nobody,
];

const KIB: usize = 1024;

// Functions that run in sandboxes.

fn heap_start() -> usize {
    raw::argument_page_word(HEAP_OFFSET as usize) as usize & 0xffff_ffff
}

fn fill(from: usize, bytes: usize, word: u64) {
    (from..from + bytes).step_by(8).for_each(|address| raw::write_word(address, word));
}

fn allocate() -> usize {
    vec![1_u8; 100].len()
}

fn read_at(address: usize) -> u64 {
    raw::read_word(address)
}

fn write_at(address: usize) {
    raw::write(address, 1);
}

fn answer_then_write_on(from: usize, bytes: usize) {
    fill(from, bytes, 1);
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    for word in 2.. {
        fill(from, bytes, word);
    }
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().heap(64 * KIB).private_statics().report(false).build()
}

fn a_snapshot_of_a_spoiled_heap_harms_its_own_sandbox_only() -> Verdict {
    let mut observer = Observer::new()?;
    for word in [1, u64::MAX, 0x3000_0000] {
        let mut sbm = sandbox()?;
        let start = sbm.call(heap_start, ())?.assume_checked();
        sbm.call(fill, (start, 16 * KIB, word))?;
        sbm.snapshot()?;
        for _ in 0..3 {
            // Whatever the allocator makes of it, it is what the client has kept.
            let result = sbm.call_within(core::time::Duration::from_millis(20), allocate, ());
            check!(result.is_err(), "it allocates from garbage: {result:?}");
            observer.undisturbed()?;
            sbm.reset()?;
            same!(sbm.call(read_at, (start + 8 * KIB,))?.assume_checked(), word);
        }
        drop(sbm);
        // The next life is pristine.
        let mut sbm = sandbox()?;
        same!(sbm.call(allocate, ())?.assume_checked(), 100);
    }
    observer.nothing_lost()
}

/// Finds where what is kept of a heap lies, which no client is told: by reading near it.
fn find_ground(sbm: &mut Sbm, heap: usize) -> Result<usize, Why> {
    let spans = (heap & !0xff_ffff..).step_by(64 * KIB).take(256);
    for span in spans.filter(|span| !(heap - 64 * KIB..heap + 64 * KIB).contains(span)) {
        match sbm.call(read_at, (span,)) {
            Ok(word) if word.assume_checked() == 7 => return Ok(span),
            Ok(_) => {}
            Err(Error::Fault { .. }) => sbm.reset()?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Why::new(format_args!("it is nowhere; heap at {heap:#x}")))
}

fn what_a_reset_copies_from_cannot_be_written() -> Verdict {
    let mut sbm = sandbox()?;
    let start = sbm.call(heap_start, ())?.assume_checked();
    sbm.call(fill, (start, 64 * KIB, 7_u64))?;
    sbm.snapshot()?;
    let ground = find_ground(&mut sbm, start)?;
    for page in 0..16 {
        let result = sbm.call(write_at, (ground + page * 4096,));
        check!(matches!(result, Err(Error::Fault { .. })), "page {page}: {result:?}");
        sbm.reset()?;
        same!(sbm.call(read_at, (start + page * 4096,))?.assume_checked(), 7);
    }
    works(&mut sbm)
}

fn a_sandbox_that_runs_on_while_a_snapshot_is_taken_harms_nobody() -> Verdict {
    let mut observer = Observer::new()?;
    // Without a budget, which would have a look stop and reset what runs on.
    let mut sbm = Sbm::builder().heap(64 * KIB).no_budget().report(false).build()?;
    let start = sbm.call(heap_start, ())?.assume_checked();
    sbm.call(answer_then_write_on, (start, 64 * KIB))?;
    for _ in 0..3 {
        sel4::r#yield();
    }
    sbm.snapshot()?;
    observer.undisturbed()?;
    sbm.reset()?;
    let kept = sbm.call(read_at, (start,))?.assume_checked();
    // What it was doing is what was kept, and a look may have stopped it before; each reset returns to that.
    for _ in 0..3 {
        sbm.call(fill, (start, 64 * KIB, !kept))?;
        sbm.reset()?;
        same!(sbm.call(read_at, (start,))?.assume_checked(), kept);
    }
    drop(sbm);
    observer.nothing_lost()
}

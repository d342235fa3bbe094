// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots: what a first call has made of heap and statics is what a reset returns to.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    ptr::null_mut,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed},
};

use harness::{Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Errno, Error, Sbm};

pub(crate) const TESTS: &[Test] = tests![
    what_a_first_call_has_made_is_there_after_a_reset,
    what_comes_after_a_snapshot_is_gone_after_a_reset,
    a_snapshot_of_nothing_is_the_first_state,
    a_sandbox_has_one_snapshot,
    what_has_neither_heap_nor_statics_has_no_snapshot,
    a_snapshot_is_not_taken_while_an_error_sticks,
    the_next_life_knows_nothing_of_a_snapshot,
    a_snapshot_takes_memory_as_heap_and_statics_do,
];

const KIB: usize = 1024;

/// A table that is made once, and how often it was used since.
static TABLE: AtomicPtr<BTreeMap<u32, Vec<u32>>> = AtomicPtr::new(null_mut());
static USES: AtomicU32 = AtomicU32::new(0);

// Functions that run in sandboxes.

fn prepare(size: u32) {
    let table = (0..size).map(|number| (number, (0..number % 50).collect())).collect();
    TABLE.store(alloc::boxed::Box::into_raw(alloc::boxed::Box::new(table)), Relaxed);
}

/// Looks something up in the table and adds to it; `u32::MAX` if there is none.
fn look_up(number: u32) -> u32 {
    // SAFETY: it is null, or what `prepare` has left there, and one function at a time uses it.
    #[expect(unsafe_code, reason = "a table behind a static")]
    let Some(table) = (unsafe { TABLE.load(Relaxed).as_mut() }) else { return u32::MAX };
    let uses = USES.fetch_add(1, Relaxed);
    let Some(found) = table.get_mut(&number) else { return u32::MAX };
    found.push(uses);
    found.iter().sum::<u32>() + 1000 * uses
}

/// Uses more of the heap than before.
fn use_more(bytes: usize) -> bool {
    let zeros = alloc::vec![0_u8; bytes];
    let all = zeros.iter().all(|byte| *byte == 0);
    Vec::leak(zeros).fill(0xee);
    all
}

fn fault() {
    raw::undefined();
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().heap(512 * KIB).private_statics().report(false).build()
}

fn sum(number: u32) -> u32 {
    (0..number % 50).sum()
}

fn what_a_first_call_has_made_is_there_after_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    sbm.call(prepare, (300_u32,))?;
    sbm.snapshot()?;
    for round in 0..4 {
        for uses in 0..3 {
            let number = 100 + 7 * uses;
            let found = sbm.call(look_up, (number,))?.assume_checked();
            same!(found, sum(number) + uses + 1000 * uses, "round {round}, use {uses}");
        }
        if round % 2 == 0 {
            check!(sbm.call(fault, ()).is_err());
        }
        sbm.reset()?;
    }
    Ok(())
}

fn what_comes_after_a_snapshot_is_gone_after_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    sbm.call(prepare, (10_u32,))?;
    sbm.snapshot()?;
    for _ in 0..3 {
        // It takes chunks that were not there, and finds zeros in them each time.
        check!(sbm.call(use_more, (300 * KIB,))?.assume_checked(), "memory is not zero");
        sbm.reset()?;
    }
    same!(sbm.call(look_up, (9_u32,))?.assume_checked(), sum(9));
    Ok(())
}

fn a_snapshot_of_nothing_is_the_first_state() -> Verdict {
    for mut sbm in [sandbox()?, Sbm::builder().heap(16 * KIB).report(false).build()?] {
        sbm.snapshot()?;
        works(&mut sbm)?;
        sbm.reset()?;
        works(&mut sbm)?;
    }
    let mut sbm = sandbox()?;
    sbm.snapshot()?;
    sbm.call(prepare, (10_u32,))?;
    sbm.reset()?;
    same!(sbm.call(look_up, (9_u32,))?.assume_checked(), u32::MAX);
    Ok(())
}

fn a_sandbox_has_one_snapshot() -> Verdict {
    let mut sbm = sandbox()?;
    sbm.call(prepare, (10_u32,))?;
    sbm.snapshot()?;
    sbm.call(look_up, (9_u32,))?;
    let Err(error) = sbm.snapshot() else { return Err(Why::new(format_args!("a second one"))) };
    same!((error.errno(), error), (Errno::Invalid, Error::Kept));
    sbm.reset()?;
    same!(sbm.call(look_up, (9_u32,))?.assume_checked(), sum(9));
    Ok(())
}

fn a_snapshot_is_not_taken_while_an_error_sticks() -> Verdict {
    let mut sbm = sandbox()?;
    sbm.call(prepare, (10_u32,))?;
    let Err(error) = sbm.call(fault, ()) else { return Err(Why::new(format_args!("no fault"))) };
    same!(sbm.snapshot(), Err(error));
    sbm.reset()?;
    same!(sbm.call(look_up, (9_u32,))?.assume_checked(), u32::MAX);
    sbm.snapshot()?;
    Ok(())
}

fn what_has_neither_heap_nor_statics_has_no_snapshot() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    let Err(error) = sbm.snapshot() else { return Err(Why::new(format_args!("a snapshot"))) };
    same!((error.errno(), error), (Errno::Invalid, Error::NothingToKeep));
    works(&mut sbm)?;
    Sbm::builder().heap(16 * KIB).report(false).build()?.snapshot()?;
    Ok(Sbm::builder().private_statics().report(false).build()?.snapshot()?)
}

fn the_next_life_knows_nothing_of_a_snapshot() -> Verdict {
    for _ in 0..3 {
        let mut sbm = sandbox()?;
        same!(sbm.call(look_up, (9_u32,))?.assume_checked(), u32::MAX);
        check!(sbm.call(use_more, (100 * KIB,))?.assume_checked(), "memory is not zero");
        sbm.call(prepare, (10_u32,))?;
        sbm.snapshot()?;
    }
    Ok(())
}

fn a_snapshot_takes_memory_as_heap_and_statics_do() -> Verdict {
    let mut sbm = sandbox()?;
    sbm.call(use_more, (50 * KIB,))?;
    let before = sbm::usage()?.bytes;
    sbm.snapshot()?;
    let taken = sbm::usage()?.bytes - before;
    check!((50 * KIB as u64..=128 * KIB as u64).contains(&taken), "{taken} bytes");
    drop(sbm);
    check!(sbm::usage()?.bytes < before, "it was not given back");
    Ok(())
}

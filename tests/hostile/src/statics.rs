// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox with private statics spoils them, and reaches for what they are reset from.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use harness::{Random, Test, Verdict, check, expect::works, raw, same, tests};
use sbm::{Access, Error, Sbm};
use sbm_abi::limits::{ARENA_BASE, SELF_OFFSET};
use sel4::{MessageInfo, syscall::REPLY};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    spoiled_statics_are_what_they_were_after_a_reset,
    statics_that_are_there_in_part_are_what_they_were_after_a_reset,
    what_the_client_has_in_its_statics_is_not_in_reach,
    what_statics_are_reset_from_cannot_be_written,
    statics_that_are_touched_while_no_call_runs_harm_nobody,
];

/// A static of each kind, with what the program starts with.
static WORDS: [AtomicU64; 64] = [const { AtomicU64::new(0x600d) }; 64];
static ZEROS: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
/// More than comes at one touch: its last chunk has 64 pages at least, with as many to reset them from.
static MANY: [AtomicU64; 160 * 512] = [const { AtomicU64::new(0) }; 160 * 512];
/// What the client puts into its own, and a sandbox must not find.
static OWN: AtomicU64 = AtomicU64::new(1);

// Functions that run in sandboxes.

fn is_first() -> bool {
    WORDS.iter().all(|word| word.load(Relaxed) == 0x600d) && ZEROS.iter().all(|word| word.load(Relaxed) == 0)
}

/// Writes garbage over all statics, those of the library among them.
fn spoil(seed: u64, from: usize, to: usize) {
    let mut random = Random::new(seed);
    for address in (from..to).step_by(8) {
        raw::write_word(address, random.word());
    }
}

fn spoil_one(at: usize) -> u64 {
    MANY[at].swap(u64::MAX, Relaxed)
}

fn count_odd() -> usize {
    MANY.iter().filter(|word| word.load(Relaxed) != 0).count()
}

/// Counts the words of the program's data that are this one.
fn find(word: u64, from: usize, to: usize) -> usize {
    (from..to).step_by(8).filter(|address| raw::read_word(*address) == word).count()
}

fn write_at(address: usize) {
    raw::write(address, 1);
}

fn base() -> usize {
    raw::argument_page_word(SELF_OFFSET as usize) as usize
}

fn answer_then_write(address: usize) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    raw::write(address, 1);
    raw::undefined();
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().private_statics().report(false).build()
}

/// Returns where this program's statics lie, as far as these tell.
fn range() -> (usize, usize) {
    let places = [(&raw const WORDS) as usize, (&raw const ZEROS) as usize, (&raw const OWN) as usize];
    let (first, last) = places.iter().fold((usize::MAX, 0), |(first, last), at| (first.min(*at), last.max(*at)));
    (first & !0xfff, last + size_of_val(&ZEROS))
}

fn spoiled_statics_are_what_they_were_after_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    let (from, to) = range();
    for seed in 1..10_u64 {
        check!(sbm.call(is_first, ())?.assume_checked(), "before seed {seed}");
        sbm.call(spoil, (seed, from, to))?;
        check!(!sbm.call(is_first, ())?.assume_checked());
        check!(is_first(), "the client's own have changed");
        observer.undisturbed()?;
        sbm.reset()?;
    }
    check!(sbm.call(is_first, ())?.assume_checked());
    observer.nothing_lost()
}

/// A touch brings some pages of a chunk, and the reset has to bring the others, and those that it copies from.
fn statics_that_are_there_in_part_are_what_they_were_after_a_reset() -> Verdict {
    let mut observer = Observer::new()?;
    for pages in [1_usize, 100, 160] {
        let mut sbm = sandbox()?;
        for _ in 0..2 {
            same!(sbm.call(spoil_one, (pages * 512 - 1,))?.assume_checked(), 0);
            sbm.reset()?;
        }
        same!(sbm.call(count_odd, ())?.assume_checked(), 0, "page {pages}");
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn what_the_client_has_in_its_statics_is_not_in_reach() -> Verdict {
    // Made here, so that it is nowhere in the program's file.
    let secret = core::hint::black_box(0x5ec2_e700_u64) << 24 | 0x77;
    OWN.store(secret, Relaxed);
    let (from, to) = range();
    check!((from..to).contains(&((&raw const OWN) as usize)), "it lies elsewhere");
    let mut sbm = sandbox()?;
    let found = sbm.call_within(core::time::Duration::from_secs(1), find, (secret, from, to))?.assume_checked();
    same!((found, find(secret, from, to)), (0, 1));
    sbm.reset()?;
    let first = OWN.swap(1, Relaxed);
    same!(first, secret);
    Ok(())
}

/// The pages that it is reset from lie in its arena: each page there is written to, and the next life must not see it.
fn what_statics_are_reset_from_cannot_be_written() -> Verdict {
    let mut sbm = sandbox()?;
    check!(sbm.call(is_first, ())?.assume_checked());
    let base = sbm.call(base, ())?.assume_checked() & !0xfff;
    check!(base >= ARENA_BASE as usize);
    // Argument page, guard and two pages of stack come first.
    let mut refused = 0;
    for address in (base + 5 * 4096..base + 512 * 1024).step_by(4096) {
        match sbm.call(write_at, (address,)) {
            Ok(_) => {}
            Err(Error::Fault { fault, .. }) => {
                same!((fault.access, fault.address), (Access::Write, address as u64));
                refused += 1;
                sbm.reset()?;
            }
            Err(error) => return Err(error.into()),
        }
        check!(sbm.call(is_first, ())?.assume_checked(), "after a write to {address:#x}");
    }
    same!(refused, 128 - 5, "refused writes");
    works(&mut sbm)
}

fn statics_that_are_touched_while_no_call_runs_harm_nobody() -> Verdict {
    let mut observer = Observer::new()?;
    let (from, to) = range();
    for address in [from, to, to + (1 << 21), 0] {
        let mut sbm = sandbox()?;
        sbm.call(answer_then_write, (address,))?;
        sel4::r#yield();
        observer.undisturbed()?;
        works(&mut sbm)?;
        sbm.reset()?;
        check!(sbm.call(is_first, ())?.assume_checked());
    }
    observer.nothing_lost()
}

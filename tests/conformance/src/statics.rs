// SPDX-License-Identifier: MIT OR Apache-2.0
//! Private statics: the program's writable data as it is at its start, for one sandbox, until a reset.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use harness::{
    Test, Verdict, check,
    expect::{aborted, page, refused},
    raw, same, tests,
};
use sbm::{Access, Error, Region, Sbm, SharedPage, Unfit, map_writable};

pub(crate) const TESTS: &[Test] = tests![
    private_statics_are_read_and_written_and_are_nobody_elses,
    what_the_client_has_changed_since_its_start_is_not_seen,
    what_calls_leave_in_statics_stays_until_a_reset,
    all_statics_are_what_they_were_after_a_reset,
    the_statics_of_a_warm_sandbox_are_what_they_were,
    code_that_looks_once_for_what_the_processor_has_runs,
    statics_take_memory_as_they_are_touched,
    without_private_statics_a_touch_is_a_fault,
    what_follows_the_statics_is_not_there,
    pages_of_the_clients_are_not_mapped_over_private_statics,
];

static INITIALISED: AtomicU64 = AtomicU64::new(0x1234_5678_9abc);
static ZEROED: AtomicU32 = AtomicU32::new(0);
/// More pages than come at one touch, initialised and not.
static LARGE: [AtomicU64; 16 * 512] = [const { AtomicU64::new(7) }; 16 * 512];
static LARGE_ZEROED: [AtomicU64; 20 * 512] = [const { AtomicU64::new(0) }; 20 * 512];
static SHARED: [SharedPage; 1] = [SharedPage::ZERO];

// Functions that run in sandboxes.

fn add(number: u64) -> u64 {
    ZEROED.fetch_add(1, Relaxed);
    INITIALISED.fetch_add(number, Relaxed) + number
}

fn count() -> u32 {
    ZEROED.load(Relaxed)
}

fn fill(number: u64) {
    LARGE.iter().chain(&LARGE_ZEROED).for_each(|word| word.store(number, Relaxed));
}

/// Counts words that are not as the program starts with them.
fn changed() -> usize {
    let odd = |words: &[AtomicU64], wanted| words.iter().filter(|word| word.load(Relaxed) != wanted).count();
    odd(&LARGE, 7) + odd(&LARGE_ZEROED, 0)
}

/// As crates do that choose an implementation at the first call: a function's address in a static.
fn double_by_choice(number: u64) -> u64 {
    type Double = fn(u64) -> u64;
    static CHOICE: AtomicPtr<()> = AtomicPtr::new(choose as *mut ());
    fn choose(number: u64) -> u64 {
        CHOICE.store((|number: u64| number * 2) as Double as *mut (), Relaxed);
        number + number
    }
    // SAFETY: nothing but functions of this type is stored there.
    #[expect(unsafe_code, reason = "what such crates do")]
    let chosen = unsafe { core::mem::transmute::<*mut (), Double>(CHOICE.load(Relaxed)) };
    chosen(number)
}

fn write_at(address: usize) {
    raw::write(address, 1);
}

fn set(bytes: &mut [u8]) {
    bytes.fill(1);
}

fn private() -> Result<Sbm, Error> {
    Sbm::builder().private_statics().report(false).build()
}

const FIRST: u64 = 0x1234_5678_9abc;

fn private_statics_are_read_and_written_and_are_nobody_elses() -> Verdict {
    let (mut one, mut two) = (private()?, private()?);
    same!(one.call(add, (5_u64,))?.assume_checked(), FIRST + 5);
    same!(two.call(add, (70_u64,))?.assume_checked(), FIRST + 70);
    same!(one.call(count, ())?.assume_checked(), 1);
    same!((INITIALISED.load(Relaxed), ZEROED.load(Relaxed)), (FIRST, 0));
    Ok(())
}

fn what_the_client_has_changed_since_its_start_is_not_seen() -> Verdict {
    INITIALISED.store(99, Relaxed);
    ZEROED.store(98, Relaxed);
    let mut sbm = private()?;
    let found = (sbm.call(add, (1_u64,))?.assume_checked(), sbm.call(count, ())?.assume_checked());
    let own = (INITIALISED.swap(FIRST, Relaxed), ZEROED.swap(0, Relaxed));
    same!((found, own), ((FIRST + 1, 1), (99, 98)));
    Ok(())
}

fn what_calls_leave_in_statics_stays_until_a_reset() -> Verdict {
    let mut sbm = private()?;
    for wanted in 1..4 {
        sbm.call(add, (1_u64,))?;
        same!(sbm.call(count, ())?.assume_checked(), wanted);
    }
    sbm.reset()?;
    same!(sbm.call(count, ())?.assume_checked(), 0);
    same!(sbm.call(add, (1_u64,))?.assume_checked(), FIRST + 1);
    Ok(())
}

fn all_statics_are_what_they_were_after_a_reset() -> Verdict {
    let mut sbm = private()?;
    for _ in 0..2 {
        same!(sbm.call(changed, ())?.assume_checked(), 0);
        sbm.call(fill, (0x0dd_u64,))?;
        same!(sbm.call(changed, ())?.assume_checked(), LARGE.len() + LARGE_ZEROED.len());
        sbm.reset()?;
    }
    same!(changed(), 0, "the client's own");
    Ok(())
}

fn the_statics_of_a_warm_sandbox_are_what_they_were() -> Verdict {
    for _ in 0..3 {
        let mut sbm = private()?;
        same!(sbm.call(count, ())?.assume_checked(), 0);
        same!(sbm.call(changed, ())?.assume_checked(), 0);
        sbm.call(add, (1_u64,))?;
        sbm.call(fill, (1_u64,))?;
    }
    Ok(())
}

fn code_that_looks_once_for_what_the_processor_has_runs() -> Verdict {
    let mut sbm = private()?;
    for number in [1, 21] {
        same!(sbm.call(double_by_choice, (number,))?.assume_checked(), 2 * number);
    }
    Ok(())
}

fn statics_take_memory_as_they_are_touched() -> Verdict {
    let before = sbm::usage()?.bytes;
    let mut sbm = Sbm::builder().private_statics().stack(5 * 4096).report(false).build()?;
    let made = sbm::usage()?.bytes - before;
    check!(made <= 128 * 1024, "{made} bytes at once");
    sbm.call(fill, (1_u64,))?;
    let taken = sbm::usage()?.bytes - before;
    let least = (made as usize + 2 * size_of_val(&LARGE) + 2 * size_of_val(&LARGE_ZEROED)) as u64;
    check!(taken >= least, "{taken} bytes where {least} are the least");
    Ok(())
}

fn without_private_statics_a_touch_is_a_fault() -> Verdict {
    let mut sbm = Sbm::builder().heap(16 * 1024).report(false).build()?;
    let ip = raw::write as extern "C" fn(usize, u8) as usize as u64;
    let address = (&raw const INITIALISED) as usize;
    let result = sbm.call(write_at, (address,));
    aborted(&mut sbm, result, page(Access::Write, address as u64, ip, Region::ClientData))
}

fn what_follows_the_statics_is_not_there() -> Verdict {
    let mut sbm = private()?;
    let ip = raw::write as extern "C" fn(usize, u8) as usize as u64;
    // The client's data end within two megabytes of where they begin.
    let end = ((&raw const LARGE) as usize & !0x1f_ffff) + 0x20_0000;
    let result = sbm.call(write_at, (end,));
    aborted(&mut sbm, result, page(Access::Write, end as u64, ip, Region::NotMapped))
}

fn pages_of_the_clients_are_not_mapped_over_private_statics() -> Verdict {
    let mut sbm = private()?;
    refused(sbm.call(set, (map_writable(&SHARED),)), 1, Unfit::Overlap)?;
    let mut plain = Sbm::builder().report(false).build()?;
    plain.call(set, (map_writable(&SHARED),))?;
    Ok(())
}

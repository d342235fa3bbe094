// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client keeps of the CPU that parses keyrings, beside one that takes all that it can, in each way that there is.
//!
//! The suite runs four times: beside rivals of its own priority, beside some of which one or this client sleeps in between, beside
//! one with a third of its share, and beside rivals of a lower priority. QEMU's instruction counter is the clock: an instruction
//! takes a nanosecond. The program `rival` sleeps until it is ended for the first time, and stays away after the
//! second.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

use core::time::Duration;

use harness::{Test, Verdict, check, tests};
use sbm::{Env, Sbm, copy_in, kill, println};
use sbm_pgp::{Keyring, parse};

sbm::main!(main, heap = 1 << 16);

const TESTS: &[Test] = tests![
    half_is_kept_beside_a_flood_of_requests,
    half_is_kept_beside_a_flood_of_sandboxes_made_and_destroyed,
    half_is_kept_beside_a_flood_of_text,
    half_is_kept_beside_a_flood_of_faults,
    half_is_kept_beside_faults_without_end_at_an_abort_entry,
    half_is_kept_beside_all_sandboxes_started,
    half_is_kept_beside_a_flood_of_looks,
    what_sleeps_in_between_keeps_its_work_beside_a_flood_of_requests,
    short_sleeps_of_a_rival_take_no_more_than_its_share,
    what_a_rival_sleeps_it_does_not_save_up,
    three_quarters_are_kept_with_three_shares_of_four,
    most_is_kept_above_a_flood_of_requests,
    most_is_kept_above_a_flood_of_sandboxes_made_and_destroyed,
    most_is_kept_above_a_flood_of_text,
    most_is_kept_above_a_flood_of_faults,
    most_is_kept_above_faults_without_end_at_an_abort_entry,
    most_is_kept_above_all_sandboxes_started,
    most_is_kept_above_a_flood_of_looks,
];

/// What is kept beside a rival of the same priority, in thousandths of what this client does alone.
const HALF: u64 = 450;
/// The same, with three times the rival's share.
const THREE_QUARTERS: u64 = 700;
/// The same, above a rival of a lower priority.
const MOST: u64 = 900;

/// The same beside a rival of the same priority, where this client sleeps for half of the time: of all that there is.
const HALF_OF_ALL: u64 = 450;

/// How long rivals sleep at first.
const BEGINNING: Duration = Duration::from_millis(200);
/// How long a rival gets ready.
const READY: Duration = Duration::from_millis(50);
/// The same, for one that has thousands of sandboxes made.
const READY_WITH_ALL: Duration = Duration::from_millis(400);
/// How long the work is counted, and how much longer at most: until a quantum of the rival is over, so that both have had as
/// many.
const WINDOW: Duration = Duration::from_millis(200);
const OVER: Duration = Duration::from_millis(20);

const KEYRING: &[u8] = include_bytes!("../../../clients/pgp/testdata/demo.pgp");
/// Bytes of the sandbox's heap.
const HEAP: usize = 1 << 16;

fn main(env: &'static Env) -> u8 {
    harness::run(env, &[TESTS])
}

/// The client's work: keyrings parsed, one after the other.
struct Work {
    sbm: Sbm,
    /// The time of one, alone: the shortest of many.
    alone: Duration,
}

impl Work {
    fn new() -> Verdict<Self> {
        let sbm = Sbm::builder().report(false).heap(HEAP).room_in(1, KEYRING.len()).build()?;
        let mut work = Self { sbm, alone: Duration::MAX };
        for _ in 0..20 {
            let start = sbm::now();
            work.once()?;
            work.alone = work.alone.min(sbm::now() - start);
        }
        Ok(work)
    }

    fn once(&mut self) -> Verdict {
        let parsed = self.sbm.call(parse, (copy_in(KEYRING),))?.transpose();
        check!(parsed.is_ok_and(|list| list.check(Keyring::is_sound).is_ok()), "the keyring is refused");
        Ok(())
    }

    /// Works and sleeps in turn for a while, and returns how much of the time it works, in thousandths.
    fn with_sleeps(&mut self) -> Verdict<u64> {
        let (start, mut times) = (sbm::now(), 0);
        while sbm::now() - start < WINDOW {
            (0..20).try_for_each(|_| self.once())?;
            sbm::sleep(20 * self.alone)?;
            times += 20;
        }
        Ok(((self.alone * times).as_nanos() * 1000 / (sbm::now() - start).as_nanos()).try_into().unwrap_or(0))
    }

    /// Works until the rival is about to wake, sleeps until it has, and then works as [`Work::kept`].
    fn after_a_sleep(&mut self) -> Verdict<u64> {
        const SLEEP: Duration = Duration::from_millis(60);
        let start = sbm::now();
        while sbm::now() - start < Duration::from_millis(230) {
            self.once()?;
        }
        let start = sbm::now();
        sbm::sleep(SLEEP)?;
        let took = sbm::now() - start;
        check!(took < SLEEP + OVER, "its sleep of {SLEEP:?} took {took:?}");
        self.kept()
    }

    /// Works for a while, and returns how much of what it does alone that is, in thousandths.
    fn kept(&mut self) -> Verdict<u64> {
        let (start, mut times) = (sbm::now(), 0);
        let (mut gone, mut took) = (Duration::ZERO, Duration::ZERO);
        while gone < WINDOW || (took < 2 * self.alone && gone < WINDOW + OVER) {
            self.once()?;
            times += 1;
            took = sbm::now() - start - gone;
            gone += took;
        }
        let worked = self.alone * times;
        Ok((worked.as_nanos() * 1000 / gone.as_nanos()).try_into().unwrap_or(0))
    }
}

/// Works beside the rival of that name, and checks how much of its work is left to this client.
fn beside(rival: &str, least: u64) -> Verdict {
    beside_with(rival, least, Work::kept)
}

/// The same, for work of some kind.
fn beside_with(rival: &str, least: u64, works: fn(&mut Work) -> Verdict<u64>) -> Verdict {
    // Rivals that are ended before would sleep on.
    sbm::sleep(BEGINNING.saturating_sub(sbm::now()))?;
    let mut work = Work::new()?;
    kill(rival)?;
    sbm::sleep(if ["started", "looks"].contains(&rival) { READY_WITH_ALL } else { READY })?;
    let kept = works(&mut work);
    let ended = kill(rival);
    let kept = kept?;
    println!(
        "shares: {}.{} % are kept beside {rival}, a keyring takes {} instructions",
        kept / 10,
        kept % 10,
        work.alone.as_nanos()
    );
    // One that has ended by itself was none.
    check!(ended.is_ok(), "the rival was not there to the end: {ended:?}");
    check!(kept >= least, "{}.{} % are kept, less than {}.{} %", kept / 10, kept % 10, least / 10, least % 10);
    Ok(())
}

fn half_is_kept_beside_a_flood_of_requests() -> Verdict {
    beside("requests", HALF)
}

fn half_is_kept_beside_a_flood_of_sandboxes_made_and_destroyed() -> Verdict {
    beside("lives", HALF)
}

fn half_is_kept_beside_a_flood_of_text() -> Verdict {
    beside("text", HALF)
}

fn half_is_kept_beside_a_flood_of_faults() -> Verdict {
    beside("faults", HALF)
}

fn half_is_kept_beside_faults_without_end_at_an_abort_entry() -> Verdict {
    beside("aborts", HALF)
}

fn half_is_kept_beside_all_sandboxes_started() -> Verdict {
    beside("started", HALF)
}

fn half_is_kept_beside_a_flood_of_looks() -> Verdict {
    beside("looks", HALF)
}

fn what_sleeps_in_between_keeps_its_work_beside_a_flood_of_requests() -> Verdict {
    beside_with("requests", HALF_OF_ALL, Work::with_sleeps)
}

fn short_sleeps_of_a_rival_take_no_more_than_its_share() -> Verdict {
    beside("naps", HALF)
}

fn what_a_rival_sleeps_it_does_not_save_up() -> Verdict {
    beside_with("hoards", HALF, Work::after_a_sleep)
}

fn three_quarters_are_kept_with_three_shares_of_four() -> Verdict {
    beside("requests", THREE_QUARTERS)
}

fn most_is_kept_above_a_flood_of_requests() -> Verdict {
    beside("requests", MOST)
}

fn most_is_kept_above_a_flood_of_sandboxes_made_and_destroyed() -> Verdict {
    beside("lives", MOST)
}

fn most_is_kept_above_a_flood_of_text() -> Verdict {
    beside("text", MOST)
}

fn most_is_kept_above_a_flood_of_faults() -> Verdict {
    beside("faults", MOST)
}

fn most_is_kept_above_faults_without_end_at_an_abort_entry() -> Verdict {
    beside("aborts", MOST)
}

fn most_is_kept_above_all_sandboxes_started() -> Verdict {
    beside("started", MOST)
}

fn most_is_kept_above_a_flood_of_looks() -> Verdict {
    beside("looks", MOST)
}

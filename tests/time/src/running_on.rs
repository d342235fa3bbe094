// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions that answer and go on running: they are stopped, and their clients' next calls work.

use core::time::Duration;

use harness::{Test, Verdict, check, expect::works, raw, same, tests};
use sbm::{Error, OutputBuffer, Sbm, Tainted, shared_out};
use sbm_abi::limits::SANDBOX_ENDPOINT_SLOT;
use sel4::{
    MessageInfo,
    syscall::{RECV, REPLY, YIELD},
};

use crate::{BUDGET, LOOK, timed_out};

pub(crate) const TESTS: &[Test] = tests![
    a_sandbox_that_runs_on_is_stopped,
    a_sandbox_that_yields_on_is_stopped,
    a_sandbox_that_runs_on_is_stopped_while_its_client_calls_another,
    many_sandboxes_that_run_on_are_stopped,
    a_sandbox_that_was_stopped_works_and_keeps_what_it_had,
    a_sandbox_that_yields_on_where_calls_are_awaited_is_stopped,
    a_sandbox_that_waits_is_left_alone,
    a_sandbox_that_waits_elsewhere_is_sent_back,
    a_look_leaves_nothing_behind_that_a_reset_was_to_clear,
];

fn answer() {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [1, 0, 0, 0]);
}

/// Answers, and counts on for ever.
fn answer_then_count(output: &mut [u8], yields: u8) -> u64 {
    answer();
    let first = output.as_mut_ptr() as usize;
    let mut count = raw::read_word(first);
    loop {
        count += 1;
        raw::write_word(first, count);
        if yields != 0 {
            raw::system_call(YIELD, 0, 0, [0; 4]);
        }
    }
}

fn answer_then_yield_at(wait: u64, output: &mut [u8]) -> u64 {
    answer();
    raw::yield_at(wait, output.as_mut_ptr() as usize);
    0
}

/// Answers, and waits in a place of its own for calls that it answers alike.
fn answer_then_wait() -> u64 {
    loop {
        answer();
        raw::system_call(RECV, SANDBOX_ENDPOINT_SLOT, 0, [0; 4]);
    }
}

fn spin_for(ticks: u64) {
    #[expect(unsafe_code, reason = "the counter")]
    // SAFETY: every x86-64 CPU has it.
    let now = || unsafe { core::arch::x86_64::_rdtsc() };
    let start = now();
    while now() - start < ticks {}
}

fn count(output: &mut [u8]) -> u64 {
    let first = output.as_mut_ptr() as usize;
    raw::write_word(first, raw::read_word(first) + 1);
    raw::read_word(first)
}

struct Counting {
    sbm: Sbm,
    output: OutputBuffer,
}

impl Counting {
    fn new() -> Result<Self, Error> {
        Self::with(BUDGET)
    }

    fn with(budget: Duration) -> Result<Self, Error> {
        let mut builder = Sbm::builder().budget(budget).report(false);
        let output = builder.output(64);
        Ok(Self { sbm: builder.build()?, output })
    }

    fn run_on(&mut self, yields: bool) -> Verdict {
        same!(self.sbm.call(answer_then_count, (shared_out(self.output), u8::from(yields)))?.assume_checked(), 1);
        Ok(())
    }

    fn seen(&mut self) -> Result<u64, Error> {
        Ok(self.sbm.output(self.output)?.get::<u64>(0).map_or(0, Tainted::assume_checked))
    }

    /// Checks that it counts no more.
    fn is_stopped(&mut self) -> Verdict {
        let before = self.seen()?;
        sbm::sleep(Duration::from_millis(5))?;
        same!(self.seen()?, before, "it counts on");
        Ok(())
    }
}

/// Waits without asking the server, which would look for that.
fn wait(duration: Duration) {
    let start = sbm::now();
    while sbm::now() - start < duration {}
}

fn a_sandbox_that_runs_on_is_stopped() -> Verdict {
    // The server looks when its budget would be over, but no later than a twentieth of a second after the call.
    let mut counting = Counting::with(Duration::from_secs(1))?;
    for _ in 0..3 {
        // No look of earlier calls is still to come.
        wait(LOOK + LOOK);
        counting.run_on(false)?;
        wait(Duration::from_millis(1));
        // It has had the processor, for which it waits its turn.
        let seen = counting.seen()?;
        wait(LOOK);
        check!(counting.seen()? > seen, "it was not seen to count");
        counting.is_stopped()?;
        works(&mut counting.sbm)?;
    }
    Ok(())
}

fn a_sandbox_that_yields_on_is_stopped() -> Verdict {
    let mut counting = Counting::new()?;
    counting.run_on(true)?;
    sbm::sleep(LOOK)?;
    counting.is_stopped()?;
    works(&mut counting.sbm)
}

fn a_sandbox_that_runs_on_is_stopped_while_its_client_calls_another() -> Verdict {
    let mut counting = Counting::new()?;
    let mut other = Sbm::builder().budget(Duration::from_secs(1)).report(false).build()?;
    counting.run_on(false)?;
    other.call(spin_for, (100_000_000_u64,))?.assume_checked();
    let before = counting.seen()?;
    other.call(spin_for, (20_000_000_u64,))?.assume_checked();
    same!(counting.seen()?, before, "it counts on");
    works(&mut counting.sbm)
}

fn many_sandboxes_that_run_on_are_stopped() -> Verdict {
    let mut all = [const { None }; 40];
    for place in &mut all {
        let mut counting = Counting::new()?;
        counting.run_on(false)?;
        *place = Some(counting);
    }
    // Two looks: each goes through 32 at most.
    sbm::sleep(3 * LOOK)?;
    for counting in all.iter_mut().flatten() {
        counting.is_stopped()?;
        works(&mut counting.sbm)?;
    }
    Ok(())
}

fn a_sandbox_that_was_stopped_works_and_keeps_what_it_had() -> Verdict {
    let mut counting = Counting::new()?;
    counting.run_on(false)?;
    sbm::sleep(LOOK)?;
    let before = counting.seen()?;
    same!(counting.sbm.call(count, (shared_out(counting.output),))?.assume_checked(), before + 1);
    // It is a sandbox like any other.
    timed_out(&mut counting.sbm, |sbm| sbm.call(raw::spin_on, ()), BUDGET).map(drop)
}

fn a_sandbox_that_yields_on_where_calls_are_awaited_is_stopped() -> Verdict {
    // So that it has its turn before the look.
    let mut counting = Counting::with(Duration::from_secs(1))?;
    wait(LOOK + LOOK);
    let wait_address = u64::from(sbm::__entry_points().wait);
    let answer = counting.sbm.call(answer_then_yield_at, (wait_address, shared_out(counting.output)))?;
    same!(answer.assume_checked(), 1);
    // It yields to this client, so that the look finds it in the system call.
    wait(LOOK);
    check!(counting.seen()? > 1, "it was not seen to count");
    counting.is_stopped()?;
    works(&mut counting.sbm)
}

fn a_sandbox_that_waits_elsewhere_is_sent_back() -> Verdict {
    let mut counting = Counting::new()?;
    same!(counting.sbm.call(answer_then_wait, ())?.assume_checked(), 1);
    sbm::sleep(LOOK)?;
    works(&mut counting.sbm)
}

fn a_sandbox_that_waits_is_left_alone() -> Verdict {
    let mut counting = Counting::new()?;
    for calls in 1..6 {
        same!(counting.sbm.call(count, (shared_out(counting.output),))?.assume_checked(), calls);
        sbm::sleep(LOOK)?;
    }
    // Whoever was stopped would find none of this.
    same!(counting.sbm.call(dirty_the_stack, ())?.assume_checked(), SECRET);
    sbm::sleep(LOOK + LOOK)?;
    check!(counting.sbm.call(leftovers, ())?.assume_checked() > 0, "it was stopped");
    Ok(())
}

const SECRET: u64 = 0x5ec2_e75e_c2e7;

fn dirty_the_stack() -> u64 {
    let mut words = [0_u64; 900];
    words.fill(core::hint::black_box(SECRET));
    core::hint::black_box(&mut words);
    raw::fill_vectors(SECRET);
    words[899]
}

fn leftovers() -> u64 {
    let mut vectors = [0; 2];
    raw::vector_words(&mut vectors);
    let top = raw::stack_pointer() & !0xfff;
    // The page below, and this one as far as it is there.
    let words = (top - 4096..top).step_by(8).filter(|address| raw::read_word(*address) == SECRET);
    words.count() as u64 + u64::from(vectors.contains(&SECRET))
}

/// The thread clears when it runs, which a look may come before: while its client has the processor.
fn a_look_leaves_nothing_behind_that_a_reset_was_to_clear() -> Verdict {
    for round in 0..12 {
        let budget = Duration::from_millis(1 + round % 3);
        let sandbox = || Sbm::builder().budget(budget).stack(3 * 4096).report(false).build();
        let mut sbm = sandbox()?;
        same!(sbm.call(dirty_the_stack, ())?.assume_checked(), SECRET);
        check!(sbm.call(leftovers, ())?.assume_checked() > 0, "nothing was left to be cleared");
        sbm.reset()?;
        wait(budget + BUDGET);
        same!(sbm.call(leftovers, ())?.assume_checked(), 0, "left after a reset");
        // As a spare it is the next one.
        same!(sbm.call(dirty_the_stack, ())?.assume_checked(), SECRET);
        drop(sbm);
        wait(budget + BUDGET);
        same!(sandbox()?.call(leftovers, ())?.assume_checked(), 0, "left in a spare");
        // After an idle time the next call asks for a look.
        let mut sbm = sandbox()?;
        same!(sbm.call(dirty_the_stack, ())?.assume_checked(), SECRET);
        sbm::sleep(LOOK + LOOK)?;
        sbm.reset()?;
        same!(sbm.call(leftovers, ())?.assume_checked(), 0, "left after a reset and an idle time");
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The watch words: with garbage in them, and when the server looks at them.

use core::time::Duration;

use harness::{Random, Test, Verdict, check, expect::works, raw, same, server, tests};
use sbm::Error;
use sbm_abi::{
    Request, Response,
    limits::CLIENT_IPC_BUFFER,
    watch::{DEADLINE_OFFSET, MARKS, MARKS_OFFSET, NEXT_LOOK_OFFSET},
};
use sel4::{
    MessageInfo,
    syscall::{CALL, REPLY, SEND},
};

use crate::{BUDGET, LOOK, nothing, sandbox, timed_out};

pub(crate) const TESTS: &[Test] = tests![
    nobody_looks_while_no_call_has_a_budget,
    nobody_looks_for_long_after_the_last_call,
    garbage_in_the_words_harms_no_call_that_comes_after,
    a_deadline_that_is_over_ends_no_call_but_the_running_one,
    a_client_that_has_a_calls_registers_and_makes_none_is_not_answered,
    a_client_that_sends_to_its_sandbox_is_not_answered,
    marks_of_sandboxes_that_are_not_there_are_nothing,
];

const NEXT_LOOK: usize = (CLIENT_IPC_BUFFER + NEXT_LOOK_OFFSET) as usize;
const DEADLINE: usize = (CLIENT_IPC_BUFFER + DEADLINE_OFFSET) as usize;
const FIRST_MARK: usize = (CLIENT_IPC_BUFFER + MARKS_OFFSET) as usize;

fn next_look() -> u64 {
    raw::read_word(NEXT_LOOK)
}

fn nobody_looks_while_no_call_has_a_budget() -> Verdict {
    let mut sbm = sbm::Sbm::builder().no_budget().build()?;
    wait(LOOK + LOOK);
    for _ in 0..100 {
        sbm.call(nothing, ())?.assume_checked();
        same!(next_look(), u64::MAX, "the server looks");
    }
    Ok(())
}

fn nobody_looks_for_long_after_the_last_call() -> Verdict {
    let mut sbm = sandbox(Duration::from_secs(5))?;
    sbm.call(nothing, ())?.assume_checked();
    check!(next_look() != u64::MAX, "the server does not look");
    wait(LOOK + LOOK);
    same!(next_look(), u64::MAX, "the server looks");
    Ok(())
}

/// Waits without asking the server, which would look for that.
fn wait(duration: Duration) {
    let start = sbm::now();
    while sbm::now() - start < duration {}
}

fn garbage_in_the_words_harms_no_call_that_comes_after() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    let mut random = Random::new(0x7173e);
    for _ in 0..40 {
        for address in [DEADLINE, NEXT_LOOK] {
            let word = match random.index(4) {
                0 => 0,
                1 => u64::MAX,
                2 => random.below(1 << 34),
                _ => random.word(),
            };
            raw::write_word(address, word);
        }
        for word in 0..MARKS / 8 {
            raw::write_word(FIRST_MARK + 8 * word, random.word());
        }
        // A client that writes "never" here does without budgets until the server writes it anew.
        same!(server::request(&Request::Arm)?, Response::Done);
        works(&mut sbm)?;
        sbm::sleep(Duration::from_micros(random.below(900)))?;
    }
    clean();
    timed_out(&mut sbm, |sbm| sbm.call(raw::spin_on, ()), BUDGET).map(drop)
}

fn a_deadline_that_is_over_ends_no_call_but_the_running_one() -> Verdict {
    let mut sbm = sbm::Sbm::builder().no_budget().report(false).build()?;
    overdue()?;
    wait(LOOK);
    works(&mut sbm)?;
    // The word says that the call of a sandbox without a budget is overdue: then it is, and nothing else.
    let ended = sbm.call(raw::spin_on, ());
    check!(matches!(ended, Err(Error::TimedOut { .. })), "not ended: {ended:?}");
    clean();
    sbm.reset()?;
    works(&mut sbm)
}

/// Writes that the running call is overdue, whether or not there is one, and has the server look soon.
fn overdue() -> Verdict {
    raw::write_word(DEADLINE, 1);
    same!(server::request(&Request::Arm)?, Response::Done);
    Ok(())
}

fn a_client_that_has_a_calls_registers_and_makes_none_is_not_answered() -> Verdict {
    let mut sbm = sbm::Sbm::builder().no_budget().report(false).build()?;
    let slot = sbm.endpoint_slot();
    overdue()?;
    let first = next_look();
    same!(raw::spin_with_registers(slot, 0, CALL, 10_000_000), slot, "it was answered");
    check!(next_look() > first, "no look came");
    clean();
    works(&mut sbm)
}

fn a_client_that_sends_to_its_sandbox_is_not_answered() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    let thunk = raw::stack_pointer as *const () as u64;
    let sent = raw::Message { info: info(4), badge: sbm.endpoint_slot(), words: [thunk, 2, 3, 4] };
    for _ in 0..5 {
        sbm.call(answer_then_spin, ())?.assume_checked();
        overdue()?;
        // It waits until a look has stopped the sandbox, which then takes the message for a call.
        same!(raw::system_call(SEND, sent.badge, sent.info, sent.words), sent, "it was answered");
        clean();
        works(&mut sbm)?;
    }
    Ok(())
}

fn answer_then_spin() {
    raw::system_call(REPLY, 0, info(2), [0; 4]);
    raw::spin();
}

const fn info(length: usize) -> u64 {
    MessageInfo::new(0, 0, 0, length).into_word()
}

fn marks_of_sandboxes_that_are_not_there_are_nothing() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    for mark in 0..MARKS {
        raw::write(FIRST_MARK + mark, 0xff);
    }
    same!(server::request(&Request::Arm)?, Response::Done);
    for _ in 0..MARKS / 32 + 4 {
        works(&mut sbm)?;
        wait(LOOK);
    }
    clean();
    Ok(())
}

fn clean() {
    raw::write_word(DEADLINE, 0);
    for word in 0..MARKS / 8 {
        raw::write_word(FIRST_MARK + 8 * word, 0);
    }
    let _ = server::request(&Request::Arm);
}

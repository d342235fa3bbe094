// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions that do not answer, each with a twin that just does.

use core::time::Duration;

use harness::{Test, Verdict, check, expect::works, raw, same, tests};
use sbm::{Error, LONGEST_BUDGET, Sbm};
use sbm_abi::limits::{SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT};
use sel4::{
    MessageInfo, sys,
    syscall::{NB_RECV, RECV, REPLY, SEND, YIELD},
};

use crate::{BUDGET, LATE, nothing, sandbox, timed_out};

pub(crate) const TESTS: &[Test] = tests![
    a_function_that_spins_is_ended_where_it_spins,
    a_function_that_ends_just_within_its_budget_returns,
    a_function_that_yields_for_ever_is_ended,
    a_function_that_yields_for_a_while_returns,
    a_function_that_waits_on_its_own_endpoint_is_ended,
    a_function_that_polls_its_own_endpoint_is_ended,
    a_function_that_polls_its_own_endpoint_once_loses_its_answer,
    a_function_that_recurses_for_ever_faults_and_one_that_catches_itself_is_ended,
    a_function_that_faults_is_told_as_a_fault,
    a_function_that_forges_its_way_out_of_answers_is_ended,
    a_call_that_nobody_receives_comes_back,
    calls_are_ended_in_time_whatever_their_budget,
    a_single_call_has_a_budget_of_its_own,
    budgets_outside_their_limits_are_refused_with_the_limit,
    a_sandbox_without_a_budget_runs_as_long_as_it_likes,
    a_new_sandbox_has_a_budget,
    many_overdue_calls_lose_nothing,
];

/// Spins for some ticks of the counter: nanoseconds here.
fn spin_for(ticks: u64) -> u64 {
    // SAFETY: every x86-64 CPU has it.
    #[expect(unsafe_code, reason = "the counter")]
    let now = || unsafe { core::arch::x86_64::_rdtsc() };
    let start = now();
    while now() - start < ticks {}
    ticks
}

fn spin() {
    raw::spin();
}

fn yield_for(times: u64) -> u64 {
    for _ in 0..times {
        raw::system_call(YIELD, 0, 0, [0; 4]);
    }
    times
}

fn wait_for_a_call() {
    raw::system_call(RECV, SANDBOX_ENDPOINT_SLOT, 0, [0; 4]);
}

fn poll(times: u64) -> u64 {
    for _ in 0..times {
        raw::system_call(NB_RECV, SANDBOX_ENDPOINT_SLOT, 0, [0; 4]);
    }
    times
}

fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { core::hint::black_box(recurse(core::hint::black_box(depth + 1))) + 1 }
}

fn answer_then_spin(value: u64) -> u64 {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [value, 0, 0, 0]);
    raw::spin();
    0
}

/// Answers, and then claims to have faulted at an address: the server sends the thread back to wait.
fn answer_then_forge(value: u64, ip: u64) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [value, 0, 0, 0]);
    let info = MessageInfo::new(sys::seL4_Fault_VMFault as u64, 0, 0, 4).into_word();
    raw::system_call(SEND, SANDBOX_FAULT_SLOT, info, [ip, 0, 0, 6]);
}

/// Takes its call and lets it go, then claims to have faulted: nobody is left whom the server's answer could reach.
fn drop_the_call_then_forge(ip: u64) {
    raw::system_call(NB_RECV, SANDBOX_ENDPOINT_SLOT, 0, [0; 4]);
    let info = MessageInfo::new(sys::seL4_Fault_VMFault as u64, 0, 0, 4).into_word();
    raw::system_call(SEND, SANDBOX_FAULT_SLOT, info, [ip, 0, 0, 6]);
}

fn a_function_that_spins_is_ended_where_it_spins() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    let ip = timed_out(&mut sbm, |sbm| sbm.call(spin, ()), BUDGET)?;
    let first = raw::spin as *const () as u64;
    check!((first..first + raw::SPIN_BYTES).contains(&ip), "ended at {ip:#x}, spins at {first:#x}");
    Ok(())
}

fn a_function_that_ends_just_within_its_budget_returns() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    let ticks = 1_990_000_u64;
    for _ in 0..20 {
        same!(sbm.call(spin_for, (ticks,))?.assume_checked(), ticks);
    }
    Ok(())
}

fn a_function_that_yields_for_ever_is_ended() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    timed_out(&mut sbm, |sbm| sbm.call(yield_for, (u64::MAX,)), BUDGET).map(drop)
}

fn a_function_that_yields_for_a_while_returns() -> Verdict {
    same!(sandbox(BUDGET)?.call(yield_for, (100_u64,))?.assume_checked(), 100);
    Ok(())
}

fn a_function_that_waits_on_its_own_endpoint_is_ended() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    for _ in 0..5 {
        timed_out(&mut sbm, |sbm| sbm.call(wait_for_a_call, ()), BUDGET)?;
    }
    Ok(())
}

fn a_function_that_polls_its_own_endpoint_is_ended() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    timed_out(&mut sbm, |sbm| sbm.call(poll, (u64::MAX,)), BUDGET).map(drop)
}

/// With one poll the right to answer is gone, on kernels that keep it in one place.
fn a_function_that_polls_its_own_endpoint_once_loses_its_answer() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    timed_out(&mut sbm, |sbm| sbm.call(poll, (1_u64,)), BUDGET).map(drop)
}

fn a_function_that_recurses_for_ever_faults_and_one_that_catches_itself_is_ended() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    check!(matches!(sbm.call(recurse, (0_u64,)), Err(Error::Fault { .. })), "recursion does not fault");
    sbm.reset()?;
    timed_out(&mut sbm, |sbm| sbm.call(spin, ()), BUDGET).map(drop)
}

fn a_function_that_faults_is_told_as_a_fault() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    for _ in 0..10 {
        let result = sbm.call(raw::undefined_once, ());
        check!(matches!(result, Err(Error::Fault { .. })), "no fault: {result:?}");
        sbm.reset()?;
    }
    works(&mut sbm)
}

fn a_function_that_forges_its_way_out_of_answers_is_ended() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    timed_out(&mut sbm, |sbm| sbm.call(drop_the_call_then_forge, (0x1234_u64,)), BUDGET)?;
    // And after it has got the server to think that it faulted.
    same!(sbm.call(answer_then_value, (7_u64, 0x1234_u64))?.assume_checked(), 7);
    timed_out(&mut sbm, |sbm| sbm.call(drop_the_call_then_forge, (0x1234_u64,)), BUDGET).map(drop)
}

fn answer_then_value(value: u64, ip: u64) -> u64 {
    answer_then_forge(value, ip);
    0
}

fn a_call_that_nobody_receives_comes_back() -> Verdict {
    let mut sbm = sandbox(BUDGET)?;
    for value in 0..5_u64 {
        same!(sbm.call(answer_then_spin, (value,))?.assume_checked(), value);
        // It still spins, and takes no call; but where it spins on before its client goes on, it is stopped by then.
        let before = sbm::now();
        let result = sbm.call(nothing, ());
        check!(sbm::now() - before <= BUDGET + LATE, "after {:?}", sbm::now() - before);
        check!(matches!(result, Ok(_) | Err(Error::TimedOut { .. })), "neither answered nor ended: {result:?}");
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

fn calls_are_ended_in_time_whatever_their_budget() -> Verdict {
    for micros in [50, 300, 1_000, 7_000, 30_000, 49_000, 51_000, 120_000, 700_000] {
        let budget = Duration::from_micros(micros);
        let mut sbm = sandbox(budget)?;
        for _ in 0..3 {
            timed_out(&mut sbm, |sbm| sbm.call(spin, ()), budget)?;
        }
    }
    Ok(())
}

fn a_single_call_has_a_budget_of_its_own() -> Verdict {
    let mut sbm = sandbox(Duration::from_secs(1))?;
    timed_out(&mut sbm, |sbm| sbm.call_within(BUDGET, spin, ()), BUDGET)?;
    let longer = Duration::from_millis(20);
    let mut sbm = sandbox(BUDGET)?;
    same!(sbm.call_within(longer, spin_for, (10_000_000_u64,))?.assume_checked(), 10_000_000);
    timed_out(&mut sbm, |sbm| sbm.call(spin, ()), BUDGET).map(drop)
}

fn budgets_outside_their_limits_are_refused_with_the_limit() -> Verdict {
    for asked in [Duration::ZERO, LONGEST_BUDGET + Duration::from_nanos(1), Duration::MAX] {
        let refused = Some(Error::Budget { asked, limit: LONGEST_BUDGET });
        check!(sandbox(asked).err() == refused, "built with {asked:?}");
        let mut sbm = sandbox(BUDGET)?;
        check!(sbm.call_within(asked, nothing, ()).err() == refused, "called with {asked:?}");
        works(&mut sbm)?;
    }
    works(&mut sandbox(LONGEST_BUDGET)?)
}

fn a_sandbox_without_a_budget_runs_as_long_as_it_likes() -> Verdict {
    let mut sbm = Sbm::builder().no_budget().report(false).build()?;
    same!(sbm.call(spin_for, (200_000_000_u64,))?.assume_checked(), 200_000_000);
    Ok(())
}

fn a_new_sandbox_has_a_budget() -> Verdict {
    let budget = Duration::from_millis(sbm_abi::limits::DEFAULT_BUDGET_MS);
    let mut sbm = Sbm::builder().report(false).build()?;
    timed_out(&mut sbm, |sbm| sbm.call(spin, ()), budget).map(drop)
}

fn many_overdue_calls_lose_nothing() -> Verdict {
    let before = sbm::usage()?;
    for round in 0..50_u64 {
        let budget = Duration::from_micros(100);
        let mut sbm = sandbox(budget)?;
        let ended = if round % 2 == 0 { sbm.call(spin, ()) } else { sbm.call(wait_for_a_call, ()) };
        check!(matches!(ended, Err(Error::TimedOut { .. })), "round {round}: {ended:?}");
        if round % 3 == 0 {
            sbm.reset()?;
            works(&mut sbm)?;
        }
    }
    same!(sbm::usage()?.sandboxes, before.sandboxes);
    works(&mut sandbox(BUDGET)?)
}

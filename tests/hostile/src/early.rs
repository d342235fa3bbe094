// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox answers too early, too often, or out of turn, and goes on running while its client does.

use core::time::Duration;

use harness::{Test, Verdict, check, expect::works, raw, same, tests};
use sbm::{Error, Sbm, Tainted, copy_out, shared_out};
use sbm_abi::{Access, Fault, FaultKind, Label, limits::SANDBOX_ENDPOINT_SLOT};
use sel4::{
    MessageInfo,
    syscall::{RECV, REPLY, REPLY_RECV},
};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    an_early_answer_is_the_answer,
    a_second_answer_reaches_nobody,
    a_fault_after_an_answer_changes_no_call,
    a_call_received_by_the_wrong_function_is_answered_by_it,
    a_sandbox_that_writes_on_while_its_client_reads_changes_no_copy,
    a_sandbox_that_runs_on_is_stopped_by_a_reset,
    a_sandbox_that_runs_on_can_be_destroyed,
    many_sandboxes_that_run_on_leave_the_others_their_turns,
    a_forged_fault_that_is_reported_keeps_its_client_for_a_moment,
];

// Functions that run in sandboxes.

fn answer(first: u64) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [first, 0, 0, 0]);
}

fn answer_then_return(first: u64) -> u64 {
    answer(first);
    0xbad
}

fn answer_often(first: u64) -> u64 {
    for number in 0..50 {
        answer(first + number);
    }
    0xbad
}

fn answer_then_fault(first: u64) -> u64 {
    answer(first);
    raw::undefined();
    0xbad
}

/// Answers and receives the next call itself, twice.
fn take_calls(first: u64) -> u64 {
    let info = MessageInfo::new(0, 0, 0, 2).into_word();
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, info, [first, 0, 0, 0]);
    raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, info, [first + 1, 0, 0, 0]);
    first + 2
}

fn answer_then_take(first: u64) -> u64 {
    answer(first);
    raw::system_call(RECV, SANDBOX_ENDPOINT_SLOT, 0, [0; 4]);
    first + 1
}

fn answer_then_write_on(output: &mut [u8]) -> u64 {
    answer(1);
    let first = output.as_mut_ptr() as usize;
    let mut byte = 0;
    loop {
        byte = u8::wrapping_add(byte, 1);
        for address in first..first + output.len() {
            raw::write(address, byte);
        }
    }
}

fn answer_then_spin() -> u64 {
    answer(1);
    loop {
        core::hint::spin_loop();
    }
}

/// Answers with a fault that it makes up, with its own stack pointer, and is never there again.
fn forge_then_spin() -> u64 {
    let marker = 0_u64;
    let stack = core::hint::black_box(&raw const marker) as u64 & !7;
    let fault = Fault { kind: FaultKind::Page, access: Access::Read, vector: 0, address: 0xdead_b000, ip: 1 };
    let [what, address, ip] = fault.words();
    let info = MessageInfo::new(Label::Aborted as u64, 0, 0, 3).into_word();
    raw::system_call(REPLY, 0, info, [what | stack << 32, address, ip, 0]);
    loop {
        core::hint::spin_loop();
    }
}

/// Without a budget: what runs on, or waits elsewhere, is not stopped by the server here.
fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().no_budget().report(false).build()
}

fn an_early_answer_is_the_answer() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for first in 0..50_u64 {
        same!(sbm.call(answer_then_return, (first,))?.assume_checked(), first);
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn a_second_answer_reaches_nobody() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for first in 100..120_u64 {
        same!(sbm.call(answer_often, (first,))?.assume_checked(), first);
        observer.undisturbed()?;
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn a_fault_after_an_answer_changes_no_call() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for first in 0..50_u64 {
        same!(sbm.call(answer_then_fault, (first,))?.assume_checked(), first);
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

/// Which function answers is the sandbox's choice: its values are its own in any case.
fn a_call_received_by_the_wrong_function_is_answered_by_it() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for first in [10_u64, 1000] {
        for wanted in first..first + 3 {
            same!(sbm.call(take_calls, (first,))?.assume_checked(), wanted);
        }
        works(&mut sbm)?;
        for wanted in first..first + 2 {
            same!(sbm.call(answer_then_take, (first,))?.assume_checked(), wanted);
        }
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn a_sandbox_that_writes_on_while_its_client_reads_changes_no_copy() -> Verdict {
    let mut builder = Sbm::builder().no_budget().room_out(1, 4096).report(false);
    let output = builder.output(16 * 1024);
    let mut sbm = builder.build()?;
    let mut observer = Observer::new()?;
    // What was copied out is the client's, however the sandbox writes on.
    let mut copied = [0; 4096];
    same!(sbm.call(answer_then_write_on, (copy_out(&mut copied[..]),))?.assume_checked(), 1);
    let before = copied;
    for _ in 0..5 {
        sel4::r#yield();
        check!(copied == before, "what was copied out has changed");
        observer.undisturbed()?;
    }
    sbm.reset()?;
    same!(sbm.call(answer_then_write_on, (shared_out(output),))?.assume_checked(), 1);
    let view = sbm.output(output)?;
    let (mut changes, mut last) = (0, 0);
    for _ in 0..200 {
        sel4::r#yield();
        let now = view.get::<u64>(4096).map_or(0, Tainted::assume_checked);
        changes += u32::from(now != last);
        last = now;
        let mut bytes = [0; 64];
        view.read(8192, &mut bytes);
        let copy = bytes;
        sel4::r#yield();
        check!(bytes == copy, "a copy has changed");
    }
    check!(changes > 1, "the sandbox was not seen to write on");
    sbm.reset()?;
    works(&mut sbm)?;
    observer.nothing_lost()
}

fn a_sandbox_that_runs_on_is_stopped_by_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for _ in 0..10 {
        same!(sbm.call(answer_then_spin, ())?.assume_checked(), 1);
        sbm.reset()?;
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn a_sandbox_that_runs_on_can_be_destroyed() -> Verdict {
    // Once as one that is kept ready, once as one that is not, once in the middle of its writes.
    drop(sandbox()?);
    for _ in 0..5 {
        same!(sandbox()?.call(answer_then_spin, ())?.assume_checked(), 1);
        let mut bytes = [0; 64];
        same!(sandbox()?.call(answer_then_write_on, (copy_out(&mut bytes[..]),))?.assume_checked(), 1);
        sel4::r#yield();
        works(&mut sandbox()?)?;
    }
    Ok(())
}

fn many_sandboxes_that_run_on_leave_the_others_their_turns() -> Verdict {
    let mut observer = Observer::new()?;
    // As many as keep up with their client beside a neighbour, and more.
    let mut running = [const { None }; 12];
    for place in &mut running {
        let mut sbm = sandbox()?;
        same!(sbm.call(answer_then_spin, ())?.assume_checked(), 1);
        *place = Some(sbm);
    }
    // For many quanta beside a neighbour, since each begins with other threads in the way.
    let start = sbm::now();
    while sbm::now() - start < Duration::from_millis(200) {
        observer.undisturbed()?;
        works(&mut sandbox()?)?;
    }
    Ok(())
}

/// A report asks the sandbox for its stack: one that is not there to answer has a twentieth of a second.
fn a_forged_fault_that_is_reported_keeps_its_client_for_a_moment() -> Verdict {
    let mut observer = Observer::new()?;
    for _ in 0..3 {
        let mut sbm = Sbm::builder().no_budget().build()?;
        let start = sbm::now();
        check!(matches!(sbm.call(forge_then_spin, ()), Err(Error::Fault { .. })));
        let took = sbm::now() - start;
        check!(took < Duration::from_secs(2), "it took {took:?}");
        sbm.reset()?;
        works(&mut sbm)?;
    }
    observer.nothing_lost()
}

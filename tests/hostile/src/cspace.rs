// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox makes every system call on every slot of its capability space: two hold a capability, and nothing that it
//! does with them reaches anyone but itself.
//!
//! Two combinations are left to the suite `time`: `Recv` and `NBRecv` on the sandbox's own endpoint while it has not
//! answered yet, since only the end of its budget ends such a call.

use harness::{Random, Test, Verdict, Why, check, raw, same, tests};
use sbm::{Error, FaultKind, Sbm, Tainted};
use sbm_abi::limits::{SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT};
use sel4::{MessageInfo, syscall};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    exactly_two_slots_hold_a_capability,
    a_send_on_any_slot_ends_at_most_its_own_call,
    a_call_on_any_slot_ends_at_most_its_own_call,
    a_receive_on_any_slot_but_its_own_ends_its_own_call,
    an_answer_reaches_its_own_client_only,
    an_answer_and_a_receive_reach_its_own_client_only,
    a_yield_is_harmless,
    a_system_call_that_is_none_ends_its_own_call,
    an_invocation_of_any_label_on_any_slot_has_no_effect,
    a_message_of_any_shape_has_no_effect,
    a_system_call_under_single_step_ends_at_most_its_own_call,
    segments_that_a_sandbox_loads_harm_nobody,
    what_a_sandbox_prints_reaches_its_caller_and_no_server,
];

/// Slots of the sandbox's CNode; what is beyond does not resolve.
const SLOTS: u64 = 1 << sbm_abi::limits::SANDBOX_CNODE_BITS;

/// The answer of a sandbox that answers by itself.
const EARLY: u64 = 0x0ea1;

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It comes back, and the function returns.
    Returns,
    /// The call is aborted, with this kind of fault.
    Aborts(FaultKind),
    /// The client is answered by it.
    Answers,
}

/// What lies at a capability pointer of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// A slot without a capability.
    Empty,
    /// Its own endpoint, to receive.
    Endpoint,
    /// Its fault endpoint, to send.
    FaultEndpoint,
    /// Nothing: the pointer does not resolve.
    Nowhere,
}

const fn at(cptr: u64) -> Lies {
    match cptr {
        SANDBOX_ENDPOINT_SLOT => Lies::Endpoint,
        SANDBOX_FAULT_SLOT => Lies::FaultEndpoint,
        _ if cptr < SLOTS => Lies::Empty,
        _ => Lies::Nowhere,
    }
}

// Functions that run in sandboxes.

/// Makes one system call; what it returns tells that it came back.
fn attempt(number: i64, cptr: u64, info: u64, first: u64) -> u64 {
    raw::system_call(number, cptr, info, [first, 0, 0, 0]);
    RETURNED
}

const RETURNED: u64 = 0x4e70;

/// Answers, so that nobody waits, then receives; returns the badge to whoever calls next.
fn answer_then_receive(number: i64, cptr: u64) -> u64 {
    raw::system_call(syscall::REPLY, 0, early_info(), [EARLY, 0, 0, 0]);
    raw::system_call(number, cptr, 0, [0; 4]);
    RETURNED
}

/// The head of the answer that a value of one word has.
const fn early_info() -> u64 {
    MessageInfo::new(0, 0, 0, 2).into_word()
}

/// The same, with more words and capabilities than it has.
const fn overfull_info() -> u64 {
    MessageInfo::new(0, 7, 3, 127).into_word()
}

/// Every slot, and capability pointers that name none: all patterns of bits above the slots.
fn pointers() -> impl Iterator<Item = u64> {
    let first = 0..64_u64;
    let powers = (3..64_u32).flat_map(|bit| {
        let power = 1_u64 << bit;
        [
            power - 1,
            power,
            power | 1,
            power | 2,
            power | 3,
            !power,
            u64::MAX << bit,
            u64::MAX << bit | 1,
            u64::MAX << bit | 2,
        ]
    });
    let mut random = Random::new(0xc5bace);
    let random = (0..200_u64).map(move |number| (random.word() & !3) | (number % 4));
    first.chain(powers).chain(random)
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

/// Makes one system call in a call of its own, and says what became of it.
fn try_in(sbm: &mut Sbm, number: i64, cptr: u64, info: u64) -> Result<Effect, Why> {
    let result = sbm.call(attempt, (number, cptr, info, EARLY)).map(Tainted::assume_checked);
    let effect = match result {
        Ok(RETURNED) => Effect::Returns,
        Ok(EARLY) => Effect::Answers,
        Err(Error::Fault { fault, .. }) => Effect::Aborts(fault.kind),
        other => return Err(Why::new(format_args!("{number} on {cptr:#x}: {other:?}"))),
    };
    if effect != Effect::Returns {
        sbm.reset()?;
    }
    Ok(effect)
}

/// Makes a system call on every pointer and checks what becomes of it, by what lies there.
fn on_every_pointer(number: i64, info: u64, wanted: impl Fn(Lies) -> Option<Effect>) -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for cptr in pointers() {
        let Some(wanted) = wanted(at(cptr)) else { continue };
        same!(try_in(&mut sbm, number, cptr, info)?, wanted, "{number} on {cptr:#x}");
        observer.undisturbed()?;
    }
    harness::expect::works(&mut sbm)?;
    observer.nothing_lost()
}

fn exactly_two_slots_hold_a_capability() -> Verdict {
    // It waits where the server does not expect it to, and must not be stopped for that.
    let mut sbm = Sbm::builder().no_budget().report(false).build()?;
    let mut observer = Observer::new()?;
    let mut found = [0; 2];
    let mut count = 0;
    for cptr in pointers() {
        // To receive: whoever calls next is received there, or not at all.
        sbm.call(answer_then_receive, (syscall::RECV, cptr))?.assume_checked();
        let receives = sbm.call(|| 0_u64, ())?.assume_checked() == RETURNED;
        sbm.reset()?;
        // To send: the message arrives as a fault, or not at all.
        let sends = try_in(&mut sbm, syscall::NB_SEND, cptr, 0)? != Effect::Returns;
        if receives || sends {
            check!(receives != sends, "slot {cptr:#x} can both receive and send");
            check!(count < 2 || found.contains(&cptr), "a third capability, at {cptr:#x}");
            if !found.contains(&cptr) {
                found[count] = cptr;
                count += 1;
            }
        }
        observer.undisturbed()?;
    }
    same!((count, found), (2, [SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT]));
    observer.nothing_lost()
}

fn a_send_on_any_slot_ends_at_most_its_own_call() -> Verdict {
    on_every_pointer(syscall::SEND, 0, |lies| {
        Some(match lies {
            // It has no right to send there, and nobody to tell.
            Lies::Empty | Lies::Endpoint => Effect::Returns,
            Lies::FaultEndpoint => Effect::Aborts(FaultKind::Forged),
            Lies::Nowhere => Effect::Aborts(FaultKind::Capability),
        })
    })?;
    on_every_pointer(syscall::NB_SEND, 0, |lies| {
        Some(match lies {
            Lies::Empty | Lies::Endpoint | Lies::Nowhere => Effect::Returns,
            Lies::FaultEndpoint => Effect::Aborts(FaultKind::Forged),
        })
    })
}

fn a_call_on_any_slot_ends_at_most_its_own_call() -> Verdict {
    on_every_pointer(syscall::CALL, 0, |lies| {
        Some(match lies {
            // The kernel answers with an error.
            Lies::Empty | Lies::Endpoint => Effect::Returns,
            Lies::FaultEndpoint => Effect::Aborts(FaultKind::Forged),
            Lies::Nowhere => Effect::Aborts(FaultKind::Capability),
        })
    })
}

fn a_receive_on_any_slot_but_its_own_ends_its_own_call() -> Verdict {
    for number in [syscall::RECV, syscall::NB_RECV] {
        on_every_pointer(number, 0, |lies| match lies {
            Lies::Endpoint => None,
            Lies::Empty | Lies::FaultEndpoint | Lies::Nowhere => Some(Effect::Aborts(FaultKind::Capability)),
        })?;
    }
    Ok(())
}

fn an_answer_reaches_its_own_client_only() -> Verdict {
    on_every_pointer(syscall::REPLY, early_info(), |_| Some(Effect::Answers))?;
    on_every_pointer(syscall::REPLY, overfull_info(), |_| Some(Effect::Answers))
}

fn an_answer_and_a_receive_reach_its_own_client_only() -> Verdict {
    on_every_pointer(syscall::REPLY_RECV, early_info(), |_| Some(Effect::Answers))?;
    on_every_pointer(syscall::REPLY_RECV, overfull_info(), |_| Some(Effect::Answers))
}

fn a_yield_is_harmless() -> Verdict {
    on_every_pointer(syscall::YIELD, early_info(), |_| Some(Effect::Returns))
}

/// Numbers that are no system calls, on any half of the register.
fn numbers() -> impl Iterator<Item = i64> {
    let near = (-64..64_i64).chain((6..63).flat_map(|bit| {
        let power = 1_i64 << bit;
        [power - 1, power, power + 1, -power, -power - 1, 1 - power]
    }));
    let mut random = Random::new(0x5ca11);
    let random = (0..300).map(move |_| random.word().cast_signed());
    // The kernel takes some numbers by their low half.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    near.chain(random).chain([i64::MIN, i64::MAX]).filter(|number| !(-8..0).contains(&(*number as i32)))
}

fn a_system_call_that_is_none_ends_its_own_call() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for number in numbers() {
        for cptr in [0, 1, 2, 3, 4, u64::MAX] {
            let effect = try_in(&mut sbm, number, cptr, early_info())?;
            same!(effect, Effect::Aborts(FaultKind::SystemCall), "{number:#x} on {cptr:#x}");
        }
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn an_invocation_of_any_label_on_any_slot_has_no_effect() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    // Every operation that any kernel has on any object: untyped, thread, CNode, frame, I/O port, ..
    for label in 0..96 {
        for cptr in 0..SLOTS {
            let info = MessageInfo::new(label, 0, 0, 4).into_word();
            for number in [syscall::CALL, syscall::SEND] {
                let effect = try_in(&mut sbm, number, cptr, info)?;
                let is_own = matches!(effect, Effect::Returns | Effect::Aborts(_));
                check!(is_own, "{number} with label {label} on {cptr}: {effect:?}");
            }
        }
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_message_of_any_shape_has_no_effect() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    let mut random = Random::new(0x5a9e);
    for _ in 0..500 {
        // Labels, capabilities that it does not have, words that it has no buffer for.
        let info = random.word();
        let cptr = random.below(SLOTS + 1);
        let number = [syscall::CALL, syscall::SEND, syscall::NB_SEND][random.index(3)];
        let effect = try_in(&mut sbm, number, cptr, info)?;
        check!(effect != Effect::Answers, "{number} with {info:#x} on {cptr}: {effect:?}");
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_system_call_under_single_step_ends_at_most_its_own_call() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for number in [syscall::YIELD, syscall::CALL, syscall::NB_SEND, 1234] {
        for cptr in [0, SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT, SLOTS] {
            let result = sbm.call(raw_stepped, (cptr, number));
            check!(matches!(result, Err(Error::Fault { .. })), "{number} on {cptr}: {result:?}");
            sbm.reset()?;
            observer.undisturbed()?;
        }
    }
    observer.nothing_lost()
}

fn raw_stepped(cptr: u64, number: i64) {
    raw::stepped_system_call(cptr, 0, number);
}

fn segments_that_a_sandbox_loads_harm_nobody() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for _ in 0..20 {
        // Whether it may is the processor's affair.
        let result = sbm.call(raw_clear_segments, ());
        check!(matches!(result, Ok(_) | Err(Error::Fault { .. })), "{result:?}");
        observer.undisturbed()?;
        let mut bytes = [1; 300];
        bytes.copy_within(..100, 150);
        check!(bytes == [1; 300], "the client cannot copy any more");
        sbm.reset()?;
        harness::expect::works(&mut sbm)?;
    }
    observer.nothing_lost()
}

fn raw_clear_segments() {
    raw::clear_segments();
}

/// Text of a length that takes registers only, and one that takes a buffer.
fn what_a_sandbox_prints_reaches_its_caller_and_no_server() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for call in [print_shortly as fn(), print_at_length, ask_for_a_sandbox] {
        let result = sbm.call(call_it, (call as usize,));
        check!(!matches!(result, Err(Error::Server(_))), "{result:?}");
        sbm.reset()?;
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn call_it(function: usize) {
    raw::jump(function);
}

fn print_shortly() {
    sbm::print!("1 passed");
}

fn print_at_length() {
    sbm::print!("test hostile::a_sandbox_has_no_console_but_its_callers ... ok, and this is a sandbox's line");
}

fn ask_for_a_sandbox() {
    drop(Sbm::new());
}

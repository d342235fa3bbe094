// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox sends on its fault endpoint what only the kernel should send: it misreports itself, and nothing else.

use harness::{Random, Test, Verdict, Why, check, expect::works, raw, same, server, tests};
use sbm::{Access, Error, Fault, FaultKind, Sbm};
use sbm_abi::{
    Request,
    limits::{MAX_CONSOLE, SANDBOX_FAULT_SLOT},
};
use sel4::{
    MessageInfo, sys,
    syscall::{CALL, NB_SEND, SEND},
};

use crate::{observer::Observer, unanswered::Asked};

pub(crate) const TESTS: &[Test] = tests![
    a_forged_page_fault_ends_its_own_call_with_what_it_says,
    a_forged_message_of_any_label_ends_its_own_call,
    a_sandbox_that_forges_many_times_harms_nobody,
    a_forged_message_without_words_tells_nothing_of_other_messages,
    a_forged_message_out_of_turn_changes_no_call,
    a_sandbox_that_forges_faults_at_its_abort_entry_still_answers,
];

const VM_FAULT: u64 = sys::seL4_Fault_VMFault as u64;
const UNKNOWN_SYSCALL: u64 = sys::seL4_Fault_UnknownSyscall as u64;
const EXCEPTION: u64 = sys::seL4_Fault_UserException as u64;
const CAP_FAULT: u64 = sys::seL4_Fault_CapFault as u64;

/// A word that another message carried.
const MARK: u64 = 0x4b52_414d_4b52_414d;

// Functions that run in sandboxes.

/// Sends a message on the fault endpoint. Four words are all that a thread without a buffer can send.
fn forge(number: i64, info: u64, words: &[u64; 4]) {
    raw::system_call(number, SANDBOX_FAULT_SLOT, info, *words);
}

/// Answers first, and forges then, when nobody waits.
fn answer_then_forge(number: i64, label: u64) {
    raw::system_call(sel4::syscall::REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    raw::system_call(number, SANDBOX_FAULT_SLOT, MessageInfo::new(label, 0, 0, 4).into_word(), [1, 2, 3, 4]);
}

fn sandbox() -> Result<Sbm, Error> {
    // With the room that its calls need: nothing is added later.
    Sbm::builder().room_in(3, 32).report(false).build()
}

/// Has a sandbox forge a message and returns the fault that its client is told.
fn forged(sbm: &mut Sbm, number: i64, info: MessageInfo, words: [u64; 4]) -> Result<Fault, Why> {
    let result = sbm.call(forge, (number, info.into_word(), sbm::copy_in(&words)));
    harness::expect::fault(sbm, result)
}

fn a_forged_page_fault_ends_its_own_call_with_what_it_says() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for number in [CALL, SEND, NB_SEND] {
        // Instruction pointer, address, whether it was a fetch, error code: a write.
        let fault = forged(&mut sbm, number, MessageInfo::new(VM_FAULT, 0, 0, 4), [0x11, 0x22, 0, 6])?;
        let wanted = Fault { kind: FaultKind::Page, access: Access::Write, vector: 0, address: 0x22, ip: 0x11 };
        same!(fault, wanted);
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_forged_message_of_any_label_ends_its_own_call() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    let mut random = Random::new(0xf0d6e);
    for round in 0..300 {
        let label = if round < 32 { round } else { random.word() };
        let info = MessageInfo::new(label, random.index(8), random.index(4), random.index(128));
        let words = [random.word(), random.word(), random.word(), random.word()];
        forged(&mut sbm, [CALL, SEND, NB_SEND][random.index(3)], info, words)?;
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_sandbox_that_forges_many_times_harms_nobody() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for _ in 0..2000 {
        let result = sbm.call(forge, (SEND, 0_u64, sbm::copy_in(&[0_u64; 4])));
        check!(matches!(result, Err(Error::Fault { .. })), "not aborted: {result:?}");
        sbm.reset()?;
    }
    works(&mut sbm)?;
    observer.nothing_lost()
}

/// A message that is shorter than a fault's is read as far as it goes.
fn a_forged_message_without_words_tells_nothing_of_other_messages() -> Verdict {
    let mut sbm = sandbox()?;
    let mut text = [0; MAX_CONSOLE + 8];
    for (byte, mark) in text.iter_mut().zip(MARK.to_le_bytes().into_iter().cycle()) {
        *byte = mark;
    }
    for label in [UNKNOWN_SYSCALL, CAP_FAULT, EXCEPTION, VM_FAULT] {
        for length in 0..4 {
            // Someone's long request, which is refused for its length, and of which nobody else may learn a word.
            server::request(&Request::Console(&text))?;
            let fault = forged(&mut sbm, SEND, MessageInfo::new(label, 0, 0, length), [0; 4])?;
            let told = [fault.ip, fault.address, u64::from(fault.vector)];
            check!(told == [0; 3], "label {label}, {length} words: {told:x?} is of another message");
        }
    }
    Ok(())
}

fn a_forged_message_out_of_turn_changes_no_call() -> Verdict {
    let mut sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for number in [CALL, SEND, NB_SEND] {
        for label in [0, VM_FAULT, UNKNOWN_SYSCALL, 77] {
            sbm.call(answer_then_forge, (number, label))?.assume_checked();
            works(&mut sbm)?;
            observer.undisturbed()?;
        }
    }
    observer.nothing_lost()
}

/// Forges a fault at `ip`, whatever waits. It is called by address.
extern "C" fn forge_at(ip_and_call: u64) {
    let (ip, number) = (ip_and_call & 0xffff_ffff, if ip_and_call >> 32 == 0 { SEND } else { CALL });
    raw::system_call(number, SANDBOX_FAULT_SLOT, MessageInfo::new(VM_FAULT, 0, 0, 4).into_word(), [ip, ip, 1, 4]);
}

fn forge_at_here(ip_and_call: u64) {
    forge_at(ip_and_call);
}

/// Its own faults cannot be told from those that it forges: whatever it sends, whoever calls is answered.
///
/// Messages that ask for no answer come first, so that what is not answered fails the test instead of stopping it.
fn a_sandbox_that_forges_faults_at_its_abort_entry_still_answers() -> Verdict {
    let mut asked = Asked::new()?;
    let mut observer = Observer::new()?;
    let abort = u64::from(sbm::__entry_points().abort);
    for by_call in [1_u64 << 32, 0] {
        for number in [CALL, SEND, NB_SEND] {
            // It answers early and forges: the server takes it for aborted, and its client does not know.
            asked.sbm.call(answer_then_forge, (number, VM_FAULT))?.assume_checked();
            for _ in 0..3 {
                asked.send(forge_at, abort | by_call);
                asked.serves()?;
            }
            asked.sbm.call(answer_then_forge, (number, VM_FAULT))?.assume_checked();
            let result = asked.sbm.call(forge_at_here, (abort | by_call,));
            check!(matches!(result, Ok(_) | Err(Error::Fault { .. })), "no answer of a call but {result:?}");
            asked.sbm.reset()?;
            works(&mut asked.sbm)?;
            observer.undisturbed()?;
        }
    }
    observer.nothing_lost()
}

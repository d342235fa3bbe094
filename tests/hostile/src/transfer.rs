// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages between a client and its sandbox carry four words and no capability, whatever their heads say.
//!
//! A sandbox has no IPC buffer, so there is nowhere for more words, and no slot to receive a capability in.

use core::arch::naked_asm;

use harness::{
    Test, Verdict, check, raw, same,
    server::{call_sandbox, request},
    tests,
};
use sbm::{Error, Sbm};
use sbm_abi::{
    Request, Response,
    limits::{CLIENT_SANDBOX_SLOTS, CLIENT_SERVER_SLOT, SANDBOX_CNODE_BITS, SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT},
};
use sel4::{
    CPtr, MessageInfo, ipc_buffer,
    syscall::{CALL, REPLY},
};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    a_sandbox_receives_four_words_and_no_capability,
    a_sandbox_answers_with_four_words_and_no_capability,
    a_client_receives_no_capability_of_the_server,
];

/// Words in registers: all that a thread without an IPC buffer can send or receive.
const WORDS: usize = 4;

/// A word that stays in the client's IPC buffer.
const MARK: u64 = 0x4b52_414d_4b52_414d;

/// What the kernel answers to a call on a slot without a capability.
const INVALID_CAPABILITY: u64 = 2;

// Functions that run in sandboxes.

/// Answers with the head of the call that started it, which is still in the register it came in.
#[unsafe(naked)]
extern "C" fn head_of_the_call() {
    naked_asm!("mov rax, rsi", "ret")
}

/// Answers with more words and capabilities than there are.
extern "C" fn answer_overfull() {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 7, 3, 120).into_word(), [MARK; 4]);
}

fn label_of_a_call_on(slot: u64) -> u64 {
    let message = raw::system_call(CALL, slot, 0, [0; 4]);
    MessageInfo::from_word(message.info).label()
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

/// Returns the index of a sandbox.
fn index(sbm: &Sbm) -> u16 {
    u16::try_from(sbm.endpoint_slot() - CLIENT_SANDBOX_SLOTS).unwrap_or(u16::MAX)
}

/// Offers a capability to the server, to the sandbox itself and to another one, in any order.
fn offer(round: usize, sbm: &Sbm, other: &Sbm) {
    for (place, slot) in [CLIENT_SERVER_SLOT, sbm.endpoint_slot(), other.endpoint_slot()].into_iter().enumerate() {
        ipc_buffer().set_cap((place + round) % 3, CPtr::from_bits(slot));
    }
}

fn a_sandbox_receives_four_words_and_no_capability() -> Verdict {
    let mut sbm = sandbox()?;
    let other = sandbox()?;
    let mut observer = Observer::new()?;
    for round in 0..30 {
        offer(round, &sbm, &other);
        let mut words = [MARK; 110];
        words[0] = head_of_the_call as extern "C" fn() as usize as u64;
        words[1] = 0;
        let (_, [head, ..]) = call_sandbox(index(&sbm), MessageInfo::new(0, 0, 3, words.len()), &words);
        let head = MessageInfo::from_word(head);
        check!(head.length() <= WORDS, "it received {} words", head.length());
        same!((head.extra_caps(), head.caps_unwrapped()), (0, 0), "capabilities that it received");
        // Its empty slots are empty, and the others hold what they did.
        for slot in
            (0..1 << SANDBOX_CNODE_BITS).filter(|slot| ![SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT].contains(slot))
        {
            same!(sbm.call(label_of_a_call_on, (slot,))?.assume_checked(), INVALID_CAPABILITY, "slot {slot}");
        }
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_sandbox_answers_with_four_words_and_no_capability() -> Verdict {
    let sbm = sandbox()?;
    let mut observer = Observer::new()?;
    for _ in 0..30 {
        let mut words = [0; 110];
        words[0] = answer_overfull as extern "C" fn() as usize as u64;
        for index in WORDS..words.len() {
            ipc_buffer().set_msg_reg(index, !MARK);
        }
        let (head, _) = call_sandbox(index(&sbm), MessageInfo::new(0, 0, 0, 2), &words[..2]);
        check!(head.length() <= WORDS, "{} words arrived", head.length());
        same!((head.extra_caps(), head.caps_unwrapped()), (0, 0), "capabilities that arrived");
        check!((WORDS..words.len()).all(|index| ipc_buffer().msg_reg(index) == !MARK), "words arrived in the buffer");
        observer.undisturbed()?;
    }
    observer.nothing_lost()
}

fn a_client_receives_no_capability_of_the_server() -> Verdict {
    for (place, offered) in [CLIENT_SERVER_SLOT, CLIENT_SERVER_SLOT, 0].into_iter().enumerate() {
        ipc_buffer().set_cap(place, CPtr::from_bits(offered));
    }
    for _ in 0..30 {
        let (head, _) = harness::server::call(MessageInfo::new(0, 0, 3, 1), &[7]);
        same!((head.extra_caps(), head.caps_unwrapped()), (0, 0), "capabilities in the server's answer");
        check!(matches!(request(&Request::Usage)?, Response::Usage { .. }));
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers beside the general ones, where several threads use them in turn: each has its own, and none reaches another
//! thread or a later life.
//!
//! DS and ES are not among them: the kernel does not switch them.

use harness::{
    Test, Verdict, check, raw,
    registers::{Found, bases, keep},
    same, tests,
};
use sbm::{Error, Sbm};
use sel4::{MessageInfo, syscall::REPLY};

pub(crate) const TESTS: &[Test] = tests![
    two_sandboxes_at_once_have_registers_of_their_own,
    a_client_keeps_its_registers_while_a_sandbox_uses_them,
    a_sandbox_begins_with_no_base_of_an_earlier_one,
    a_sandbox_has_its_first_bases_after_a_reset,
    a_sandbox_has_its_first_registers_after_a_fault_and_a_reset,
];

/// Whose word is found tells whose register it was.
const OTHERS: u64 = 0x0bad_5ec2_e700;
const OWN: u64 = 0x6000_d000_0a11;

const ROUNDS: u64 = 200;

// Functions that run in sandboxes.

/// Answers by itself, and goes on for ever.
fn answer_and_keep_using(word: u64) {
    raw::system_call(REPLY, 0, MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    loop {
        let _ = keep(word);
    }
}

/// Uses registers while others do, and returns the number of the round in which one was not its own.
fn use_in_turn(word: u64, rounds: u64) -> Option<u64> {
    let [fs, _] = bases();
    (0..rounds).find(|_| !is_own(&keep(word), word, fs))
}

fn is_own(found: &Found, word: u64, fs: u64) -> bool {
    found.is_kept(word) && found.has_own_bases(word, fs)
}

fn base_of_fs() -> u64 {
    bases()[0]
}

fn base_of_gs() -> u64 {
    bases()[1]
}

fn move_bases(word: u64) {
    let _ = keep(word);
}

fn spoil_and_fault(word: u64) {
    raw::set_float_control(&0x5d80);
    raw::fill_vectors(word);
    raw::fill_coprocessor(word);
    raw::undefined();
}

fn float_control() -> u32 {
    let mut control = 0;
    raw::float_control(&mut control);
    control
}

fn vector_words() -> u64 {
    let mut words = [0; 2];
    raw::vector_words(&mut words);
    words[0] | words[1]
}

fn coprocessor_word() -> u64 {
    raw::coprocessor_word()
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

/// Starts sandboxes that go on using all registers with the word of others.
fn users() -> Result<[Sbm; 3], Error> {
    let mut users = [sandbox()?, sandbox()?, sandbox()?];
    for sbm in &mut users {
        sbm.call(answer_and_keep_using, (OTHERS,))?.assume_checked();
    }
    Ok(users)
}

fn two_sandboxes_at_once_have_registers_of_their_own() -> Verdict {
    let mut sbm = sandbox()?;
    same!(sbm.call(use_in_turn, (OWN, 10_u64))?.assume_checked(), None, "without others");
    let _others = users()?;
    for round in 0..ROUNDS / 5 {
        let lost = sbm.call(use_in_turn, (OWN, 10_u64))?.assume_checked();
        same!(lost, None, "after {round} calls, the round with a register not its own");
    }
    Ok(())
}

fn a_client_keeps_its_registers_while_a_sandbox_uses_them() -> Verdict {
    let _others = users()?;
    for _ in 0..ROUNDS {
        let found = keep(OWN);
        check!(is_own(&found, OWN, 0), "not its own: {found:x?}");
    }
    Ok(())
}

fn a_sandbox_begins_with_no_base_of_an_earlier_one() -> Verdict {
    // One that is kept ready, and one that is made anew.
    for stack in [2, 79] {
        let make = || Sbm::builder().stack(stack * 4096).report(false).build();
        let mut first = make()?;
        first.call(move_bases, (OTHERS,))?.assume_checked();
        drop(first);
        let mut second = make()?;
        let fs = second.call(base_of_fs, ())?.assume_checked();
        let gs = second.call(base_of_gs, ())?.assume_checked();
        check!(fs != OTHERS && gs == 0, "{fs:x} {gs:x}");
    }
    Ok(())
}

fn a_sandbox_has_its_first_bases_after_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    let fs = sbm.call(base_of_fs, ())?.assume_checked();
    sbm.call(move_bases, (OTHERS,))?.assume_checked();
    sbm.reset()?;
    same!(sbm.call(base_of_fs, ())?.assume_checked(), fs);
    same!(sbm.call(base_of_gs, ())?.assume_checked(), 0);
    Ok(())
}

fn a_sandbox_has_its_first_registers_after_a_fault_and_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    let control = sbm.call(float_control, ())?.assume_checked();
    check!(sbm.call(spoil_and_fault, (OTHERS,)).is_err());
    sbm.reset()?;
    same!(sbm.call(float_control, ())?.assume_checked(), control, "the control of floating-point arithmetic");
    same!(sbm.call(vector_words, ())?.assume_checked(), 0, "vector registers");
    check!(sbm.call(coprocessor_word, ())?.assume_checked() != OTHERS, "the coprocessor");
    Ok(())
}

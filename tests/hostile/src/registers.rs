// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers and flags beside the general ones, where several clients and sandboxes run at once.
//!
//! The neighbour uses the registers as well, all the time, with a word of its own.

use harness::{
    Test, Verdict, Why, check,
    expect::works,
    raw,
    registers::{ALIGNMENT_CHECK, DIRECTION, NESTED_TASK, answer_with_flags, keep},
    tests,
};
use sbm::{Error, Sbm};
use sel4::MessageInfo;

use crate::{observer::Observer, strangers};

pub(crate) const TESTS: &[Test] =
    tests![two_clients_at_once_have_registers_of_their_own, system_calls_with_any_flags_harm_nobody];

/// What this client keeps in registers.
const OWN: u64 = 0x6000_d000_0a11;

/// The head of an answer with a value of one word.
const ANSWER: u64 = MessageInfo::new(0, 0, 0, 2).into_word();

// Functions that run in sandboxes.

fn answer_then_call_with(flags: u64) {
    answer_with_flags(flags, 30, ANSWER);
}

fn answer_then_spin() {
    raw::system_call(sel4::syscall::REPLY, 0, ANSWER, [0; 4]);
    loop {
        core::hint::spin_loop();
    }
}

fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

fn two_clients_at_once_have_registers_of_their_own() -> Verdict {
    if !strangers::present() {
        return Err(Why::skipped(format_args!("no neighbour runs beside this suite")));
    }
    for _ in 0..200 {
        let found = keep(OWN);
        check!(found.is_kept(OWN) && found.has_own_bases(OWN, 0), "not its own: {found:x?}");
    }
    Ok(())
}

fn system_calls_with_any_flags_harm_nobody() -> Verdict {
    if option_env!("SBM_KERNEL_CLEARS") != Some("all flags") {
        return Err(Why::skipped(format_args!(
            "this kernel is not known to clear the flag NT on a system call, and the machine would stop"
        )));
    }
    let mut observer = Observer::new()?;
    let mut spinning = sandbox()?;
    spinning.call(answer_then_spin, ())?.assume_checked();
    for flags in [DIRECTION, NESTED_TASK, ALIGNMENT_CHECK, DIRECTION | NESTED_TASK | ALIGNMENT_CHECK] {
        let mut sbm = sandbox()?;
        sbm.call(answer_then_call_with, (flags,))?.assume_checked();
        for _ in 0..40 {
            sel4::r#yield();
        }
        observer.undisturbed()?;
        // A client as well: its flags are there when the server answers, or the neighbour goes on.
        answer_with_flags(flags, 30, 0);
        observer.undisturbed()?;
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

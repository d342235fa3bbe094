// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that fault: until the error is in the caller's hand, and what a reset costs.
#![expect(unsafe_code, reason = "faults, on purpose; the sandbox contains them")]

use core::arch::asm;

use sbm::{Env, Error, Sbm};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now},
    measure,
};

/// Defines a function that faults.
macro_rules! faulting {
    ($($name:ident: $($code:expr),+;)*) => {$(
        pub(crate) fn $name() {
            // SAFETY: it runs in a sandbox, where what it does is stopped and does no harm.
            unsafe { asm!($($code),+, out("rax") _, out("rcx") _, out("rdx") _, out("r11") _) }
        }
    )*};
}

faulting! {
    read_null: "xor eax, eax", "mov rax, [rax]";
    write_code: "mov eax, 0x200000", "mov [rax], rax";
    jump_away: "mov eax, 0x30000000", "jmp rax";
    invalid: "ud2";
    non_canonical: "mov eax, 1", "shl rax, 63", "mov rax, [rax]";
    divide: "xor edx, edx", "xor ecx, ecx", "div ecx";
    system_call: "mov edx, 1234", "syscall";
    overflow: "2:", "push rax", "jmp 2b";
}

const KINDS: [(&str, fn()); 8] = [
    ("fault_to_ready_read", read_null),
    ("fault_to_ready_write", write_code),
    ("fault_to_ready_execute", jump_away),
    ("fault_to_ready_invalid_opcode", invalid),
    ("fault_to_ready_general_protection", non_canonical),
    ("fault_to_ready_divide", divide),
    ("fault_to_ready_system_call", system_call),
    ("fault_to_ready_stack_overflow", overflow),
];

fn call_pointer(function: usize) {
    // SAFETY: the caller passes one of the functions above.
    let function = unsafe { core::mem::transmute::<usize, fn()>(function) };
    function();
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    let mut sbm = Sbm::builder().report(false).build()?;
    for (name, function) in KINDS {
        if !runs.wants(name) {
            continue;
        }
        for run in 0..WARM_UP + runs.times(RUNS) {
            let start = now();
            let result = sbm.call(call_pointer, (function as usize,));
            if run >= WARM_UP {
                runs.add(start);
            }
            if result.is_ok() {
                return Err(Error::Garbled);
            }
            // What a reset costs has its own rows: this call waits until it is done.
            sbm.reset()?;
            sbm.call(|| (), ())?;
        }
        runs.print(name);
    }
    drop(sbm);
    for (pages, name) in [(2, "reset_2"), (4, "reset_4"), (16, "reset_16")] {
        let mut sbm = Sbm::builder().report(false).stack(pages * 4096).build()?;
        // With the call after it, since that waits until the thread has cleared its stack.
        measure(runs, name, RUNS, || {
            sbm.reset()?;
            sbm.call(|| (), ()).map(drop)
        })?;
    }
    Ok(())
}

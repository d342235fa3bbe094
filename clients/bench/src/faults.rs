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

pub(crate) fn read_null() {
    // SAFETY: none, here and below; they fault.
    unsafe { asm!("mov rax, [rax]", in("rax") 0u64, lateout("rax") _) }
}

fn write_code() {
    unsafe { asm!("mov [rax], rax", in("rax") 0x20_0000u64) }
}

fn jump_away() {
    unsafe { asm!("jmp rax", in("rax") 0x3000_0000u64) }
}

fn invalid() {
    unsafe { asm!("ud2") }
}

fn non_canonical() {
    unsafe { asm!("mov rax, [rax]", in("rax") 1u64 << 63, lateout("rax") _) }
}

fn divide() {
    unsafe { asm!("xor edx, edx", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _) }
}

fn system_call() {
    unsafe { asm!("syscall", in("rdx") 1234u64, out("rcx") _, out("r11") _) }
}

fn overflow() {
    unsafe { asm!("2:", "push rax", "jmp 2b") }
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

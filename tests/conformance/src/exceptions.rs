// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever the processor or the kernel stops is an error of the call.

use harness::{
    Test, Verdict, check,
    expect::{Expected, aborted, exception, fault, page, works},
    raw, same, tests,
};
use sbm::{Access, Error, Fault, FaultKind, Region, Sbm};

pub(crate) const TESTS: &[Test] = tests![
    a_division_by_zero_is_efault,
    a_division_by_another_number_is_not,
    an_undefined_instruction_is_efault,
    a_breakpoint_is_efault,
    a_single_step_is_efault,
    privileged_instructions_are_efault,
    interrupts_by_number_are_efault,
    a_stack_at_a_non_canonical_address_is_efault,
    a_stack_that_is_not_mapped_is_efault,
    a_stray_system_call_is_efault,
    a_system_call_on_a_capability_that_is_not_there_is_efault,
];

const DIVIDE_ERROR: u8 = 0;
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const INVALID_OPCODE: u8 = 6;
const STACK_FAULT: u8 = 12;
const GENERAL_PROTECTION: u8 = 13;

type Instruction = extern "C" fn();

fn ip_of(function: *const ()) -> u64 {
    function as usize as u64
}

// Functions that run in sandboxes.

fn divide(divisor: u32) -> u32 {
    raw::divide(0, divisor)
}

fn run(function: usize) {
    raw::jump(function);
}

fn push(address: usize) {
    raw::push_at(address);
}

fn system_call(number: i64, cptr: u64) {
    raw::stray_system_call(cptr, 0, number);
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

/// Runs one instruction in a sandbox and checks what it comes to.
fn stopped(sbm: &mut Sbm, instruction: Instruction, vector: u8, length: u64) -> Verdict {
    let address = instruction as *const () as usize;
    let result = sbm.call(run, (address,));
    aborted(sbm, result, exception(vector, address as u64 + length))
}

fn a_division_by_zero_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(divide, (0_u32,));
    aborted(&mut sbm, result, exception(DIVIDE_ERROR, ip_of(raw::divide as *const ())))
}

fn a_division_by_another_number_is_not() -> Verdict {
    let mut sbm = quiet()?;
    let _ = sbm.call(|| raw::divide_by(84, 2), ())?.check(|quotient| *quotient == 42)?;
    works(&mut sbm)
}

fn an_undefined_instruction_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    stopped(&mut sbm, raw::undefined, INVALID_OPCODE, 0)?;
    stopped(&mut sbm, raw::enter_hypervisor, INVALID_OPCODE, 0)
}

fn a_breakpoint_is_efault() -> Verdict {
    // A trap: the instruction pointer is past it.
    stopped(&mut quiet()?, raw::breakpoint, BREAKPOINT, 1)
}

fn a_single_step_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(raw_step, ());
    aborted(&mut sbm, result, exception(DEBUG, ip_of(raw::single_step as *const ()) + raw::SINGLE_STEP_LENGTH))
}

fn raw_step() {
    raw::single_step();
}

fn privileged_instructions_are_efault() -> Verdict {
    let mut sbm = quiet()?;
    for instruction in [
        raw::halt as Instruction,
        raw::disable_interrupts,
        raw::load_page_tables,
        raw::read_control,
        raw::write_msr,
        raw::read_msr,
        raw::port_in,
        raw::port_out,
        raw::load_interrupts,
        raw::invalidate,
        raw::swap_base,
        raw::write_back,
    ] {
        stopped(&mut sbm, instruction, GENERAL_PROTECTION, 0)?;
    }
    Ok(())
}

fn interrupts_by_number_are_efault() -> Verdict {
    let mut sbm = quiet()?;
    stopped(&mut sbm, raw::interrupt_128, GENERAL_PROTECTION, 0)?;
    stopped(&mut sbm, raw::interrupt_32, GENERAL_PROTECTION, 0)
}

/// Bytes of the instruction that moves the stack.
const MOVE: u64 = 3;

fn a_stack_at_a_non_canonical_address_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(push, (0x8000_0000_0000_0000_usize,));
    let fault = fault(&mut sbm, result)?;
    same!((fault.kind, fault.ip), (FaultKind::Exception, ip_of(raw::push_at as *const ()) + MOVE));
    // A stack fault; QEMU's software CPU makes it a general protection fault.
    check!([STACK_FAULT, GENERAL_PROTECTION].contains(&fault.vector), "vector {}", fault.vector);
    Ok(())
}

fn a_stack_that_is_not_mapped_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(push, (0x9000_0000_usize,));
    let ip = ip_of(raw::push_at as *const ()) + MOVE;
    aborted(&mut sbm, result, page(Access::Write, 0x9000_0000 - 8, ip, Region::NotMapped))
}

fn by_system_call(kind: FaultKind) -> Expected {
    let ip = ip_of(raw::stray_system_call as *const ());
    Expected { fault: Fault { kind, access: Access::None, vector: 0, address: 0, ip }, region: Region::NotMapped }
}

fn a_stray_system_call_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    // seL4 takes the number from rdx, where Linux has a third argument: a length, a mode.
    for number in [0, 1, 13, 0o644, 4096, i64::MAX, i64::MIN] {
        let result = sbm.call(system_call, (number, 1_u64));
        aborted(&mut sbm, result, by_system_call(FaultKind::SystemCall))?;
    }
    Ok(())
}

fn a_system_call_on_a_capability_that_is_not_there_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    for number in [sel4::syscall::SEND, sel4::syscall::CALL, sel4::syscall::RECV, sel4::syscall::NB_RECV] {
        for cptr in [4_u64, 16, u64::MAX] {
            let result = sbm.call(system_call, (number, cptr));
            aborted(&mut sbm, result, by_system_call(FaultKind::Capability))?;
        }
    }
    // To send to a slot of its own that is empty is no fault to the kernel, but an error or nothing at all.
    for number in [sel4::syscall::RECV, sel4::syscall::NB_RECV] {
        for cptr in [0_u64, 3] {
            let result = sbm.call(system_call, (number, cptr));
            aborted(&mut sbm, result, by_system_call(FaultKind::Capability))?;
        }
    }
    Ok(())
}

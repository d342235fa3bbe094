// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fault tells kind, access, address and instruction pointer exactly, and what lies there by name.

use core::sync::atomic::{AtomicU64, Ordering};

use harness::{
    Test, Verdict,
    expect::{aborted, page, works},
    raw, same, tests,
};
use sbm::{Access, Region, Sbm, copy_in, copy_inout, copy_out};
use sbm_abi::limits::{
    ARENA_BASE, ARENA_END, CLIENT_IPC_BUFFER, CLIENT_STACK_BASE, CLIENT_START_INFO, CODE_BASE, HIGH_ARENA_BASE,
    INPUT_BASE, INPUT_END, PAGE, PROGRAM_END, SELF_OFFSET,
};

pub(crate) const TESTS: &[Test] = tests![
    a_guard_between_two_buffers_belongs_half_to_each,
    guards_are_told_by_the_number_of_their_argument,
    a_write_to_an_input_buffer_names_the_argument,
    an_input_buffer_can_be_read_and_an_output_buffer_read_and_written,
    the_guards_of_stack_and_argument_page_have_names,
    the_argument_page_and_the_stack_can_be_written,
    a_write_to_code_is_refused_and_a_read_is_not,
    an_instruction_that_overwrites_itself_is_a_write,
    every_part_of_the_client_has_a_name,
    an_address_beyond_four_gib_is_told_as_far_as_the_kernel_tells,
    a_jump_to_data_is_an_execution,
    a_jump_to_null_is_an_execution,
    a_jump_to_a_guard_is_an_execution,
    code_in_a_buffer_runs_without_any_right_more,
];

const PAGE_BYTES: usize = PAGE as usize;

static DATA: AtomicU64 = AtomicU64::new(0xc3c3_c3c3_c3c3_c3c3);

fn ip_of(function: *const ()) -> u64 {
    function as usize as u64
}

fn write_ip() -> u64 {
    ip_of(raw::write as *const ())
}

fn read_ip() -> u64 {
    ip_of(raw::read as *const ())
}

// Functions that run in sandboxes.

fn addresses(one: &mut [u8], two: &mut [u8]) -> usize {
    // Both lie in the same 4 GiB.
    one.as_ptr() as usize | (two.as_ptr() as usize) << 32
}

fn read_beside(_: &mut [u8], _: &mut [u8], address: usize) -> u8 {
    raw::read(address)
}

fn read(address: usize) -> u8 {
    raw::read(address)
}

fn write(address: usize) {
    raw::write(address, 0xee);
}

fn jump(address: usize) {
    raw::jump(address);
}

fn write_input(input: &[u8]) {
    raw::write(input.as_ptr() as usize, 0xee);
}

fn sixth(_: u8, _: u8, _: u8, _: u8, _: u8, output: &mut [u8]) -> usize {
    output.as_ptr() as usize
}

fn sixth_overrun(_: u8, _: u8, _: u8, _: u8, _: u8, output: &mut [u8]) {
    raw::write(output.as_ptr() as usize + output.len(), 1);
}

fn argument_page() -> usize {
    usize::try_from(raw::argument_page_word(SELF_OFFSET as usize)).unwrap_or(0)
}

fn increment(input: &[u8], output: &mut [u8]) -> u8 {
    output[0] = input[0] + 1;
    output[0] += 1;
    output[0]
}

/// Runs the code in its argument.
fn run_code(code: &[u8]) {
    raw::jump(code.as_ptr() as usize);
}

fn quiet() -> Result<Sbm, sbm::Error> {
    Sbm::builder().report(false).build()
}

/// Has sandboxes read and write an address, and checks that both are refused with this name.
fn neither_read_nor_written(sbm: &mut Sbm, address: u32, region: Region) -> Verdict {
    let result = sbm.call(read, (address as usize,));
    aborted(sbm, result, page(Access::Read, u64::from(address), read_ip(), region))?;
    let result = sbm.call(write, (address as usize,));
    aborted(sbm, result, page(Access::Write, u64::from(address), write_ip(), region))
}

fn a_guard_between_two_buffers_belongs_half_to_each() -> Verdict {
    let mut sbm = Sbm::builder().room_out(1, PAGE_BYTES).room_out(2, PAGE_BYTES).report(false).build()?;
    let (mut one, mut two) = ([0; 16], [0; 16]);
    let both = sbm.call(addresses, (copy_out(&mut one[..]), copy_out(&mut two[..])))?.assume_checked();
    let (first, second) = (both & 0xffff_ffff, both >> 32);
    same!(second, first + 2 * PAGE_BYTES);
    let end = first + PAGE_BYTES;
    for (address, region) in [
        (first - 1, Region::GuardBefore(1)),
        (end, Region::GuardAfter(1)),
        (end + PAGE_BYTES / 2 - 1, Region::GuardAfter(1)),
        (end + PAGE_BYTES / 2, Region::GuardBefore(2)),
        (second - 1, Region::GuardBefore(2)),
        (second + PAGE_BYTES, Region::GuardAfter(2)),
    ] {
        let result = sbm.call(read_beside, (copy_out(&mut one[..]), copy_out(&mut two[..]), address));
        aborted(&mut sbm, result, page(Access::Read, address as u64, read_ip(), region))?;
    }
    Ok(())
}

fn guards_are_told_by_the_number_of_their_argument() -> Verdict {
    let mut sbm = quiet()?;
    let mut bytes = [0; 10];
    let address = sbm.call(sixth, (1_u8, 2_u8, 3_u8, 4_u8, 5_u8, copy_out(&mut bytes[..]).at_end()))?;
    let past = address.assume_checked() as u64 + 10;
    let result = sbm.call(sixth_overrun, (1_u8, 2_u8, 3_u8, 4_u8, 5_u8, copy_out(&mut bytes[..]).at_end()));
    aborted(&mut sbm, result, page(Access::Write, past, write_ip(), Region::GuardAfter(6)))
}

fn a_write_to_an_input_buffer_names_the_argument() -> Verdict {
    let mut sbm = quiet()?;
    let input = [0x11; 32];
    let address = sbm.call(|input: &[u8]| input.as_ptr() as usize, (copy_in(&input[..]),))?.assume_checked();
    let result = sbm.call(write_input, (copy_in(&input[..]),));
    aborted(&mut sbm, result, page(Access::Write, address as u64, write_ip(), Region::Argument(1)))?;
    same!(input, [0x11; 32]);
    Ok(())
}

fn an_input_buffer_can_be_read_and_an_output_buffer_read_and_written() -> Verdict {
    let mut sbm = quiet()?;
    let mut output = [0; 1];
    same!(sbm.call(increment, (copy_in(&[7; 1][..]), copy_out(&mut output[..])))?.assume_checked(), 9);
    same!(output, [9]);
    Ok(())
}

fn the_guards_of_stack_and_argument_page_have_names() -> Verdict {
    let mut sbm = quiet()?;
    let arguments = sbm.call(argument_page, ())?.assume_checked();
    let stack = arguments + 2 * PAGE_BYTES;
    for (address, region) in [
        (arguments - 1, Region::Guard),
        (arguments + PAGE_BYTES, Region::StackGuard),
        (stack - 1, Region::StackGuard),
        (stack + 2 * PAGE_BYTES, Region::Guard),
    ] {
        neither_read_nor_written(&mut sbm, u32::try_from(address).unwrap_or(0), region)?;
    }
    Ok(())
}

fn the_argument_page_and_the_stack_can_be_written() -> Verdict {
    let mut sbm = quiet()?;
    let arguments = sbm.call(argument_page, ())?.assume_checked();
    for address in [arguments + 2048, arguments + 2 * PAGE_BYTES] {
        sbm.call(write, (address,))?.assume_checked();
        same!(sbm.call(read, (address,))?.assume_checked(), 0xee);
    }
    works(&mut sbm)
}

fn a_write_to_code_is_refused_and_a_read_is_not() -> Verdict {
    let mut sbm = quiet()?;
    let function = raw::read as *const () as usize;
    let before = sbm.call(read, (function,))?.assume_checked();
    let result = sbm.call(write, (function,));
    aborted(&mut sbm, result, page(Access::Write, function as u64, write_ip(), Region::ClientCode))?;
    same!(sbm.call(read, (function,))?.assume_checked(), before);
    let result = sbm.call(write, (CODE_BASE as usize,));
    aborted(&mut sbm, result, page(Access::Write, u64::from(CODE_BASE), write_ip(), Region::ClientCode))
}

fn an_instruction_that_overwrites_itself_is_a_write() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(write, (raw::write as *const () as usize,));
    aborted(&mut sbm, result, page(Access::Write, write_ip(), write_ip(), Region::ClientCode))
}

fn every_part_of_the_client_has_a_name() -> Verdict {
    let mut sbm = quiet()?;
    let data = u32::try_from((&raw const DATA) as usize).unwrap_or(0);
    for (address, region) in [
        (0, Region::NotMapped),
        (CODE_BASE - 1, Region::NotMapped),
        (data, Region::ClientData),
        (data | (PAGE - 1), Region::ClientData),
        (PROGRAM_END, Region::NotMapped),
        (CLIENT_STACK_BASE - 1, Region::ClientStackGuard),
        (CLIENT_STACK_BASE, Region::ClientStack),
        (CLIENT_IPC_BUFFER, Region::ClientPrivate),
        (CLIENT_START_INFO, Region::ClientPrivate),
        (ARENA_BASE, Region::Guard),
        (HIGH_ARENA_BASE - 1, Region::Guard),
        (ARENA_END - 1, Region::NotMapped),
        (INPUT_BASE, Region::ClientInput),
        (INPUT_END - 1, Region::ClientInput),
        (INPUT_END, Region::NotMapped),
        (u32::MAX, Region::NotMapped),
    ] {
        neither_read_nor_written(&mut sbm, address, region)?;
    }
    same!(DATA.load(Ordering::Relaxed), 0xc3c3_c3c3_c3c3_c3c3);
    Ok(())
}

fn an_address_beyond_four_gib_is_told_as_far_as_the_kernel_tells() -> Verdict {
    let mut sbm = quiet()?;
    let told = u64::MAX >> (u64::BITS - sel4::VmFault::ADDR_BITS);
    // In the user's half and in the kernel's.
    for address in [0x0000_7fff_9000_0000_u64, 0xffff_8000_9000_0000, 0xffff_ffff_9000_0000] {
        let result = sbm.call(read, (address as usize,));
        aborted(&mut sbm, result, page(Access::Read, address & told, read_ip(), Region::NotMapped))?;
        let result = sbm.call(write, (address as usize,));
        aborted(&mut sbm, result, page(Access::Write, address & told, write_ip(), Region::NotMapped))?;
    }
    Ok(())
}

fn a_jump_to_data_is_an_execution() -> Verdict {
    let mut sbm = quiet()?;
    let address = (&raw const DATA) as usize;
    let result = sbm.call(jump, (address,));
    aborted(&mut sbm, result, page(Access::Execute, address as u64, address as u64, Region::ClientData))
}

fn a_jump_to_null_is_an_execution() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(jump, (0_usize,));
    aborted(&mut sbm, result, page(Access::Execute, 0, 0, Region::NotMapped))
}

fn a_jump_to_a_guard_is_an_execution() -> Verdict {
    let mut sbm = quiet()?;
    let arguments = sbm.call(argument_page, ())?.assume_checked();
    let guard = arguments + PAGE_BYTES + 3;
    let result = sbm.call(jump, (guard,));
    aborted(&mut sbm, result, page(Access::Execute, guard as u64, guard as u64, Region::StackGuard))
}

/// seL4 has no execute-disable on x86-64: what can be read can be run, and has no more rights than its reader.
fn code_in_a_buffer_runs_without_any_right_more() -> Verdict {
    /// `ret`.
    const RETURN: [u8; 1] = [0xc3];
    /// `mov byte ptr [rdi + 1], 1; ret`, called with its own address in `rdi`.
    const WRITE: [u8; 5] = [0xc6, 0x47, 0x01, 0x01, 0xc3];
    let mut sbm = quiet()?;
    sbm.call(run_code, (copy_in(&RETURN[..]),))?.assume_checked();
    let address = sbm.call(|code: &[u8]| code.as_ptr() as usize, (copy_in(&WRITE[..]),))?.assume_checked() as u64;
    let result = sbm.call(run_code, (copy_in(&WRITE[..]),));
    aborted(&mut sbm, result, page(Access::Write, address + 1, address, Region::Argument(1)))?;
    let mut code = WRITE;
    sbm.call(|code: &mut [u8]| raw::jump(code.as_ptr() as usize), (copy_inout(&mut code[..]),))?.assume_checked();
    same!(code, [0xc6, 0x01, 0x01, 0x01, 0xc3]);
    works(&mut sbm)
}

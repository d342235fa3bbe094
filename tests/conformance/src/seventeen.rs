// SPDX-License-Identifier: MIT OR Apache-2.0
//! The behaviours that SBM's own tests demand, in their order, one test each.
//!
//! Where a buffer is involved, each holds for a buffer that was set up with the sandbox and for one that was added at
//! the call; and at both placements, start of page (SBM's) and end of page, where it does not depend on the placement.

use core::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

use harness::{
    Sentinels, Test, Verdict, check,
    expect::{Expected, aborted, exception, page, works},
    raw, same, tests,
};
use sbm::{Access, CopyIn, CopyOut, Error, Region, Sbm, Tainted, copy_in, copy_inout, copy_out};
use sbm_abi::limits::PAGE;

pub(crate) const TESTS: &[Test] = tests![
    a_write_to_the_output_buffer_reaches_the_caller,
    a_write_past_the_output_buffer_in_its_page_is_not_copied_back_and_no_error,
    a_write_to_the_page_after_the_output_buffer_is_efault,
    a_write_before_the_output_buffer_is_efault,
    a_write_to_initialised_static_data_is_efault,
    a_write_to_zero_initialised_static_data_is_efault,
    a_write_to_memory_that_was_not_passed_is_efault,
    a_write_to_the_callers_stack_is_efault,
    a_value_copied_from_input_to_output_arrives,
    a_read_past_the_input_buffer_in_its_page_gives_zero,
    a_read_of_the_page_after_the_input_buffer_is_efault,
    a_read_before_the_input_buffer_is_efault,
    a_read_of_memory_that_was_not_passed_is_efault,
    an_inout_buffer_is_seen_inside_and_comes_back_updated,
    the_stack_is_usable_to_its_far_end,
    a_stack_overflow_is_efault,
    a_write_to_a_non_canonical_address_is_efault,
];

/// Bytes of the buffers here: less than a page, so that there is something between buffer and guard.
const SIZE: usize = 64;
const PAGE_BYTES: usize = PAGE as usize;

/// Initialised static data of the caller, which code of the sandbox can name.
static INITIALISED: AtomicU64 = AtomicU64::new(0x1717_1717_1717_1717);
/// Zero-initialised static data of the caller.
static ZEROED: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    End,
}

const PLACEMENTS: [At; 2] = [At::Start, At::End];

fn out(buffer: &mut [u8; SIZE], at: At) -> CopyOut<'_, [u8]> {
    match at {
        At::Start => copy_out(&mut buffer[..]),
        At::End => copy_out(&mut buffer[..]).at_end(),
    }
}

fn within(buffer: &[u8; SIZE], at: At) -> CopyIn<'_, [u8]> {
    match at {
        At::Start => copy_in(&buffer[..]),
        At::End => copy_in(&buffer[..]).at_end(),
    }
}

/// Sandboxes whose argument 1 is set up with them, and added at the call.
fn output_sandboxes() -> Result<[Sbm; 2], Error> {
    Ok([Sbm::builder().room_out(1, SIZE).report(false).build()?, Sbm::builder().report(false).build()?])
}

fn input_sandboxes() -> Result<[Sbm; 2], Error> {
    Ok([Sbm::builder().room_in(1, SIZE).report(false).build()?, Sbm::builder().report(false).build()?])
}

// Functions that run in sandboxes.

fn address_of(buffer: &mut [u8]) -> usize {
    buffer.as_ptr() as usize
}

fn address_of_input(buffer: &[u8]) -> usize {
    buffer.as_ptr() as usize
}

fn count_up(output: &mut [u8]) -> usize {
    for (byte, value) in output.iter_mut().zip(0..) {
        *byte = value;
    }
    output.len()
}

/// Writes all of the buffer, and one byte at an offset from its start.
fn write_at(output: &mut [u8], offset: isize) {
    output.fill(0x77);
    raw::write(output.as_mut_ptr() as usize + offset.cast_unsigned(), 0x78);
}

/// Writes all of the buffer, and one byte somewhere else.
fn write_to(output: &mut [u8], address: usize) {
    output.fill(0x77);
    raw::write(address, 0x78);
}

fn read_at(input: &[u8], offset: isize) -> u8 {
    raw::read(input.as_ptr() as usize + offset.cast_unsigned())
}

/// Adds up the bytes that follow the input in its page.
fn sum_of_slack(input: &[u8]) -> u64 {
    let end = input.as_ptr() as usize + input.len();
    (end..end.next_multiple_of(PAGE_BYTES)).map(|address| u64::from(raw::read(address))).sum()
}

fn copy_word(input: &u64, output: &mut u64) {
    *output = *input;
}

fn add_one(numbers: &mut [u32]) -> u32 {
    let sum = numbers.iter().sum();
    for number in numbers {
        *number += 1;
    }
    sum
}

/// Writes every byte of the stack from below the ones in use down to `lowest`, and returns how many they were.
fn use_stack(lowest: usize) -> usize {
    // A call of its own would be overwritten: what is written lies below the red zone of `raw::write`.
    let highest = raw::stack_pointer() - 256;
    (lowest..highest).rev().map(|address| raw::write(address, 0x5a)).count()
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if depth == u64::MAX {
        return 0;
    }
    black_box(recurse(black_box(depth + 1))) + frame[3]
}

fn address_of_argument_page() -> usize {
    usize::try_from(raw::argument_page_word(sbm_abi::limits::SELF_OFFSET as usize)).unwrap_or(0)
}

/// Returns the address of a buffer in the sandbox, which is the same at the next call.
fn output_address(sbm: &mut Sbm, at: At) -> Result<usize, Error> {
    let mut buffer = [0; SIZE];
    Ok(sbm.call(address_of, (out(&mut buffer, at),))?.assume_checked())
}

fn input_address(sbm: &mut Sbm, at: At) -> Result<usize, Error> {
    Ok(sbm.call(address_of_input, (within(&[0; SIZE], at),))?.assume_checked())
}

fn page_fault(access: Access, address: usize, region: Region) -> Expected {
    let ip = if access == Access::Write { raw::write as *const () } else { raw::read as *const () };
    page(access, address as u64, ip as usize as u64, region)
}

/// Has a sandbox write at an offset from the output buffer, and checks the error and that nothing reached the caller.
fn write_is_refused(at: At, offset: impl Fn(usize) -> isize, region: Region) -> Verdict {
    for mut sbm in output_sandboxes()? {
        let address = output_address(&mut sbm, at)?;
        let offset = offset(address);
        let mut caller = Sentinels::<SIZE>::new();
        let result = sbm.call(write_at, (out(&mut caller.buffer, at), offset));
        aborted(&mut sbm, result, page_fault(Access::Write, address + offset.cast_unsigned(), region))?;
        caller.unchanged()?;
    }
    Ok(())
}

/// Has a sandbox write at an address of the caller's, with its output at either placement.
fn write_elsewhere_is_refused(address: usize, region: Region) -> Verdict {
    for at in PLACEMENTS {
        for mut sbm in output_sandboxes()? {
            let mut caller = Sentinels::<SIZE>::new();
            let result = sbm.call(write_to, (out(&mut caller.buffer, at), address));
            aborted(&mut sbm, result, page_fault(Access::Write, address, region))?;
            caller.unchanged()?;
        }
    }
    Ok(())
}

fn read_is_refused(at: At, offset: impl Fn(usize) -> isize, region: Region) -> Verdict {
    for mut sbm in input_sandboxes()? {
        let address = input_address(&mut sbm, at)?;
        let offset = offset(address);
        let caller = Sentinels::<SIZE>::new();
        let result = sbm.call(read_at, (within(&caller.buffer, at), offset));
        aborted(&mut sbm, result, page_fault(Access::Read, address + offset.cast_unsigned(), region))?;
        caller.unchanged()?;
    }
    Ok(())
}

/// Offset of the byte before the page that an address lies in.
fn before_page(address: usize) -> isize {
    -(address % PAGE_BYTES + 1).cast_signed()
}

fn a_write_to_the_output_buffer_reaches_the_caller() -> Verdict {
    for at in PLACEMENTS {
        for mut sbm in output_sandboxes()? {
            let mut caller = Sentinels::<SIZE>::new();
            let count = sbm.call(count_up, (out(&mut caller.buffer, at),))?.assume_checked();
            same!(count, SIZE);
            check!(caller.buffer.iter().zip(0..).all(|(byte, value)| *byte == value), "{at:?}: other bytes arrive");
            caller.kept_around()?;
            works(&mut sbm)?;
        }
    }
    Ok(())
}

fn a_write_past_the_output_buffer_in_its_page_is_not_copied_back_and_no_error() -> Verdict {
    for mut sbm in output_sandboxes()? {
        for offset in [SIZE, SIZE + 1, PAGE_BYTES - 1] {
            let mut caller = Sentinels::<SIZE>::new();
            sbm.call(write_at, (out(&mut caller.buffer, At::Start), offset.cast_signed()))?.assume_checked();
            check!(caller.buffer == [0x77; SIZE], "what was written in bounds is not what arrives");
            caller.kept_around()?;
            works(&mut sbm)?;
        }
    }
    Ok(())
}

fn a_write_to_the_page_after_the_output_buffer_is_efault() -> Verdict {
    write_is_refused(At::Start, |_| PAGE_BYTES.cast_signed(), Region::GuardAfter(1))?;
    write_is_refused(At::Start, |_| (2 * PAGE_BYTES).cast_signed() - 1, Region::GuardAfter(1))?;
    // At the end of the page, the first byte past the buffer is that page's.
    write_is_refused(At::End, |_| SIZE.cast_signed(), Region::GuardAfter(1))
}

fn a_write_before_the_output_buffer_is_efault() -> Verdict {
    write_is_refused(At::Start, |_| -1, Region::GuardBefore(1))?;
    write_is_refused(At::End, before_page, Region::GuardBefore(1))
}

fn a_write_to_initialised_static_data_is_efault() -> Verdict {
    write_elsewhere_is_refused((&raw const INITIALISED) as usize, Region::ClientData)?;
    same!(INITIALISED.load(Ordering::Relaxed), 0x1717_1717_1717_1717);
    Ok(())
}

fn a_write_to_zero_initialised_static_data_is_efault() -> Verdict {
    write_elsewhere_is_refused((&raw const ZEROED) as usize, Region::ClientData)?;
    same!(ZEROED.load(Ordering::Relaxed), 0);
    Ok(())
}

fn a_write_to_memory_that_was_not_passed_is_efault() -> Verdict {
    // A buffer of the caller's, of another of its sandboxes.
    let mut builder = Sbm::builder();
    let mut buffer = builder.input(PAGE_BYTES);
    let mut other = builder.build()?;
    let bytes = other.input(buffer)?;
    bytes.fill(0x33);
    let address = bytes.as_ptr() as usize;
    write_elsewhere_is_refused(address + 5, Region::Guard)?;
    check!(other.input(buffer)?.iter().all(|byte| *byte == 0x33), "the buffer has changed");
    works(&mut other)?;
    // The same sandbox's own input, which it can read.
    let mut builder = Sbm::builder().report(false);
    buffer = builder.input(PAGE_BYTES);
    let mut sbm = builder.build()?;
    sbm.input(buffer)?.fill(0x33);
    let address = sbm.input(buffer)?.as_ptr() as usize;
    let mut caller = Sentinels::<SIZE>::new();
    let result = sbm.call(write_to, (copy_out(&mut caller.buffer[..]), address));
    aborted(&mut sbm, result, page_fault(Access::Write, address, Region::Argument(7)))?;
    caller.unchanged()?;
    check!(sbm.input(buffer)?.iter().all(|byte| *byte == 0x33), "the input has changed");
    Ok(())
}

fn a_write_to_the_callers_stack_is_efault() -> Verdict {
    let local = black_box(0x4242_4242_u64);
    write_elsewhere_is_refused((&raw const local) as usize, Region::ClientStack)?;
    same!(black_box(local), 0x4242_4242);
    Ok(())
}

fn a_value_copied_from_input_to_output_arrives() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    let input = 0x0123_4567_89ab_cdef_u64;
    let mut output = 0;
    sbm.call(copy_word, (copy_in(&input), copy_out(&mut output)))?.assume_checked();
    same!(output, input);
    let mut tainted = Tainted::zeroed();
    sbm.call(copy_word, (copy_in(&input).at_end(), copy_out(&mut tainted).at_end()))?.assume_checked();
    same!(tainted.assume_checked(), input);
    // The function and its call apart: a value that names the function, of a type that says what it takes.
    let function: CopyFunction = CopyFunction;
    let mut output = 0;
    function.call_in(&mut sbm, input + 1, &mut output)?;
    same!(output, input + 1);
    Ok(())
}

/// A call helper, defined apart from the function that it calls.
#[derive(Clone, Copy)]
struct CopyFunction;

impl CopyFunction {
    fn call_in(self, sbm: &mut Sbm, input: u64, output: &mut u64) -> Result<(), Error> {
        sbm.call(copy_word, (copy_in(&input), copy_out(output))).map(Tainted::assume_checked)
    }
}

fn a_read_past_the_input_buffer_in_its_page_gives_zero() -> Verdict {
    for mut sbm in input_sandboxes()? {
        let caller = Sentinels::<SIZE>::new();
        same!(sbm.call(sum_of_slack, (within(&caller.buffer, At::Start),))?.assume_checked(), 0);
        same!(sbm.call(read_at, (within(&caller.buffer, At::Start), SIZE.cast_signed()))?.assume_checked(), 0);
        // Nor what a longer input left there.
        let long = [0x99; 4 * SIZE];
        sbm.call(address_of_input, (copy_in(&long[..]),))?.assume_checked();
        same!(sbm.call(sum_of_slack, (within(&caller.buffer, At::Start),))?.assume_checked(), 0);
        works(&mut sbm)?;
        caller.unchanged()?;
    }
    Ok(())
}

fn a_read_of_the_page_after_the_input_buffer_is_efault() -> Verdict {
    read_is_refused(At::Start, |_| PAGE_BYTES.cast_signed(), Region::GuardAfter(1))?;
    read_is_refused(At::Start, |_| (2 * PAGE_BYTES).cast_signed() - 1, Region::GuardAfter(1))?;
    read_is_refused(At::End, |_| SIZE.cast_signed(), Region::GuardAfter(1))
}

fn a_read_before_the_input_buffer_is_efault() -> Verdict {
    read_is_refused(At::Start, |_| -1, Region::GuardBefore(1))?;
    read_is_refused(At::End, before_page, Region::GuardBefore(1))
}

fn a_read_of_memory_that_was_not_passed_is_efault() -> Verdict {
    let local = black_box(7_u8);
    let mut builder = Sbm::builder();
    let buffer = builder.input(PAGE_BYTES);
    let mut other = builder.build()?;
    let shared = other.input(buffer)?.as_ptr() as usize;
    for (address, region) in [
        (shared, Region::Guard),
        ((&raw const local) as usize, Region::ClientStack),
        ((&raw const INITIALISED) as usize, Region::ClientData),
        ((&raw const ZEROED) as usize, Region::ClientData),
        (sbm_abi::limits::CLIENT_IPC_BUFFER as usize, Region::ClientPrivate),
        (sbm_abi::limits::CLIENT_START_INFO as usize, Region::ClientPrivate),
    ] {
        for at in PLACEMENTS {
            let mut sbm = Sbm::builder().report(false).build()?;
            let input = input_address(&mut sbm, at)?;
            let caller = Sentinels::<SIZE>::new();
            let offset = address.wrapping_sub(input).cast_signed();
            let result = sbm.call(read_at, (within(&caller.buffer, at), offset));
            aborted(&mut sbm, result, page_fault(Access::Read, address, region))?;
            caller.unchanged()?;
        }
    }
    Ok(())
}

fn an_inout_buffer_is_seen_inside_and_comes_back_updated() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    for at in PLACEMENTS {
        let mut numbers = [1_u32, 20, 300];
        let argument = copy_inout(&mut numbers[..]);
        let argument = if at == At::End { argument.at_end() } else { argument };
        same!(sbm.call(add_one, (argument,))?.assume_checked(), 321);
        same!(numbers, [2, 21, 301]);
    }
    // An aborted call updates nothing.
    let mut caller = Sentinels::<SIZE>::new();
    let result = sbm.call(write_to, (copy_inout(&mut caller.buffer[..]), 0x3fff_f000_usize));
    aborted(&mut sbm, result, page_fault(Access::Write, 0x3fff_f000, Region::Guard))?;
    caller.unchanged()
}

fn the_stack_is_usable_to_its_far_end() -> Verdict {
    for pages in [1, 2, 16, 256] {
        let mut sbm = Sbm::builder().stack(pages * PAGE_BYTES).report(false).build()?;
        // The stack follows the argument page and a guard.
        let lowest = sbm.call(address_of_argument_page, ())?.assume_checked() + 2 * PAGE_BYTES;
        let used = sbm.call(use_stack, (lowest,))?.assume_checked();
        check!(used > pages * PAGE_BYTES - 1024, "only {used} bytes of {pages} pages");
        works(&mut sbm)?;
        // One byte further is the guard.
        let result = sbm.call(raw_write, (lowest - 1,));
        aborted(&mut sbm, result, page_fault(Access::Write, lowest - 1, Region::StackGuard))?;
    }
    Ok(())
}

fn raw_write(address: usize) {
    raw::write(address, 1);
}

fn a_stack_overflow_is_efault() -> Verdict {
    for pages in [1, 2, 16] {
        let mut sbm = Sbm::builder().stack(pages * PAGE_BYTES).report(false).build()?;
        let lowest = sbm.call(address_of_argument_page, ())?.assume_checked() + 2 * PAGE_BYTES;
        let caller = Sentinels::<SIZE>::new();
        let result = sbm.call(recurse, (1_u64,));
        match &result {
            Err(Error::Fault { fault, region }) => {
                same!(*region, Region::StackGuard);
                same!(fault.access, Access::Write);
                let address = usize::try_from(fault.address).unwrap_or(0);
                check!((lowest - PAGE_BYTES..lowest).contains(&address), "the fault is at {address:#x}");
            }
            other => return Err(harness::Why::new(format_args!("no fault but {other:?}"))),
        }
        harness::expect::fault(&mut sbm, result)?;
        caller.unchanged()?;
    }
    Ok(())
}

fn a_write_to_a_non_canonical_address_is_efault() -> Verdict {
    for address in [0x8000_0000_0000_0000, 0x0000_8000_0000_0000, 0x7fff_ffff_ffff_ffff_usize] {
        for at in PLACEMENTS {
            for mut sbm in output_sandboxes()? {
                let mut caller = Sentinels::<SIZE>::new();
                let result = sbm.call(write_to, (out(&mut caller.buffer, at), address));
                // A general protection fault has no address.
                aborted(&mut sbm, result, exception(13, raw::write as *const () as usize as u64))?;
                caller.unchanged()?;
            }
        }
    }
    Ok(())
}

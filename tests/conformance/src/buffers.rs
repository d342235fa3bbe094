// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buffers that are set up once, used for many calls without a copy, and looked at through views.

use harness::{
    Test, Verdict, check,
    expect::{aborted, page, refused, works},
    raw, same, tests,
};
use sbm::{Access, Builder, Errno, Error, Region, Sbm, Tainted, Unfit, copy_in, shared, shared_out};
use sbm_abi::limits::{MAX_BUFFER_PAGES, MAX_BUFFERS, MAX_SPAN, PAGE};

pub(crate) const TESTS: &[Test] = tests![
    what_is_written_to_an_input_is_seen_without_a_copy,
    what_is_written_to_an_output_is_seen_through_its_view,
    an_output_keeps_its_content_between_calls,
    buffers_begin_as_zeros,
    pointers_in_a_buffer_mean_the_same_on_both_sides,
    a_write_to_an_input_is_efault,
    an_overrun_of_an_output_is_efault,
    a_view_reads_what_is_inside,
    a_view_refuses_what_is_not,
    as_many_buffers_as_the_limit_can_be_set_up,
    a_buffer_over_the_limit_is_refused,
    large_buffers_are_used_to_their_ends,
    a_large_buffer_ends_with_guards,
    a_write_to_a_large_input_is_efault,
    large_memory_arrives_empty,
    large_buffers_take_the_place_of_small_ones,
    more_in_all_than_a_sandbox_is_set_up_with_is_refused,
    a_buffer_of_another_sandbox_is_refused,
    an_input_can_be_named_twice,
    an_output_named_twice_is_refused,
    a_length_beyond_the_buffer_is_cut,
];

const PAGE_BYTES: usize = PAGE as usize;
const MIB: usize = 1 << 20;
const MAX_BUFFER_BYTES: usize = MAX_BUFFER_PAGES as usize * PAGE_BYTES;

// Functions that run in sandboxes.

/// Copies the first and the last byte.
fn copy_ends(input: &[u8], output: &mut [u8]) -> usize {
    let (last, written) = (input.len() - 1, output.len() - 1);
    (output[0], output[written]) = (input[0], input[last]);
    last
}

fn invert(input: &[u8], output: &mut [u8]) {
    for (from, to) in input.iter().zip(output) {
        *to = !*from;
    }
}

fn count_up(output: &mut [u8]) -> u8 {
    output[0] += 1;
    output[0]
}

fn all_zero(input: &[u8], output: &mut [u8]) -> bool {
    input.iter().chain(&*output).all(|byte| *byte == 0)
}

/// Follows a list in the buffer: each word is the address of the next one, the last is 0.
fn follow(list: &[u8]) -> u64 {
    let mut address = list.as_ptr() as usize;
    let mut steps = 0;
    while address != 0 {
        address = usize::try_from(raw::read_word(address)).unwrap_or(0);
        steps += 1;
    }
    steps
}

fn write_input(input: &[u8], offset: usize) {
    raw::write(input.as_ptr() as usize + offset, 1);
}

fn overrun(output: &mut [u8]) -> u8 {
    raw::read(output.as_ptr() as usize + output.len())
}

fn address_of(output: &mut [u8]) -> usize {
    output.as_ptr() as usize
}

fn length(input: &[u8]) -> usize {
    input.len()
}

fn read_at(address: usize) -> u8 {
    raw::read(address)
}

fn quiet() -> Builder {
    Sbm::builder().report(false)
}

fn what_is_written_to_an_input_is_seen_without_a_copy() -> Verdict {
    let mut builder = quiet();
    let (input, output) = (builder.input(PAGE_BYTES), builder.output(PAGE_BYTES));
    let mut sbm = builder.build()?;
    for byte in 0..3 {
        sbm.input(input)?.fill(byte);
        sbm.call(invert, (shared(input, PAGE_BYTES), shared_out(output)))?.assume_checked();
        let mut bytes = [0; PAGE_BYTES];
        check!(sbm.output(output)?.read(0, &mut bytes).is_some());
        check!(bytes.iter().all(|found| *found == !byte), "other bytes than {byte}");
    }
    works(&mut sbm)
}

fn what_is_written_to_an_output_is_seen_through_its_view() -> Verdict {
    let mut builder = quiet();
    let output = builder.output(3 * PAGE_BYTES);
    let mut sbm = builder.build()?;
    sbm.call(|output: &mut [u8]| output.copy_within(0..1, 1), (shared_out(output),))?.assume_checked();
    sbm.call(|output: &mut [u8]| output[2 * 4096..].fill(0x42), (shared_out(output),))?.assume_checked();
    let view = sbm.output(output)?;
    same!(view.len(), 3 * PAGE_BYTES);
    check!(!view.is_empty());
    let found = view.get::<u32>(2 * PAGE_BYTES).map(Tainted::assume_checked);
    same!(found, Some(0x4242_4242));
    let across = view.get::<u64>(2 * PAGE_BYTES - 4).map(Tainted::assume_checked);
    same!(across, Some(0x4242_4242_0000_0000));
    Ok(())
}

fn an_output_keeps_its_content_between_calls() -> Verdict {
    let mut builder = quiet();
    let output = builder.output(16);
    let mut sbm = builder.build()?;
    for count in 1..=9 {
        same!(sbm.call(count_up, (shared_out(output),))?.assume_checked(), count);
    }
    Ok(())
}

fn buffers_begin_as_zeros() -> Verdict {
    // Twice: the second one may be what was left of the first.
    for _ in 0..2 {
        let mut builder = quiet();
        let (input, output) = (builder.input(2 * PAGE_BYTES), builder.output(2 * PAGE_BYTES));
        let mut sbm = builder.build()?;
        check!(sbm.input(input)?.iter().all(|byte| *byte == 0), "the client's side is not zero");
        check!(sbm.call(all_zero, (shared(input, usize::MAX), shared_out(output)))?.assume_checked());
        sbm.input(input)?.fill(1);
        sbm.call(|output: &mut [u8]| output.fill(2), (shared_out(output),))?.assume_checked();
    }
    Ok(())
}

fn pointers_in_a_buffer_mean_the_same_on_both_sides() -> Verdict {
    let mut builder = quiet();
    let input = builder.input(PAGE_BYTES);
    let mut sbm = builder.build()?;
    let bytes = sbm.input(input)?;
    let base = bytes.as_ptr() as u64;
    for (place, next) in [(0, 2048), (2048, 8), (8, 4000)] {
        bytes[place..place + 8].copy_from_slice(&(base + next).to_le_bytes());
    }
    same!(sbm.call(follow, (shared(input, PAGE_BYTES),))?.assume_checked(), 4);
    Ok(())
}

fn a_write_to_an_input_is_efault() -> Verdict {
    let mut builder = quiet();
    let input = builder.input(PAGE_BYTES);
    let mut sbm = builder.build()?;
    sbm.input(input)?.fill(7);
    let address = sbm.input(input)?.as_ptr() as usize;
    let result = sbm.call(write_input, (shared(input, PAGE_BYTES), 100_usize));
    let ip = raw::write as *const () as usize as u64;
    aborted(&mut sbm, result, page(Access::Write, address as u64 + 100, ip, Region::Argument(7)))?;
    check!(sbm.input(input)?.iter().all(|byte| *byte == 7), "the input has changed");
    Ok(())
}

fn an_overrun_of_an_output_is_efault() -> Verdict {
    let mut builder = quiet();
    let (_, output) = (builder.input(1), builder.output(PAGE_BYTES));
    let mut sbm = builder.build()?;
    let address = sbm.call(address_of, (shared_out(output),))?.assume_checked();
    let result = sbm.call(overrun, (shared_out(output),));
    let ip = raw::read as *const () as usize as u64;
    aborted(&mut sbm, result, page(Access::Read, (address + PAGE_BYTES) as u64, ip, Region::GuardAfter(8)))
}

fn a_view_reads_what_is_inside() -> Verdict {
    let mut builder = quiet();
    let output = builder.output(1);
    let mut sbm = builder.build()?;
    let view = sbm.output(output)?;
    let mut bytes = [1; PAGE_BYTES];
    check!(view.read(0, &mut bytes).is_some());
    check!(view.read(PAGE_BYTES - 1, &mut bytes[..1]).is_some());
    check!(view.read(PAGE_BYTES, &mut bytes[..0]).is_some());
    check!(view.get::<u64>(PAGE_BYTES - 8).is_some());
    Ok(())
}

fn a_view_refuses_what_is_not() -> Verdict {
    let mut builder = quiet();
    let output = builder.output(1);
    let mut sbm = builder.build()?;
    let view = sbm.output(output)?;
    let mut bytes = [1; PAGE_BYTES + 1];
    check!(view.read(0, &mut bytes).is_none());
    check!(view.read(PAGE_BYTES, &mut bytes[..1]).is_none());
    check!(view.read(usize::MAX, &mut bytes[..2]).is_none());
    check!(view.get::<u64>(PAGE_BYTES - 7).is_none());
    check!(bytes.iter().all(|byte| *byte == 1), "bytes were read all the same");
    Ok(())
}

fn as_many_buffers_as_the_limit_can_be_set_up() -> Verdict {
    let mut builder = quiet();
    let mut inputs = [None; MAX_BUFFERS];
    for input in &mut inputs {
        *input = Some(builder.input(1));
    }
    let mut sbm = builder.build()?;
    for (byte, input) in (1..).zip(inputs.into_iter().flatten()) {
        sbm.input(input)?.fill(byte);
    }
    for (byte, input) in (1..).zip(inputs.into_iter().flatten()) {
        let sum =
            sbm.call(|input: &[u8]| u64::from(input[0]) + u64::from(input[4095]), (shared(input, PAGE_BYTES),))?;
        same!(sum.assume_checked(), 2 * byte);
    }
    Ok(())
}

fn a_buffer_over_the_limit_is_refused() -> Verdict {
    let mut builder = quiet();
    for _ in 0..=MAX_BUFFERS {
        builder.input(1);
    }
    refused(builder.build(), 15, Unfit::Buffers { limit: MAX_BUFFERS })?;
    let mut builder = quiet();
    builder.output(MAX_BUFFER_BYTES + 1);
    refused(builder.build(), 7, Unfit::Buffer { bytes: MAX_BUFFER_BYTES + 1, limit: MAX_BUFFER_BYTES })
}

/// Large pages alone, with small ones behind them, and buffers between which a guard has a large page to itself.
fn large_buffers_are_used_to_their_ends() -> Verdict {
    for bytes in [2 * MIB, 2 * MIB + 1, 4 * MIB - 1, 96 * MIB] {
        let mut builder = quiet();
        let (input, output) = (builder.input(bytes), builder.output(bytes));
        let mut sbm = builder.build()?;
        for _ in 0..2 {
            let there = sbm.input(input)?;
            (there[0], there[bytes / 2], there[bytes - 1]) = (3, 4, 5);
            let last = sbm.call(copy_ends, (shared(input, bytes), shared_out(output)))?.assume_checked();
            same!(last, bytes - 1);
            let view = sbm.output(output)?;
            let at = |offset| view.get::<u8>(offset).map(Tainted::assume_checked);
            same!([at(0), at(view.len() - 1), at(1)], [Some(3), Some(5), Some(0)]);
            sbm.reset()?;
        }
    }
    Ok(())
}

fn a_large_buffer_ends_with_guards() -> Verdict {
    let ip = raw::read as *const () as usize as u64;
    for pages in [512, 513, 1023, 1024] {
        let mut builder = quiet();
        let (_, output) = (builder.input(4 * MIB), builder.output(pages * PAGE_BYTES));
        let mut sbm = builder.build()?;
        let start = sbm.call(address_of, (shared_out(output),))?.assume_checked();
        let end = start + pages * PAGE_BYTES;
        for (address, region) in [(start - 1, Region::GuardBefore(8)), (end, Region::GuardAfter(8))] {
            let result = sbm.call(read_at, (address,));
            aborted(&mut sbm, result, page(Access::Read, address as u64, ip, region))?;
        }
        sbm.call(read_at, (end - 1,))?;
        sbm.call(read_at, (start,))?;
    }
    Ok(())
}

fn a_write_to_a_large_input_is_efault() -> Verdict {
    let mut builder = quiet();
    let input = builder.input(5 * MIB);
    let mut sbm = builder.build()?;
    let address = sbm.input(input)?.as_ptr() as usize;
    let ip = raw::write as *const () as usize as u64;
    for offset in [0, 3 * MIB, 5 * MIB - 1] {
        let result = sbm.call(write_input, (shared(input, 5 * MIB), offset));
        aborted(&mut sbm, result, page(Access::Write, (address + offset) as u64, ip, Region::Argument(7)))?;
        check!(sbm.input(input)?[offset] == 0, "the input has changed");
    }
    Ok(())
}

fn large_memory_arrives_empty() -> Verdict {
    const BYTES: usize = 6 * MIB + 4096;
    for _ in 0..3 {
        let mut builder = quiet();
        let (input, output) = (builder.input(BYTES), builder.output(BYTES));
        let mut sbm = builder.build()?;
        check!(sbm.input(input)?.iter().all(|byte| *byte == 0), "the client's side is not zero");
        check!(sbm.call(all_zero, (shared(input, BYTES), shared_out(output)))?.assume_checked());
        sbm.input(input)?.fill(1);
        sbm.call(|output: &mut [u8]| output.fill(2), (shared_out(output),))?.assume_checked();
    }
    Ok(())
}

/// Page tables that were there before, in the client, give way to large pages, and come again.
fn large_buffers_take_the_place_of_small_ones() -> Verdict {
    for round in 0..3 {
        for bytes in [511 * 4096, 3 * MIB, 1000 * 4096, 40 * MIB, 33 * MIB + 5, 4096] {
            let mut sbm = quiet().room_in(1, bytes).build()?;
            same!(sbm.call(length, (copy_in(&[7; 4][..round + 1]),))?.assume_checked(), round + 1);
            // And once more for an argument that grows.
            let mut other = Sbm::builder().report(false).build()?;
            same!(other.call(length, (copy_in(&[7; 4][..round + 1]),))?.assume_checked(), round + 1);
        }
    }
    Ok(())
}

fn more_in_all_than_a_sandbox_is_set_up_with_is_refused() -> Verdict {
    let limit = MAX_SPAN as usize;
    for builder in [
        quiet().room_in(1, MAX_BUFFER_BYTES).room_in(2, MAX_BUFFER_BYTES),
        quiet().room_in(1, MAX_BUFFER_BYTES).heap(512 << 20),
    ] {
        let result = builder.build().map(drop);
        check!(matches!(result, Err(Error::Large { bytes, limit: told }) if bytes > limit && told == limit));
        same!(result.map_err(|error| error.errno()), Err(Errno::Invalid));
    }
    // Each by itself is not too much: what is larger in all is added later.
    let mut sbm = quiet().heap(64 << 20).room_in(1, 32 << 20).build()?;
    works(&mut sbm)
}

/// Two sandboxes of the same shape: where a buffer of one stands, the other has one of its own.
fn a_buffer_of_another_sandbox_is_refused() -> Verdict {
    let make = || {
        let mut builder = quiet();
        let buffers = (builder.input(1), builder.output(1));
        builder.build().map(|sbm| (sbm, buffers))
    };
    let (mut sbm, (input, output)) = make()?;
    let (mut other, (its_input, its_output)) = make()?;
    check!(input != its_input && output != its_output, "two buffers have the same name");
    sbm.input(input)?.fill(1);
    other.input(its_input)?.fill(2);
    refused(sbm.input(its_input), 7, Unfit::Foreign)?;
    refused(sbm.output(its_output), 8, Unfit::Foreign)?;
    refused(sbm.call(length, (shared(its_input, 1),)), 1, Unfit::Foreign)?;
    refused(sbm.call(|_: u8, output: &mut [u8]| output.fill(1), (0_u8, shared_out(its_output))), 2, Unfit::Foreign)?;
    check!(sbm.input(input)?.iter().all(|byte| *byte == 1), "an input has changed");
    for (sbm, output) in [(&mut sbm, output), (&mut other, its_output)] {
        same!(sbm.output(output)?.get::<u8>(0).map(Tainted::assume_checked), Some(0), "an output has changed");
        works(sbm)?;
    }
    drop(other);
    refused(sbm.input(its_input), 7, Unfit::Foreign)
}

fn an_input_can_be_named_twice() -> Verdict {
    let mut builder = quiet();
    let input = builder.input(1);
    let mut sbm = builder.build()?;
    sbm.input(input)?[..2].copy_from_slice(b"ab");
    let same = sbm.call(|one: &[u8], two: &[u8]| one == &two[..1], (shared(input, 1), shared(input, 2)))?;
    check!(same.assume_checked(), "it is not the same twice");
    Ok(())
}

fn an_output_named_twice_is_refused() -> Verdict {
    let mut builder = quiet();
    let (first, second) = (builder.output(1), builder.output(1));
    let mut sbm = builder.build()?;
    let result = sbm.call(|_: &mut [u8], _: &mut [u8]| (), (shared_out(first), shared_out(first)));
    refused(result, 2, Unfit::Twice)?;
    sbm.call(|_: &mut [u8], _: &mut [u8]| (), (shared_out(second), shared_out(first)))?.assume_checked();
    works(&mut sbm)
}

fn a_length_beyond_the_buffer_is_cut() -> Verdict {
    let mut builder = quiet();
    let input = builder.input(1);
    let mut sbm = builder.build()?;
    for (asked, wanted) in
        [(0, 0), (1, 1), (PAGE_BYTES, PAGE_BYTES), (PAGE_BYTES + 1, PAGE_BYTES), (usize::MAX, PAGE_BYTES)]
    {
        same!(sbm.call(length, (shared(input, asked),))?.assume_checked(), wanted);
    }
    Ok(())
}

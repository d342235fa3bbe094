// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes and typed data: in, out, and both; at either end of a page; in buffers that grow.

use harness::{
    Random, Sentinels, Test, Verdict, Why, check,
    expect::{aborted, page, refused, works},
    raw, same, tests,
};
use sbm::{Access, Error, Region, Sbm, Tainted, Unfit, Zeroable, copy_in, copy_inout, copy_out};
use sbm_abi::limits::{MAX_BUFFER_PAGES, PAGE};

pub(crate) const TESTS: &[Test] = tests![
    bytes_of_any_length_arrive_inside,
    bytes_of_any_length_arrive_outside,
    bytes_of_any_length_come_back_changed,
    typed_data_arrives_inside_and_outside,
    what_is_copied_out_begins_as_zeros,
    at_the_end_of_a_page_an_overrun_by_one_byte_is_efault,
    at_the_end_of_a_page_the_last_byte_is_usable,
    at_the_end_of_a_page_what_precedes_a_buffer_is_zero,
    at_the_end_of_a_page_typed_data_is_aligned,
    buffers_grow_with_their_arguments,
    a_call_never_sees_another_calls_input_around_its_own,
    an_argument_may_alternate_between_in_and_out,
    large_room_is_granted,
    room_over_the_limit_is_refused,
    room_for_an_argument_that_no_call_has_is_refused,
    a_size_over_the_limit_is_told_with_number_size_and_limit,
    arguments_of_any_sequence_of_sizes_are_taken_for_ever,
    outgrown_buffers_go_back,
    an_outgrown_buffer_of_the_setup_serves_another_argument,
    memory_functions_work_inside,
];

const PAGE_BYTES: usize = PAGE as usize;

/// Room for the longest buffer here.
const LONGEST: usize = 5 * PAGE_BYTES;

const LENGTHS: [usize; 12] = [0, 1, 7, 8, 9, 63, 4095, 4096, 4097, 8192, 12_293, LONGEST];

#[derive(Debug, Clone, Copy, PartialEq, Eq, sbm::Pod)]
#[repr(C)]
struct Record {
    id: u64,
    counts: [u16; 4],
    flags: u32,
    rest: [u8; 4],
}

const RECORD: Record = Record { id: 0x1122_3344_5566_7788, counts: [1, 2, 3, 4], flags: 0x9abc_def0, rest: *b"rest" };

// Functions that run in sandboxes.

/// A sum that depends on the order of the bytes.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte))
}

fn fill_with(output: &mut [u8], seed: u64) -> u64 {
    Random::new(seed).fill(output);
    sum(output)
}

fn invert(bytes: &mut [u8]) -> u64 {
    let before = sum(bytes);
    for byte in bytes {
        *byte = !*byte;
    }
    before
}

fn read_record(record: &Record, records: &[Record]) -> bool {
    *record == RECORD && records.iter().all(|other| *other == RECORD) && records.len() == 3
}

fn write_record(record: &mut Record, records: &mut [u32; 3]) -> bool {
    let zeros = *record == Record::zeroed() && *records == [0; 3];
    *record = RECORD;
    *records = [7, 8, 9];
    zeros
}

fn swap_record(record: &mut Record) {
    record.counts.reverse();
    record.id = record.id.swap_bytes();
}

fn read_past(input: &[u8]) -> u8 {
    raw::read(input.as_ptr() as usize + input.len())
}

fn write_past(output: &mut [u8]) {
    raw::write(output.as_ptr() as usize + output.len(), 1);
}

fn address_of(input: &[u8]) -> usize {
    input.as_ptr() as usize
}

fn address_of_output(output: &mut [u8]) -> usize {
    output.as_ptr() as usize
}

fn last_bytes(input: &[u8], output: &mut [u8]) -> u8 {
    let last = output.len() - 1;
    output[last] = input[input.len() - 1];
    output[last]
}

/// Counts the bytes other than zero in the pages of the input, outside of it.
fn leftovers(input: &[u8]) -> usize {
    let begin = input.as_ptr() as usize;
    let end = begin + input.len();
    let first = begin - begin % PAGE_BYTES;
    let before = (first..begin).filter(|address| raw::read(*address) != 0).count();
    before + (end..end.next_multiple_of(PAGE_BYTES)).filter(|address| raw::read(*address) != 0).count()
}

fn is_aligned(one: &u64, many: &[u32], record: &mut Record) -> usize {
    let one = core::ptr::from_ref(one) as usize;
    let many = many.as_ptr() as usize;
    let record = core::ptr::from_mut(record) as usize;
    one % align_of::<u64>() + many % align_of::<u32>() + record % align_of::<Record>()
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

fn bytes_of_any_length_arrive_inside() -> Verdict {
    let mut bytes = [0; LONGEST];
    Random::new(1).fill(&mut bytes);
    for mut sbm in [quiet()?, Sbm::builder().room_in(1, LONGEST).build()?] {
        for length in LENGTHS {
            let bytes = &bytes[..length];
            same!(sbm.call(sum, (copy_in(bytes),))?.assume_checked(), sum(bytes), "{length} bytes");
            same!(sbm.call(sum, (copy_in(bytes).at_end(),))?.assume_checked(), sum(bytes), "{length} bytes at the end");
        }
    }
    Ok(())
}

fn bytes_of_any_length_arrive_outside() -> Verdict {
    for mut sbm in [quiet()?, Sbm::builder().room_out(1, LONGEST).build()?] {
        for length in LENGTHS {
            let (mut start, mut end) = ([0x55; LONGEST], [0x55; LONGEST]);
            let wanted = sbm.call(fill_with, (copy_out(&mut start[..length]), 5_u64))?.assume_checked();
            same!(sum(&start[..length]), wanted, "{length} bytes");
            sbm.call(fill_with, (copy_out(&mut end[..length]).at_end(), 5_u64))?.assume_checked();
            check!(start == end, "{length} bytes differ at the end");
            check!(start[length..].iter().all(|byte| *byte == 0x55), "more than {length} bytes were copied out");
        }
    }
    Ok(())
}

fn bytes_of_any_length_come_back_changed() -> Verdict {
    let mut sbm = quiet()?;
    for length in LENGTHS {
        let mut before = [0; LONGEST];
        Random::new(3).fill(&mut before);
        let mut bytes = before;
        let seen = sbm.call(invert, (copy_inout(&mut bytes[..length]),))?.assume_checked();
        same!(seen, sum(&before[..length]), "{length} bytes");
        check!(bytes.iter().zip(before).take(length).all(|(byte, before)| *byte == !before), "{length} bytes");
        sbm.call(invert, (copy_inout(&mut bytes[..length]).at_end(),))?.assume_checked();
        check!(bytes == before, "{length} bytes, twice inverted");
    }
    Ok(())
}

fn typed_data_arrives_inside_and_outside() -> Verdict {
    let mut sbm = quiet()?;
    let records = [RECORD; 3];
    check!(sbm.call(read_record, (copy_in(&RECORD), copy_in(&records[..])))?.assume_checked());
    check!(sbm.call(read_record, (copy_in(&RECORD).at_end(), copy_in(&records[..]).at_end()))?.assume_checked());
    let mut record = Tainted::<Record>::zeroed();
    let mut numbers = Tainted::<[u32; 3]>::new([1; 3]);
    check!(sbm.call(write_record, (copy_out(&mut record), copy_out(&mut numbers)))?.assume_checked());
    same!(record.assume_checked(), RECORD);
    same!(numbers.assume_checked(), [7, 8, 9]);
    sbm.call(swap_record, (copy_inout(&mut record).at_end(),))?.assume_checked();
    let swapped = Record { id: RECORD.id.swap_bytes(), counts: [4, 3, 2, 1], ..RECORD };
    same!(record.check(|record| record.flags == RECORD.flags)?, swapped);
    Ok(())
}

fn what_is_copied_out_begins_as_zeros() -> Verdict {
    let mut sbm = quiet()?;
    for round in 0..3 {
        let mut caller = Sentinels::<64>::new();
        same!(
            sbm.call(is_zero_then_dirty, (copy_out(&mut caller.buffer[..]),))?.assume_checked(),
            true,
            "round {round}"
        );
        same!(caller.buffer, [0xff; 64]);
    }
    Ok(())
}

fn is_zero_then_dirty(output: &mut [u8]) -> bool {
    let zeros = output.iter().all(|byte| *byte == 0);
    output.fill(0xff);
    zeros
}

fn at_the_end_of_a_page_an_overrun_by_one_byte_is_efault() -> Verdict {
    let mut sbm = Sbm::builder().room_in(1, LONGEST).room_out(2, LONGEST).report(false).build()?;
    let bytes = [0x21; LONGEST];
    for length in LENGTHS {
        let address = sbm.call(address_of, (copy_in(&bytes[..length]).at_end(),))?.assume_checked();
        let past = (address + length) as u64;
        let result = sbm.call(read_past, (copy_in(&bytes[..length]).at_end(),));
        let ip = raw::read as *const () as usize as u64;
        aborted(&mut sbm, result, page(Access::Read, past, ip, Region::GuardAfter(1)))?;
    }
    let mut sbm = Sbm::builder().room_out(1, LONGEST).report(false).build()?;
    for length in LENGTHS {
        let mut bytes = [0x21; LONGEST];
        let address = sbm.call(address_of_output, (copy_out(&mut bytes[..length]).at_end(),))?.assume_checked();
        bytes = [0x21; LONGEST];
        let result = sbm.call(write_past, (copy_out(&mut bytes[..length]).at_end(),));
        let ip = raw::write as *const () as usize as u64;
        aborted(&mut sbm, result, page(Access::Write, (address + length) as u64, ip, Region::GuardAfter(1)))?;
        check!(bytes.iter().all(|byte| *byte == 0x21), "the caller's {length} bytes have changed");
    }
    Ok(())
}

fn at_the_end_of_a_page_the_last_byte_is_usable() -> Verdict {
    let mut sbm = quiet()?;
    for length in LENGTHS.into_iter().filter(|length| *length > 0) {
        let (input, mut output) = ([0x42; LONGEST], [0; LONGEST]);
        let arguments = (copy_in(&input[..length]).at_end(), copy_out(&mut output[..length]).at_end());
        same!(sbm.call(last_bytes, arguments)?.assume_checked(), 0x42);
        same!(output[length - 1], 0x42);
    }
    works(&mut sbm)
}

fn at_the_end_of_a_page_what_precedes_a_buffer_is_zero() -> Verdict {
    let mut sbm = quiet()?;
    let bytes = [0x99; LONGEST];
    for length in [4000, 1, 64, 4095, 8, 5000, 3] {
        same!(sbm.call(leftovers, (copy_in(&bytes[..length]).at_end(),))?.assume_checked(), 0, "{length} bytes");
    }
    Ok(())
}

fn at_the_end_of_a_page_typed_data_is_aligned() -> Verdict {
    let mut sbm = quiet()?;
    let mut record = Tainted::new(RECORD);
    for count in 1..9 {
        let numbers = [1_u32; 9];
        let arguments =
            (copy_in(&5_u64).at_end(), copy_in(&numbers[..count]).at_end(), copy_inout(&mut record).at_end());
        same!(sbm.call(is_aligned, arguments)?.assume_checked(), 0);
    }
    Ok(())
}

fn buffers_grow_with_their_arguments() -> Verdict {
    let mut bytes = [0; LONGEST];
    Random::new(8).fill(&mut bytes);
    let mut sbm = quiet()?;
    for length in [3, 4097, 10, LONGEST, 1, LONGEST] {
        same!(sbm.call(sum, (copy_in(&bytes[..length]),))?.assume_checked(), sum(&bytes[..length]));
        same!(sbm.call(leftovers, (copy_in(&bytes[..length]),))?.assume_checked(), 0);
    }
    let mut sbm = Sbm::builder().room_out(1, 1).report(false).build()?;
    for length in [3, 4097, 10, LONGEST, 1, LONGEST] {
        let mut output = [0; LONGEST];
        let wanted = sbm.call(fill_with, (copy_out(&mut output[..length]), 6_u64))?.assume_checked();
        same!(sum(&output[..length]), wanted);
    }
    works(&mut sbm)
}

fn a_call_never_sees_another_calls_input_around_its_own() -> Verdict {
    let mut random = Random::new(0x5eed);
    let mut bytes = [0; LONGEST];
    random.fill(&mut bytes);
    for byte in &mut bytes {
        *byte |= 1;
    }
    let mut sbm = Sbm::builder().room_in(1, LONGEST).build()?;
    for _ in 0..100 {
        let length = random.index(LONGEST + 1);
        let from = random.index(LONGEST + 1 - length);
        let input = copy_in(&bytes[from..from + length]);
        let input = if random.below(2) == 0 { input } else { input.at_end() };
        same!(sbm.call(leftovers, (input,))?.assume_checked(), 0, "{length} bytes");
    }
    Ok(())
}

fn an_argument_may_alternate_between_in_and_out() -> Verdict {
    let mut sbm = quiet()?;
    let mut bytes = [1; 16];
    for round in 0..40 {
        let read = sbm.call(sum, (copy_in(&bytes[..]),)).map(Tainted::assume_checked);
        check!(read == Ok(sum(&bytes)), "in, round {round}: {read:?}");
        let written = sbm.call(fill_with, (copy_out(&mut bytes[..]), 7_u64)).map(Tainted::assume_checked);
        check!(written == Ok(sum(&bytes)), "out, round {round}: {written:?}");
    }
    works(&mut sbm)
}

const MOST: usize = MAX_BUFFER_PAGES as usize * PAGE_BYTES;

fn large_room_is_granted() -> Verdict {
    let mut sbm = Sbm::builder().room_in(1, 64 << 20).room_out(2, (64 << 20) - 1).stack(1024 * 1024).build()?;
    works(&mut sbm)
}

fn room_over_the_limit_is_refused() -> Verdict {
    let over = |bytes| Unfit::Buffer { bytes, limit: MOST };
    refused(Sbm::builder().room_in(1, MOST + 1).build(), 1, over(MOST + 1))?;
    refused(Sbm::builder().room_out(6, usize::MAX).build(), 6, over(usize::MAX))?;
    for bytes in [0, 1024 * 1024 + 1, usize::MAX] {
        let refused = Sbm::builder().stack(bytes).build().map(drop);
        same!(refused, Err(Error::Stack { bytes, limit: 1024 * 1024 }));
    }
    Ok(())
}

fn room_for_an_argument_that_no_call_has_is_refused() -> Verdict {
    for number in [0, 7, usize::MAX] {
        refused(Sbm::builder().room_in(number, 1).build(), number, Unfit::Number { limit: 6 })?;
    }
    Ok(())
}

fn a_size_over_the_limit_is_told_with_number_size_and_limit() -> Verdict {
    let Err(error) = Sbm::builder().room_in(3, 768_000_000).build() else {
        return Err(Why::new(format_args!("granted")));
    };
    let wanted = "argument 3 takes 768,000,000 bytes; a buffer holds at most 536,870,912";
    same!(Why::new(format_args!("{error}")), Why::new(format_args!("{wanted}")));
    Ok(())
}

/// Sizes that go up and down, in all arguments, each of which is read in one call and written in the next.
fn arguments_of_any_sequence_of_sizes_are_taken_for_ever() -> Verdict {
    let mut random = Random::new(0x970);
    let input = [0x77; LONGEST];
    let mut outputs = [[0; LONGEST]; 3];
    let mut sbm = Sbm::builder().room_in(1, 1).room_out(2, PAGE_BYTES).report(false).build()?;
    for round in 0..200 {
        let reads = [(); 3].map(|()| &input[..random.index(LONGEST + 1)]);
        let [one, two, three] = &mut outputs;
        let writes = [one, two, three].map(|output| &mut output[..random.index(LONGEST + 1)]);
        let lengths = [writes[0].len(), writes[1].len(), writes[2].len()];
        let ([a, b, c], [x, y, z]) = (reads.map(copy_in), writes.map(copy_out));
        let read = if round % 2 == 0 {
            sbm.call(read_and_fill, (a, x, b, y, c, z))
        } else {
            sbm.call(
                |x: &mut [u8], a: &[u8], y: &mut [u8], b: &[u8], z: &mut [u8], c: &[u8]| {
                    read_and_fill(a, x, b, y, c, z)
                },
                (x, a, y, b, z, c),
            )
        };
        let read = read.map(Tainted::assume_checked);
        check!(read == Ok(reads.iter().map(|bytes| bytes.len()).sum()), "round {round}: {read:?}");
        for (output, length) in outputs.iter().zip(lengths) {
            check!(output[..length].iter().all(|byte| *byte == 1), "round {round}: other bytes arrive");
        }
    }
    works(&mut sbm)
}

fn an_outgrown_buffer_of_the_setup_serves_another_argument() -> Verdict {
    let bytes = [0x11; LONGEST];
    let mut sbm = Sbm::builder().room_in(1, PAGE_BYTES).report(false).build()?;
    let address = sbm.call(address_of, (copy_in(&bytes[..64]),))?.assume_checked();
    let second = |_: &[u8], second: &[u8]| address_of(second);
    same!(sbm.call(second, (copy_in(&bytes[..]), copy_in(&bytes[..8])))?.assume_checked(), address);
    let leftovers = |_: &[u8], second: &[u8]| leftovers(second);
    same!(
        sbm.call(leftovers, (copy_in(&bytes[..]), copy_in(&bytes[..8])))?.assume_checked(),
        0,
        "bytes of the argument that had it"
    );
    works(&mut sbm)
}

fn read_and_fill(a: &[u8], x: &mut [u8], b: &[u8], y: &mut [u8], c: &[u8], z: &mut [u8]) -> usize {
    for output in [x, y, z] {
        output.fill(1);
    }
    let right = [a, b, c].into_iter().flatten().all(|byte| *byte == 0x77);
    if right { a.len() + b.len() + c.len() } else { usize::MAX }
}

/// Grows each argument in turn through all sizes, in sandbox after sandbox, and gives nothing away.
fn outgrown_buffers_go_back() -> Verdict {
    let bytes = [0x11; LONGEST];
    let mut sbm = quiet()?;
    // One page, four, sixteen.
    sbm.call(sum, (copy_in(&bytes[..]),))?.assume_checked();
    let full = sbm::usage()?.bytes;
    let mut sbm = quiet()?;
    for length in [1, PAGE_BYTES + 1, LONGEST] {
        same!(sbm.call(sum, (copy_in(&bytes[..length]),))?.assume_checked(), sum(&bytes[..length]));
    }
    let grown = sbm::usage()?.bytes - full;
    drop(sbm);
    let mut sbm = quiet()?;
    sbm.call(sum, (copy_in(&bytes[..]),))?.assume_checked();
    same!(sbm::usage()?.bytes - full, grown, "bytes of a sandbox that grew in steps, and of one that did not");
    works(&mut sbm)
}

/// The compiler calls these by name; they must not need what a sandbox has not.
fn memory_functions_work_inside() -> Verdict {
    let mut sbm = Sbm::builder().stack(8 * PAGE_BYTES).report(false).build()?;
    let mut bytes = [3; 600];
    for length in [1, 2, 15, 16, 17, 32, 33, 600] {
        check!(sbm.call(memory_functions, (copy_inout(&mut bytes[..length]),))?.assume_checked(), "{length} bytes");
    }
    Ok(())
}

fn memory_functions(bytes: &mut [u8]) -> bool {
    let length = bytes.len();
    let mut copy = [0; 600];
    copy[..length].copy_from_slice(bytes);
    let equal = copy[..length] == *bytes;
    bytes.fill(9);
    let differs = copy[..length] != *bytes && copy[..length].cmp(&*bytes).is_lt();
    bytes.copy_within(length / 3.., 0);
    bytes.copy_from_slice(&copy[..length]);
    equal && differs
}

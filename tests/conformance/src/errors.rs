// SPDX-License-Identifier: MIT OR Apache-2.0
//! Panics, forged answers, and the error of a function beside the error of its call.
#![expect(clippy::panic, reason = "in sandboxes, on purpose")]

use harness::{
    Sentinels, Test, Verdict, Why, check,
    expect::{stuck, stuck_as, works},
    raw, same,
    server::call_sandbox,
    tests,
};
use sbm::{Errno, Error, Sbm, Tainted, copy_in, copy_inout, copy_out, word_enum};
use sbm_abi::{Label, Outcome, limits::CLIENT_SANDBOX_SLOTS};
use sel4::{MessageInfo, syscall::REPLY};

pub(crate) const TESTS: &[Test] = tests![
    a_panic_is_efault_with_message_and_location,
    a_panic_of_the_language_is_efault_with_message_and_location,
    a_long_panic_is_cut,
    the_text_of_a_panic_is_clean_text,
    nothing_is_copied_out_of_a_panic,
    a_panic_with_a_full_stack_is_efault,
    a_sandbox_panics_again_after_a_reset,
    a_panic_leaves_an_empty_stack,
    an_error_of_the_function_does_not_stick,
    an_error_of_the_call_sticks_until_a_reset,
    a_reset_without_an_error_starts_clean_as_well,
    a_value_that_is_refused_is_an_error_for_the_question_mark,
    an_answer_with_an_odd_label_is_efault,
    an_answer_that_is_no_value_of_the_type_is_efault,
    an_answer_that_is_a_value_of_the_type_is_the_value,
    a_forged_fault_is_the_sandboxs_own_error,
    a_forged_lack_of_room_is_the_sandboxs_own_error,
    a_panic_of_impossible_length_is_efault,
];

word_enum! {
    /// An error that a function returns.
    enum Refusal {
        /// The only one.
        Odd = 3,
    }
}

// Functions that run in sandboxes.

fn panic_with(number: u32) {
    assert!(number != 7, "number {number} is not wanted");
}

/// The line of the assertion above.
const LINE_OF_ASSERTION: u32 = line!() - 4;

fn index(bytes: &[u8], at: usize) -> u8 {
    bytes[at]
}

fn panic_at_length(text: &[u8], times: usize) {
    let text = core::str::from_utf8(text).unwrap_or("no text");
    for _ in 0..times {
        assert!(!text.is_empty());
    }
    panic!("{text}{text}{text}{text}{text}{text}{text}{text}");
}

fn write_then_panic(output: &mut [u8], also: &mut [u8]) {
    output.fill(0x66);
    also.fill(0x67);
    panic_with(7);
}

/// Leaves less of a stack than a panic needs, then panics.
fn panic_deep(depth: u32) -> u32 {
    let frame = core::hint::black_box([depth; 8]);
    match depth {
        0 => panic_with(7),
        u32::MAX => return 0,
        _ => {}
    }
    panic_deep(depth - 1) + frame[0]
}

fn refuse_odd(number: u32) -> Result<u32, Refusal> {
    if number % 2 == 1 { Err(Refusal::Odd) } else { Ok(number) }
}

/// Answers the call as the sandbox's own code does, but with anything.
fn answer_unit(label: u64, first: u64, second: u64, third: u64, length: usize) {
    let info = MessageInfo::new(label, 0, 0, length).into_word();
    raw::system_call(REPLY, 0, info, [first, second, third, 0]);
}

fn answer_bool(label: u64, first: u64, second: u64) -> bool {
    answer_unit(label, first, second, 0, 2);
    true
}

fn answer_u8(label: u64, first: u64, second: u64) -> u8 {
    answer_unit(label, first, second, 0, 2);
    0
}

fn answer_result(label: u64, first: u64, second: u64) -> Result<u8, Refusal> {
    answer_unit(label, first, second, 0, 2);
    Ok(0)
}

fn answer_option(label: u64, first: u64, second: u64) -> Option<bool> {
    answer_unit(label, first, second, 0, 2);
    None
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

fn panicked<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>, text: &str) -> Verdict {
    match &result {
        Err(Error::Panic(found)) => check!(found.as_str() == text, "another text: {found}"),
        other => return Err(Why::new(format_args!("no panic but {other:?}"))),
    }
    result.err().map_or(Ok(()), |error| stuck(sbm, &error))
}

fn a_panic_is_efault_with_message_and_location() -> Verdict {
    let mut sbm = quiet()?;
    sbm.call(panic_with, (8_u32,))?.assume_checked();
    let result = sbm.call(panic_with, (7_u32,));
    let mut text = heapless_text();
    text.add(format_args!("{}:{LINE_OF_ASSERTION}: number 7 is not wanted", file!()));
    panicked(&mut sbm, result, text.as_str())
}

fn a_panic_of_the_language_is_efault_with_message_and_location() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(index, (copy_in(&b"abc"[..]), 2_usize))?.assume_checked(), b'c');
    let result = sbm.call(index, (copy_in(&b"abc"[..]), 3_usize));
    match &result {
        Err(Error::Panic(text)) => {
            check!(text.starts_with(file!()), "{text}");
            check!(text.contains(": index out of bounds: the len is 3 but the index"), "{text}");
        }
        other => return Err(Why::new(format_args!("no panic but {other:?}"))),
    }
    result.err().map_or(Ok(()), |error| stuck(&mut sbm, &error))
}

/// A text to compare with.
struct Text {
    bytes: [u8; 200],
    length: usize,
}

fn heapless_text() -> Text {
    Text { bytes: [0; 200], length: 0 }
}

impl Text {
    fn add(&mut self, text: core::fmt::Arguments<'_>) {
        // What does not fit shows in the comparison.
        let _ = core::fmt::Write::write_fmt(self, text);
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("no text")
    }
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn a_long_panic_is_cut() -> Verdict {
    let mut sbm = quiet()?;
    let text = [b'x'; 1000];
    let result = sbm.call(panic_at_length, (copy_in(&text[..]), 1_usize));
    match &result {
        Err(Error::Panic(text)) => {
            check!(
                text.starts_with(file!()) && text.ends_with("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
                "another text: {text}"
            );
        }
        other => return Err(Why::new(format_args!("no panic but {other:?}"))),
    }
    result.err().map_or(Ok(()), |error| stuck(&mut sbm, &error))
}

fn the_text_of_a_panic_is_clean_text() -> Verdict {
    let mut sbm = quiet()?;
    // Nothing that the sandbox wrote controls the terminal or feigns a line.
    let result = sbm.call(panic_at_length, (copy_in("\n\u{1b}[2J\rt\u{e9}st \u{0}".as_bytes()), 0_usize));
    match &result {
        Err(Error::Panic(text)) => {
            check!(text.contains(": ??[2J?t\u{e9}st ?"), "another text: {text}");
            check!(!text.chars().any(char::is_control), "control characters are left");
        }
        other => return Err(Why::new(format_args!("no panic but {other:?}"))),
    }
    result.err().map_or(Ok(()), |error| stuck(&mut sbm, &error))
}

fn nothing_is_copied_out_of_a_panic() -> Verdict {
    let mut sbm = quiet()?;
    let (mut one, mut two) = (Sentinels::<64>::new(), Sentinels::<64>::new());
    let result = sbm.call(write_then_panic, (copy_out(&mut one.buffer[..]), copy_inout(&mut two.buffer[..])));
    check!(matches!(result, Err(Error::Panic(_))), "no panic but {result:?}");
    one.unchanged()?;
    two.unchanged()
}

fn a_panic_with_a_full_stack_is_efault() -> Verdict {
    let mut sbm = Sbm::builder().stack(4096).report(false).build()?;
    let (mut panics, mut faults) = (0, 0);
    for depth in 0..200_u32 {
        match sbm.call(panic_deep, (depth,)) {
            Err(Error::Panic(_)) => panics += 1,
            Err(Error::Fault { region: sbm::Region::StackGuard, .. }) => faults += 1,
            other => return Err(Why::new(format_args!("depth {depth}: neither panic nor fault: {other:?}"))),
        }
        same!(sbm.error().map(Error::errno), Some(Errno::Fault));
        sbm.reset()?;
    }
    check!(panics > 0 && faults > 0, "{panics} panics, {faults} faults");
    works(&mut sbm)
}

fn a_sandbox_panics_again_after_a_reset() -> Verdict {
    let mut sbm = quiet()?;
    for _ in 0..5 {
        let result = sbm.call(panic_with, (7_u32,));
        check!(matches!(result, Err(Error::Panic(_))), "no panic but {result:?}");
        sbm.reset()?;
        works(&mut sbm)?;
    }
    Ok(())
}

extern "C" fn panic_by_itself() {
    panic_with(7);
}

/// Calls past the library, which would have it reset first.
fn a_panic_leaves_an_empty_stack() -> Verdict {
    let sbm = Sbm::builder().report(false).build()?;
    let index = u16::try_from(sbm.endpoint_slot() - CLIENT_SANDBOX_SLOTS).unwrap_or(u16::MAX);
    let words = [panic_by_itself as extern "C" fn() as usize as u64, 0];
    for round in 0..100 {
        let (info, [first, second, third, _]) = call_sandbox(index, MessageInfo::new(0, 0, 0, 2), &words);
        let outcome = Outcome::decode(info.label(), [first, second, third]);
        check!(matches!(outcome, Outcome::Panicked(_)), "round {round}: {outcome:?}");
    }
    Ok(())
}

fn an_error_of_the_function_does_not_stick() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(refuse_odd, (3_u32,))?.assume_checked(), Err(Refusal::Odd));
    check!(sbm.error().is_none(), "it sticks");
    same!(sbm.call(refuse_odd, (4_u32,))?.assume_checked(), Ok(4));
    Ok(())
}

fn an_error_of_the_call_sticks_until_a_reset() -> Verdict {
    let mut sbm = quiet()?;
    let result = sbm.call(panic_with, (7_u32,));
    let Err(first) = result else { return Err(Why::new(format_args!("no error"))) };
    for _ in 0..3 {
        let again = sbm.call(refuse_odd, (4_u32,)).map(Tainted::assume_checked);
        check!(again == Err(first.clone()), "another error or none: {again:?}");
    }
    sbm.reset()?;
    same!(sbm.call(refuse_odd, (4_u32,))?.assume_checked(), Ok(4));
    works(&mut sbm)
}

fn a_reset_without_an_error_starts_clean_as_well() -> Verdict {
    let mut builder = Sbm::builder().report(false);
    let (input, output) = (builder.input(16), builder.output(16));
    let mut sbm = builder.build()?;
    for _ in 0..3 {
        sbm.reset()?;
        works(&mut sbm)?;
    }
    sbm.input(input)?.fill(4);
    sbm.call(|output: &mut [u8]| output.fill(5), (sbm::shared_out(output),))?.assume_checked();
    same!(sbm.output(output)?.get::<u16>(0).map(Tainted::assume_checked), Some(0x0505));
    sbm.reset()?;
    same!(sbm.output(output)?.get::<u16>(0).map(Tainted::assume_checked), Some(0));
    same!(sbm.input(input)?[..2], [4, 4], "what the client wrote");
    works(&mut sbm)
}

fn a_value_that_is_refused_is_an_error_for_the_question_mark() -> Verdict {
    let mut sbm = quiet()?;
    let at_most = |limit| -> Result<u32, Error> { Ok(sbm.call(|| 7_u32, ())?.at_most(limit)?) };
    let (within, over): (Result<u32, Error>, Result<u32, Error>) = both(at_most);
    same!(within, Ok(7));
    same!(over.map_err(|error| error.errno()), Err(Errno::BadMessage));
    Ok(())
}

fn both(mut ask: impl FnMut(u32) -> Result<u32, Error>) -> (Result<u32, Error>, Result<u32, Error>) {
    (ask(7), ask(6))
}

/// Checks that a forged answer is an error, and that the sandbox serves again after a reset.
fn garbled<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>) -> Verdict {
    match result {
        Err(error @ Error::Garbled) => stuck(sbm, &error),
        other => Err(Why::new(format_args!("not told as forged: {other:x?}"))),
    }
}

fn an_answer_with_an_odd_label_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let widest = u64::MAX >> (u64::BITS - MessageInfo::LABEL_BITS);
    for label in [5, 6, 14, 0xffff, widest - 1, widest] {
        for length in [0, 1, 2, 3, 4, 5, 64, 120, 127] {
            let result = sbm.call(answer_unit, (label, 0_u64, 0_u64, 0_u64, length as usize));
            garbled(&mut sbm, result)?;
        }
    }
    Ok(())
}

fn an_answer_that_is_no_value_of_the_type_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let returned = Label::Returned as u64;
    for word in [2, 255, u64::MAX] {
        let result = sbm.call(answer_bool, (returned, word, 0_u64));
        garbled(&mut sbm, result)?;
    }
    let result = sbm.call(answer_u8, (returned, 256_u64, 0_u64));
    garbled(&mut sbm, result)?;
    for (word, tag) in [(0_u64, 2), (256, 0), (2, 1), (0, 1), (0, u64::MAX)] {
        let result = sbm.call(answer_result, (returned, word, tag));
        garbled(&mut sbm, result)?;
    }
    for (word, tag) in [(2_u64, 1_u64), (0, 2)] {
        let result = sbm.call(answer_option, (returned, word, tag));
        garbled(&mut sbm, result)?;
    }
    Ok(())
}

fn an_answer_that_is_a_value_of_the_type_is_the_value() -> Verdict {
    let mut sbm = quiet()?;
    let returned = Label::Returned as u64;
    same!(sbm.call(answer_bool, (returned, 0_u64, 9_u64))?.assume_checked(), false);
    same!(sbm.call(answer_u8, (returned, 255_u64, 0_u64))?.assume_checked(), 255);
    same!(sbm.call(answer_result, (returned, 3_u64, 1_u64))?.assume_checked(), Err(Refusal::Odd));
    same!(sbm.call(answer_option, (returned, 1_u64, 1_u64))?.assume_checked(), Some(true));
    works(&mut sbm)
}

fn a_forged_fault_is_the_sandboxs_own_error() -> Verdict {
    let mut sbm = quiet()?;
    let aborted = Label::Aborted as u64;
    // Page, write: as the server would tell it.
    let result = sbm.call(answer_unit, (aborted, 0x0201_u64, 0x1234_u64, 0x20_0000_u64, 3_usize));
    match &result {
        Err(Error::Fault { fault, .. }) => same!((fault.address, fault.ip), (0x1234, 0x20_0000)),
        other => return Err(Why::new(format_args!("no fault but {other:?}"))),
    }
    harness::expect::fault(&mut sbm, result)?;
    for what in [0, 10, 0x0401, 0x0100_0000, u64::MAX] {
        let result = sbm.call(answer_unit, (aborted, what, 0_u64, 0_u64, 3_usize));
        garbled(&mut sbm, result)?;
    }
    Ok(())
}

fn a_forged_lack_of_room_is_the_sandboxs_own_error() -> Verdict {
    let mut sbm = quiet()?;
    for bytes in [0, 7, u64::MAX] {
        let result = sbm.call(answer_unit, (Label::NoRoom as u64, bytes, 1_u64, 2_u64, 3_usize));
        let Err(error) = result else { return Err(Why::new(format_args!("no error"))) };
        same!(error, Error::NoRoom { bytes: bytes as usize, heap: 0 });
        stuck_as(&mut sbm, &error, Errno::NoMemory)?;
    }
    Ok(())
}

fn a_panic_of_impossible_length_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let panicked = Label::Panicked as u64;
    for length in [2873, 4096, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
        let result = sbm.call(answer_unit, (panicked, length, 0_u64, 0_u64, 1_usize));
        garbled(&mut sbm, result)?;
    }
    for length in [0_u64, 1, 200, 256, 257, 2872] {
        let result = sbm.call(answer_unit, (panicked, length, 0_u64, 0_u64, 1_usize));
        check!(matches!(result, Err(Error::Panic(_))), "no panic but {result:?}");
        sbm.reset()?;
    }
    works(&mut sbm)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nothing of an earlier sandbox is left in a later one of the same shape, which may be the same one made ready again.
//!
//! And nothing of an aborted call is left in a sandbox that was reset.
//!
//! The server keeps few spare sandboxes for a client, and keeps no more when it has them: the tests here use four shapes.
#![expect(clippy::panic, reason = "in sandboxes, on purpose")]

use harness::{Test, Verdict, Why, check, expect::works, raw, same, tests};
use sbm::{Error, Sbm, Tainted, copy_in, copy_inout, copy_out, shared_out};
use sbm_abi::limits::{PAGE, PANIC_TEXT_OFFSET, SELF_OFFSET, STACK_TOP_OFFSET};

pub(crate) const TESTS: &[Test] = tests![
    a_sandbox_of_the_same_shape_is_made_ready_again,
    a_sandbox_of_another_shape_is_made_anew,
    the_stack_of_a_warm_sandbox_is_zero,
    the_stack_after_a_reset_is_zero,
    the_buffers_of_a_warm_sandbox_are_zero_around_its_arguments,
    the_buffers_of_a_warm_sandbox_are_zero_where_no_argument_is,
    the_buffers_of_an_aborted_call_are_zero_after_a_reset,
    the_arguments_of_an_earlier_sandbox_are_gone,
    the_panic_of_an_earlier_sandbox_is_gone,
    the_registers_of_an_earlier_sandbox_are_gone,
    the_vectors_of_an_earlier_sandbox_are_gone,
    the_wide_vectors_of_an_earlier_sandbox_are_gone,
    the_segments_of_an_earlier_sandbox_are_gone,
    the_coprocessor_of_an_earlier_sandbox_is_gone,
    a_sandbox_that_moved_its_anchors_panics_after_a_reset,
    a_warm_sandbox_panics_where_the_earlier_one_moved_its_base,
    a_sandbox_panics_after_a_reset_where_it_moved_its_base,
    a_sandbox_counts_where_an_earlier_function_unmasked_exceptions_or_rounds_otherwise,
    a_warm_sandbox_is_ready_where_the_earlier_one_still_ran,
];

const PAGE_BYTES: usize = PAGE as usize;

/// What an earlier sandbox leaves wherever it can.
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec2;
const SECRET_BYTE: u8 = 0x5e;

// Functions that run in sandboxes.

fn bottom_of_stack() -> usize {
    // The stack follows the argument page and a guard.
    usize::try_from(raw::argument_page_word(SELF_OFFSET as usize)).unwrap_or(0) + 2 * PAGE_BYTES
}

fn dirty_stack(secret: u64) {
    let top = (raw::stack_pointer() - 256) & !7;
    for address in (bottom_of_stack()..top).step_by(8) {
        raw::write_word(address, secret);
    }
}

fn dirty_stack_and_fault(secret: u64) {
    dirty_stack(secret);
    raw::undefined();
}

/// Counts the words of the stack other than zero, below those in use.
fn stack_leftovers() -> usize {
    let top = (raw::stack_pointer() - 512) & !7;
    (bottom_of_stack()..top).step_by(8).filter(|address| raw::read_word(*address) != 0).count()
}

fn address_of(bytes: &[u8]) -> usize {
    bytes.as_ptr() as usize
}

fn dirty_pages(output: &mut [u8]) -> usize {
    let begin = output.as_ptr() as usize & !(PAGE_BYTES - 1);
    for address in begin..begin + PAGE_BYTES {
        raw::write(address, SECRET_BYTE);
    }
    begin
}

/// Counts the secret's bytes in a page.
fn leftovers_in_page(page: usize) -> usize {
    (page..page + PAGE_BYTES).filter(|address| raw::read(*address) == SECRET_BYTE).count()
}

fn leftovers_around(output: &mut [u8]) -> usize {
    leftovers_in_page(output.as_ptr() as usize & !(PAGE_BYTES - 1))
}

fn leftovers_in_arguments() -> usize {
    let words = (0..PAGE_BYTES).step_by(8);
    let others = words.filter(|offset| ![SELF_OFFSET as usize, STACK_TOP_OFFSET as usize].contains(offset));
    others.filter(|offset| raw::argument_page_word(*offset) != 0).count()
}

fn panic_with_secret() {
    panic!("a secret that is in nobody's arguments: {SECRET:x}");
}

fn fill_registers(secret: u64) {
    raw::fill_registers(secret);
}

fn registers() -> u64 {
    raw::or_of_registers()
}

fn fill_vectors(secret: u64) {
    raw::fill_vectors(secret);
}

fn vectors() -> bool {
    let mut words = [0; 2];
    raw::vector_words(&mut words);
    words.contains(&SECRET)
}

fn fill_wide_vectors(secret: u64) {
    raw::fill_wide_vectors(secret);
}

fn wide_vectors() -> bool {
    let mut words = [0; 2];
    raw::wide_vector_words(&mut words);
    words.contains(&SECRET)
}

fn move_base(address: usize) {
    raw::move_fs_base(address);
}

fn move_base_and_fault(address: usize) {
    raw::move_fs_base(address);
    raw::undefined();
}

fn fill_coprocessor(secret: u64) {
    raw::fill_coprocessor(secret);
}

fn coprocessor() -> u64 {
    raw::coprocessor_word()
}

/// Overwrites a word of the argument page that the library's way out of a panic needs.
fn move_anchor(offset: usize) {
    let page = usize::try_from(raw::argument_page_word(SELF_OFFSET as usize)).unwrap_or(0);
    raw::write_word(page + offset, AWAY as u64);
}

/// Where nothing is mapped.
const AWAY: usize = 0x3fff_f000;

fn move_anchor_and_panic(offset: usize) {
    move_anchor(offset);
    panic!("on the way out");
}

fn panic_plainly() {
    panic!("plainly");
}

/// Has divisions by zero raise an exception, as only the processor's first state does not, and all results rounded up.
fn unmask() {
    raw::set_float_control(&0x5d80);
    raw::set_coprocessor_control(&0xb7b);
}

fn float_controls() -> u64 {
    let (mut vectors, mut coprocessor) = (0, 0);
    raw::float_control(&mut vectors);
    raw::coprocessor_control(&mut coprocessor);
    u64::from(vectors) << 16 | u64::from(coprocessor)
}

/// Answers by itself, and goes on for ever.
fn answer_and_spin() {
    raw::system_call(sel4::syscall::REPLY, 0, sel4::MessageInfo::new(0, 0, 0, 2).into_word(), [0; 4]);
    loop {
        core::hint::spin_loop();
    }
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

/// Makes a sandbox that is made anew, and that is not kept: it is no longer as it was made.
fn unkept() -> Result<Sbm, Error> {
    let mut sbm = Sbm::builder().stack(77 * PAGE_BYTES).build()?;
    sbm.call(address_of, (copy_in(&[0; 1][..]),))?.assume_checked();
    Ok(sbm)
}

/// Makes a sandbox and checks that it is one that was used before.
fn warm(make: impl Fn() -> Result<Sbm, Error>) -> Result<Sbm, Why> {
    let before = sbm::usage()?.spares;
    let sbm = make()?;
    same!(sbm::usage()?.spares + 1, before, "spare sandboxes");
    Ok(sbm)
}

/// Checks that a function finds nothing in a sandbox that another one has used before and that was made ready again.
fn cleaned<T, E: Into<Why>>(
    make: impl Fn() -> Result<Sbm, Error>,
    leave: impl Fn(&mut Sbm) -> Result<T, E>,
    find: impl Fn(&mut Sbm, T) -> Verdict,
) -> Verdict {
    let mut first = make()?;
    let left = leave(&mut first).map_err(Into::into)?;
    drop(first);
    let mut second = warm(make)?;
    find(&mut second, left)?;
    works(&mut second)
}

/// Checks the same, and that it finds nothing after a reset either.
fn cleaned_and_reset<T, E: Into<Why>>(
    leave: impl Fn(&mut Sbm) -> Result<T, E>,
    find: impl Fn(&mut Sbm, T) -> Verdict,
) -> Verdict {
    cleaned(quiet, &leave, &find)?;
    let mut sbm = quiet()?;
    let left = leave(&mut sbm).map_err(Into::into)?;
    sbm.reset()?;
    find(&mut sbm, left)?;
    works(&mut sbm)
}

fn a_sandbox_of_the_same_shape_is_made_ready_again() -> Verdict {
    drop(quiet()?);
    works(&mut warm(quiet)?)
}

fn a_sandbox_of_another_shape_is_made_anew() -> Verdict {
    drop(quiet()?);
    let before = sbm::usage()?;
    let mut sbm = unkept()?;
    same!(sbm::usage()?.spares, before.spares);
    works(&mut sbm)
}

fn the_stack_of_a_warm_sandbox_is_zero() -> Verdict {
    let make = || Sbm::builder().stack(4 * PAGE_BYTES).report(false).build();
    cleaned(
        make,
        |sbm| sbm.call(dirty_stack, (SECRET,)).map(Tainted::assume_checked),
        |sbm, ()| {
            same!(sbm.call(stack_leftovers, ())?.assume_checked(), 0);
            Ok(())
        },
    )
}

fn the_stack_after_a_reset_is_zero() -> Verdict {
    let mut sbm = Sbm::builder().stack(4 * PAGE_BYTES).report(false).build()?;
    let result = sbm.call(dirty_stack_and_fault, (SECRET,));
    check!(result.is_err());
    sbm.reset()?;
    same!(sbm.call(stack_leftovers, ())?.assume_checked(), 0);
    Ok(())
}

fn the_buffers_of_a_warm_sandbox_are_zero_around_its_arguments() -> Verdict {
    let make = || Sbm::builder().room_out(1, 64).report(false).build();
    cleaned(
        make,
        |sbm| sbm.call(dirty_pages, (copy_out(&mut [0; 64][..]),)).map(Tainted::assume_checked),
        |sbm, _| {
            same!(sbm.call(leftovers_around, (copy_out(&mut [0; 16][..]),))?.assume_checked(), 0, "out");
            let mut bytes = [1; 16];
            same!(sbm.call(leftovers_around, (copy_inout(&mut bytes[..]).at_end(),))?.assume_checked(), 0, "inout");
            Ok(())
        },
    )
}

fn the_buffers_of_a_warm_sandbox_are_zero_where_no_argument_is() -> Verdict {
    let make = || Sbm::builder().room_in(1, 64).report(false).build();
    cleaned(
        make,
        |sbm| sbm.call(address_of, (copy_in(&[SECRET_BYTE; 64][..]),)).map(Tainted::assume_checked),
        |sbm, page| {
            // This one's call has no buffer, but the earlier one's is still mapped.
            same!(sbm.call(leftovers_in_page, (page,))?.assume_checked(), 0, "bytes of the earlier sandbox's input");
            Ok(())
        },
    )
}

/// The next call has no argument, but the buffers of the aborted one are still mapped: one that it read, one that it
/// wrote, and one of the client's own, all filled as far as can be.
fn the_buffers_of_an_aborted_call_are_zero_after_a_reset() -> Verdict {
    let mut builder = Sbm::builder().room_in(1, PAGE_BYTES).report(false);
    let own = builder.output(PAGE_BYTES);
    let mut sbm = builder.build()?;
    let (mut output, mut pages) = ([0; 8], [0; 3]);
    let arguments = (copy_in(&[0; 1][..]), copy_out(&mut output[..]), shared_out(own), copy_out(&mut pages[..]));
    sbm.call(addresses, arguments)?.assume_checked();
    let input = [SECRET_BYTE; PAGE_BYTES];
    let arguments = (copy_in(&input[..]), copy_out(&mut output[..]), shared_out(own), 0_u8);
    check!(sbm.call(dirty_and_fault, arguments).is_err());
    sbm.reset()?;
    for page in pages {
        same!(sbm.call(leftovers_in_page, (page,))?.assume_checked(), 0, "bytes at {page:#x}");
    }
    works(&mut sbm)
}

fn addresses(input: &[u8], output: &mut [u8], own: &mut [u8], pages: &mut [usize]) {
    pages.copy_from_slice(&[address_of(input), output.as_ptr() as usize, own.as_ptr() as usize]);
}

fn dirty_and_fault(_: &[u8], output: &mut [u8], own: &mut [u8], _: u8) {
    dirty_pages(output);
    own.fill(SECRET_BYTE);
    raw::undefined();
}

fn the_arguments_of_an_earlier_sandbox_are_gone() -> Verdict {
    cleaned_and_reset(
        |sbm| sbm.call(|_: u64, _: u64| (), (SECRET, SECRET)).map(Tainted::assume_checked),
        |sbm, ()| {
            same!(
                sbm.call(leftovers_in_arguments, ())?.assume_checked(),
                0,
                "words of the earlier sandbox's arguments"
            );
            Ok(())
        },
    )
}

fn the_panic_of_an_earlier_sandbox_is_gone() -> Verdict {
    cleaned_and_reset(
        |sbm| check_is_panic(&sbm.call(panic_with_secret, ()).map(drop)),
        |sbm, ()| {
            let left = sbm.call(|| raw::argument_page_word(PANIC_TEXT_OFFSET as usize), ())?.assume_checked();
            same!(left, 0, "the beginning of the earlier sandbox's panic");
            Ok(())
        },
    )
}

fn check_is_panic(result: &Result<(), Error>) -> Verdict {
    check!(matches!(result, Err(Error::Panic(_))), "no panic but {result:?}");
    Ok(())
}

fn the_registers_of_an_earlier_sandbox_are_gone() -> Verdict {
    cleaned_and_reset(
        |sbm| sbm.call(fill_registers, (SECRET,)).map(Tainted::assume_checked),
        |sbm, ()| {
            same!(sbm.call(registers, ())?.assume_checked() & SECRET, 0, "what is left in registers");
            Ok(())
        },
    )
}

fn the_vectors_of_an_earlier_sandbox_are_gone() -> Verdict {
    cleaned_and_reset(
        |sbm| sbm.call(fill_vectors, (SECRET,)).map(Tainted::assume_checked),
        |sbm, ()| {
            check!(!sbm.call(vectors, ())?.assume_checked(), "the secret is left in vector registers");
            Ok(())
        },
    )
}

/// On a kernel that saves no more than 128 bits of a register there is nothing to be left.
fn the_wide_vectors_of_an_earlier_sandbox_are_gone() -> Verdict {
    const AVX: u32 = 1 << 2;
    let mut sbm = quiet()?;
    if !sel4::HAS_XSAVE || sbm.call(|| raw::saved_features(), ())?.assume_checked() & AVX == 0 {
        return Ok(());
    }
    sbm.call(fill_wide_vectors, (SECRET,))?.assume_checked();
    check!(sbm.call(wide_vectors, ())?.assume_checked(), "nothing is left between two calls: this test is blind");
    drop(sbm);
    cleaned_and_reset(
        |sbm| sbm.call(fill_wide_vectors, (SECRET,)).map(Tainted::assume_checked),
        |sbm, ()| {
            check!(!sbm.call(wide_vectors, ())?.assume_checked(), "the secret is left in wide vector registers");
            Ok(())
        },
    )
}

fn the_segments_of_an_earlier_sandbox_are_gone() -> Verdict {
    cleaned_and_reset(
        |sbm| sbm.call(|| raw::fill_segments(), ()).map(Tainted::assume_checked),
        |sbm, ()| {
            same!(sbm.call(|| raw::segments(), ())?.assume_checked(), 0, "the selectors in DS and ES");
            Ok(())
        },
    )
}

fn a_warm_sandbox_panics_where_the_earlier_one_moved_its_base() -> Verdict {
    cleaned_and_reset(
        |sbm| sbm.call(move_base, (0x1234_5000_usize,)).map(Tainted::assume_checked),
        |sbm, ()| {
            check_is_panic(&sbm.call(panic_plainly, ()).map(drop))?;
            Ok(sbm.reset()?)
        },
    )
}

fn the_coprocessor_of_an_earlier_sandbox_is_gone() -> Verdict {
    cleaned_and_reset(
        |sbm| sbm.call(fill_coprocessor, (SECRET,)).map(Tainted::assume_checked),
        |sbm, ()| {
            check!(sbm.call(coprocessor, ())?.assume_checked() != SECRET, "the secret is left in the coprocessor");
            Ok(())
        },
    )
}

fn a_sandbox_that_moved_its_anchors_panics_after_a_reset() -> Verdict {
    cleaned_and_reset(
        |sbm| {
            for offset in [SELF_OFFSET, STACK_TOP_OFFSET] {
                let result = sbm.call(move_anchor_and_panic, (offset as usize,));
                check!(result.is_err(), "{result:?}");
                sbm.reset()?;
            }
            sbm.call(move_anchor, (STACK_TOP_OFFSET as usize,)).map(Tainted::assume_checked)?;
            sbm.call(move_anchor, (SELF_OFFSET as usize,)).map(Tainted::assume_checked).map_err(Why::from)
        },
        |sbm, ()| {
            check_is_panic(&sbm.call(panic_plainly, ()).map(drop))?;
            Ok(sbm.reset()?)
        },
    )
}

fn a_sandbox_panics_after_a_reset_where_it_moved_its_base() -> Verdict {
    let mut sbm = quiet()?;
    check!(sbm.call(move_base_and_fault, (0x1234_5000_usize,)).is_err());
    sbm.reset()?;
    check_is_panic(&sbm.call(panic_plainly, ()).map(drop))
}

fn a_sandbox_counts_where_an_earlier_function_unmasked_exceptions_or_rounds_otherwise() -> Verdict {
    let mut fresh = unkept()?;
    let wanted = fresh.call(float_controls, ())?.assume_checked();
    cleaned_and_reset(
        |sbm| sbm.call(unmask, ()).map(Tainted::assume_checked),
        |sbm, ()| {
            same!(sbm.call(float_controls, ())?.assume_checked(), wanted, "the controls of floating-point arithmetic");
            Ok(())
        },
    )
}

fn a_warm_sandbox_is_ready_where_the_earlier_one_still_ran() -> Verdict {
    cleaned_and_reset(|sbm| sbm.call(answer_and_spin, ()).map(Tainted::assume_checked), |sbm, ()| works(sbm))
}

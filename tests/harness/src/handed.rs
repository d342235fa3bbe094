// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sandboxes whose memory is filled before they are dropped, and sandboxes that are looked through when they are made.
//!
//! Their shapes change from round to round, and each has grown before it is dropped, so that none is kept ready for the
//! next of its shape: the memory itself changes hands.

use sbm::{InputBuffer, OutputBuffer, Sbm, Tainted, copy_in, shared_out};
use sbm_abi::limits::{PAGE, SELF_OFFSET};

use crate::{Verdict, raw, same};

const PAGE_BYTES: usize = PAGE as usize;

/// What memory is filled with.
const PATTERN: u8 = 0xa9;

struct Shape {
    sbm: Sbm,
    input: InputBuffer,
    output: OutputBuffer,
}

impl Shape {
    fn new(round: usize) -> Result<Self, sbm::Error> {
        let pages = [3, 17, 64, 5, 33, 130, 9][round % 7];
        let mut builder = Sbm::builder().stack((2 + round % 11) * PAGE_BYTES).report(false);
        let input = builder.input(pages * PAGE_BYTES);
        let output = builder.output((1 + pages / 2) * PAGE_BYTES);
        Ok(Self { sbm: builder.build()?, input, output })
    }
}

// Functions that run in sandboxes.

/// The words of the stack that nobody uses yet: it follows the argument page and a guard.
fn free_stack() -> impl Iterator<Item = usize> {
    let bottom = usize::try_from(raw::argument_page_word(SELF_OFFSET as usize)).unwrap_or(0) + 2 * PAGE_BYTES;
    (bottom..(raw::stack_pointer() - 512) & !7).step_by(8)
}

fn fill(output: &mut [u8]) {
    output.fill(PATTERN);
    for address in free_stack() {
        raw::write_word(address, u64::from_ne_bytes([PATTERN; 8]));
    }
}

/// Counts what is not zero.
fn leftovers(output: &mut [u8]) -> usize {
    let (words, _) = output.as_chunks::<8>();
    let in_output = words.iter().filter(|word| **word != [0; 8]).count();
    in_output + free_stack().filter(|address| raw::read_word(*address) != 0).count()
}

/// Makes a sandbox, fills all that it has, and drops it.
///
/// # Errors
/// The test's failure.
pub fn fill_and_drop(round: usize) -> Verdict {
    let Shape { mut sbm, input, output } = Shape::new(round)?;
    sbm.input(input)?.fill(PATTERN);
    sbm.call(fill, (shared_out(output),))?.assume_checked();
    Ok(end(sbm)?)
}

/// Drops a sandbox with a buffer more than it was made with, so that it is not kept ready.
fn end(mut sbm: Sbm) -> Result<(), sbm::Error> {
    sbm.call(|bytes: &[u8]| bytes.len(), (copy_in(&[PATTERN; 64][..]),))?.assume_checked();
    Ok(())
}

/// Makes a sandbox and checks that all it has is zero, from both sides.
///
/// # Errors
/// The test's failure.
pub fn look_through(round: usize) -> Verdict {
    let Shape { mut sbm, input, output } = Shape::new(round)?;
    same!(sbm.input(input)?.iter().filter(|byte| **byte != 0).count(), 0, "bytes of an input buffer that are not zero");
    let found = sbm.call(leftovers, (shared_out(output),)).map(Tainted::assume_checked)?;
    same!(found, 0, "words of a stack and an output buffer that are not zero");
    Ok(end(sbm)?)
}

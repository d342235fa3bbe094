// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same API without isolation: the same values, in the client itself.

use core::sync::atomic::{AtomicU32, Ordering};

use harness::{Sentinels, Test, Verdict, check, same, tests};
use sbm::{
    Builder, Isolation, Sbm, SharedPage, copy_in, copy_inout, copy_out, map_writable, shared, shared_out, word_enum,
};

pub(crate) const TESTS: &[Test] = tests![
    without_isolation_the_same_calls_return_the_same_values,
    without_isolation_buffers_and_views_are_the_same,
    without_isolation_an_overrun_in_the_page_is_not_copied_back,
    without_isolation_the_clients_data_is_in_reach,
    with_isolation_the_clients_data_is_not,
];

word_enum! {
    /// An error that a function returns.
    enum Refusal {
        /// The only one.
        Empty = 1,
    }
}

static COUNTER: AtomicU32 = AtomicU32::new(0);
static PAGES: [SharedPage; 1] = [SharedPage::ZERO];

// Functions that run in sandboxes, or in the client.

fn shift(input: &[u8], output: &mut [u8], sum: &mut u64, by: u8) -> Result<u32, Refusal> {
    if input.is_empty() {
        return Err(Refusal::Empty);
    }
    for (from, to) in input.iter().zip(&mut *output) {
        *to = from.wrapping_add(by);
        *sum += u64::from(*from);
    }
    u32::try_from(input.len()).map_err(|_| Refusal::Empty)
}

fn count() -> u32 {
    COUNTER.fetch_add(1, Ordering::Relaxed) + 1
}

fn overrun(output: &mut [u8]) {
    let end = output.as_mut_ptr() as usize + output.len();
    output.fill(1);
    harness::raw::write(end, 2);
}

const BOTH: [Isolation; 2] = [Isolation::None, Isolation::Strong];

fn builder(isolation: Isolation) -> Builder {
    Sbm::builder().isolation(isolation).report(false)
}

fn without_isolation_the_same_calls_return_the_same_values() -> Verdict {
    for isolation in BOTH {
        let mut sbm = builder(isolation).build()?;
        let (mut output, mut sum) = ([0; 4], 100_u64);
        let arguments = (copy_in(&[1, 2, 3, 4][..]), copy_out(&mut output[..]).at_end(), copy_inout(&mut sum), 10_u8);
        same!(sbm.call(shift, arguments)?.assume_checked(), Ok(4));
        same!((output, sum), ([11, 12, 13, 14], 110));
        let arguments = (copy_in(&[][..]), copy_out(&mut output[..]), copy_inout(&mut sum), 10_u8);
        same!(sbm.call(shift, arguments)?.assume_checked(), Err(Refusal::Empty));
        same!((output, sum), ([0; 4], 110));
        check!(sbm.error().is_none());
    }
    Ok(())
}

fn without_isolation_buffers_and_views_are_the_same() -> Verdict {
    for isolation in BOTH {
        let mut builder = builder(isolation);
        let (input, output) = (builder.input(8), builder.output(8));
        let mut sbm = builder.build()?;
        sbm.input(input)?[..3].copy_from_slice(b"abc");
        let mut sum = 0_u64;
        let arguments = (shared(input, 3), shared_out(output), copy_inout(&mut sum), 1_u8);
        same!(sbm.call(shift, arguments)?.assume_checked(), Ok(3));
        let mut bytes = [0; 4];
        same!(sbm.output(output)?.read(0, &mut bytes), Some(&b"bcd\0"[..]));
        sbm.call(|pages: &mut [u8]| pages.fill(9), (map_writable(&PAGES),))?.assume_checked();
        SharedPage::read(&PAGES, 4092, &mut bytes);
        same!(bytes, [9; 4]);
        SharedPage::write(&PAGES, 4092, &[0; 4]);
    }
    Ok(())
}

fn without_isolation_an_overrun_in_the_page_is_not_copied_back() -> Verdict {
    for isolation in BOTH {
        let mut sbm = builder(isolation).build()?;
        let mut caller = Sentinels::<16>::new();
        sbm.call(overrun, (copy_out(&mut caller.buffer[..]),))?.assume_checked();
        same!(caller.buffer, [1; 16]);
        caller.kept_around()?;
    }
    Ok(())
}

fn without_isolation_the_clients_data_is_in_reach() -> Verdict {
    let mut sbm = builder(Isolation::None).build()?;
    let before = COUNTER.load(Ordering::Relaxed);
    same!(sbm.call(count, ())?.assume_checked(), before + 1);
    same!(COUNTER.load(Ordering::Relaxed), before + 1);
    Ok(())
}

fn with_isolation_the_clients_data_is_not() -> Verdict {
    let mut sbm = builder(Isolation::Strong).build()?;
    let before = COUNTER.load(Ordering::Relaxed);
    let result = sbm.call(count, ());
    harness::expect::fault(&mut sbm, result)?;
    same!(COUNTER.load(Ordering::Relaxed), before);
    Ok(())
}

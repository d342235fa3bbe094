// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whoever chooses the sizes of inputs makes them grow, again and again, in all arguments: no sandbox is unusable for it.

use harness::{Test, Verdict, Why, check, expect::works, same, tests};
use sbm::{Error, Sbm, Tainted, copy_in, copy_inout};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] =
    tests![inputs_that_grow_in_all_arguments_keep_a_sandbox_usable, results_that_grow_keep_a_sandbox_usable];

/// The largest input here, in bytes: it takes four buffers on the way there.
const LARGEST: usize = 40 * 4096;

/// What inputs are taken from.
static BYTES: [u8; LARGEST] = [1; LARGEST];

// Functions that run in sandboxes.

fn sum(one: &[u8], two: &[u8], three: &[u8], four: &[u8], five: &[u8], six: &[u8]) -> u64 {
    [one, two, three, four, five, six].iter().flat_map(|bytes| bytes.iter()).map(|byte| u64::from(*byte)).sum()
}

fn increment(bytes: &mut [u8], more: &mut [u8]) {
    bytes.iter_mut().chain(more).for_each(|byte| *byte += 1);
}

/// Sizes for six arguments: in each step one of them is larger than before, and at last all are small again.
fn steps() -> impl Iterator<Item = [usize; 6]> {
    let sizes = [1, 4097, 5 * 4096, 17 * 4096, LARGEST];
    let mut now = [1; 6];
    let grown = sizes.into_iter().flat_map(|size| (0..6).map(move |at| (at, size)));
    grown
        .map(move |(at, size)| {
            now[at] = size;
            now
        })
        .chain([[1; 6], [LARGEST; 6], [100; 6]])
}

fn sum_in(sbm: &mut Sbm, sizes: [usize; 6]) -> Result<Tainted<u64>, Error> {
    let [one, two, three, four, five, six] = sizes.map(|size| copy_in(&BYTES[..size]));
    sbm.call(sum, (one, two, three, four, five, six))
}

fn inputs_that_grow_in_all_arguments_keep_a_sandbox_usable() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    let mut observer = Observer::new()?;
    for round in 0..3 {
        for sizes in steps() {
            let wanted = sizes.iter().sum::<usize>() as u64;
            let found = sum_in(&mut sbm, sizes)
                .map_err(|error| Why::new(format_args!("round {round}, sizes {sizes:?}: {error}")))?;
            same!(found.assume_checked(), wanted, "round {round}, sizes {sizes:?}");
        }
        observer.undisturbed()?;
        sbm.reset()?;
    }
    works(&mut sbm)
}

fn results_that_grow_keep_a_sandbox_usable() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    let mut bytes = [0; 17 * 4096];
    let mut more = [0; 17 * 4096];
    for (first, second) in [(1, 1), (4097, 1), (1, 4097), (5 * 4096, 2), (2, 5 * 4096), (17 * 4096, 17 * 4096), (1, 1)]
    {
        let (first, second) = (&mut bytes[..first], &mut more[..second]);
        let before = [first[0], second[0]];
        sbm.call(increment, (copy_inout(&mut *first), copy_inout(&mut *second)))?.assume_checked();
        check!([first[0], second[0]] == before.map(|byte| byte + 1), "the result did not arrive");
        // In the other direction as well, which takes buffers of their own.
        sum_in(&mut sbm, [first.len(), second.len(), 1, 1, 1, 1])?.assume_checked();
    }
    works(&mut sbm)
}

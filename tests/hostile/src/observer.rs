// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who looks on while others misbehave: another sandbox, the client itself, and the server.

use core::{hint::black_box, time::Duration};

use harness::{Verdict, check, same};
use sbm::{Error, OutputBuffer, Sbm, Tainted, Usage, shared_out};

/// A sandbox that counts its calls, and what the server had in use.
pub(crate) struct Observer {
    sbm: Sbm,
    output: OutputBuffer,
    calls: u32,
    usage: Usage,
}

// Functions that run in sandboxes.

fn count(output: &mut [u8]) -> u32 {
    let (words, _) = output.as_chunks_mut::<4>();
    let Some(first) = words.first_mut() else { return 0 };
    let calls = u32::from_le_bytes(*first) + 1;
    *first = calls.to_le_bytes();
    calls
}

/// Has a sandbox keep up with its client, so that it gets its turn when that yields, although the client shares the CPU with a
/// neighbour: a quantum begins while it is called.
pub(crate) fn keep_up(sbm: &mut Sbm) -> Result<(), Error> {
    sbm.call_within(Duration::from_secs(2), spin, (20_000_000_u32,)).map(drop)
}

fn spin(times: u32) {
    for number in 0..times {
        black_box(number);
    }
}

impl Observer {
    /// Begins to look on, when everything that the test makes has been made.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut builder = Sbm::builder().report(false);
        let output = builder.output(64);
        let sbm = builder.build()?;
        Ok(Self { sbm, output, calls: 0, usage: sbm::usage()? })
    }

    /// Checks that the other sandbox works as before and that the server answers.
    pub(crate) fn undisturbed(&mut self) -> Verdict {
        self.calls += 1;
        same!(self.sbm.call(count, (shared_out(self.output),))?.assume_checked(), self.calls);
        let seen = self.sbm.output(self.output)?.get::<u32>(0).map(Tainted::assume_checked);
        same!(seen, Some(self.calls), "the observer's buffer");
        sbm::usage()?;
        Ok(())
    }

    /// Checks the same, and that no sandbox was taken or lost since the beginning; by itself alone, not a byte. Beside a
    /// neighbour, which takes its time, spares come and go, and heaps keep what was touched.
    pub(crate) fn nothing_lost(&mut self) -> Verdict {
        self.undisturbed()?;
        let usage = sbm::usage()?;
        same!(usage.sandboxes, self.usage.sandboxes, "sandboxes");
        if !crate::strangers::present() {
            check!(usage == self.usage, "in use: {usage:?} instead of {:?}", self.usage);
        }
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages to a sandbox that ask for no answer: a call to one that serves no more ends with its budget only.

use harness::{Verdict, raw, same};
use sbm::{Error, OutputBuffer, Sbm, Tainted, shared_out};
use sel4::{MessageInfo, cap::Endpoint};

/// Turns that the sandbox is given for a message.
const TURNS: u32 = 8;

/// Messages until one is answered. A look of the server's stops what runs without a call, and with it the answer.
const TRIES: u32 = 4;

/// A sandbox that can be asked whether it serves calls, without calling it.
pub(crate) struct Asked {
    pub(crate) sbm: Sbm,
    output: OutputBuffer,
    counter: u64,
}

// Functions that run in sandboxes.

fn address_of(bytes: &mut [u8]) -> u64 {
    bytes.as_ptr() as u64
}

extern "C" fn count_at(address: u64) {
    // Pointers have 64 bits.
    let address = address as usize;
    raw::write_word(address, raw::read_word(address) + 1);
}

impl Asked {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut builder = Sbm::builder().report(false);
        let output = builder.output(64);
        let mut sbm = builder.build()?;
        let counter = sbm.call(address_of, (shared_out(output),))?.assume_checked();
        Ok(Self { sbm, output, counter })
    }

    /// Has the sandbox run a function of the C calling convention, if it serves calls, and gives it the time to.
    pub(crate) fn send(&self, function: extern "C" fn(u64), argument: u64) {
        let call = [function as usize as u64, argument, 0, 0];
        Endpoint::from_bits(self.sbm.endpoint_slot()).nb_send_with_mrs(MessageInfo::new(0, 0, 0, 2), call);
        for _ in 0..TURNS {
            sel4::r#yield();
        }
    }

    /// Checks that the sandbox serves calls.
    pub(crate) fn serves(&mut self) -> Verdict {
        // A reset may have cleared the counter.
        let before = self.count()?;
        for _ in 0..TRIES {
            self.send(count_at, self.counter);
            if self.count()? != before {
                break;
            }
        }
        same!(self.count()?, before + 1, "calls that ran; the sandbox serves no more, and who called would wait");
        Ok(())
    }

    fn count(&mut self) -> Result<u64, Error> {
        Ok(self.sbm.output(self.output)?.get::<u64>(0).map_or(0, Tainted::assume_checked))
    }
}

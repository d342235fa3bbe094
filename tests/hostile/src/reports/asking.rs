// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that end while their function waits for what it has asked for.

use core::time::Duration;

use sbm::{Error, Proxy, Sbm, Tainted, serve};

/// The budget of calls that are to be over it.
const SHORT: Duration = Duration::from_millis(50);

#[sbm::service]
trait Oracle {
    fn answer(&mut self, question: &str) -> u64;
}

/// A handler with a bug.
struct Speechless;

impl Oracle for Speechless {
    #[expect(clippy::panic, reason = "a bug, on purpose")]
    fn answer(&mut self, question: &str) -> u64 {
        panic!("no answer to: {question}")
    }
}

/// A handler that takes its time.
struct Slow(Duration);

impl Oracle for Slow {
    fn answer(&mut self, _: &str) -> u64 {
        // Where it does not sleep there is nothing to be told.
        let _ = sbm::sleep(self.0);
        1
    }
}

#[inline(never)]
fn ask(mut oracle: Proxy<dyn Oracle>) -> u64 {
    let first = oracle.answer("who answers when you do not?");
    first + oracle.answer("and what else?")
}

/// Asks what panics.
pub(super) fn without_an_answer() -> Result<u64, Error> {
    let answer = Sbm::new()?.call(ask, (serve::<dyn Oracle>(&mut Speechless),));
    sbm::println!("it goes on, with {answer:?}");
    answer.map(Tainted::assume_checked)
}

/// Asks what takes longer than the call may.
pub(super) fn a_slow_one() -> Result<u64, Error> {
    let mut sbm = Sbm::builder().budget(SHORT).count_handlers().build()?;
    sbm.call(ask, (serve::<dyn Oracle>(&mut Slow(2 * SHORT)),)).map(Tainted::assume_checked)
}

/// Asks once more than it may.
pub(super) fn too_often() -> Result<u64, Error> {
    // One is for an outbox.
    let mut sbm = Sbm::builder().request_limit(2).build()?;
    sbm.call(ask, (serve::<dyn Oracle>(&mut Slow(Duration::ZERO)),)).map(Tainted::assume_checked)
}

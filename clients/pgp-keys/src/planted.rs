// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows what the sandbox is for, with two bugs that were planted on purpose.
//!
//! With either of them, which no keyring of a user ever meets, the parser believes the length that a packet claims. One
//! copies that many bytes, as a parser in C with that bug would do: a key that was crafted for it makes it read past its
//! input. The other one steps over that many bytes: a second crafted key makes it loop for ever. The sandbox is stopped
//! both times; this program gets an error, resets the sandbox and goes on to parse a keyring in it.

use core::time::Duration;

use sbm::{Error, copy_in, println};
use sbm_pgp::{parse_and_loop, parse_and_overrun};

use crate::{
    DEMO, Found,
    parse::{Refusal, parse_carried, sandbox},
};

/// A key whose user id claims to be longer than the whole key.
const OVERRUNNING: &[u8] = include_bytes!("../../pgp/testdata/planted-bug.pgp");

/// A key whose user id claims a length that leads back to its start.
const LOOPING: &[u8] = include_bytes!("../../pgp/testdata/planted-loop.pgp");

/// Time for a parser that is going to loop.
const SHORT_BUDGET: Duration = Duration::from_millis(100);

/// Drives the planted bugs in a sandbox, and uses that sandbox again.
pub(crate) fn show() -> Result<(), Refusal> {
    let mut sbm = sandbox()?;
    println!(
        "demonstration: the parser now has a bug that was planted on purpose, and planted-bug.pgp is made to drive it"
    );
    println!("demonstration: the fault that follows is meant to happen");
    match sbm.call(parse_and_overrun, (copy_in(OVERRUNNING).at_end(),)) {
        Ok(_) => return Err(Refusal::NotStopped),
        Err(error @ (Error::Fault { .. } | Error::Panic(_) | Error::Garbled)) => {
            println!("demonstration: only the sandbox was stopped, nothing came out of it: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    sbm.reset()?;
    println!("demonstration: with another bug the parser never ends on planted-loop.pgp; its call has a short budget");
    match sbm.call_within(SHORT_BUDGET, parse_and_loop, (copy_in(LOOPING).at_end(),)) {
        Ok(_) => return Err(Refusal::NotStopped),
        Err(error @ Error::TimedOut { .. }) => println!("demonstration: it was stopped as well: {error}"),
        Err(error) => return Err(error.into()),
    }
    sbm.reset()?;
    let found = parse_carried(&mut sbm, DEMO)?;
    println!("demonstration: the sandbox was reset and parses demo.pgp again: {}", Found(&found));
    Ok(())
}

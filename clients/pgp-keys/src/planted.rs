// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows what the sandbox is for, with two bugs that were planted on purpose.
//!
//! With either of them, which no keyring of a user ever meets, the parser believes the length that a packet claims. One
//! copies that many bytes, as a parser in C with that bug would do: a key that was crafted for it makes it read past its
//! input. The other one steps over that many bytes: a second crafted key makes it loop for ever. The sandbox is stopped
//! both times; this program gets an error, resets the sandbox and goes on to parse a keyring in it.

use core::fmt;

use sbm::{Error, println};
use sbm_pgp::PlantedBug;

use crate::{
    keyring::Keyring,
    list::Summary,
    parse::{Parser, Refusal},
};

/// What went other than it was meant to.
#[derive(Debug)]
pub(crate) enum Unexpected {
    /// A bug had no effect.
    NoEffect,
    /// The sandbox could not be set up or reset.
    Sandbox(Error),
    /// The keyring after the bug is not listed.
    Keyring(Refusal),
}

impl From<Error> for Unexpected {
    fn from(error: Error) -> Self {
        Self::Sandbox(error)
    }
}

impl From<Refusal> for Unexpected {
    fn from(refusal: Refusal) -> Self {
        Self::Keyring(refusal)
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEffect => f.write_str("a planted bug was not stopped"),
            Self::Sandbox(error) => write!(f, "no sandbox for a planted bug: {error}"),
            Self::Keyring(refusal) => write!(f, "{} after the planted bugs: {refusal}", Keyring::DEMO.name()),
        }
    }
}

/// Drives the planted bugs in a sandbox, and uses that sandbox again.
pub(crate) fn show(records: &mut [u8]) -> Result<(), Unexpected> {
    let mut parser = Parser::new(Keyring::DEMO.bytes.len(), records.len())?;
    let crafted = Keyring::OVERRUNNING;
    println!(
        "demonstration: the parser now has a bug that was planted on purpose, and {} is made to drive it",
        crafted.name()
    );
    println!("demonstration: the fault that follows is meant to happen");
    match parser.call_planted_bug(PlantedBug::Overrun, &crafted, records) {
        Ok(()) => return Err(Unexpected::NoEffect),
        Err(error @ (Error::Fault { .. } | Error::Panic(_) | Error::Garbled)) => {
            println!("demonstration: only the sandbox was stopped, nothing came out of it: {error}");
        }
        Err(error) => return Err(Unexpected::Sandbox(error)),
    }
    parser.reset()?;
    let crafted = Keyring::LOOPING;
    println!(
        "demonstration: with another bug the parser never ends on {}; its call has a short budget",
        crafted.name()
    );
    match parser.call_planted_bug(PlantedBug::Loop, &crafted, records) {
        Ok(()) => return Err(Unexpected::NoEffect),
        Err(error @ Error::TimedOut { .. }) => println!("demonstration: it was stopped as well: {error}"),
        Err(error) => return Err(Unexpected::Sandbox(error)),
    }
    parser.reset()?;
    let (demo, found) = (Keyring::DEMO, parser.parse(&Keyring::DEMO, records)?);
    println!("demonstration: the sandbox was reset and parses {} again: {}", demo.name(), Summary::of(&found));
    Ok(())
}

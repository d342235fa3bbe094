// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shows what the sandbox is for, with a bug that was planted on purpose.
//!
//! The parser has a second face, which no keyring of a user ever meets: it believes the length that a user id claims,
//! and copies that many bytes, as a parser in C with that bug would do. A key that was crafted for it makes it read past
//! its input. The sandbox ends there; this program gets an error, resets the sandbox and parses a keyring in it.

use core::fmt;

use sbm::{Error, println};

use crate::{
    keyring::Keyring,
    list::Summary,
    parse::{Parser, Refusal},
};

/// What went other than it was meant to.
#[derive(Debug)]
pub(crate) enum Unexpected {
    /// The bug had no effect.
    NoFault,
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
            Self::NoFault => f.write_str("the planted bug was not stopped"),
            Self::Sandbox(error) => write!(f, "no sandbox for the planted bug: {error}"),
            Self::Keyring(refusal) => write!(f, "{} after the planted bug: {refusal}", Keyring::DEMO.name()),
        }
    }
}

/// Drives the planted bug in a sandbox, and uses that sandbox again.
pub(crate) fn show(records: &mut [u8]) -> Result<(), Unexpected> {
    let (crafted, demo) = (Keyring::CRAFTED.name(), Keyring::DEMO.name());
    println!("demonstration: the parser now has a bug that was planted on purpose, and {crafted} is made to drive it");
    println!("demonstration: the fault that follows is meant to happen");
    let mut parser = Parser::new(Keyring::DEMO.bytes.len(), records.len())?;
    match parser.call_planted_bug(&Keyring::CRAFTED, records) {
        Ok(()) => return Err(Unexpected::NoFault),
        Err(error @ (Error::Fault { .. } | Error::Panic(_) | Error::Garbled)) => {
            println!("demonstration: only the sandbox was stopped, nothing came out of it: {error}");
        }
        Err(error) => return Err(Unexpected::Sandbox(error)),
    }
    parser.reset()?;
    let found = parser.parse(&Keyring::DEMO, records)?;
    println!("demonstration: the sandbox was reset and parses {demo} again: {}", Summary::of(&found));
    Ok(())
}

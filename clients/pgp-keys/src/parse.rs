// SPDX-License-Identifier: MIT OR Apache-2.0
//! The call into the sandbox.
//!
//! What comes back is checked to be a list, and what the list says is the sandbox's word: a parser that somebody took over
//! chooses every key in it. It is counted and printed, and nothing else is done with it.

use core::time::Duration;

use displaydoc::Display;
use sbm::{Error, InputFile, Sbm, Tainted, copy_in};
use sbm_pgp::{Keyring, ParseError, parse};

use crate::HEAP;

/// Bytes of the sandbox's heap, of which it takes what it touches: blocks in armor, decoded, and the list.
const INSIDE: usize = 16 << 20;

/// Most bytes of a list, for which this program's heap has room.
const LIST: usize = HEAP - (1 << 18);

/// Time for a keyring. The largest that fits takes less than a second in an emulated machine.
const BUDGET: Duration = Duration::from_secs(10);

/// Bytes up to which a keyring is copied, to the end of its pages, where reading one byte too many is a fault. What is
/// larger is mapped.
const COPIED: usize = 4 << 20;

/// Why a keyring is not listed, or a demonstration not shown.
#[derive(Debug, Display)]
pub(crate) enum Refusal {
    /// not listed: {0}
    Keyring(ParseError),
    /// not listed, its parser did not finish: {0}
    Sandbox(Error),
    /// not listed, the sandbox returned what no parser returns
    List,
    /// a planted bug was not stopped
    NotStopped,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Sandbox(error)
    }
}

/// Sets up a sandbox for keyrings.
pub(crate) fn sandbox() -> Result<Sbm, Error> {
    Sbm::builder().budget(BUDGET).heap(INSIDE).result_limit(LIST).build()
}

/// Parses a keyring that the program carries.
pub(crate) fn parse_carried(sbm: &mut Sbm, bytes: &[u8]) -> Result<Keyring, Refusal> {
    checked(sbm.call(parse, (copy_in(bytes).at_end(),))?)
}

/// Parses an input file in a sandbox of its own.
pub(crate) fn parse_file(file: &InputFile) -> Result<Keyring, Refusal> {
    let mut sbm = sandbox()?;
    if file.bytes.len() <= COPIED {
        return parse_carried(&mut sbm, file.bytes);
    }
    checked(sbm.call(parse, (file.map(),))?)
}

/// Takes a list of keys that say anything, or any error: both are only printed.
fn checked(answer: Tainted<Result<Keyring, ParseError>>) -> Result<Keyring, Refusal> {
    match answer.transpose() {
        Ok(list) => list.check(Keyring::is_sound).map_err(|_| Refusal::List),
        Err(error) => Err(Refusal::Keyring(error.assume_checked())),
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OpenPGP parser where a careful program puts it today: in a process of its own.
//!
//! It is the parser that runs in the sandbox, on the keyring that lies in the initramfs. The records come back through
//! shared memory, as bytes, and are not read here: a caller does that in the same way wherever the parser ran.

use std::fs;

use sbm_pgp::records::{HEADER_LEN, capacity_bound};
use sbm_pgp::{Options, parse_keyring, scratch_bound};

use crate::calls::serve_strictly;
use crate::error::Error;
use crate::helper::{Bell, Helper, fork, shared, wait_for_success};
use crate::rows::{FEWER, Row, sample};

/// The keyring, which is there only when the host has passed one.
const KEYRING: &str = "/keyring";

/// Measures the parser as a plain function call: what the two other rows have to be read against.
pub(crate) fn native() -> Row {
    Row::new("native_pgp", native_samples())
}

fn native_samples() -> Result<Vec<u64>, Error> {
    let mut job = Job::new()?;
    let mut output = vec![0; capacity_bound(job.keyring.len())];
    sample(FEWER, job.used()?, || {
        parse(&job.keyring, &mut job.scratch, &mut output);
        used(&output)
    })
}

/// Measures a fork for each keyring. The child reads the caller's memory; its end makes the records final.
pub(crate) fn forked() -> Row {
    Row::new("pgp_fork", forked_samples())
}

fn forked_samples() -> Result<Vec<u64>, Error> {
    let mut job = Job::new()?;
    let mut output = shared(capacity_bound(job.keyring.len()))?;
    let samples = sample(FEWER, job.used()?, || {
        wait_for_success(fork(|| parse(&job.keyring, &mut job.scratch, &mut output))?)?;
        used(&output)
    })?;
    job.check(&output).map(|()| samples)
}

/// Measures a kept helper in seccomp strict mode: the keyring copied in, the records copied out.
///
/// They have to be copied, because the helper goes on living and could change them while they are read.
pub(crate) fn confined() -> Row {
    Row::new("pgp_seccomp", confined_samples())
}

fn confined_samples() -> Result<Vec<u64>, Error> {
    let mut job = Job::new()?;
    let bell = Bell::new()?;
    let mut input = shared(job.keyring.len())?;
    let mut output = shared(capacity_bound(job.keyring.len()))?;
    let _helper = Helper::start(|| serve_strictly(&bell, || parse(&input, &mut job.scratch, &mut output)))?;
    let mut records = vec![0; output.len()];
    let samples = sample(FEWER, job.used()?, || {
        input.copy_from_slice(&job.keyring);
        bell.ring()?;
        let used = used(&output)?;
        let length = used as usize;
        let (Some(target), Some(source)) = (records.get_mut(..length), output.get(..length)) else {
            return Err(Error::WrongResult);
        };
        target.copy_from_slice(source);
        Ok(used)
    })?;
    job.check(&records).map(|()| samples)
}

/// The keyring, and what its parser must find.
struct Job {
    keyring: Vec<u8>,
    scratch: Vec<u8>,
    expected: Vec<u8>,
}

impl Job {
    /// Reads and parses the keyring.
    ///
    /// # Errors
    /// Returns [`Error::NoKeyring`], or [`Error::Keyring`] when the parser refuses it: only the cost of one that is
    /// read to its end means something.
    fn new() -> Result<Job, Error> {
        let keyring = fs::read(KEYRING).map_err(|_| Error::NoKeyring)?;
        let mut scratch = vec![0; scratch_bound(keyring.len())];
        let mut expected = vec![0; capacity_bound(keyring.len())];
        let used = parse_keyring(&keyring, &mut scratch, &mut expected, Options::default()).map_err(Error::Keyring)?;
        expected.truncate(used as usize);
        expected.shrink_to_fit();
        Ok(Job { keyring, scratch, expected })
    }

    /// Returns the number of bytes that the records must have.
    fn used(&self) -> Result<u32, Error> {
        u32::try_from(self.expected.len()).map_err(|_| Error::WrongResult)
    }

    /// Compares the records that came back with the expected ones.
    fn check(&self, records: &[u8]) -> Result<(), Error> {
        if records.starts_with(&self.expected) { Ok(()) } else { Err(Error::WrongResult) }
    }
}

/// Parses; whether it went well stands in the records' header.
fn parse(keyring: &[u8], scratch: &mut [u8], output: &mut [u8]) {
    let _ = parse_keyring(keyring, scratch, output, Options::default());
}

/// Returns the number of bytes that the header of the records claims.
fn used(records: &[u8]) -> Result<u32, Error> {
    /// Where the number stands; see the layout in `sbm_pgp::records`.
    const AT: usize = 4;
    const _: () = assert!(AT + size_of::<u32>() <= HEADER_LEN);
    records
        .get(AT..AT + size_of::<u32>())
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes)
        .ok_or(Error::WrongResult)
}

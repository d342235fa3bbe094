// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OpenPGP parser where a careful program puts it today: in a process of its own.
//!
//! It is the parser that runs in the sandbox, on the keyring that lies in the initramfs. The keys come back through shared
//! memory, in `postcard`'s form with its length before it, and are not decoded here.

use std::fs;
use std::hint::black_box;

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
    let job = Job::new()?;
    sample(FEWER, 0, || {
        // The keys are not wanted, but nobody may know that.
        let _ = black_box(sbm_pgp::parse(black_box(&job.keyring)));
        Ok(0)
    })
}

/// Measures a fork for each keyring. The child reads the caller's memory; its end makes the keys final.
pub(crate) fn forked() -> Row {
    Row::new("pgp_fork", forked_samples())
}

fn forked_samples() -> Result<Vec<u64>, Error> {
    let job = Job::new()?;
    let mut output = shared(job.room())?;
    let samples = sample(FEWER, job.used()?, || {
        wait_for_success(fork(|| parse(&job.keyring, &mut output))?)?;
        used(&output)
    })?;
    job.check(&output).map(|()| samples)
}

/// Measures a kept helper in seccomp strict mode: the keyring copied in, the keys copied out.
///
/// They have to be copied, because the helper goes on living and could change them while they are read.
pub(crate) fn confined() -> Row {
    Row::new("pgp_seccomp", confined_samples())
}

fn confined_samples() -> Result<Vec<u64>, Error> {
    let job = Job::new()?;
    let bell = Bell::new()?;
    let mut input = shared(job.keyring.len())?;
    let mut output = shared(job.room())?;
    let _helper = Helper::start(|| {
        // Leaves the allocator with the memory that it needs: in strict mode it gets no more.
        parse(&job.keyring, &mut output);
        serve_strictly(&bell, || parse(&input, &mut output))
    })?;
    let mut keys = vec![0; output.len()];
    let samples = sample(FEWER, job.used()?, || {
        input.copy_from_slice(&job.keyring);
        bell.ring()?;
        let used = used(&output)?;
        let length = used as usize;
        let (Some(target), Some(source)) = (keys.get_mut(..length), output.get(..length)) else {
            return Err(Error::WrongResult);
        };
        target.copy_from_slice(source);
        Ok(used)
    })?;
    job.check(&keys).map(|()| samples)
}

/// The keyring, and what its parser must find.
struct Job {
    keyring: Vec<u8>,
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
        sbm_pgp::parse(&keyring).map_err(Error::Keyring)?;
        let mut job = Job { keyring, expected: Vec::new() };
        let mut output = vec![0; job.room()];
        parse(&job.keyring, &mut output);
        output.truncate(used(&output)? as usize);
        job.expected = output;
        Ok(job)
    }

    /// Returns how many bytes are enough for the keys: at the worst a key of 8 bytes becomes one of about 100.
    fn room(&self) -> usize {
        LENGTH + 16 * self.keyring.len()
    }

    /// Returns the number of bytes that the keys must have.
    fn used(&self) -> Result<u32, Error> {
        u32::try_from(self.expected.len()).map_err(|_| Error::WrongResult)
    }

    /// Compares the keys that came back with the expected ones.
    fn check(&self, keys: &[u8]) -> Result<(), Error> {
        if keys.starts_with(&self.expected) { Ok(()) } else { Err(Error::WrongResult) }
    }
}

/// Bytes before the keys, which say how many there are, themselves included.
const LENGTH: usize = size_of::<u32>();

/// Parses; a length of 0 says that it did not go well.
fn parse(keyring: &[u8], output: &mut [u8]) {
    let Some((length, room)) = output.split_first_chunk_mut::<LENGTH>() else { return };
    let keys = sbm_pgp::parse(keyring).ok().and_then(|keys| Some(postcard::to_slice(&keys, room).ok()?.len()));
    *length = keys.and_then(|keys| u32::try_from(LENGTH + keys).ok()).unwrap_or(0).to_le_bytes();
}

/// Returns the number of bytes that the keys claim to have.
fn used(keys: &[u8]) -> Result<u32, Error> {
    keys.first_chunk().map(|length| u32::from_le_bytes(*length)).ok_or(Error::WrongResult)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls to a helper process that is kept: what an honest context switch costs here.
//!
//! The scheduler is the default one, as a caller has it. Its choice when a process wakes another, to switch at once or
//! to go on until this one sleeps, gives such rows two modes, about 2,400 instructions apart, and which of them is the
//! median can change with the build of this program. The minimum does not.

use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{SecureComputingMode, futex, set_secure_computing_mode};

use crate::checksum::{LENGTH, input};
use crate::error::Error;
use crate::helper::{Bell, Helper, shared};
use crate::rows::{MANY, Row, sample};

/// Measures the cheapest system call: in and out of the kernel.
pub(crate) fn getpid() -> Row {
    let expected = rustix::process::getpid();
    Row::new("linux_getpid", sample(MANY, expected, || Ok(rustix::process::getpid())))
}

/// Measures a byte to a helper and a byte back, over two pipes.
pub(crate) fn pipe_round_trip() -> Row {
    Row::new("linux_pipe_round_trip", pipe_samples())
}

fn pipe_samples() -> Result<Vec<u64>, Error> {
    let bell = Bell::new()?;
    let _helper = Helper::start(|| bell.serve(|| ()))?;
    sample(MANY, (), || bell.ring())
}

/// Nobody waits for anybody.
const IDLE: u32 = 0;
/// The caller has asked.
const REQUEST: u32 = 1;
/// The helper has answered.
const REPLY: u32 = 2;

/// Measures a request and an answer through a word of shared memory, with `futex` to sleep and to wake.
pub(crate) fn futex_round_trip() -> Row {
    Row::new("linux_futex_round_trip", futex_samples())
}

fn futex_samples() -> Result<Vec<u64>, Error> {
    let mut page = shared(size_of::<AtomicU32>())?;
    // SAFETY: the page is aligned, as long as the word, mapped for as long as `page` lives, and used in no other way.
    let word = unsafe { AtomicU32::from_ptr(page.as_mut_ptr().cast()) };
    let _helper = Helper::start(|| {
        while wait_for(word, REQUEST).is_ok() {
            if post(word, REPLY).is_err() {
                break;
            }
        }
    })?;
    sample(MANY, (), || {
        post(word, REQUEST)?;
        wait_for(word, REPLY)?;
        word.store(IDLE, Ordering::Relaxed);
        Ok(())
    })
}

/// Stores `value` and wakes the one that waits for it.
fn post(word: &AtomicU32, value: u32) -> Result<(), Error> {
    word.store(value, Ordering::Release);
    futex::wake(word, futex::Flags::empty(), 1).map(|_woken| ()).map_err(Error::system("futex"))
}

/// Sleeps until the word holds `wanted`.
fn wait_for(word: &AtomicU32, wanted: u32) -> Result<(), Error> {
    loop {
        let current = word.load(Ordering::Acquire);
        if current == wanted {
            return Ok(());
        }
        match futex::wait(word, futex::Flags::empty(), current, None) {
            Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::system("futex")(errno)),
        }
    }
}

/// Measures a call to a helper in seccomp strict mode: 1 KiB copied in, a null function, 1 KiB copied out.
///
/// The buffers are memfds that were mapped before the mode was entered, as in the sandbox's own buffers. The helper
/// keeps its memory between calls: a sandbox that is reset gives more than this row does.
pub(crate) fn seccomp_round_trip() -> Row {
    Row::new("linux_seccomp_round_trip", seccomp_samples())
}

fn seccomp_samples() -> Result<Vec<u64>, Error> {
    let bell = Bell::new()?;
    let mut input_buffer = shared(LENGTH)?;
    let output_buffer = shared(LENGTH)?;
    let _helper = Helper::start(|| serve_strictly(&bell, || ()))?;
    let argument = input();
    let mut result = [0; LENGTH];
    sample(MANY, (), || {
        input_buffer.copy_from_slice(&argument);
        bell.ring()?;
        result.copy_from_slice(&output_buffer);
        Ok(())
    })
}

/// Enters seccomp strict mode and serves; in a helper. From here on it can read, write and be killed.
pub(crate) fn serve_strictly<F: FnMut()>(bell: &Bell, function: F) {
    if set_secure_computing_mode(SecureComputingMode::Strict).is_ok() {
        bell.serve(function);
    }
}

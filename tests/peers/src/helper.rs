// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes beside this one: helpers that are kept, children that are awaited, memory shared with them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use memmap2::MmapMut;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;

use crate::error::Error;

/// A forked process that serves this one until it is dropped.
pub(crate) struct Helper {
    pid: Pid,
}

impl Helper {
    /// Forks a process that runs `serve`. It never returns into the caller's code.
    ///
    /// # Errors
    /// Returns the error of `fork`.
    pub(crate) fn start<F: FnOnce()>(serve: F) -> Result<Helper, Error> {
        Ok(Helper { pid: fork(serve)? })
    }
}

impl Drop for Helper {
    /// Kills the process and reaps it. SIGKILL also reaches one that seccomp leaves no way to end by itself.
    fn drop(&mut self) {
        // Both can only fail when the process is gone, and then there is nothing left to do.
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// Forks a process that runs `body` and exits with status 0, and returns its number.
///
/// # Errors
/// Returns the error of `fork`.
pub(crate) fn fork<F: FnOnce()>(body: F) -> Result<Pid, Error> {
    // SAFETY: this process has one thread, so the child finds no lock held by a thread that does not exist in it.
    match unsafe { nix::unistd::fork() }.map_err(Error::system("fork"))? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            body();
            // SAFETY: ends the process without running destructors, whose effects belong to the parent.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Waits for the end of a child.
///
/// # Errors
/// Returns the error of `waitpid`.
pub(crate) fn wait(child: Pid) -> Result<WaitStatus, Error> {
    waitpid(child, None).map_err(Error::system("waitpid"))
}

/// Waits for a child that must end by itself with status 0.
///
/// # Errors
/// Returns the error of `waitpid`, or [`Error::Child`] when the child ends in another way.
pub(crate) fn wait_for_success(child: Pid) -> Result<(), Error> {
    match wait(child)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        status => Err(Error::Child { status }),
    }
}

/// Two pipes to a helper: a byte there asks, a byte back answers.
///
/// Made before the helper is forked. Both processes keep all four ends: the helper is ended by [`Helper`], not by the
/// end of its input.
pub(crate) struct Bell {
    request: (OwnedFd, OwnedFd),
    reply: (OwnedFd, OwnedFd),
}

impl Bell {
    /// Makes the pipes.
    ///
    /// # Errors
    /// Returns the error of `pipe2`.
    pub(crate) fn new() -> Result<Bell, Error> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(Error::system("pipe2"));
        Ok(Bell { request: pipe()?, reply: pipe()? })
    }

    /// Asks, and waits for the answer; in the process that calls.
    ///
    /// # Errors
    /// Returns the error of `read` or `write`, or [`Error::HelperGone`].
    pub(crate) fn ring(&self) -> Result<(), Error> {
        rustix::io::write(&self.request.1, &[1]).map_err(Error::system("write"))?;
        let mut byte = [0];
        match rustix::io::read(&self.reply.0, &mut byte).map_err(Error::system("read"))? {
            1 => Ok(()),
            _ => Err(Error::HelperGone),
        }
    }

    /// Answers each request after running `function`; in the helper. Needs `read` and `write` only.
    pub(crate) fn serve<F: FnMut()>(&self, mut function: F) {
        let mut byte = [0];
        while let Ok(1) = rustix::io::read(&self.request.0, &mut byte) {
            function();
            if rustix::io::write(&self.reply.1, &byte).is_err() {
                break;
            }
        }
    }
}

/// Makes a memfd of `length` bytes and maps it, shared with processes that are forked later.
///
/// # Errors
/// Returns the error of `memfd_create`, `ftruncate` or `mmap`.
pub(crate) fn shared(length: usize) -> Result<MmapMut, Error> {
    let file: File =
        rustix::fs::memfd_create("buffer", MemfdFlags::CLOEXEC).map_err(Error::system("memfd_create"))?.into();
    let length = u64::try_from(length)
        .map_err(|_| Error::System { call: "ftruncate", source: io::Error::from(io::ErrorKind::FileTooLarge) })?;
    file.set_len(length).map_err(Error::system("ftruncate"))?;
    // SAFETY: only this process and its helpers have the file, nobody truncates it, and they take turns on it.
    unsafe { MmapMut::map_mut(&file) }.map_err(Error::system("mmap"))
}

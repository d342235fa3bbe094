// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process for each call, and the ways to survive a fault.

use std::arch::asm;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use cee_scape::{SigJmpBufFields, call_with_sigsetjmp, siglongjmp};
use memmap2::{Mmap, MmapMut};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::WaitStatus;

use crate::error::Error;
use crate::helper::{fork, wait, wait_for_success};
use crate::rows::{FEWER, MANY, Row, sample};

/// The program that does nothing, in the initramfs.
const NULL_PROGRAM: &std::ffi::CStr = c"/null";

/// Takes back the handler that Rust's runtime installs for faults.
///
/// It is there to report a stack overflow, and a child that faults would run it before it dies: a third more than the
/// fault itself costs, which a helper written for the purpose does not pay.
pub(crate) fn forget_handlers() {
    for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default action runs no code of this process.
        let previous = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
        debug_assert!(previous.is_ok());
    }
}

/// Measures fork, a null function in the child, its exit, and the wait for it.
pub(crate) fn fork_call() -> Row {
    Row::new("linux_fork_call", sample(FEWER, (), || wait_for_success(fork(|| ())?)))
}

/// Measures `posix_spawn` of a static program that does nothing, and the wait for it.
pub(crate) fn spawn_call() -> Row {
    Row::new("linux_spawn_call", spawn_samples())
}

fn spawn_samples() -> Result<Vec<u64>, Error> {
    let actions = PosixSpawnFileActions::init().map_err(Error::system("posix_spawn_file_actions_init"))?;
    let attributes = PosixSpawnAttr::init().map_err(Error::system("posix_spawnattr_init"))?;
    let no_environment: [&std::ffi::CStr; 0] = [];
    sample(FEWER, (), || {
        let child = posix_spawn(NULL_PROGRAM, &actions, &attributes, &[NULL_PROGRAM], &no_environment)
            .map_err(Error::system("posix_spawn"))?;
        wait_for_success(child)
    })
}

/// Measures fork, a write to a read-only page, and the wait for the child that it killed.
pub(crate) fn fork_fault() -> Row {
    Row::new("linux_fork_fault", fork_fault_samples())
}

fn fork_fault_samples() -> Result<Vec<u64>, Error> {
    let page = ReadOnlyPage::new()?;
    sample(FEWER, (), || match wait(fork(|| page.write())?)? {
        WaitStatus::Signaled(_, Signal::SIGSEGV, _) => Ok(()),
        status => Err(Error::Child { status }),
    })
}

/// Measures a fault in this process that a handler leaves by `siglongjmp`, the setting of the jump buffer included.
///
/// Nothing is isolated here: the function that faulted could have written anywhere before.
pub(crate) fn signal_fault() -> Row {
    Row::new("linux_signal_fault", signal_samples())
}

/// What [`leave`] hands to `siglongjmp`.
const LEFT: i32 = 1;

/// Where [`leave`] goes: the jump buffer of the call that is under way.
static RETURN: AtomicPtr<SigJmpBufFields> = AtomicPtr::new(ptr::null_mut());

/// Leaves the function that faulted; the handler of SIGSEGV.
extern "C" fn leave(_signal: i32) {
    // SAFETY: the signal is raised by `ReadOnlyPage::write` only, inside the call whose buffer `RETURN` holds, and the
    // frames between have no destructors.
    unsafe { siglongjmp(RETURN.load(Ordering::Relaxed), LEFT) }
}

fn signal_samples() -> Result<Vec<u64>, Error> {
    let page = ReadOnlyPage::new()?;
    let action = SigAction::new(SigHandler::Handler(leave), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing but jump, and the signal it serves is synchronous.
    let previous = unsafe { sigaction(Signal::SIGSEGV, &action) }.map_err(Error::system("sigaction"))?;
    let samples = sample(MANY, LEFT, || {
        Ok(call_with_sigsetjmp(true, |buffer| {
            RETURN.store(ptr::from_ref(buffer).cast_mut(), Ordering::Relaxed);
            page.write();
            0
        }))
    });
    // SAFETY: puts back what was there.
    unsafe { sigaction(Signal::SIGSEGV, &previous) }.map_err(Error::system("sigaction"))?;
    samples
}

/// A page that may be read only: a write to it ends as one beside or into a sandbox's input buffer does.
struct ReadOnlyPage {
    page: Mmap,
}

impl ReadOnlyPage {
    fn new() -> Result<ReadOnlyPage, Error> {
        let page = MmapMut::map_anon(1).map_err(Error::system("mmap"))?;
        Ok(ReadOnlyPage { page: page.make_read_only().map_err(Error::system("mprotect"))? })
    }

    /// Writes to the page, which raises SIGSEGV.
    fn write(&self) {
        // SAFETY: the store never happens: the page cannot be written, and that is the point. In assembly, because
        // no store of Rust's own may be made to such an address.
        unsafe { asm!("mov byte ptr [{}], 1", in(reg) self.page.as_ptr(), options(nostack)) }
    }
}

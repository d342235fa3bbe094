// SPDX-License-Identifier: MIT OR Apache-2.0
//! The IPC buffer of this program's thread.
//!
//! A thread has one page-bound block of memory through which message words beyond the fourth, and capabilities, travel
//! (manual, section "IPC Buffer"). In a program here one thread makes invocations: the runtime tells its buffer with
//! [`set_ipc_buffer`], and every invocation finds it through [`ipc_buffer()`]. There is no thread-local storage.
//!
//! rust-sel4 lends slices into the buffer; here [`IpcBuffer`] is a handle that copies words in and out, because every
//! invocation writes to the same memory while such a slice would be alive.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::{CPtr, Word, sys};

/// Memory that stands for the buffer until [`set_ipc_buffer`] is called, so that [`ipc_buffer()`] needs no check.
struct Unset(UnsafeCell<MaybeUninit<sys::seL4_IPCBuffer>>);

// SAFETY: only reached through `ipc_buffer()`, whose handle is not `Send`; words race with nobody, as the program has
// one thread until it has set its buffer.
unsafe impl Sync for Unset {}

static UNSET: Unset = Unset(UnsafeCell::new(MaybeUninit::zeroed()));

static IPC_BUFFER: AtomicPtr<sys::seL4_IPCBuffer> = AtomicPtr::new(UNSET.0.get().cast());

/// Sets the IPC buffer that this program's invocations use.
///
/// Until then they use memory that the kernel does not know: invocations of at most four words and no capabilities
/// work, others fail with an [`Error`](crate::Error).
///
/// # Safety
/// `buffer` is the IPC buffer of the calling thread, mapped readable and writable for the rest of the program; nothing
/// else in the program reads or writes it, and no other thread of the program makes invocations that use it from then on.
pub unsafe fn set_ipc_buffer(buffer: *mut sys::seL4_IPCBuffer) {
    IPC_BUFFER.store(buffer, Ordering::Relaxed);
}

/// Returns the handle of the IPC buffer.
#[inline]
pub fn ipc_buffer() -> IpcBuffer {
    // SAFETY: the address is that of `UNSET`, or one that `set_ipc_buffer`'s caller vouched for.
    IpcBuffer(unsafe { sys::IpcBufferPtr::new(IPC_BUFFER.load(Ordering::Relaxed)) })
}

/// A handle of the IPC buffer: `seL4_IPCBuffer`.
#[derive(Copy, Clone, Debug)]
pub struct IpcBuffer(sys::IpcBufferPtr);

impl IpcBuffer {
    /// Returns the handle of another thread's buffer.
    ///
    /// # Safety
    /// `buffer` is the IPC buffer of the calling thread, mapped readable and writable for good, and nothing else in the
    /// program reads or writes it.
    #[must_use]
    pub const unsafe fn of_thread(buffer: *mut sys::seL4_IPCBuffer) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { sys::IpcBufferPtr::new(buffer) })
    }

    pub(crate) const fn into_sys(self) -> sys::IpcBufferPtr {
        self.0
    }

    /// Returns message word `index`, or 0 beyond the last.
    #[inline]
    pub fn msg_reg(self, index: usize) -> Word {
        self.0.msg(index)
    }

    /// Sets message word `index`; beyond the last nothing happens.
    #[inline]
    pub fn set_msg_reg(self, index: usize, word: Word) {
        self.0.set_msg(index, word);
    }

    /// Sets capability `index` to send; beyond the last nothing happens.
    #[inline]
    pub fn set_cap(self, index: usize, cptr: CPtr) {
        self.0.set_cap(index, cptr.bits());
    }
}

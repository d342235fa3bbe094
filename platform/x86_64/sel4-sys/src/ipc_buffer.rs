// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory through which messages longer than the registers, and capabilities, travel.

use core::ptr::NonNull;

use crate::{seL4_CPtr, seL4_IPCBuffer, seL4_Word};

/// Number of message words.
const MSG_LENGTH: usize = crate::seL4_MsgMaxLength as usize;

/// Number of capabilities.
const EXTRA_CAPS: usize = (1 << crate::seL4_MsgExtraCapBits) - 1;

// The arrays are as long as the constants say.
const _: () = {
    use core::mem::offset_of;
    assert!(
        offset_of!(seL4_IPCBuffer, userData) - offset_of!(seL4_IPCBuffer, msg) == MSG_LENGTH * size_of::<seL4_Word>()
    );
    assert!(
        offset_of!(seL4_IPCBuffer, receiveCNode) - offset_of!(seL4_IPCBuffer, caps_or_badges)
            == EXTRA_CAPS * size_of::<seL4_Word>()
    );
};

/// A pointer to a thread's IPC buffer.
///
/// Words are copied in and out through it; nothing ever borrows the memory, since the kernel writes to it during any
/// system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpcBufferPtr(NonNull<seL4_IPCBuffer>);

impl IpcBufferPtr {
    /// Takes a pointer.
    ///
    /// # Safety
    /// `buffer` is not null, aligned, valid for reads and writes for the rest of the program, and holds no references;
    /// only one thread uses it.
    #[inline]
    pub const unsafe fn new(buffer: *mut seL4_IPCBuffer) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(buffer) })
    }

    /// Returns message word `index`, or 0 beyond the last.
    #[inline]
    pub fn msg(self, index: usize) -> seL4_Word {
        if index >= MSG_LENGTH {
            return 0;
        }
        // SAFETY: `new`'s caller vouched for the memory, and the index is that of a word in it.
        unsafe { self.msg_ptr().add(index).read() }
    }

    /// Sets message word `index`; beyond the last nothing happens.
    #[inline]
    pub fn set_msg(self, index: usize, word: seL4_Word) {
        if index < MSG_LENGTH {
            // SAFETY: `new`'s caller vouched for the memory, and the index is that of a word in it.
            unsafe { self.msg_ptr().add(index).write(word) }
        }
    }

    /// Sets capability `index`; beyond the last nothing happens.
    #[inline]
    pub fn set_cap(self, index: usize, cptr: seL4_CPtr) {
        if index < EXTRA_CAPS {
            // SAFETY: `new`'s caller vouched for the memory, and the index is that of a word in it.
            unsafe { self.caps_ptr().add(index).write(cptr) }
        }
    }

    #[inline]
    const fn msg_ptr(self) -> *mut seL4_Word {
        // SAFETY: only an address inside the memory that `new`'s caller vouched for is computed.
        unsafe { (&raw mut (*self.0.as_ptr()).msg).cast() }
    }

    #[inline]
    const fn caps_ptr(self) -> *mut seL4_Word {
        // SAFETY: only an address inside the memory that `new`'s caller vouched for is computed.
        unsafe { (&raw mut (*self.0.as_ptr()).caps_or_badges).cast() }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The registers of a thread, as they are read and written.

use core::mem::offset_of;

use crate::{Word, sys, version};

/// Says whether the kernel switches the registers of the FPU by `xsave` and `xrstor`, which user code can then use too.
/// Else it does so by `fxsave`, and what that leaves out, user code cannot reach.
pub const HAS_XSAVE: bool = version::HAS_XSAVE;

/// The registers of a thread: `seL4_UserContext` (manual, section "Reading/Writing Registers").
///
/// A write takes the first `count` words of it, in the order of the fields of [`inner`](Self::inner): instruction
/// pointer, stack pointer, flags, then the general registers, the base of thread-local storage last. Registers beyond
/// the count keep their values, so it should be as small as the purpose allows: each word beyond the second goes
/// through the IPC buffer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct UserContext(sys::seL4_UserContext);

impl UserContext {
    /// Count of the words up to the flags.
    pub const COUNT_FLAGS: usize = offset_of!(sys::seL4_UserContext, rflags) / size_of::<Word>() + 1;
    /// Count of the words up to `rcx`: after the flags `rax`, `rbx`, `rcx`.
    pub const COUNT_RCX: usize = offset_of!(sys::seL4_UserContext, rcx) / size_of::<Word>() + 1;
    /// Count of the words up to `rdi`: after `rcx` `rdx`, `rsi`, `rdi`.
    pub const COUNT_RDI: usize = offset_of!(sys::seL4_UserContext, rdi) / size_of::<Word>() + 1;
    /// Count of the words up to `r15`, the last general register.
    pub const COUNT_R15: usize = offset_of!(sys::seL4_UserContext, r15) / size_of::<Word>() + 1;
    /// Count of all words.
    pub const COUNT_ALL: usize = size_of::<sys::seL4_UserContext>() / size_of::<Word>();

    /// Makes registers that are all 0.
    pub const fn zeroed() -> Self {
        Self(version::ZERO_CONTEXT)
    }

    /// Returns the registers by name: `rip`, `rsp`, `rflags`, `rax`, ..
    pub const fn inner(&self) -> &sys::seL4_UserContext {
        &self.0
    }

    /// Returns the registers by name, to change them.
    pub const fn inner_mut(&mut self) -> &mut sys::seL4_UserContext {
        &mut self.0
    }

    /// Returns the instruction pointer.
    pub const fn pc(&self) -> Word {
        self.0.rip
    }

    /// Returns the instruction pointer, to change it.
    pub const fn pc_mut(&mut self) -> &mut Word {
        &mut self.0.rip
    }

    /// Returns the stack pointer.
    pub const fn sp(&self) -> Word {
        self.0.rsp
    }

    /// Returns the stack pointer, to change it.
    pub const fn sp_mut(&mut self) -> &mut Word {
        &mut self.0.rsp
    }

    /// Returns the flags.
    pub const fn flags(&self) -> Word {
        self.0.rflags
    }

    /// Returns the flags, to change them.
    pub const fn flags_mut(&mut self) -> &mut Word {
        &mut self.0.rflags
    }

    /// Sets the base of thread-local storage, the base of `fs`.
    pub const fn set_tls_base(&mut self, address: Word) {
        version::set_tls_base(&mut self.0, address);
    }
}

impl Default for UserContext {
    fn default() -> Self {
        Self::zeroed()
    }
}

// What the counts promise, and what a write relies on: words only, in this order.
const _: () = {
    assert!(UserContext::COUNT_FLAGS == 3);
    assert!(UserContext::COUNT_ALL * size_of::<Word>() == size_of::<sys::seL4_UserContext>());
};

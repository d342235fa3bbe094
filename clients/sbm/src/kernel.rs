// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this library uses of seL4, and on a host, which has none, the same in name.
//!
//! The host tool builds guest programs with `--cfg sbm_guest`. Without it, as in an editor, in `cargo check`, `cargo doc`
//! and `cargo test`, nothing here needs a kernel: a client compiles, and its functions can be tested where they are.

#[cfg(sbm_guest)]
pub(crate) use sel4::{HAS_XSAVE, MessageInfo, cap::Endpoint, ipc_buffer, set_ipc_buffer, syscall};

#[cfg(not(sbm_guest))]
pub(crate) use host::{Endpoint, HAS_XSAVE, MessageInfo, ipc_buffer, set_ipc_buffer, syscall};

#[cfg(not(sbm_guest))]
#[allow(unsafe_code, reason = "the same in name")]
mod host {
    pub(crate) const HAS_XSAVE: bool = true;

    pub(crate) mod syscall {
        pub(crate) const RECV: i64 = 0;
        pub(crate) const REPLY_RECV: i64 = 0;
    }

    /// The head of a message.
    #[derive(Clone, Copy)]
    pub(crate) struct MessageInfo;

    impl MessageInfo {
        pub(crate) const fn new(_: u64, _: usize, _: usize, _: usize) -> Self {
            Self
        }

        pub(crate) const fn into_word(self) -> u64 {
            0
        }

        pub(crate) const fn label(self) -> u64 {
            0
        }
    }

    /// An endpoint that nobody is at.
    pub(crate) struct Endpoint;

    impl Endpoint {
        pub(crate) const fn from_bits(_: u64) -> Self {
            Self
        }

        pub(crate) fn call_with_mrs(self, _: MessageInfo, _: [u64; 4]) -> (MessageInfo, [u64; 4]) {
            absent()
        }
    }

    pub(crate) struct IpcBuffer;

    impl IpcBuffer {
        pub(crate) fn set_msg_reg(&self, _: usize, _: u64) {
            absent()
        }
    }

    pub(crate) const fn ipc_buffer() -> IpcBuffer {
        IpcBuffer
    }

    /// # Safety
    /// None is needed: it does nothing.
    pub(crate) const unsafe fn set_ipc_buffer(_: *mut ()) {}

    #[expect(clippy::panic, reason = "a test that calls a sandbox is told so")]
    fn absent() -> ! {
        panic!("sandboxes are in the guest; on the host, call the function itself")
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Invocations of kernel objects, one method each (manual, appendix "seL4 API Reference").
//!
//! All of them are safe functions: what they do is bounded by the capabilities that the program holds, and Rust's rules
//! have no say in it. Whoever unmaps memory that the program uses gets a fault, as with rust-sel4.

mod cnode;
mod irq;
mod memory;
mod ports;
mod tcb;
mod untyped;

pub use irq::{IRQ_VECTORS, Trigger};
pub use memory::{USER_TOP, VmAttributes};
pub use untyped::MAX_RETYPE_OBJECTS;

use crate::{Cap, CapType, Result, Word, error::wrap, ipc_buffer, sys};

impl<T: CapType> Cap<T> {
    /// Makes an invocation of this capability with the IPC buffer of the program.
    #[inline]
    fn invoke<R>(
        self,
        invocation: impl FnOnce(sys::IpcBufferPtr, sys::seL4_CPtr) -> core::result::Result<R, Word>,
    ) -> Result<R> {
        wrap(invocation(ipc_buffer().into_sys(), self.bits()))
    }
}

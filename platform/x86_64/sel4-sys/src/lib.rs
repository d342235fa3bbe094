// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw bindings, generated from the selected kernel.
//!
//! Types, constants and enumerations are bindgen's view of the kernel's own headers; [`bf`] has the bit positions of its
//! one-word bitfields; functions like `seL4_TCB_Resume` make the invocations that its interface files declare, for its
//! configuration. What differs between kernels differs here: the crate `sel4` is the one that evens it out.
//!
//! System calls are in [`syscall`]. Message words beyond those in registers, and capabilities, go through the IPC
//! buffer that an [`IpcBufferPtr`] names.

#![no_std]

mod bitfield;
mod ipc_buffer;
pub mod syscall;

pub use bindings::*;
pub use bitfield::Field;
pub use invocations::*;
pub use ipc_buffer::IpcBufferPtr;
pub use syscall::NUM_FAST_MESSAGE_REGISTERS;

/// What bindgen makes of the headers.
#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnameable_types,
    unreachable_pub,
    clippy::all,
    reason = "generated, with the names of C"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

/// Positions of the fields of one-word bitfields, a module for each.
#[allow(missing_docs, non_snake_case, non_upper_case_globals, reason = "generated, with the names of the kernel")]
pub mod bf {
    include!(concat!(env!("OUT_DIR"), "/bitfields.rs"));
}

/// The functions of invocations.
#[allow(
    non_snake_case,
    unused_parens,
    clippy::identity_op,
    clippy::too_many_arguments,
    clippy::unnecessary_cast,
    reason = "generated, with the names of C"
)]
mod invocations {
    use crate::{IpcBufferPtr, bindings::*, syscall::invoke as call};

    include!(concat!(env!("OUT_DIR"), "/invocations.rs"));
}

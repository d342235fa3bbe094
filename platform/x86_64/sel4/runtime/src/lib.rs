// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the precompiled `core` and `alloc` want of a program without an operating system.
//!
//! These are the memory functions that the compiler calls, and two symbols for unwinding, which `panic = "abort"` never
//! uses. A guest program, the root task or a client, links this crate with `use sel4_runtime as _;`; where it starts
//! and how it panics is its own affair.

#![cfg_attr(not(test), no_std)]

mod memory;

pub use memory::{bcmp, memcmp, memcpy, memmove, memset};

/// Stands for the personality that the unwinding tables of the precompiled `core` name. Nothing unwinds, so nothing
/// calls it.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub const extern "C" fn rust_eh_personality() {}

/// Stands for what landing pads of the precompiled `alloc` end with. Nothing unwinds, so nothing lands there.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub extern "C" fn _Unwind_Resume() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

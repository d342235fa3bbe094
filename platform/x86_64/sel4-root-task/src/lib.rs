// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entry, stack, panic handler and memory functions of a root task.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! use sel4_root_task::{Never, root_task};
//!
//! #[root_task]
//! fn main(bootinfo: &sel4::BootInfoPtr) -> sel4::Result<Never> {
//!     // ..
//! }
//! ```
//!
//! Before `main` runs, the thread has a stack of [`DEFAULT_STACK_SIZE`] bytes (or what `#[root_task(stack_size = N)]`
//! says) with an unmapped page below it, and this crate and `sel4` know the IPC buffer. The root task's own fault has no
//! handler until the program makes one: the kernel stops the thread, and says so if it is a debug kernel. [`is_guard`]
//! tells an overflow of the stack from other faults.
//!
//! What the program prints goes to the printer that it [sets](set_printer), by default to the kernel's console where
//! the kernel has one. When `main` returns or panics, the program ends by the function that it
//! [sets](set_exit), by default by suspending its thread.

// Without a handler of its own it takes the one of `std`: for an editor, which does not build for the guest.
#![cfg_attr(sbm_guest, no_std)]
#![cfg_attr(not(sbm_guest), allow(dead_code, reason = "what only the guest calls"))]

mod entry;
mod exit;
mod print;
mod stack;

// The memory functions, which the compiler calls by name.
use sel4_runtime as _;

pub use entry::start;
pub use exit::{Exit, Never, Termination, exit, set_exit};
pub use print::{print_fmt, set_printer};
pub use sel4_root_task_macros::root_task;
pub use stack::{DEFAULT_STACK_SIZE, GUARD_SIZE, Stack, is_guard};

#[doc(hidden)]
pub use sel4::BootInfo;

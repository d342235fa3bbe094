// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program that does nothing: what `linux_spawn_call` starts.
//!
//! It has C's `main`, without the set-up that Rust's runtime makes before its own: a program that is started for each
//! call is written to start fast.
#![no_main]

/// Returns success.
// SAFETY: the name is C's own for this function, and the C library calls it with the signature that it has here.
#[unsafe(no_mangle)]
extern "C" fn main() -> core::ffi::c_int {
    0
}

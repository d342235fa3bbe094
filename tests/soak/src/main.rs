// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many sandboxes at once, and many one after the other: nothing is lost, and what runs out is refused.
//!
//! | module | what |
//! | --- | --- |
//! | `crowd` | hundreds at once from one client, all called |
//! | `cycles` | thousands of lives, calls, faults, growths and mappings |
//! | `allocator` | a million allocations and frees of the root task |
//! | `exhaustion` | until memory, address space and table are used up, and back |
//!
//! What is compared is the client's own, whatever others do.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

mod allocator;
mod crowd;
mod cycles;
mod exhaustion;
mod stock;

use sbm::Env;

sbm::main!(main);

fn main(env: &'static Env) -> u8 {
    harness::run(env, &[crowd::TESTS, cycles::TESTS, allocator::TESTS, exhaustion::TESTS])
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's decisions, without seL4 and without unsafe.
//!
//! [`Server`] holds what is true of every client and sandbox and decides what a request or a fault means; a
//! [`Platform`] carries it out on kernel objects. Everything that a client sends is hostile until checked here:
//!
//! ```text
//!   bytes --decode (sbm-abi)--> Request --quota, owner, generation--> Owned --Platform--> Response
//! ```
//!
//! Invariants, which the property tests check after every step:
//! * a handle reaches a sandbox only if its index is occupied, by this client, in this generation;
//! * a refused request changes nothing;
//! * what is charged to a client is the sum over its sandboxes, spare ones included, and never above its quota;
//! * every sandbox that was built is destroyed at the latest with its client.
//!
//! Tables have a fixed size, and no request takes time that grows with anything but its own size and the fixed limits.
#![no_std]
#![forbid(unsafe_code)]

mod console;
mod fault;
mod platform;
mod server;
mod table;

#[cfg(test)]
mod tests;

pub use console::{Console, MARK, Writer};
pub use fault::{KernelFault, meaning};
pub use platform::{Exhausted, Free, MapError, Platform, Restart};
pub use server::{Effect, Server};
pub use table::{ClientId, Quota, SandboxIndex, State};

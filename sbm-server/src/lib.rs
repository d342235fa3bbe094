// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's decisions, without seL4 and without unsafe.
//!
//! [`Server`] owns what is true of every client and every sandbox: whose it is, where its parts lie, which pages a client
//! holds with what rights, what is charged to whom. It decides what a request or a fault means and hands a
//! [`Platform`] a plan, in which everything is settled but how kernel objects are made of it. So whoever reads this crate
//! knows everything that can happen.
//!
//! ```text
//!   bytes --decode (sbm-abi)--> Request --owner, limits, quota--> Plan --Platform--> objects, kept here --> Response
//! ```
//!
//! Invariants, which the property tests check after every step:
//! * a handle reaches a sandbox only if its index is occupied, by this client, in this generation;
//! * a refused request changes nothing, but that spares of its client may have made room for it, and that the client may
//!   have got page tables for its arenas, which it is charged for and keeps;
//! * what is charged to a client is the sum over what it has, spares included, and never above its quota;
//! * every kernel object goes back to the platform at the latest with its client.
//!
//! Tables have a fixed size, and no request takes time that grows with anything but its own size and the fixed limits.
#![no_std]
#![forbid(unsafe_code)]

mod arena;
mod console;
mod error;
mod fault;
mod guarded;
mod heap;
mod owned;
mod plan;
mod platform;
mod program;
mod quota;
mod sandboxes;
mod server;
mod shares;
mod snapshot;
mod table;
mod time;
mod work;

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;

pub use console::{Console, MARK, Writer};
pub use error::{CancelError, ConsoleError, GrowError, InitError, MapError, NoSandbox, ShrinkError, SnapshotError};
pub use fault::{KernelFault, decode_fault};
pub use plan::{Piece, Plan, Run, SLICE, Share, Table};
pub use platform::{Answer, Exhausted, Free, Names, Platform, Progress, Shortage};
pub use program::{Holding, Program, ProgramError};
pub use quota::{Charge, Quota};
pub use server::{Effect, Handled, Launched, Server};
pub use table::{ClientId, SandboxIndex, State};
pub use time::{Clock, Running};

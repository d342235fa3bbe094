// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reader of AppArmor's binary policy.
//!
//! Reads what `apparmor_parser` compiles and the kernel loads, as the kernel reads it: a stream of profiles, each with a
//! header, flags, capabilities and up to three tables of states (DFA) for paths, classes of rules and attachment. All
//! tables are verified as the kernel does when it is told to trust nothing; what it refuses is refused here.
//!
//! The reader is made for a sandbox: it needs a heap and nothing else, does not panic, and its work and memory are
//! linear in the input. What it wants from outside, ids and if need be hashes, it asks of a [`Caller`].
//!
//! ```text
//!  policy --> stream --> unpack --> Profile ..  --> listing (text, JSON)
//!                          |  \
//!                          |   dfa, rules: verified, asked for network rules, and left behind
//!                        Caller
//! ```
//!
//! - [`unpack()`] is what runs inside; its result is plain data with `serde`'s traits.
//! - [`listing`] prints it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod dfa;
mod error;
pub mod listing;
pub mod names;
mod profile;
mod rules;
mod stream;
mod text;
mod unpack;

pub use dfa::{Dfa, DfaFault, Table, TableId};
pub use error::{Error, Reason};
pub use profile::{Capabilities, Data, Mode, Network, Place, Profile, Rlimit, Rules, Secmark};
pub use text::Text;
pub use unpack::{Caller, NoIds, hash, unpack};

// SPDX-License-Identifier: MIT OR Apache-2.0
//! OpenPGP key parser.
//!
//! Reads keyrings (RFC 9580 and its predecessor RFC 4880), binary or ASCII-armored, and lists what they hold: for each
//! primary key and subkey the fingerprint, key id, algorithm with bits or curve, and creation time; and the user ids.
//! It verifies no signature and says nothing of expiry or trust.
//!
//! The parser is made to run inside a sandbox with a heap: no writable static, no panic, work and memory linear in the
//! input. [`parse`] is what runs inside; its result is plain data with `serde`'s traits, which [`listing`] prints outside.
//!
//! Why an own parser: the OpenPGP crates on the registry (`pgp`, `sequoia-openpgp`) need `std`.
#![no_std]
#![cfg_attr(not(feature = "planted-bug"), forbid(unsafe_code))]
#![cfg_attr(feature = "planted-bug", deny(unsafe_code))]

extern crate alloc;

mod algorithm;
mod armor;
mod error;
mod key;
mod keyring;
pub mod listing;
mod packet;
mod parser;
#[cfg(feature = "planted-bug")]
mod planted;
mod text;

pub use algorithm::{Algorithm, Curve, Oid};
pub use error::{ParseError, Reason};
pub use keyring::{Entry, Hex, Key, Keyring, Part, Parts};
pub use parser::parse;
#[cfg(feature = "planted-bug")]
pub use planted::{parse_and_loop, parse_and_overrun};
pub use text::{Json, Text};

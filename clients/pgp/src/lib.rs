// SPDX-License-Identifier: MIT OR Apache-2.0
//! OpenPGP key parser without allocation.
//!
//! Reads keyrings (RFC 9580 and its predecessor RFC 4880), binary or ASCII-armored, and lists what they hold: for each
//! primary key and subkey the fingerprint, key id, algorithm with bits or curve, and creation time; and the user ids.
//! It verifies no signature and says nothing of expiry or trust.
//!
//! The parser is made to run inside a sandbox that has code, one read-only input, writable buffers and a small stack,
//! and nothing else: no heap, no writable static, no panic, work linear in the input. Its caller sits outside and
//! trusts nothing that comes back. So the crate holds both ends of the buffer between them:
//!
//! ```text
//!            inside the sandbox                      |            outside
//!  input --> [armor] --> parser --> Writer -- bytes -+-> Records --> Entry --> listing (text, JSON)
//! ```
//!
//! - [`parse_keyring`] is what runs inside: it takes any keyring and fills the output with records.
//! - [`Records`] reads those bytes as hostile data; [`listing`] prints them.
//! - [`parse`] and [`Sink`] are the parser alone, for binary packets, without the buffer format.
//!
//! Why an own parser: the OpenPGP crates on the registry (`pgp`, `sequoia-openpgp`) need `std` or a heap, and read whole
//! certificates into owned values, so none of them can run there.
#![no_std]
#![cfg_attr(not(feature = "planted-bug"), forbid(unsafe_code))]
#![cfg_attr(feature = "planted-bug", deny(unsafe_code))]

mod algorithm;
mod armor;
mod cursor;
mod error;
mod fingerprint;
mod key;
mod keyring;
pub mod listing;
mod packet;
mod parser;
#[cfg(feature = "planted-bug")]
mod planted;
pub mod records;
mod text;
mod time;

pub use algorithm::{Algorithm, Curve, Oid};
pub use armor::{Armor, Block, Checksum};
pub use error::{ParseError, Reason};
pub use fingerprint::{Fingerprint, KeyId};
pub use key::{Key, KeyVersion, Role};
pub use keyring::{parse_keyring, scratch_bound};
#[cfg(feature = "planted-bug")]
pub use parser::PlantedBug;
pub use parser::{Options, Sink, Summary, UserAttribute, UserId, parse};
pub use records::{Corrupt, Entry, Records, Writer};
pub use text::{Json, Text};
pub use time::{Date, Timestamp};

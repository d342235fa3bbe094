// SPDX-License-Identifier: MIT OR Apache-2.0
//! How typed values travel between a client and its sandbox.
//!
//! Any type that serde knows. What fits two registers goes in [`words`]; everything else is its `postcard` form in a
//! buffer, written by [`encode`] and read by [`decode`], which does not believe a byte of it: see [`Bounds`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;

mod account;
mod bounds;
mod bytes;
pub mod words;

pub use account::{Account, Heap};
pub use bounds::{Bounds, MAX_NESTING, Memory, Unreadable};
pub use bytes::{Encoded, NotEncodable, decode, encode, read};

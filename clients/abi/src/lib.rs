// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients and the server say to each other: one definition for both.
//!
//! Everything that crosses a protection boundary is defined here: control messages ([`Request`], [`Response`]), the
//! memory layout of a sandbox ([`Layout`]), what a sandbox answers to a call ([`Outcome`]), errors ([`Errno`]) and the
//! limits ([`limits`]). Nothing here knows seL4, and nothing here allocates.
//!
//! A value of a type of this crate that was *decoded* is well formed, not trustworthy: a [`Handle`] may be stale, a
//! [`Spec`] may exceed a quota. The server checks what a value means; this crate checks that it is one.
#![no_std]
#![forbid(unsafe_code)]

mod errno;
mod fault;
mod layout;
pub mod limits;
mod message;
mod outcome;
mod region;
mod start;

pub use errno::Errno;
pub use fault::{Access, Fault, FaultKind};
pub use layout::{BufferAccess, BufferSpec, Layout, Pages, Spec};
pub use message::{
    DecodeError, Encoded, EntryPoints, Handle, Request, Response, SMALL_MESSAGE, decode_request, decode_response,
};
pub use outcome::{Label, Outcome};
pub use region::{ClientMap, Region, SandboxMap};
pub use start::{Input, MAX_ARGUMENTS, MAX_INPUTS, StartInfo};

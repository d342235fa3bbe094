// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients and the server say to each other: one definition for both.
//!
//! Control messages ([`Request`], [`Response`], coded by [`Message`]), the memory layout of a sandbox ([`Layout`]), the
//! registers that its thread starts with ([`Registers`]), what it answers to a call ([`Outcome`]), errors ([`Errno`]),
//! what a client finds at its start ([`StartInfo`]), and limits and fixed addresses ([`limits`]). Nothing here knows seL4,
//! and nothing here allocates. Beside it only seL4's own messages cross a boundary: faults, which `sbm-server` decodes.
//!
//! A value of a type of this crate that was *decoded* is well formed, not trustworthy: a [`Handle`] may be stale, a
//! [`Spec`] may exceed a quota. The server checks what a value means; this crate checks that it is one.
#![no_std]
#![forbid(unsafe_code)]

mod asked;
mod errno;
mod fault;
pub mod guarded;
mod heap;
mod input;
mod layout;
pub mod limits;
mod message;
mod outcome;
mod quota;
mod region;
mod registers;
mod start;
pub mod watch;

pub use asked::Asked;
pub use errno::{Errno, NoErrno};
pub use fault::{Access, Fault, FaultKind};
pub use heap::{Chunks, FIRST_CHUNK_PAGES, MAX_CHUNKS, ZONE_CHUNKS, Zone, is_heap_size};
pub use layout::{BufferAccess, BufferSpec, Layout, LayoutError, Own, Pages, Spec};
pub use message::{Books, DecodeError, EntryPoints, Handle, Message, Request, Response, SMALL_MESSAGE, decode_request};
pub use outcome::{CODED, Label, Outcome};
pub use quota::{OverQuota, Resource};
pub use region::{ClientMap, Region, SandboxMap};
pub use registers::{Extent, FLAGS, Registers, Restore};
pub use start::{Input, MAX_ARGUMENTS, MAX_INPUTS, StartInfo};

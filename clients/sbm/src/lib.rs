// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client library: call a function in a sandbox.
//!
//! <!-- clients/hello/src/main.rs -->
//! ```ignore
//! fn count_words(text: &[u8], longest: &mut u64) -> u32 {
//!     let words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
//!     *longest = words.clone().map(|word| word.len() as u64).max().unwrap_or(0);
//!     u32::try_from(words.count()).unwrap_or(u32::MAX)
//! }
//! ```
//!
//! <!-- clients/hello/src/main.rs -->
//! ```ignore
//!     let mut sbm = Sbm::new()?;
//!     let mut longest = Tainted::<u64>::zeroed();
//!     let text = b"this text is read in a sandbox that cannot write it";
//!     let count = sbm.call(count_words, (copy_in(&text[..]), copy_out(&mut longest)))?.assume_checked();
//! ```
//!
//! The function is an ordinary function of the client. It runs in an address space that holds the client's code and
//! read-only data, its arguments and a stack, and in a capability space that holds nothing that could harm anyone. If
//! it faults, makes a system call or panics, the call returns an [`Error`] and the client goes on.
//!
//! What is *not* in the sandbox: the client's statics that can be written, its stack, its other buffers. What a
//! function prints its caller prints for it: see [`println!`].
//! What comes out of a sandbox is [`Tainted`] until it was checked.
//!
//! | SBM | here |
//! | --- | --- |
//! | `sbm_init` | [`Sbm::new`], [`Sbm::builder`] |
//! | `sbm_call`, `sbm_exec` | [`Sbm::call`] |
//! | `sbm_error` | [`Sbm::error`]; [`Sbm::reset`] ends it |
//! | `sbm_destroy` | dropping the [`Sbm`] |
//! | (not in SBM) a time limit | [`Builder::budget`], [`Sbm::call_within`] |
//! | `SBM_COPY_IN`, `_OUT`, `_INOUT` | [`copy_in`], [`copy_out`], [`copy_inout`] |
//! | `SBM_MAP_READONLY`, `SBM_MAP_WRITABLE` | [`map_readonly`], [`map_writable`] |
//!
//! In this crate `client` is what runs in the client, `inside` what runs in a sandbox, and `argument` what joins the two.
#![cfg_attr(sbm_guest, no_std)]
#![cfg_attr(not(sbm_guest), allow(dead_code, reason = "what only the guest calls"))]
#![deny(unsafe_code)]

#[cfg(sbm_guest)]
extern crate alloc;

// The memory functions, which the compiler calls by name.
#[cfg(sbm_guest)]
use sel4_runtime as _;

// What the attributes write names this crate from outside.
extern crate self as sbm;

/// Calls a macro for the arguments of every number that a sandboxed function can have.
macro_rules! each_tuple {
    ($tuple:ident) => {
        $tuple!();
        $tuple!(A 0);
        $tuple!(A 0, B 1);
        $tuple!(A 0, B 1, C 2);
        $tuple!(A 0, B 1, C 2, D 3);
        $tuple!(A 0, B 1, C 2, D 3, E 4);
        $tuple!(A 0, B 1, C 2, D 3, E 4, G 5);
    };
}

mod argument;
mod client;
mod error;
mod heap;
mod inside;
mod kernel;
#[cfg(sbm_guest)]
mod panic;
mod plain {
    pub use bytemuck::{AnyBitPattern, NoUninit, Pod, Zeroable};
}
mod records;
mod tainted;
mod value;
mod walk;

pub use argument::{
    Argument, Arguments,
    copied::{Copied, CopyIn, CopyInOut, CopyOut, Payload, Target, copy_in, copy_inout, copy_out},
    mapped::{Mapped, Page, SharedPage, map_readonly, map_writable},
    service::{Bytes, Proxy, Serve, Service, serve},
    shared::{InputBuffer, OutputBuffer, OutputView, Shared, SharedOut, shared, shared_out},
    typed::{ByValue, value},
};
pub use bytemuck;
pub use client::{
    bench::Bench,
    builder::{Builder, Isolation},
    console::print,
    env::{Env, InputFile},
    log::init_log,
    request::{Answer, Request},
    sandbox::Sbm,
    server::{Usage, usage},
    time::{LONGEST_BUDGET, cancel, kill, now, sleep},
};
pub use embedded_io;
pub use error::{Error, PanicText, Unfit};
pub use heap::ClientHeap;
pub use inside::{
    function::{Function, Takes},
    reader::{ChunkError, Chunks, Reader},
};
// The traits. Their derives name bytemuck's crate; the one of `sbm_macros` stands in front.
pub use log;
pub use plain::*;
pub use sbm_abi::{Access, Errno, Fault, FaultKind, OverQuota, Region, Resource};
pub use sbm_coding::{MAX_NESTING, Unreadable};
pub use sbm_macros::{Pod, service};
pub use serde;
pub use tainted::{Refused, Tainted};
pub use value::{Value, Word};
pub use walk::{Far, FarSlice, Walk, WalkError};

#[doc(hidden)]
#[cfg(not(sbm_guest))]
pub use client::start::__not_here;
#[doc(hidden)]
pub use client::start::{__exit, __start};
#[doc(hidden)]
pub use inside::entry::points as __entry_points;

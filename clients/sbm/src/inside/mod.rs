// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs in a sandbox around its function. Of all that a client has, nothing here can be used but code and constants.

pub(crate) mod ask;
pub(crate) mod entry;
pub(crate) mod function;
pub(crate) mod guarded;
pub(crate) mod heap;
pub(crate) mod panic;
pub(crate) mod reader;
pub(crate) mod text;

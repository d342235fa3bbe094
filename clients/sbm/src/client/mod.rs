// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs in the client: it sets sandboxes up, brings arguments in place, calls, and looks at the answers.

mod allocation;
pub(crate) mod bench;
pub(crate) mod buffer;
pub(crate) mod builder;
mod call;
pub(crate) mod console;
pub(crate) mod env;
pub(crate) mod here;
pub(crate) mod instance;
pub(crate) mod log;
mod mail;
pub(crate) mod memory;
pub(crate) mod request;
pub(crate) mod sandbox;
pub(crate) mod server;
pub(crate) mod start;
mod text;
pub(crate) mod time;
pub(crate) mod trace;
mod walked;

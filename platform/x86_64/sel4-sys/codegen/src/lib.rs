// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates the bindings of sel4-sys from a kernel's headers and interface files.
//!
//! [`generate()`] takes the include folders of an installed kernel and returns Rust: what bindgen makes of the headers
//! (types, constants, enumerations), functions for the invocations that the interface files declare for this kernel's
//! configuration, the bit positions of the bitfield files, and the [features](Feature) by which kernels differ. Nothing
//! of it is typed in here.

mod bitfield;
mod emit;
mod error;
mod features;
mod generate;
mod headers;
mod interface;
mod layout;
mod types;

pub use error::Error;
pub use features::Feature;
pub use generate::{Generated, generate};

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists and reads the files of ext4 images: what a sandbox does with the registry's parser.
//!
//! The parser is `ext4-view`, as it is. This crate opens an image through nothing but a [`Disk`], and turns what the
//! parser finds into plain data with `serde`'s traits. It needs a heap. What a hostile image can do to it: make it
//! panic, use up the heap, or keep it busy for ever; whoever calls it has to stand that, as a sandbox's owner does.
//!
//! ```text
//!  Disk <-- Windows or Blocks <-- ext4-view <-- Image --> Entry .., bytes, SHA-256
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod disk;
mod entry;
mod error;
mod image;

pub use disk::{BLOCK, Blocks, Disk, OutOfReach, WINDOW, Windows};
pub use entry::{Entry, Kind, Node};
pub use error::Error;
pub use image::{Digest, Image};

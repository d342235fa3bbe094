// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns an ELF file into a checked load plan
//!
//! [`Archive`] finds client programs by name in a tar archive. [`LoadPlan`] says for one of them which frames to make,
//! what to copy into them and where to start; everything an ELF file can claim is checked before, so whoever carries
//! the plan out need not know ELF. Both borrow from the bytes they read, allocate nothing and panic on no input.
#![no_std]
#![forbid(unsafe_code)]

mod archive;
mod error;
mod part_kind;
mod plan;

pub use archive::{Archive, ArchiveError, File};
pub use error::ElfError;
pub use part_kind::PartKind;
pub use plan::{Limits, LoadPlan, Part, Piece};

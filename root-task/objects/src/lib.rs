// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buddy allocation of untyped memory, slots and address ranges
//!
//! Two allocators, both over power-of-two sizes, both in tables of a fixed size that may be statics (all zero when
//! empty, so they lie in `.bss`), both without allocation, recursion, `unsafe` or panics on any input:
//!
//! * [`Buddy`] for untyped memory: a split or a join of two blocks is work that the caller does and that may fail, so
//!   each is handed to a [`Splitter`], one at a time. Joins are *lazy*.
//! * [`Ranges`] for what splits and joins for nothing, capability slots and virtual addresses: a range of numbers.
//!
//! | static table | bytes |
//! | --- | --- |
//! | `Buddy<NODES>` | 40 * NODES + 1,608 |
//! | `Ranges<UNITS>` | 2 * UNITS + 8 |
#![no_std]
#![forbid(unsafe_code)]

mod buddy;
mod nodes;
mod ranges;
mod size;

pub use buddy::{AllocError, Block, Buddy, Chain, FreeError, Opening, RootError, Splitter, Stats, StepError};
pub use nodes::{BlockId, Kind};
pub use ranges::{FillError, OutOfRanges, Ranges, ReturnError, Span};
pub use size::SizeBits;

/// Number of nodes of the root task's [`Buddy`]: twice what 4,096 sandboxes need, for what clients and growths take.
pub const NODES: usize = 24_576;

/// Number of the root task's capability slots, which its [`Ranges`] hands out: a power of two.
pub const SLOTS: usize = 0x4_0000;

/// Logarithm of [`SLOTS`].
pub const SLOT_BITS: u8 = SLOTS.trailing_zeros() as u8;

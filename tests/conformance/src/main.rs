// SPDX-License-Identifier: MIT OR Apache-2.0
//! SBM's seventeen behaviours on the real API
fn main() {}

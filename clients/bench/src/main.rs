// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the sbm API in guest instructions
fn main() {}

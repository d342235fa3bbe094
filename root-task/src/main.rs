// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boots, owns all memory, loads clients and serves the sbm API
fn main() {}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many sandboxes, many times
fn main() {}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The alternatives to a sandbox, measured in Linux
fn main() {}

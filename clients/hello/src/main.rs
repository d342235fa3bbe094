// SPDX-License-Identifier: MIT OR Apache-2.0
//! The smallest client
fn main() {}

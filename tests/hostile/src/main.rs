// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client and sandboxes that misbehave
fn main() {}

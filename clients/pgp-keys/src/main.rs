// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the keys of OpenPGP keyrings, parsed in a sandbox
fn main() {}

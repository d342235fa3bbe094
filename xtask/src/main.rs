// SPDX-License-Identifier: MIT OR Apache-2.0
//! Host tool: set-up, kernel, image, run, test, bench
fn main() {}

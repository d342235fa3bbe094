// SPDX-License-Identifier: MIT OR Apache-2.0
//! More arguments than a call has.
// says: a sandboxed call has at most six arguments, in a tuple
use sbm::{Error, Sbm};

fn sum(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) -> u8 {
    a + b + c + d + e + f + g
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(sum, (1, 2, 3, 4, 5, 6, 7))?;
    Ok(())
}

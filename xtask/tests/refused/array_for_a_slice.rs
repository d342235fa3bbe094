// SPDX-License-Identifier: MIT OR Apache-2.0
//! An array where the function takes a slice.
// says: expected `&[u8]`, found `&[u8; 5]`
// says: a slice takes `copy_in(&array[..])`
use sbm::{Error, Sbm, copy_in};

fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(length, (copy_in(b"bytes"),))?;
    Ok(())
}

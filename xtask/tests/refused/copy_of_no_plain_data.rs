// SPDX-License-Identifier: MIT OR Apache-2.0
//! A struct that is not plain data, copied.
// says: `Header` is not plain data
// says: write `#[derive(Clone, Copy, sbm::Pod)]` and `#[repr(C)]` on a struct of numbers
use sbm::{Error, Sbm, copy_in};

struct Header {
    length: u32,
}

fn take(header: &Header) -> u32 {
    header.length
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(take, (copy_in(&Header { length: 1 }),))?;
    Ok(())
}

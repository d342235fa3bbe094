// SPDX-License-Identifier: MIT OR Apache-2.0
//! A result of a type that serde does not know.
// says: this cannot be called in a sandbox with these arguments
// says: what it returns is a type that serde can write and read, and that borrows nothing
use sbm::{Error, Sbm, copy_in};

struct Key(u32);

fn parse(bytes: &[u8]) -> Result<Key, ()> {
    bytes.first().map(|byte| Key(u32::from(*byte))).ok_or(())
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(parse, (copy_in(b"bytes"),))?;
    Ok(())
}

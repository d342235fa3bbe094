// SPDX-License-Identifier: MIT OR Apache-2.0
//! A result of a type that serde does not know.
// says: consider adding `#[derive(serde::Serialize)]` to your `Key` type
// says: consider adding `#[derive(serde::Deserialize)]` to your `Key` type
// says: derive `serde::Serialize` and `serde::Deserialize` on each type in it
use sbm::{Error, Sbm, copy_in};

struct Key(u32);

fn parse(bytes: &[u8]) -> Result<Key, ()> {
    bytes.first().map(|byte| Key(u32::from(*byte))).ok_or(())
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(parse, (copy_in(&b"bytes"[..]),))?;
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A list of what serde does not know, or an error that it does not know.
// says: consider adding `#[derive(serde::Serialize)]` to your `Key` type
// says: consider adding `#[derive(serde::Deserialize)]` to your `Key` type
// says: consider adding `#[derive(serde::Serialize)]` to your `Unreadable` type
// says: consider adding `#[derive(serde::Deserialize)]` to your `Unreadable` type
// says: derive `serde::Serialize` and `serde::Deserialize` on each type in it
use sbm::{Error, Sbm, copy_in};

struct Key(u32);

struct Unreadable;

fn keys(bytes: &[u8]) -> Vec<Key> {
    bytes.iter().map(|byte| Key(u32::from(*byte))).collect()
}

fn numbers(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    if bytes.is_empty() { Err(Unreadable) } else { Ok(bytes.to_vec()) }
}

fn main() -> Result<(), Error> {
    let mut sbm = Sbm::new()?;
    sbm.call(keys, (copy_in(&b"bytes"[..]),))?;
    sbm.call(numbers, (copy_in(&b"bytes"[..]),))?;
    Ok(())
}

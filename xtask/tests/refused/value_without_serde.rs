// SPDX-License-Identifier: MIT OR Apache-2.0
//! An argument of a type that serde does not know.
// says: `Key` cannot travel between a client and its sandbox
// says: write `#[derive(serde::Serialize, serde::Deserialize)]` on it
use sbm::{Error, Sbm, value};

struct Key(u32);

fn take(key: Key) -> u32 {
    key.0
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(take, (value(&Key(1)),))?;
    Ok(())
}

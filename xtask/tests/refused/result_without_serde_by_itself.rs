// SPDX-License-Identifier: MIT OR Apache-2.0
//! A result that is itself of a type that serde does not know.
// says: `Key` cannot travel between a client and its sandbox
// says: derive `serde::Serialize` and `serde::Deserialize` on each type in it
use sbm::{Error, Sbm};

struct Key(u32);

fn make(id: u32) -> Key {
    Key(id)
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(make, (1_u32,))?;
    Ok(())
}

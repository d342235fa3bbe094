// SPDX-License-Identifier: MIT OR Apache-2.0
//! A result that borrows from the sandbox.
// says: implementation of `Deserialize` is not general enough
use sbm::{Error, Sbm, copy_in};

fn first(bytes: &[u8]) -> &[u8] {
    &bytes[..1]
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(first, (copy_in(&b"bytes"[..]),))?;
    Ok(())
}

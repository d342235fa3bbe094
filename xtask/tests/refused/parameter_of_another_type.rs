// SPDX-License-Identifier: MIT OR Apache-2.0
//! A function whose parameter is not what the argument becomes.
// says: expected `&str`, found `&[u8]`
use sbm::{Error, Sbm, copy_in};

fn length(text: &str) -> usize {
    text.len()
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(length, (copy_in(&b"bytes"[..]),))?;
    Ok(())
}

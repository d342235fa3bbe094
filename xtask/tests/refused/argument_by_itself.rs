// SPDX-License-Identifier: MIT OR Apache-2.0
//! An argument that is passed without a word that says how it travels.
// says: `&[u8]` does not say how it travels into a sandbox
// says: `copy_in(&x)`, `copy_out(&mut x)`, `copy_inout(&mut x)`, or `value(&x)`
use sbm::{Error, Sbm};

fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(length, (&b"bytes"[..],))?;
    Ok(())
}

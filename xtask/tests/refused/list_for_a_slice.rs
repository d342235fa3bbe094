// SPDX-License-Identifier: MIT OR Apache-2.0
//! A list where the function takes a slice.
// says: `Vec<u8>` is not plain data
// says: a `Vec` of plain data is passed as the slice that it holds, `copy_in(&x[..])`, and a `&str` as it is
use sbm::{Error, Sbm, copy_in};

fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(length, (copy_in(&vec![1_u8, 2]),))?;
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! An array, and a list, where the function writes to a slice.
// says: nothing checks what a sandbox writes to `[u8; 5]`
// says: nothing checks what a sandbox writes to `Vec<u8>`
// says: an array or a `Vec` of numbers is passed as the slice that it holds: `copy_out(&mut x[..])`
use sbm::{Error, Sbm, copy_inout, copy_out};

fn fill(bytes: &mut [u8]) {
    bytes.fill(1);
}

fn main() -> Result<(), Error> {
    let mut sbm = Sbm::new()?;
    sbm.call(fill, (copy_out(&mut [0_u8; 5]),))?;
    sbm.call(fill, (copy_inout(&mut vec![0_u8; 5]),))?;
    Ok(())
}

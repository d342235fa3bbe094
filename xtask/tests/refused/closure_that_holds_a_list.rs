// SPDX-License-Identifier: MIT OR Apache-2.0
//! A closure that has captured what is not plain data.
// says: the trait `Copy` is not implemented for `Vec<u8>`
// says: captures only what is `Copy`: pass the rest by `copy_in(&x[..])` or `value(&x)`
use sbm::{Error, Sbm};

fn main() -> Result<(), Error> {
    let names = vec![1_u8, 2];
    Sbm::new()?.call(move || names.len(), ())?;
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A closure that has captured a reference.
// says: borrowed value does not live long enough
// says: captures no reference: copy what it refers to, or pass that by `copy_in` or `value`
use sbm::{Error, Sbm};

fn main() -> Result<(), Error> {
    let names = [1_u8, 2];
    let borrowed = &names;
    Sbm::new()?.call(move || borrowed.len(), ())?;
    Ok(())
}

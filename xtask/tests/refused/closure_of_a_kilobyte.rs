// SPDX-License-Identifier: MIT OR Apache-2.0
//! A closure that has captured more than travels with a call.
// says: a sandboxed closure captures at most 864 bytes: pass what is larger as an argument, by `copy_in` or `value`
use sbm::{Error, Sbm};

fn main() -> Result<(), Error> {
    let table = [1_u8; 1024];
    Sbm::new()?.call(move || table.len(), ())?;
    Ok(())
}

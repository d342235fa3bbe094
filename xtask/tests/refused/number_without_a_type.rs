// SPDX-License-Identifier: MIT OR Apache-2.0
//! A number that is written without its type, where the function takes another one than `i32`.
// says: expected `u64`, found `i32`
// says: a `u64` takes `7_u64`, since `7` is an `i32`
use core::time::Duration;

use sbm::{Error, Sbm};

fn double(number: u64) -> u64 {
    2 * number
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call_within(Duration::from_millis(1), double, (7,))?;
    Ok(())
}

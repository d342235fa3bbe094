// SPDX-License-Identifier: MIT OR Apache-2.0
//! A text of the heap where the function takes a text.
// says: `&String` does not say how it travels into a sandbox
// says: numbers, `bool`, `char` and `&str` are passed as they are, and of a `String` `x.as_str()`
use sbm::{Error, Sbm};

fn length(text: &str) -> usize {
    text.len()
}

fn main() -> Result<(), Error> {
    Sbm::new()?.call(length, (&String::from("text"),))?;
    Ok(())
}

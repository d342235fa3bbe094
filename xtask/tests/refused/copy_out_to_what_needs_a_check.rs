// SPDX-License-Identifier: MIT OR Apache-2.0
//! A struct that a sandbox writes, without the `Tainted` around it.
// says: nothing checks what a sandbox writes to `Header`
// says: begin with `Tainted::<Header>::zeroed()`
use sbm::{Error, Pod, Sbm, copy_out};

#[derive(Clone, Copy, Pod)]
#[repr(C)]
struct Header {
    length: u32,
}

fn write(header: &mut Header) {
    header.length = 1;
}

fn main() -> Result<(), Error> {
    let mut header = Header { length: 0 };
    Sbm::new()?.call(write, (copy_out(&mut header),))?;
    Ok(())
}

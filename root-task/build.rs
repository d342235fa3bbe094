// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links the root task away from where clients lie, so that an address in a log says whose it is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,--defsym=program_base=0x10000000");
}

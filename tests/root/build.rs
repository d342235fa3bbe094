// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links the suite where the root task lies, whose place it takes.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=--defsym=program_base=0x10000000");
}

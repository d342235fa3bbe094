// SPDX-License-Identifier: MIT OR Apache-2.0
//! Passes on, as `cfg`s, what the selected kernel has of what kernels differ in. `sel4-sys` found it out.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in names("DEP_SEL4_ALL_CFGS") {
        println!("cargo::rustc-check-cfg=cfg({name})");
    }
    for name in names("DEP_SEL4_CFGS") {
        println!("cargo::rustc-cfg={name}");
    }
}

fn names(variable: &str) -> Vec<String> {
    let list = env::var(variable).unwrap_or_default();
    list.split(',').filter(|name| !name.is_empty()).map(String::from).collect()
}

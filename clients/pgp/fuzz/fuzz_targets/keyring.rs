// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a keyring: no panic, and a listing of whatever is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_pgp::{listing, parse};

fuzz_target!(|input: &[u8]| {
    if let Ok(keyring) = parse(input) {
        let mut text = String::new();
        listing::write_text(&mut text, &keyring).expect("a string takes everything");
        listing::write_json(&mut text, None, &keyring).expect("a string takes everything");
    }
});

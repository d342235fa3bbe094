// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a sandbox's answer: its caller reads and lists what it can of them, without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_pgp::{Keyring, ParseError, listing};

fuzz_target!(|bytes: &[u8]| {
    let Ok(answer) = sbm_coding::decode::<Result<Keyring, ParseError>>(bytes, 1 << 20, sbm_coding::Memory::ENOUGH) else { return };
    let mut text = String::new();
    match answer {
        Ok(keyring) => {
            let _ = keyring.is_sound();
            listing::write_text(&mut text, &keyring).expect("a string takes everything");
            listing::write_json(&mut text, None, &keyring).expect("a string takes everything");
        }
        Err(error) => text = error.to_string(),
    }
    assert!(!text.contains('\x1b'));
});

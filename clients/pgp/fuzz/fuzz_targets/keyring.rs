// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a keyring: no panic, and records that are sound whatever the outcome.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_pgp::records::capacity_bound;
use sbm_pgp::{Options, ParseError, Records, listing, parse_keyring, scratch_bound};

fuzz_target!(|input: &[u8]| {
    let mut scratch = vec![0; scratch_bound(input.len())];
    let mut output = vec![0xaa; capacity_bound(input.len())];
    let result = parse_keyring(input, &mut scratch, &mut output, Options::default());
    assert!(!matches!(result, Err(ParseError::OutputFull { .. } | ParseError::ScratchFull { .. })));
    let records = Records::new(&output).expect("sound header");
    assert_eq!(records.status(), result.map(|_| ()));
    let mut text = String::new();
    listing::write_text(&mut text, &records).expect("sound records");
    listing::write_json(&mut text, &records).expect("sound records");

    // The same into a buffer that is too small by one byte, and into one that is just large enough.
    if let Ok(used) = result {
        let used = used as usize;
        let whole = output[..used].to_vec();
        let result = parse_keyring(input, &mut scratch, &mut output[..used - 1], Options::default());
        assert_eq!(result, Err(ParseError::OutputFull { needed: used as u32 }));
        let result = parse_keyring(input, &mut scratch, &mut output[..used], Options::default());
        assert_eq!((result, &output[..used]), (Ok(used as u32), &whole[..]));
    }
});

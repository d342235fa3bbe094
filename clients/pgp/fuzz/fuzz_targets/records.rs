// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as records: the reader of the trusted side never panics and always ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_pgp::records::{HEADER_LEN, MAGIC};
use sbm_pgp::{Records, listing};

fn read(bytes: &[u8]) {
    let Ok(records) = Records::new(bytes) else { return };
    let entries = records.iter().count();
    assert!(entries <= bytes.len() / 16);
    let sound = records.iter().all(|entry| entry.is_ok());
    let mut text = String::new();
    assert_eq!(listing::write_text(&mut text, &records).is_ok(), sound);
    assert_eq!(listing::write_json(&mut text, &records).is_ok(), sound);
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut with_header = vec![0; HEADER_LEN];
    with_header[..4].copy_from_slice(&MAGIC);
    with_header[4..8].copy_from_slice(&((HEADER_LEN + bytes.len()) as u32).to_le_bytes());
    with_header.extend_from_slice(bytes);
    read(&with_header);
});

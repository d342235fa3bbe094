// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planted bugs: real with the switch on and a crafted key, and only then.
#![cfg(feature = "planted-bug")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{files, parse_to_records, read, testdata};
use sbm_pgp::records::capacity_bound;
use sbm_pgp::{Options, ParseError, PlantedBug, Reason, parse_keyring, scratch_bound};

/// Set in the process that is to die, or to go on for ever.
const CHILD: &str = "SBM_PGP_PLANTED_CHILD";

const CRAFTED: [&str; 2] = ["planted-bug.pgp", "planted-loop.pgp"];

fn parse_with(bug: PlantedBug, input: &[u8]) -> (Result<u32, ParseError>, Vec<u8>) {
    let mut scratch = vec![0; scratch_bound(input.len())];
    let mut output = vec![0xaa; capacity_bound(input.len())];
    let options = Options::default().with_planted_bug(bug);
    let result = parse_keyring(input, &mut scratch, &mut output, options);
    (result, output)
}

#[test]
fn crafted_key_overruns_with_the_switch_on() {
    if std::env::var_os(CHILD).is_some() {
        let result = parse_with(PlantedBug::Overrun, &read("planted-bug.pgp"));
        panic!("came back: {:?}", result.0);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crafted_key_overruns_with_the_switch_on", "--test-threads", "1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        const SIGSEGV: i32 = 11;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(SIGSEGV), "{}: {said}", output.status);
    }
    assert!(!output.status.success());
}

#[test]
fn crafted_key_loops_with_the_switch_on() {
    if std::env::var_os(CHILD).is_some() {
        let result = parse_with(PlantedBug::Loop, &read("planted-loop.pgp"));
        panic!("came back: {:?}", result.0);
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crafted_key_loops_with_the_switch_on", "--test-threads", "1"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let ended = child.try_wait().unwrap();
    // One that has ended is not there to be killed.
    let _ = child.kill();
    child.wait().unwrap();
    assert_eq!(ended, None);
}

#[test]
fn crafted_keys_are_refused_with_the_switch_off() {
    for name in CRAFTED {
        let (result, _) = parse_to_records(&read(name));
        let Err(ParseError::Refused { reason, offset }) = result else { panic!("{result:?}") };
        assert_eq!(reason, Reason::Truncated);
        assert!(offset > 0, "it is the user id that is refused, not the key before it");
    }
}

#[test]
fn sound_keyrings_read_the_same_with_the_switch_on() {
    for keyring in files(&testdata("")) {
        if !CRAFTED.iter().any(|name| keyring.ends_with(name)) {
            let input = std::fs::read(keyring).unwrap();
            for bug in [PlantedBug::Overrun, PlantedBug::Loop] {
                assert_eq!(parse_with(bug, &input), parse_to_records(&input));
            }
        }
    }
}

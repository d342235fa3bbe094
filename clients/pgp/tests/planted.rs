// SPDX-License-Identifier: MIT OR Apache-2.0
//! The planted bugs: real with the switch on and a crafted key, and only then.
#![cfg(feature = "planted-bug")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{files, parse, read, testdata};
use sbm_pgp::{Reason, parse_and_loop, parse_and_overrun};

/// Set in the process that is to die, or to go on for ever.
const CHILD: &str = "SBM_PGP_PLANTED_CHILD";

const CRAFTED: [&str; 2] = ["planted-bug.pgp", "planted-loop.pgp"];

#[test]
fn crafted_key_overruns_with_the_switch_on() {
    if std::env::var_os(CHILD).is_some() {
        panic!("came back: {:?}", parse_and_overrun(&read("planted-bug.pgp")));
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
        panic!("came back: {:?}", parse_and_loop(&read("planted-loop.pgp")));
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
        let error = parse(&read(name)).unwrap_err();
        assert_eq!(error.reason, Reason::Truncated);
        assert!(error.offset > 0, "it is the user id that is refused, not the key before it");
    }
}

#[test]
fn sound_keyrings_read_the_same_with_the_switch_on() {
    for keyring in files(&testdata("")) {
        if !CRAFTED.iter().any(|name| keyring.ends_with(name)) {
            let input = std::fs::read(keyring).unwrap();
            assert_eq!(parse_and_overrun(&input), parse(&input));
            assert_eq!(parse_and_loop(&input), parse(&input));
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `./x` says where rustup is there and the pinned toolchain is not, and where it cannot write.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
fn a_missing_toolchain_is_named_with_the_line_to_type() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustup-without-toolchains");
    std::fs::create_dir_all(&home).unwrap();
    let mut x = Command::new(root.join("x"));
    x.args(["--no-install", "run"]).env("RUSTUP_HOME", &home).env("RUSTUP_AUTO_INSTALL", "0");
    let output = x.env_remove("RUSTUP_TOOLCHAIN").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    let pinned = std::fs::read_to_string(root.join("rust-toolchain.toml")).unwrap();
    let pinned = pinned.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.starts_with(&format!("error: Rust {pinned} is missing on this host")), "{message}");
    assert!(
        message.contains(&format!("rustup toolchain install {pinned}")) && message.lines().count() == 1,
        "{message}"
    );
}

#[test]
fn a_target_folder_that_cannot_be_written_is_told_in_one_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut x = Command::new(root.join("x"));
    // Nobody can make a folder there, root included.
    let output = x.args(["--no-install", "run"]).env("CARGO_TARGET_DIR", "/proc/none").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message, "error: /proc/none cannot be written; set CARGO_TARGET_DIR to a folder that can be\n");
}

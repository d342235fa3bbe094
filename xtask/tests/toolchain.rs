// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `./x` says where rustup is there and the pinned toolchain is not, where there is no linker, where it cannot write, and
//! before it compiles.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn a_missing_toolchain_is_named_with_the_line_to_type() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustup-without-toolchains");
    fs::create_dir_all(&home).unwrap();
    let mut x = Command::new(root.join("x"));
    x.args(["--no-install", "run"]).env("RUSTUP_HOME", &home).env("RUSTUP_AUTO_INSTALL", "0");
    let output = x.env_remove("RUSTUP_TOOLCHAIN").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    let pinned = fs::read_to_string(root.join("rust-toolchain.toml")).unwrap();
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

/// Calls `./x` on a host that has the usual commands, and these programs: scripts, each with its name.
fn on_host(programs: &[(&str, &str)], arguments: &[&str]) -> (Output, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let find = |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists());
    for name in ["sh", "dirname", "grep", "sed", "mkdir", "df", "awk", "env"] {
        symlink(find(name).unwrap(), folder.path().join(name)).unwrap();
    }
    for (name, script) in programs {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut x = Command::new(root.join("x"));
    x.args(arguments).env("PATH", folder.path()).env("CARGO_HOME", "/nonexistent");
    let output = x.env("CARGO_TARGET_DIR", folder.path().join("target")).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, message)
}

/// A cargo that says how it was called.
const CARGO: (&str, &str) = ("cargo", "echo \"$@\"");

#[test]
fn a_missing_linker_is_told_in_one_line_with_what_can_be_done_here() {
    let (user, root) = (("id", "echo 1000"), ("id", "echo 0"));
    let (no_linker, apt) = (("cc", "exit 1"), ("apt-get", "exit 1"));
    for (programs, arguments, said) in [
        (
            &[user, apt][..],
            &["run"][..],
            "error: a C linker is missing; as root, type: apt-get install gcc libc6-dev\n",
        ),
        (&[user], &["run"], "error: a C linker is missing on this host; install what Debian calls: gcc libc6-dev\n"),
        (
            &[root, apt],
            &["--no-install", "run"],
            "error: a C linker is missing on this host; install what Debian calls: gcc libc6-dev\n",
        ),
        (
            &[root, apt],
            &["run"],
            "installing with apt-get: gcc libc6-dev\n\
             error: apt-get failed; as root, type: apt-get update && apt-get install gcc libc6-dev\n",
        ),
    ] {
        let (output, message) = on_host(&[programs, &[CARGO, no_linker]].concat(), arguments);
        assert_eq!((output.status.code(), message.as_str()), (Some(2), said));
    }
}

#[test]
fn a_host_without_rust_is_told_where_to_get_it() {
    let (output, message) = on_host(&[("cc", "exit 0")], &["run"]);
    let said = "error: cargo is missing; install rustup from https://rustup.rs\n";
    assert_eq!((output.status.code(), message.as_str()), (Some(2), said));
}

#[test]
fn what_takes_time_at_first_is_told_before_it_begins() {
    let (output, message) = on_host(&[CARGO, ("cc", "exit 0")], &["--help"]);
    assert_eq!(message, "compiling the host tool, once\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "xtask --help\n");
}

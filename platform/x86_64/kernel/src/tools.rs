// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the tools of the kernel's own build are started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the interpreter for the kernel's scripts.
///
/// Debian's packages with the modules they need belong to Debian's interpreter, which another one may shadow in PATH.
pub(crate) fn python() -> PathBuf {
    let system = Path::new("/usr/bin/python3");
    if system.exists() { system.to_owned() } else { PathBuf::from("python3") }
}

/// Starts a command without the variables that would leak into the kernel's make files.
pub(crate) fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

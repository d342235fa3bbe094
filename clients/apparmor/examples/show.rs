// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists policies on the host, as the guest program does, but without a sandbox: `show [--json] FILE ..`.

use std::io::Write as _;
use std::process::ExitCode;

use sbm_apparmor::{Caller, NoIds, listing, unpack};

/// Hands out ids from 1.
struct Ids(u32);

impl Caller for Ids {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        self.0 = self.0.checked_add(1).ok_or(NoIds)?;
        Ok(self.0)
    }
}

fn main() -> ExitCode {
    let mut json = false;
    let mut files = vec![];
    for argument in std::env::args_os().skip(1) {
        if argument == "--json" { json = true } else { files.push(argument) }
    }
    if files.is_empty() {
        eprintln!("usage: show [--json] FILE ..");
        return ExitCode::FAILURE;
    }
    let mut ids = Ids(0);
    let mut code = ExitCode::SUCCESS;
    for file in files {
        if let Err(error) = show(&file, json, &mut ids) {
            eprintln!("{}: {error}", file.display());
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn show(file: &std::ffi::OsStr, json: bool, ids: &mut Ids) -> Result<(), Box<dyn std::error::Error>> {
    let profiles = unpack(&std::fs::read(file)?, ids)?;
    let mut text = String::new();
    if json {
        listing::write_json(&mut text, None, &profiles)?;
    } else {
        listing::write_text(&mut text, &profiles)?;
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists keyrings on the host, as the guest program does, but without a sandbox: `show [--json] FILE ..`.

use std::io::Write as _;
use std::process::ExitCode;

use sbm_pgp::{listing, parse};

fn main() -> ExitCode {
    let (options, files): (Vec<_>, Vec<_>) = std::env::args_os().skip(1).partition(|argument| argument == "--json");
    let mut code = ExitCode::SUCCESS;
    for file in files {
        if let Err(error) = show(&file, !options.is_empty()) {
            eprintln!("{}: {error}", file.display());
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn show(file: &std::ffi::OsStr, json: bool) -> Result<(), Box<dyn std::error::Error>> {
    let keyring = parse(&std::fs::read(file)?)?;
    let mut text = String::new();
    if json {
        listing::write_json(&mut text, None, &keyring)?
    } else {
        listing::write_text(&mut text, &keyring)?
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists keyrings on the host, as the guest program does, but without a sandbox.
//!
//! `show [--json] FILE ..`, and with the feature `planted-bug` also `--planted-bug`, which then most likely ends this
//! program by a signal: there is nothing here that would contain the fault.

use std::io::Write as _;
use std::process::ExitCode;

use sbm_pgp::records::capacity_bound;
use sbm_pgp::{Options, Records, listing, parse_keyring, scratch_bound};

fn main() -> ExitCode {
    let mut json = false;
    #[cfg_attr(not(feature = "planted-bug"), expect(unused_mut, reason = "there is nothing to choose"))]
    let mut options = Options::default();
    let mut files = vec![];
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--json") => json = true,
            #[cfg(feature = "planted-bug")]
            Some("--planted-bug") => options = options.with_planted_bug(sbm_pgp::PlantedBug::Overrun),
            _ => files.push(argument),
        }
    }
    if files.is_empty() {
        eprintln!("usage: show [--json] FILE ..");
        return ExitCode::FAILURE;
    }
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let name = file.display();
        if let Err(error) = show(&file, json, options) {
            eprintln!("{name}: {error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn show(file: &std::ffi::OsStr, json: bool, options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let input = std::fs::read(file)?;
    let mut scratch = vec![0; scratch_bound(input.len())];
    let mut output = vec![0; capacity_bound(input.len())];
    let result = parse_keyring(&input, &mut scratch, &mut output, options);
    let records = Records::new(&output)?;
    let mut text = String::new();
    let listed = if json { listing::write_json(&mut text, &records) } else { listing::write_text(&mut text, &records) };
    std::io::stdout().write_all(text.as_bytes())?;
    listed?;
    result?;
    Ok(())
}

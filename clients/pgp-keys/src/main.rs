// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the keys of OpenPGP keyrings, parsed in a sandbox.
//!
//! ```text
//!   input file ──copied in──► sandbox: de-armor, parse ──a value, decoded──► text or JSON
//! ```
//!
//! Each file gets a sandbox of its own. A file that is no keyring, or whose parser had to be stopped, is one line that
//! says so; the others are listed all the same, and the exit status tells. Nothing of a refused file is listed.
//!
//! | argument | |
//! | --- | --- |
//! | `--json` | one JSON object a line for each primary key, with its user ids and subkeys |
//! | `--planted-bug` | after the files, shows what the sandbox is for: see [`planted`] |
//!
//! Without arguments and files it lists a keyring that it carries, and then shows what the sandbox is for.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]
#![allow(clippy::result_large_err, reason = "errors hold the text of a panic, and are made once")]

mod parse;
mod planted;

use core::fmt;

use sbm::{Env, print, println};
use sbm_pgp::{Keyring, Text, listing};

use crate::parse::{Refusal, parse_carried, parse_file, sandbox};

/// Bytes of this program's own heap, in which lists are read.
const HEAP: usize = 7 << 18;

sbm::main!(main, heap = HEAP);

/// What is listed where no file is given.
const DEMO: &[u8] = include_bytes!("../../pgp/testdata/demo.pgp");

const SUCCESS: u8 = 0;
/// A file could not be listed, or a planted bug was not stopped.
const FAILURE: u8 = 1;
/// The arguments make no sense.
const USAGE: u8 = 2;

fn main(env: &'static Env) -> u8 {
    let files = env.inputs();
    let has_files = files.len() > 0;
    let (mut json, mut planted_bug) = (false, env.arguments().is_empty() && !has_files);
    for argument in env.arguments() {
        match *argument {
            "--json" => json = true,
            "--planted-bug" => planted_bug = true,
            other => {
                let other = Text(other.as_bytes());
                println!("{}: unknown argument {other}; known are --json and --planted-bug", env.name());
                return USAGE;
            }
        }
    }
    let mut status = SUCCESS;
    let mut list = |name, bytes: &[u8], found: Result<Keyring, Refusal>| match found {
        Ok(found) => print_list(name, bytes.len(), &found, json),
        Err(refusal) => {
            println!("{}: {}: {refusal}", env.name(), Text(name.as_bytes()));
            status = FAILURE;
        }
    };
    if !has_files {
        let found = sandbox().map_err(Refusal::from).and_then(|mut sbm| parse_carried(&mut sbm, DEMO));
        list("demo.pgp", DEMO, found);
    }
    for file in files {
        list(file.name, file.bytes, parse_file(&file));
    }
    if planted_bug && let Err(refusal) = planted::show() {
        println!("{}: demo.pgp after planted bugs: {refusal}", env.name());
        status = FAILURE;
    }
    status
}

/// Prints a keyring.
///
/// No line of text begins with `{`, so that the lines that do are the objects: names come behind a word, and whatever a
/// sandbox says is printed escaped.
fn print_list(raw_name: &str, bytes: usize, found: &Keyring, json: bool) {
    let name = Text(raw_name.as_bytes());
    if json {
        print!("{}", fmt::from_fn(|f| listing::write_json(f, Some(raw_name), found)));
    } else {
        println!("keyring {name}, {bytes} bytes: {}\n", Found(found));
        println!("{}", fmt::from_fn(|f| listing::write_text(f, found)));
    }
    let mismatches = found.checksum_mismatches;
    if mismatches > 0 {
        println!("note: in {name} the checksum of {mismatches} armored blocks is wrong");
    }
}

/// Prints how much a keyring holds.
struct Found<'a>(&'a Keyring);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut primary_keys, mut subkeys, mut user_ids) = (0, 0, 0);
        for (_, parts) in self.0.certificates() {
            primary_keys += 1;
            subkeys += parts.subkeys().count();
            user_ids += parts.user_ids().count();
        }
        let ending = |count: usize| if count == 1 { "" } else { "s" };
        write!(f, "{primary_keys} primary key{}", ending(primary_keys))?;
        write!(f, ", {subkeys} subkey{}, {user_ids} user id{}", ending(subkeys), ending(user_ids))
    }
}

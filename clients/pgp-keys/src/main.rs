// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the keys of OpenPGP keyrings, parsed in a sandbox.
//!
//! ```text
//!   input file ──copied in──► sandbox: de-armor, parse ──records, copied out──► check ──► text or JSON
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
#![allow(clippy::result_large_err, reason = "errors hold the text of a panic, and there is no heap to put it on")]

mod keyring;
mod list;
mod parse;
mod planted;

use sbm::{Env, println};
use sbm_pgp::Text;
use static_cell::ConstStaticCell;

use crate::{keyring::Keyring, list::Form};

sbm::main!(main);

/// Most bytes of records that one keyring may have: real ones have less than a tenth of their own size, and an input
/// buffer holds 4 MiB.
const RECORDS_BYTES: usize = 1 << 20;

/// What came out of a sandbox, to be read where the sandbox cannot write any more.
static RECORDS: ConstStaticCell<[u8; RECORDS_BYTES]> = ConstStaticCell::new([0; RECORDS_BYTES]);

const SUCCESS: u8 = 0;
/// A file could not be listed, or a planted bug was not stopped.
const FAILURE: u8 = 1;
/// The arguments make no sense.
const USAGE: u8 = 2;

/// What the arguments ask for.
struct Options {
    form: Form,
    planted_bug: bool,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The argument that is not known.
    fn new(env: &'static Env) -> Result<Self, &'static str> {
        let is_bare = env.arguments().is_empty() && env.inputs().len() == 0;
        let mut options = Self { form: Form::Text, planted_bug: is_bare };
        for argument in env.arguments() {
            match *argument {
                "--json" => options.form = Form::Json,
                "--planted-bug" => options.planted_bug = true,
                other => return Err(other),
            }
        }
        Ok(options)
    }
}

fn main(env: &'static Env) -> u8 {
    let options = match Options::new(env) {
        Ok(options) => options,
        Err(argument) => {
            let argument = Text::new(argument.as_bytes());
            println!("{}: unknown argument {argument}; known are --json and --planted-bug", env.name());
            return USAGE;
        }
    };
    // Taken here and nowhere else.
    let Some(records) = RECORDS.try_take() else { return FAILURE };
    let mut status = SUCCESS;
    let mut keyrings = env.inputs().map(Keyring::from);
    let carried = (keyrings.len() == 0).then_some(Keyring::DEMO);
    for keyring in carried.into_iter().chain(&mut keyrings) {
        match parse::parse(&keyring, records) {
            Ok(records) => list::print_list(&keyring, &records, options.form),
            Err(refusal) => {
                println!("{}: {}: {refusal}", env.name(), keyring.name());
                status = FAILURE;
            }
        }
    }
    if options.planted_bug
        && let Err(error) = planted::show(records)
    {
        println!("{}: {error}", env.name());
        status = FAILURE;
    }
    status
}

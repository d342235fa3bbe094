// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is printed of a keyring.
//!
//! No line of text begins with `{`, so that the lines that do are the objects: names come behind a word, and whatever a
//! sandbox says is printed escaped.

use core::fmt;

use sbm::{print, println};
use sbm_pgp::{Entry, Records, Role, listing};

use crate::keyring::Keyring;

/// How keys are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As lines for people.
    Text,
    /// As one JSON object a line.
    Json,
}

/// Prints a keyring.
pub(crate) fn print_list(keyring: &Keyring, records: &Records<'_>, form: Form) {
    let summary = Summary::of(records);
    match form {
        Form::Text => {
            println!("keyring {}, {} bytes: {summary}\n", keyring.name(), keyring.bytes.len());
            println!("{}", Listed { keyring, records, form });
        }
        Form::Json => print!("{}", Listed { keyring, records, form }),
    }
    let mismatches = records.claimed_summary().checksum_mismatches;
    if mismatches > 0 {
        println!("note: in {} the checksum of {mismatches} armored blocks is wrong", keyring.name());
    }
}

/// What a keyring holds, counted in its records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    primary_keys: u32,
    subkeys: u32,
    user_ids: u32,
}

impl Summary {
    /// Counts.
    pub(crate) fn of(records: &Records<'_>) -> Self {
        let mut summary = Self::default();
        for entry in records.iter().flatten() {
            match entry {
                Entry::Key(key) if key.role == Role::Primary => summary.primary_keys += 1,
                Entry::Key(_) => summary.subkeys += 1,
                Entry::UserId(_) => summary.user_ids += 1,
                Entry::UserAttribute(_) => {}
            }
        }
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = |count: u32| if count == 1 { "" } else { "s" };
        let Self { primary_keys, subkeys, user_ids } = *self;
        write!(f, "{primary_keys} primary key{}", ending(primary_keys))?;
        write!(f, ", {subkeys} subkey{}, {user_ids} user id{}", ending(subkeys), ending(user_ids))
    }
}

/// The list of a keyring whose records are all sound.
struct Listed<'a> {
    keyring: &'a Keyring,
    records: &'a Records<'a>,
    form: Form,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = match self.form {
            Form::Text => listing::write_text(f, self.records),
            Form::Json => listing::write_json_of_file(f, self.keyring.raw_name(), self.records),
        };
        written.map_err(|_| fmt::Error)
    }
}

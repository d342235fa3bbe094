// SPDX-License-Identifier: MIT OR Apache-2.0
//! How what is wrong with a description is told: where, and what is allowed there.

use core::fmt;

/// What is wrong with a description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// The place of the client that it is about, if it is about one.
    pub client: Option<usize>,
    /// The key.
    pub key: Key,
    /// Why its value cannot be.
    pub why: Why,
}

/// A key of a description, as the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The list of clients.
    Clients,
    /// `name`
    Name,
    /// `program`
    Program,
    /// `arguments`
    Arguments,
    /// `inputs`
    Inputs,
    /// `priority`
    Priority,
    /// `share`
    Share,
    /// A key of `quota`
    Quota(Part),
    /// A key of `reserve`
    Reserve(Part),
    /// `budget.default-ms`
    DefaultBudget,
    /// `budget.longest-ms`
    LongestBudget,
    /// `cancels`
    Cancels,
    /// `kills`
    Kills,
    /// `on-end`
    OnEnd,
}

/// What a quota limits, or a reserve keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `sandboxes`
    Sandboxes,
    /// `bytes`
    Bytes,
    /// `slots`
    Slots,
    /// `mappings`
    Mappings,
    /// `console`
    Console,
}

/// Why a value cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is outside its limits.
    Range {
        /// What was found.
        found: u64,
        /// The least that can be.
        least: u64,
        /// The most that can be.
        most: u64,
    },
    /// It is no name.
    NoName {
        /// Most bytes of a name.
        limit: usize,
    },
    /// An earlier client is called so.
    Taken {
        /// Its place.
        other: usize,
    },
    /// There is no such program.
    NoProgram,
    /// There is no such input file.
    NoInput {
        /// How many there are.
        there: usize,
    },
    /// There is no such client.
    NoClient,
    /// What is promised to all clients together is more than the machine has.
    Sum {
        /// What is promised, this and all clients before it.
        promised: u64,
        /// What there is.
        there: u64,
    },
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients => f.write_str("client"),
            Self::Name => f.write_str("name"),
            Self::Program => f.write_str("program"),
            Self::Arguments => f.write_str("arguments"),
            Self::Inputs => f.write_str("inputs"),
            Self::Priority => f.write_str("priority"),
            Self::Share => f.write_str("share"),
            Self::Quota(part) => write!(f, "quota.{part}"),
            Self::Reserve(part) => write!(f, "reserve.{part}"),
            Self::DefaultBudget => f.write_str("budget.default-ms"),
            Self::LongestBudget => f.write_str("budget.longest-ms"),
            Self::Cancels => f.write_str("cancels"),
            Self::Kills => f.write_str("kills"),
            Self::OnEnd => f.write_str("on-end"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sandboxes => "sandboxes",
            Self::Bytes => "bytes",
            Self::Slots => "slots",
            Self::Mappings => "mappings",
            Self::Console => "console",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { found, least, most } => write!(f, "is {found}; allowed is {least} to {most}"),
            Self::NoName { limit } => write!(f, "is no name; allowed are 1 to {limit} of a-z, 0-9, - and _"),
            Self::Taken { other } => write!(f, "is that of client {} as well; each has its own", other + 1),
            Self::NoProgram => f.write_str("names no program of the image"),
            Self::NoInput { there } => write!(f, "names an input file that is not among the {there} of the system"),
            Self::NoClient => f.write_str("names no client of the system"),
            Self::Sum { promised, there } => {
                write!(f, "makes {promised} in all that are promised; the machine has {there}")
            }
        }
    }
}

/// Tells client, key and reason, as the root task does; the host has a line to name instead.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.client {
            write!(f, "client {}: ", place + 1)?;
        }
        write!(f, "{} {}", self.key, self.why)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn client_key_and_what_is_allowed_are_told() {
        let why = Why::Range { found: 5000, least: 0, most: 4064 };
        let wrong = Wrong { client: Some(1), key: Key::Quota(Part::Sandboxes), why };
        assert_eq!(wrong.to_string(), "client 2: quota.sandboxes is 5000; allowed is 0 to 4064");
        let none = Wrong { client: None, key: Key::Clients, why: Why::Range { found: 0, least: 1, most: 8 } };
        assert_eq!(none.to_string(), "client is 0; allowed is 1 to 8");
    }
}

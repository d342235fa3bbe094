// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the guest's lines: whose each is, and what it says.
//!
//! The root task writes a client's name in front of each of its lines, [`MARK`] between. What a client writes behind it is
//! the client's own word: it counts for that client, and for nobody else.

use std::fmt;
use std::path::Path;

use crate::guest::Guest;
use crate::symbols::Symbols;
use crate::system::Description;
use crate::ui;

/// Stands between a client's name and its text.
const MARK: &str = "| ";

/// The console of a guest.
pub(crate) struct Console {
    /// Names of the clients, each with its program's.
    clients: Vec<(String, String)>,
    symbols: Symbols,
}

/// A line of the guest, safe for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The client that wrote it; none for the root task, or a suite in its place.
    pub(crate) client: Option<String>,
    /// What it says.
    pub(crate) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client {
            Some(client) => {
                write!(f, "{client}{MARK}")?;
                self.text.fmt(f)
            }
            None => self.text.fmt(f),
        }
    }
}

impl Line {
    /// Tells whether the client of this name wrote it.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.client.as_deref() == Some(name)
    }
}

impl Console {
    /// Knows the clients of a system, and the programs of `guest`; file names are shown relative to `root`.
    pub(crate) fn new(guest: &Guest, root: &Path, system: &Description) -> Self {
        let clients = system.names().map(|(name, program)| (name.to_owned(), program.to_owned())).collect();
        Self { clients, symbols: Symbols::new(guest, root) }
    }

    /// Reads a line, and completes a report of an address in it with function and line.
    pub(crate) fn read(&self, line: &str) -> Line {
        let mut line = split(&ui::printable(line), &self.clients);
        let program = line.client.as_deref().map(|client| {
            let known = self.clients.iter().find(|(name, _)| name == client);
            known.map_or(client, |(_, program)| program.as_str())
        });
        self.symbols.annotate(&mut line.text, program);
        line
    }
}

/// Finds whose line it is.
fn split(line: &str, clients: &[(String, String)]) -> Line {
    let (client, text) = match line.split_once(MARK) {
        Some((name, text)) if clients.iter().any(|(client, _)| client == name) => (Some(name.to_owned()), text),
        _ => (None, line),
    };
    Line { client, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Line {
        split(line, &["hello", "bench"].map(|name| (name.to_owned(), "any".to_owned())))
    }

    #[test]
    fn a_clients_line_is_its_own() {
        let line = read("hello| bench| x");
        assert_eq!((line.client.as_deref(), line.text.as_str()), (Some("hello"), "bench| x"));
        assert_eq!(line.to_string(), "hello| bench| x");
        assert!(line.is_of("hello") && !line.is_of("bench"));
    }

    #[test]
    fn an_empty_line_of_a_client_is_its_own() {
        assert_eq!(read("hello| "), Line { client: Some("hello".to_owned()), text: String::new() });
    }

    #[test]
    fn other_lines_are_the_root_tasks() {
        for line in ["root-task: hello| x", "stranger| x", " hello| x", "hello|x", ""] {
            assert_eq!(read(line), Line { client: None, text: line.to_owned() });
        }
    }

    #[test]
    fn the_mark_is_the_root_tasks() {
        assert_eq!(MARK, sbm_server::MARK);
    }
}

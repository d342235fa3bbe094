// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptions of systems: from a file, from the command line, and on their way to the root task.
//!
//! There is one way in: whatever runs is a [`Description`], checked by the same function as in the root task, which takes
//! it as bytes and believes nothing of it.

mod file;
mod table;
mod verb;

use std::io;
use std::path::PathBuf;

use sbm_abi::{
    Pages,
    limits::{INPUT_BASE, INPUT_END, PAGE},
};
use sbm_system::{Amounts, Client, DEFAULT_PROGRAM, MAX_BYTES, System, TooLong, Wrong};

use crate::failure::Reason;
use crate::qemu::Item;

pub(crate) use file::{read, readable};
pub(crate) use verb::verb;

/// A system, with the input files that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) clients: Vec<Entry>,
    /// Each with its name for the clients.
    pub(crate) inputs: Vec<(String, PathBuf)>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    /// Which of the system's input files it has.
    pub(crate) inputs: Vec<usize>,
    pub(crate) priority: u8,
    pub(crate) terms: sbm_system::Terms,
}

/// Why what the command line describes is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    /// It does not add up.
    #[error("{0}; change what the command line says")]
    Wrong(Wrong),
    /// There is too much of something.
    #[error("{found} {what}; at most {most} can be")]
    Count { what: &'static str, found: usize, most: usize },
    /// The input files are too large.
    #[error("with {} the input files take {bytes} bytes in whole pages; at most {most} can be", path.display())]
    Size { path: PathBuf, bytes: u64, most: u64 },
    /// It does not fit the form in which it is handed over.
    #[error("names and arguments take more than {MAX_BYTES} bytes; shorten them")]
    TooLong,
    /// The form cannot be written.
    #[error("{} cannot be written ({cause}); check its folder", path.display())]
    Write { path: PathBuf, cause: io::Error },
}

impl Reason for SystemError {
    fn is_request(&self) -> bool {
        true
    }
}

impl Entry {
    /// Describes a client of which nothing is said but its program.
    pub(crate) fn new(program: &str) -> Self {
        let Client { priority, terms, .. } = Client::new(program);
        Self {
            name: program.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            inputs: Vec::new(),
            priority,
            terms,
        }
    }
}

impl Description {
    /// Describes one client with all input files.
    pub(crate) fn of_one(program: Option<&str>, arguments: &[&str], inputs: Vec<(String, PathBuf)>) -> Self {
        let mut client = Entry::new(program.unwrap_or(DEFAULT_PROGRAM));
        client.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        client.inputs = (0..inputs.len()).collect();
        Self { clients: vec![client], inputs }
    }

    /// Describes clients that run side by side, each as its program is called.
    pub(crate) fn of_programs<'a>(programs: impl IntoIterator<Item = &'a str>) -> Self {
        Self { clients: programs.into_iter().map(Entry::new).collect(), inputs: Vec::new() }
    }

    /// Gives all clients a file, under its own name.
    pub(crate) fn add_input(&mut self, path: PathBuf) {
        let number = self.inputs.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.inputs.push((name, path));
        self.clients.iter_mut().for_each(|client| client.inputs.push(number));
    }

    /// Returns the names of the clients and of their programs.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.clients.iter().map(|client| (client.name.as_str(), client.program.as_str()))
    }

    /// Tells whether more than one client runs.
    pub(crate) fn are_several(&self) -> bool {
        self.clients.len() > 1
    }

    /// Returns the form that the root task takes.
    pub(crate) fn system(&self) -> Result<System<'_>, SystemError> {
        let inputs = fill(self.inputs.iter().map(|(name, _)| name.as_str()), "input files")?;
        let mut clients = Vec::new();
        for client in &self.clients {
            clients.push(Client {
                name: &client.name,
                program: &client.program,
                arguments: fill(client.arguments.iter().map(String::as_str), "arguments")?,
                // Their number was looked at above.
                inputs: client
                    .inputs
                    .iter()
                    .fold(0, |bits, number| bits | 1_u64.checked_shl(*number as u32).unwrap_or(0)),
                priority: client.priority,
                terms: client.terms,
            });
        }
        Ok(System { inputs, clients: fill(clients.into_iter(), "clients")? })
    }

    /// Checks it as the root task does, which knows the same programs.
    pub(crate) fn check(&self, programs: &[String]) -> Result<(), SystemError> {
        let system = self.system()?;
        system.check(|name| programs.iter().any(|program| program == name)).map_err(SystemError::Wrong)
    }

    /// Returns the bytes that the root task decodes.
    fn bytes(&self) -> Result<Vec<u8>, SystemError> {
        let mut bytes = [0; MAX_BYTES];
        Ok(self.system()?.encode(&mut bytes).map_err(|TooLong| SystemError::TooLong)?.to_vec())
    }

    /// Refuses input files that no client has room for.
    fn check_sizes(&self) -> Result<(), SystemError> {
        let most = u64::from(INPUT_END - INPUT_BASE);
        let mut before = None;
        for (_, path) in &self.inputs {
            // One that cannot be read is told by whoever reads it.
            let length = std::fs::metadata(path).map_or(0, |data| data.len());
            let pages = u32::try_from(length).ok().and_then(|length| Pages::of_input(before, length));
            let Some(pages) = pages else {
                let there = before.map_or(0, |before| u64::from(before.end() - INPUT_BASE));
                let bytes = there + length.next_multiple_of(u64::from(PAGE));
                return Err(SystemError::Size { path: path.clone(), bytes, most });
            };
            before = Some(pages);
        }
        Ok(())
    }

    /// Returns what the root task finds in fw_cfg.
    pub(crate) fn items(&self) -> Result<Vec<Item>, SystemError> {
        self.check_sizes()?;
        let system = Item::Bytes { name: "opt/sbm/system".to_owned(), bytes: self.bytes()? };
        let files = self.inputs.iter().enumerate();
        let files =
            files.map(|(number, (_, path))| Item::File { name: format!("opt/sbm/input/{number}"), path: path.clone() });
        Ok(std::iter::once(system).chain(files).collect())
    }
}

/// Fills one of the containers of fixed size.
fn fill<T, const N: usize>(
    values: impl ExactSizeIterator<Item = T>,
    what: &'static str,
) -> Result<heapless::Vec<T, N>, SystemError> {
    let found = values.len();
    if found > N { Err(SystemError::Count { what, found, most: N }) } else { Ok(values.collect()) }
}

/// Returns what a machine of so many MiB has at most, from which kernel and programs take their part.
pub(crate) fn machine(mib: u32) -> Amounts {
    use sbm_abi::limits::{MAX_SANDBOXES, PAGE};
    let pages = (u64::from(mib) << 20) / u64::from(PAGE);
    Amounts {
        sandboxes: u32::try_from(MAX_SANDBOXES).unwrap_or(u32::MAX),
        pages: u32::try_from(pages).unwrap_or(u32::MAX),
        slots: u32::try_from(sbm_system::MOST_SLOTS).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_short_form_is_a_system_of_one() {
        let inputs = vec![("a".to_owned(), PathBuf::from("/a")), ("b".to_owned(), PathBuf::from("/b"))];
        let description = Description::of_one(Some("hello"), &["--json"], inputs);
        let system = description.system().unwrap();
        let mut client = Client::new("hello");
        client.arguments.push("--json").unwrap();
        client.inputs = 0b11;
        assert_eq!((&system.inputs[..], &system.clients[..]), (&["a", "b"][..], &[client][..]));
        let items = description.items().unwrap();
        assert_eq!(items[2], Item::File { name: "opt/sbm/input/1".into(), path: "/b".into() });
        let Item::Bytes { name, bytes } = &items[0] else { unreachable!() };
        assert_eq!((name.as_str(), System::decode(bytes)), ("opt/sbm/system", Ok(system)));
    }

    #[test]
    fn without_a_name_the_standard_program_runs() {
        assert_eq!(Description::of_one(None, &[], Vec::new()).system().unwrap(), System::standard());
    }

    #[test]
    fn what_is_too_much_is_told_with_how_much_can_be() {
        let error = Description::of_programs(["hello"; 9]).system().unwrap_err();
        assert_eq!(error.to_string(), "9 clients; at most 8 can be");
        let error = Description::of_one(None, &["x"; 33], Vec::new()).system().unwrap_err();
        assert_eq!(error.to_string(), "33 arguments; at most 32 can be");
        let inputs = vec![("a".to_owned(), PathBuf::from("/a")); 65];
        assert!(matches!(Description::of_one(None, &[], inputs).items(), Err(SystemError::Count { most: 64, .. })));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let programs = ["hello".to_owned()];
        assert!(Description::of_programs(["hello"]).check(&programs).is_ok());
        for (names, said) in [
            (&["hullo"][..], "client 1: program names no program of the image"),
            (&["hello", "hello"], "client 2: name is that of client 1 as well"),
        ] {
            let error = Description::of_programs(names.iter().copied()).check(&programs).unwrap_err();
            assert!(error.to_string().starts_with(said), "{error}");
        }
    }
}

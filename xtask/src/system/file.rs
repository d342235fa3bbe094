// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the description of a system from a file.
//!
//! Whatever is wrong is one line that names file, line, key and what is allowed; nothing is built from it.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sbm_abi::MAX_ARGUMENTS;
use sbm_abi::MAX_INPUTS;
use sbm_abi::limits::MAX_CLIENTS;
use sbm_system::{Amounts, Budget, ClientSet, DEFAULT_PRIORITY, OnEnd, Quota, Reserve, Terms, Why, Wrong, divide};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Description, Entry};
use crate::failure::Reason;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read ({cause}); name a file that can", path.display())]
    Read { path: PathBuf, cause: io::Error },
    /// Something in it is wrong.
    #[error("{}:{line}: {text}", path.display())]
    Line { path: PathBuf, line: usize, text: String },
}

impl Reason for FileError {
    fn is_request(&self) -> bool {
        true
    }
}

/// Something wrong at a place of the text.
struct Bad {
    at: usize,
    text: String,
}

type Result<T, E = Bad> = std::result::Result<T, E>;

const CLIENT_KEYS: &[&str] = &[
    "name",
    "program",
    "arguments",
    "inputs",
    "priority",
    "share",
    "quota",
    "reserve",
    "budget",
    "cancels",
    "kills",
    "on-end",
];

/// Reads a description and checks it against the programs that there are and what a machine has.
pub(crate) fn read(path: &Path, programs: &[String], machine: Amounts) -> Result<Description, FileError> {
    let text = fs::read_to_string(path).map_err(|cause| FileError::Read { path: path.to_owned(), cause })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&text, folder, programs, machine).map_err(|Bad { at, text: what }| {
        let line = text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        FileError::Line { path: path.to_owned(), line, text: what }
    })
}

fn parse(text: &str, folder: &Path, programs: &[String], machine: Amounts) -> Result<Description> {
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Bad { at, text: error.message().lines().collect::<Vec<_>>().join("; ") }
    })?;
    let top = Table::new("", document.span(), document.get_ref());
    top.allow(&["client"])?;
    let mut reader = Reader { folder, description: Description::default(), places: Vec::new(), names: Vec::new() };
    let clients = top.list("client", "tables, each with a program")?.unwrap_or_default();
    if clients.len() > MAX_CLIENTS {
        return Err(bad(
            &clients[MAX_CLIENTS].span(),
            format!("client is one of {}; allowed are {MAX_CLIENTS}", clients.len()),
        ));
    }
    let tables: Vec<_> = clients.iter().map(|client| table(client, "client")).collect::<Result<_>>()?;
    for table in &tables {
        reader.client(table)?;
    }
    for (place, table) in tables.iter().enumerate() {
        let (cancels, kills) = (reader.names_in(table, "cancels")?, reader.names_in(table, "kills")?);
        let terms = &mut reader.description.clients[place].terms;
        (terms.cancels, terms.kills) = (cancels, kills);
    }
    reader.check(programs, machine)?;
    Ok(reader.description)
}

struct Reader<'t> {
    folder: &'t Path,
    description: Description,
    /// Where each client's table begins, and each of its keys.
    places: Vec<(usize, Vec<(String, usize)>)>,
    names: Vec<String>,
}

impl Reader<'_> {
    fn client(&mut self, table: &Table<'_>) -> Result<()> {
        table.allow(CLIENT_KEYS)?;
        let program = table.text("program")?.ok_or_else(|| table.lacks("program", "the name of a program"))?;
        let mut client = Entry::new(&program);
        client.name = table.text("name")?.unwrap_or(program);
        client.arguments = table.texts("arguments", MAX_ARGUMENTS)?.into_iter().map(|(_, text)| text).collect();
        for (span, name) in table.texts("inputs", MAX_INPUTS)? {
            client.inputs.push(self.input(&span, name)?);
        }
        client.priority = table.number("priority")?.unwrap_or(DEFAULT_PRIORITY);
        client.terms = Terms {
            share: table.number("share")?.unwrap_or(Terms::DEFAULT.share),
            quota: table.table("quota")?.map_or(Ok(Quota::default()), |quota| read_quota(&quota))?,
            reserve: table.table("reserve")?.map_or(Ok(Reserve::default()), |reserve| read_reserve(&reserve))?,
            budget: table.table("budget")?.map_or(Ok(Terms::DEFAULT.budget), |budget| read_budget(&budget))?,
            on_end: read_end(table)?,
            ..Terms::DEFAULT
        };
        self.names.push(client.name.clone());
        self.description.clients.push(client);
        self.places.push((table.at(), table.places()));
        Ok(())
    }

    /// Returns the number of an input file, which may be another client's as well.
    fn input(&mut self, span: &Range<usize>, name: String) -> Result<usize> {
        let inputs = &mut self.description.inputs;
        if let Some(number) = inputs.iter().position(|(known, _)| *known == name) {
            return Ok(number);
        }
        if inputs.len() == MAX_INPUTS {
            return Err(bad(span, format!("inputs: all clients together have more than {MAX_INPUTS} files")));
        }
        let path = self.folder.join(&name);
        readable(&path).map_err(|cause| bad(span, format!("inputs: {} cannot be read ({cause})", path.display())))?;
        inputs.push((name, path));
        Ok(inputs.len() - 1)
    }

    /// Finds the clients that a key names.
    fn names_in(&self, table: &Table<'_>, key: &str) -> Result<ClientSet> {
        let mut set = ClientSet::default();
        for (span, name) in table.texts(key, MAX_CLIENTS)? {
            let place = self.names.iter().position(|known| *known == name);
            let place = place.ok_or_else(|| {
                bad(&span, format!("{key}: there is no client {name}; there are: {}", self.names.join(", ")))
            })?;
            set.insert(place);
        }
        Ok(set)
    }

    /// Has the description checked as the root task does, and finds the line of what is wrong.
    fn check(&self, programs: &[String], machine: Amounts) -> Result<()> {
        let known = |name: &str| programs.iter().any(|program| program == name);
        let system = self.description.system().map_err(|error| Bad { at: 0, text: error.to_string() })?;
        let promises = || divide(machine, system.clients.iter().map(|client| &client.terms)).map(drop);
        system.check(known).and_then(|()| promises()).map_err(|Wrong { client, key, why }| {
            let (begin, keys) =
                client.and_then(|place| self.places.get(place)).map_or((0, &[][..]), |it| (it.0, &it.1));
            let name = key.to_string();
            let at = keys.iter().find(|(known, _)| *known == name).map_or(begin, |(_, at)| *at);
            let help = match why {
                Why::NoProgram => format!("; there are: {}", programs.join(", ")),
                _ => String::new(),
            };
            Bad { at, text: format!("{name} {why}{help}") }
        })
    }
}

fn read_quota(table: &Table<'_>) -> Result<Quota> {
    table.allow(&["sandboxes", "bytes", "slots", "mappings", "console"])?;
    Ok(Quota {
        sandboxes: table.number("sandboxes")?,
        bytes: table.bytes("bytes")?,
        slots: table.number("slots")?,
        mappings: table.number("mappings")?,
        console: table.number("console")?,
    })
}

fn read_reserve(table: &Table<'_>) -> Result<Reserve> {
    table.allow(&["sandboxes", "bytes", "slots"])?;
    Ok(Reserve { sandboxes: table.number("sandboxes")?, bytes: table.bytes("bytes")?, slots: table.number("slots")? })
}

fn read_budget(table: &Table<'_>) -> Result<Budget> {
    table.allow(&["default-ms", "longest-ms"])?;
    let longest_ms = table.number("longest-ms")?;
    let standard = Terms::DEFAULT.budget.default_ms;
    let default_ms =
        table.number("default-ms")?.unwrap_or(longest_ms.map_or(standard, |longest| standard.min(longest)));
    Ok(Budget { default_ms, longest_ms })
}

fn read_end(table: &Table<'_>) -> Result<OnEnd> {
    const ALLOWED: &str = "\"stop\", \"end-run\" or { restarts = N }";
    let Some(value) = table.get("on-end") else { return Ok(OnEnd::Stop) };
    match value.get_ref() {
        DeValue::String(text) if text == "stop" => Ok(OnEnd::Stop),
        DeValue::String(text) if text == "end-run" => Ok(OnEnd::EndRun),
        DeValue::Table(_) => {
            let table =
                table.table("on-end")?.ok_or_else(|| bad(&value.span(), wrong_type("on-end", value, ALLOWED)))?;
            table.allow(&["restarts"])?;
            let times = table.number("restarts")?;
            times.map(OnEnd::Restart).ok_or_else(|| table.lacks("restarts", "a number of times"))
        }
        DeValue::String(text) => Err(bad(&value.span(), format!("on-end is \"{text}\"; allowed is {ALLOWED}"))),
        _ => Err(bad(&value.span(), wrong_type("on-end", value, ALLOWED))),
    }
}

/// A table of the file, and what its keys are called.
struct Table<'t> {
    path: String,
    span: Range<usize>,
    table: &'t DeTable<'t>,
}

type Value<'t> = Spanned<DeValue<'t>>;

fn table<'t>(value: &'t Value<'t>, path: &str) -> Result<Table<'t>> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(Table::new("", value.span(), table)),
        _ => Err(bad(&value.span(), wrong_type(path, value, "a table"))),
    }
}

impl<'t> Table<'t> {
    fn new(path: &str, span: Range<usize>, table: &'t DeTable<'t>) -> Self {
        Self { path: path.to_owned(), span, table }
    }

    fn at(&self) -> usize {
        self.span.start
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn lacks(&self, key: &str, what: &str) -> Bad {
        Bad { at: self.at(), text: format!("{} is missing; it is {what}", self.name(key)) }
    }

    /// Refuses keys that mean nothing.
    fn allow(&self, keys: &[&str]) -> Result<()> {
        match self.table.keys().find(|key| !keys.contains(&key.get_ref().as_ref())) {
            Some(key) => {
                let name = self.name(key.get_ref());
                Err(bad(&key.span(), format!("{name} is no key; allowed are: {}", keys.join(", "))))
            }
            None => Ok(()),
        }
    }

    fn get(&self, key: &str) -> Option<&'t Value<'t>> {
        self.table.get(key)
    }

    /// Says where each key stands, those of the tables in it included.
    fn places(&self) -> Vec<(String, usize)> {
        let mut places = Vec::new();
        for (key, value) in self.table {
            let name = self.name(key.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                places.extend(Self::new(&name, value.span(), inner).places());
                if key.get_ref() == "on-end" {
                    places.push((name, key.span().start));
                }
            } else {
                places.push((name, key.span().start));
            }
        }
        places
    }

    fn table(&self, key: &str) -> Result<Option<Self>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(Self::new(&self.name(key), value.span(), table))),
            _ => Err(bad(&value.span(), wrong_type(&self.name(key), value, "a table"))),
        }
    }

    fn list(&self, key: &str, what: &str) -> Result<Option<&'t [Value<'t>]>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Array(values) => Ok(Some(values.as_ref())),
            _ => Err(bad(&value.span(), wrong_type(&self.name(key), value, &format!("a list of {what}")))),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|value| text(value, &self.name(key))).transpose()
    }

    fn texts(&self, key: &str, most: usize) -> Result<Vec<(Range<usize>, String)>> {
        let values = self.list(key, "strings")?.unwrap_or_default();
        if let Some(value) = values.get(most) {
            return Err(bad(
                &value.span(),
                format!("{} has {} entries; allowed are {most}", self.name(key), values.len()),
            ));
        }
        values.iter().map(|value| Ok((value.span(), text(value, &self.name(key))?))).collect()
    }

    /// Reads a whole number that is none below zero; whether it is within its limits is looked at later.
    fn number<T: TryFrom<u64> + Max>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = number(value, &self.name(key))?;
        let too_large = || {
            let text = format!("{} is {number}; allowed is at most {}", self.name(key), T::MAX);
            bad(&value.span(), text)
        };
        T::try_from(number).map(Some).map_err(|_| too_large())
    }

    /// Reads bytes: a number, or one with a unit.
    fn bytes(&self, key: &str) -> Result<Option<u64>> {
        const ALLOWED: &str = "a number of bytes, or one with KiB, MiB or GiB behind it, such as \"64 MiB\"";
        let Some(value) = self.get(key) else { return Ok(None) };
        let name = self.name(key);
        let DeValue::String(text) = value.get_ref() else {
            let wrong = |_| bad(&value.span(), wrong_type(&name, value, ALLOWED));
            return number(value, &name).map(Some).map_err(wrong);
        };
        let (digits, unit) = text.split_once(' ').unwrap_or((text, ""));
        let bits = [("", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)].into_iter().find(|(name, _)| *name == unit);
        let bytes = bits.and_then(|(_, bits)| digits.parse::<u64>().ok()?.checked_mul(1 << bits));
        bytes.map(Some).ok_or_else(|| bad(&value.span(), format!("{name} is \"{text}\"; allowed is {ALLOWED}")))
    }
}

/// The largest number of a type.
trait Max: std::fmt::Display {
    const MAX: u64;
}

impl Max for u8 {
    const MAX: u64 = u8::MAX as u64;
}
impl Max for u16 {
    const MAX: u64 = u16::MAX as u64;
}
impl Max for u32 {
    const MAX: u64 = u32::MAX as u64;
}

fn number(value: &Value<'_>, name: &str) -> Result<u64> {
    const ALLOWED: &str = "a whole number, not below zero";
    match value.get_ref() {
        DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix())
            .map_err(|_| bad(&value.span(), format!("{name} is {}; allowed is {ALLOWED}", integer.as_str()))),
        _ => Err(bad(&value.span(), wrong_type(name, value, ALLOWED))),
    }
}

fn text(value: &Value<'_>, name: &str) -> Result<String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        _ => Err(bad(&value.span(), wrong_type(name, value, "a string"))),
    }
}

fn wrong_type(name: &str, value: &Value<'_>, allowed: &str) -> String {
    let found = value.get_ref().type_str();
    let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{name} is {article} {found}; allowed is {allowed}")
}

fn bad(span: &Range<usize>, text: String) -> Bad {
    Bad { at: span.start, text }
}

/// Tells whether a file can be read.
pub(crate) fn readable(path: &Path) -> io::Result<()> {
    let data = File::open(path)?.metadata()?;
    if data.is_dir() { Err(io::Error::from(io::ErrorKind::IsADirectory)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;

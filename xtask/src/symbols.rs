// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns addresses in the guest's reports into function and line.
//!
//! A line of the guest with ` ip=0x<hexadecimal>` and `program=<name>` gets ` at <function> (<file>:<line>)` appended,
//! from the debug information of that program. Everything else passes unchanged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use addr2line::Loader;

use crate::guest::{Guest, ROOT_TASK};

/// The programs of a guest, opened when one is first asked for.
pub(crate) struct Symbols {
    root: PathBuf,
    files: HashMap<String, PathBuf>,
    open: HashMap<String, Option<Loader>>,
}

impl Symbols {
    /// Knows the programs of `guest`; file names are shown relative to `root`.
    pub(crate) fn new(guest: &Guest, root: &Path) -> Self {
        let clients = guest.clients.iter().map(|(client, path)| (client.program.clone(), path.clone()));
        let root_task = (ROOT_TASK.to_owned(), guest.root_task.clone());
        Self { root: root.to_owned(), files: clients.chain([root_task]).collect(), open: HashMap::new() }
    }

    /// Appends function and line to a line that reports an address.
    pub(crate) fn annotate(&mut self, line: &mut String) {
        if let Some((program, address)) = report(line)
            && let Some(place) = self.place(program, address)
        {
            line.push_str(&place);
        }
    }

    fn place(&mut self, program: &str, address: u64) -> Option<String> {
        if !self.open.contains_key(program) {
            let loader = self.files.get(program).and_then(|path| Loader::new(path).ok());
            self.open.insert(program.to_owned(), loader);
        }
        let loader = self.open.get(program)?.as_ref()?;
        let mut frames = Vec::new();
        let mut iterator = loader.find_frames(address).ok()?;
        while let Ok(Some(frame)) = iterator.next() {
            let name =
                frame.function.as_ref().and_then(|function| function.demangle().ok().map(|name| name.into_owned()));
            let location = frame.location.as_ref();
            let file = location.and_then(|location| location.file).unwrap_or("?").to_owned();
            frames.push(Frame { name, file, line: location.and_then(|location| location.line) });
        }
        if frames.is_empty() {
            return loader.find_symbol(address).map(|name| format!(" at {name}"));
        }
        self.tell(&frames)
    }

    /// Describes the innermost frame of ours: where a library's inlined code was called from says more.
    fn tell(&self, frames: &[Frame]) -> Option<String> {
        let root = self.root.to_string_lossy();
        let frame = frames.iter().find(|frame| frame.file.starts_with(&*root)).or(frames.first())?;
        let file = frame.file.strip_prefix(&*root).map_or(frame.file.as_str(), |rest| rest.trim_start_matches('/'));
        let name = frame.name.as_deref().unwrap_or("?");
        let line = frame.line.map(|line| format!(":{line}")).unwrap_or_default();
        Some(format!(" at {} ({file}{line})", without_hash(name)))
    }
}

struct Frame {
    name: Option<String>,
    file: String,
    line: Option<u32>,
}

/// Finds program and address in a report.
fn report(line: &str) -> Option<(&str, u64)> {
    let field = |key: &str| {
        let rest = &line[line.find(key)? + key.len()..];
        rest.split(|c: char| c.is_whitespace() || c == ',' || c == ';').next()
    };
    let address = u64::from_str_radix(field(" ip=0x")?, 16).ok()?;
    Some((field("program=")?, address))
}

/// Removes the hash that the compiler appends to a function's name.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((start, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => start,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_program_and_address() {
        assert_eq!(report("fault: program=hello read addr=0x0 ip=0x20133a code=4"), Some(("hello", 0x20_133a)));
        assert_eq!(report("panic ip=0x10, program=root-task"), Some(("root-task", 0x10)));
    }

    #[test]
    fn a_line_without_one_of_them_is_no_report() {
        assert_eq!(report("fault: program=hello"), None);
        assert_eq!(report("fault: ip=0x10"), None);
        assert_eq!(report("chip=0x10 program=hello"), None);
        assert_eq!(report(" ip=0xzz program=hello"), None);
    }

    #[test]
    fn only_a_hash_is_cut_off_a_name() {
        assert_eq!(without_hash("hello::main::h0123456789abcdef"), "hello::main");
        assert_eq!(without_hash("hello::main"), "hello::main");
        assert_eq!(without_hash("hello::helper"), "hello::helper");
    }

    #[test]
    fn the_innermost_frame_of_ours_is_told() {
        let symbols = Symbols { root: "/work".into(), files: HashMap::new(), open: HashMap::new() };
        let frame = |name: &str, file: &str| Frame { name: Some(name.into()), file: file.into(), line: Some(3) };
        let frames = [frame("core::ptr::read", "/rustc/core/ptr.rs"), frame("hello::main", "/work/clients/hello.rs")];
        assert_eq!(symbols.tell(&frames).as_deref(), Some(" at hello::main (clients/hello.rs:3)"));
        assert_eq!(symbols.tell(&frames[..1]).as_deref(), Some(" at core::ptr::read (/rustc/core/ptr.rs:3)"));
    }
}

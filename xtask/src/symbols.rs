// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns addresses in the guest's reports into function and line.
//!
//! A line of the guest with ` ip=0x<hexadecimal>` and `program=<name>` gets ` at <function> (<file>:<line>)` appended,
//! from the debug information of that program. Everything else passes unchanged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::guest::Guest;
use crate::workspace::ROOT_TASK;

/// The programs of a guest.
pub(crate) struct Symbols {
    root: PathBuf,
    files: HashMap<String, PathBuf>,
}

impl Symbols {
    /// Knows the programs of `guest`; file names are shown relative to `root`.
    pub(crate) fn new(guest: &Guest, root: &Path) -> Self {
        let clients = guest.clients.iter().map(|(client, path)| (client.program.clone(), path.clone()));
        let root_task = (ROOT_TASK.to_owned(), guest.root_task.clone());
        Self { root: root.to_owned(), files: clients.chain([root_task]).collect() }
    }

    /// Appends function and line to a line that reports an address: of any program in a line of the root task, and only
    /// of `client` in a line of that.
    pub(crate) fn annotate(&self, line: &mut String, client: Option<&str>) {
        if let Some((program, address)) = report(line)
            && client.is_none_or(|client| client == program)
            && let Some(file) = self.files.get(program)
            && let Some(place) = self.place(&frames(file, address))
        {
            line.push_str(&place);
        }
    }

    /// Describes the innermost frame of ours: where a library's inlined code was called from says more.
    fn place(&self, frames: &[Frame]) -> Option<String> {
        let frame = frames.iter().find(|frame| Path::new(&frame.place).starts_with(&self.root)).or(frames.first())?;
        let root = self.root.to_string_lossy();
        let place = frame.place.strip_prefix(&*root).map_or(frame.place.as_str(), |rest| rest.trim_start_matches('/'));
        Some(format!(" at {} ({place})", without_hash(&frame.function)))
    }
}

/// One function that an address lies in; inlined functions make several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    function: String,
    /// File and line.
    place: String,
}

/// Asks addr2line of the binutils, which are needed for objcopy anyway, for the frames at an address, innermost first.
fn frames(file: &Path, address: u64) -> Vec<Frame> {
    let mut command = Command::new("addr2line");
    command.args(["--functions", "--inlines", "--demangle", "--exe"]).arg(file).arg(format!("{address:#x}"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map(|output| parse_frames(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

/// Reads pairs of lines: a function, and its file and line. What is not known is a question mark.
fn parse_frames(text: &str) -> Vec<Frame> {
    let lines: Vec<_> = text.lines().collect();
    let frame = |pair: &[&str]| match pair {
        ["??", _] => None,
        [function, place] => {
            let place = place.split(" (discriminator").next().unwrap_or(place);
            Some(Frame { function: (*function).to_owned(), place: place.to_owned() })
        }
        _ => None,
    };
    lines.chunks(2).filter_map(frame).collect()
}

/// Finds program and address in a report.
fn report(line: &str) -> Option<(&str, u64)> {
    let field = |key: &str| {
        // The last: what a sandbox's own words say stands before it.
        let rest = &line[line.rfind(key)? + key.len()..];
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
        let symbols = Symbols { root: "/src".into(), files: HashMap::new() };
        let frames =
            parse_frames("core::ptr::read\n/rustc/core/ptr.rs:9 (discriminator 2)\nhello::main\n/src/a/b.rs:3\n");
        assert_eq!(symbols.place(&frames).as_deref(), Some(" at hello::main (a/b.rs:3)"));
        assert_eq!(symbols.place(&frames[..1]).as_deref(), Some(" at core::ptr::read (/rustc/core/ptr.rs:9)"));
    }

    #[test]
    fn an_address_without_function_has_no_place() {
        let symbols = Symbols { root: "/src".into(), files: HashMap::new() };
        assert_eq!(symbols.place(&parse_frames("??\n??:0\n")), None);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns addresses in the guest's reports into function and line.
//!
//! A line of the guest with ` ip=0x<hexadecimal>` and `program=<name>` gets ` at <function> (<file>:<line>)` appended,
//! from the debug information of that program: of the user's own code, and after it which function of a library that had
//! called, and in which one it ended, inlined there or not: who called them says the stack, of which the line has a part.
//! Where the line says that a client's data was touched, the static is named as well. Everything else passes unchanged.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::guest::Guest;
use crate::unwind::Stack;
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
    /// of its own program, `own`, in a line of a client.
    pub(crate) fn annotate(&self, line: &mut String, own: Option<&str>) {
        let mut told = line.clone();
        let stack = Stack::take(&mut told);
        if let Some((program, address)) = report(&told)
            && own.is_none_or(|own| own == program)
            && let Some(file) = self.files.get(program)
        {
            let mut found = frames(file, &[address]);
            if let Some(stack) = stack
                && !found.iter().any(|frame| self.is_own(frame))
            {
                let callers = frames(file, &stack.callers(file, address));
                // Without an end in the user's own code they say nothing.
                if callers.iter().any(|frame| self.is_own(frame)) {
                    found.extend(callers);
                }
            }
            let place = self.place(&found);
            *line = told.clone();
            let touched = touched(line).and_then(|touched| object(&objects(file), touched).map(str::to_owned));
            line.extend(place);
            line.extend(touched.map(|name| format!(", touching the static {name}")));
        }
    }

    /// Tells whether a frame is the user's own, and not a library's.
    fn is_own(&self, frame: &Frame) -> bool {
        let place = Path::new(&frame.place).strip_prefix(&self.root);
        let is_elsewhere = |place: &Path| !LIBRARIES.iter().any(|library| place.starts_with(library));
        // An attribute of the library writes functions as well, which lie where it stands.
        place.is_ok_and(is_elsewhere) && !frame.function.starts_with("<sbm::")
    }

    /// Describes the innermost frame of the user's own, with what it had called of libraries, and where in them it was.
    fn place(&self, frames: &[Frame]) -> Option<String> {
        let is_own = |frame: &Frame| self.is_own(frame);
        let in_tree = |frame: &Frame| Path::new(&frame.place).starts_with(&self.root);
        let position = frames.iter().position(is_own).or_else(|| frames.iter().position(in_tree)).unwrap_or(0);
        let frame = frames.get(position)?;
        let root = self.root.to_string_lossy();
        let place = frame.place.strip_prefix(&*root).map_or(frame.place.as_str(), |rest| rest.trim_start_matches('/'));
        let mut text = format!(" at {} ({})", without_hash(&frame.function), without_toolchain(place));
        // What was called there, and where that ended: what lies between are steps of a library.
        match told(&frames[..position]) {
            [] => {}
            [only] => text.extend([", in ", without_hash(&only.function)]),
            [last, between @ .., first] => {
                let dots = if between.is_empty() { ", in " } else { " .. in " };
                text.extend([", in ", without_hash(&first.function), dots, without_hash(&last.function)]);
            }
        }
        Some(text)
    }
}

/// Where the libraries of guest programs lie in the checkout.
const LIBRARIES: [&str; 3] = ["clients/sbm", "clients/abi", "platform"];

/// Leaves out what frames of libraries, innermost first, have of an allocator, of a panic, or of a request: whoever allocates,
/// panics or asks has called no more than that.
fn told(frames: &[Frame]) -> &[Frame] {
    let is_machinery = |frame: &Frame| MACHINERY.iter().any(|name| without_hash(&frame.function).starts_with(name));
    frames.iter().rposition(is_machinery).map_or(frames, |last| &frames[last + 1..])
}

/// How functions are called that hand an allocation over to the program's allocator, begin a panic, or are the client library's
/// own in a sandbox.
const MACHINERY: [&str; 5] =
    ["<alloc::alloc::Global", "alloc::alloc::", "__rustc::__rust_", "core::panicking::", "sbm::inside::"];

/// One function that an address lies in; inlined functions make several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    function: String,
    /// File and line.
    place: String,
}

/// Asks addr2line of the binutils, which are needed for objcopy anyway, for the frames at addresses, innermost first.
fn frames(file: &Path, addresses: &[u64]) -> Vec<Frame> {
    if addresses.is_empty() {
        return Vec::new();
    }
    let mut command = Command::new("addr2line");
    command.args(["--functions", "--inlines", "--demangle", "--exe"]).arg(file);
    command.args(addresses.iter().map(|address| format!("{address:#x}")));
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

/// Finds the address in a client's data that a report says was touched.
fn touched(line: &str) -> Option<u64> {
    let (before, _) = line.rsplit_once(" (client data")?;
    u64::from_str_radix(before.rsplit_once(" at 0x")?.1, 16).ok()
}

/// A symbol of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    range: Range<u64>,
    name: String,
}

/// Asks nm of the binutils for the symbols that have a size.
fn objects(file: &Path) -> Vec<Object> {
    let mut command = Command::new("nm");
    command.args(["--demangle", "--print-size", "--defined-only"]).arg(file);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map(|output| parse_objects(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

/// Reads lines of address, size, kind and name; where there is no size, the line has a field less.
fn parse_objects(text: &str) -> Vec<Object> {
    let object = |line: &str| {
        let [address, size, kind, name] = line.splitn(4, ' ').collect::<Vec<_>>().try_into().ok()?;
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let start = number(address)?;
        let range = start..start.checked_add(number(size)?)?;
        (kind.len() == 1).then(|| Object { range, name: without_hash(name).to_owned() })
    };
    text.lines().filter_map(object).collect()
}

/// Names what lies at an address.
fn object(objects: &[Object], address: u64) -> Option<&str> {
    objects.iter().find(|object| object.range.contains(&address)).map(|object| object.name.as_str())
}

/// Removes where the toolchain was built from a path of the standard library.
fn without_toolchain(place: &str) -> &str {
    match place.split_once("/library/") {
        Some((start, rest)) if start.starts_with("/rustc/") || start.contains("/rustlib/") => rest,
        _ => place,
    }
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
        assert_eq!(symbols.place(&frames).as_deref(), Some(" at hello::main (a/b.rs:3), in core::ptr::read"));
        assert_eq!(symbols.place(&frames[..1]).as_deref(), Some(" at core::ptr::read (/rustc/core/ptr.rs:9)"));
    }

    #[test]
    fn the_client_library_is_not_the_users_own() {
        let symbols = Symbols { root: "/src".into(), files: HashMap::new() };
        let text = "core::f\n/rustc/1/library/core/src/f.rs:1\nsbm::g\n/src/clients/sbm/src/g.rs:2\nuser::h\n/src/clients/h/m.rs:3\n";
        let frames = parse_frames(text);
        assert_eq!(symbols.place(&frames).as_deref(), Some(" at user::h (clients/h/m.rs:3), in sbm::g, in core::f"));
        let own = symbols.place(&frames[..2]);
        assert_eq!(own.as_deref(), Some(" at sbm::g (clients/sbm/src/g.rs:2), in core::f"));
        assert_eq!(symbols.place(&frames[..1]).as_deref(), Some(" at core::f (core/src/f.rs:1)"));
    }

    #[test]
    fn what_an_attribute_of_the_client_library_writes_is_not_the_users_own() {
        let symbols = Symbols { root: "/src".into(), files: HashMap::new() };
        let frames = parse_frames("<sbm::Proxy<dyn user::S> as user::S>::f\n/src/h.rs:1\nuser::h\n/src/h.rs:3\n");
        let told = " at user::h (h.rs:3), in <sbm::Proxy<dyn user::S> as user::S>::f";
        assert_eq!(symbols.place(&frames).as_deref(), Some(told));
    }

    #[test]
    fn of_many_frames_the_first_and_the_last_are_told_and_none_of_machinery() {
        let symbols = Symbols { root: "/src".into(), files: HashMap::new() };
        let place = |functions: &[&str]| {
            let text: String =
                functions.iter().map(|function| format!("{function}\n/rustc/1/library/f.rs:1\n")).collect();
            symbols.place(&parse_frames(&format!("{text}user::h\n/src/h.rs:3\n"))).unwrap_or_default()
        };
        assert_eq!(place(&["core::c", "core::b", "core::a"]), " at user::h (h.rs:3), in core::a .. in core::c");
        let inside =
            ["sbm::heap::note", "__rustc::__rust_alloc", "alloc::alloc::alloc", "<alloc::alloc::Global>::alloc_impl"];
        let called = |by: &[&'static str]| place(&[&inside[..], by].concat());
        assert_eq!(called(&["core::b", "core::a"]), " at user::h (h.rs:3), in core::a, in core::b");
        assert_eq!(called(&["core::a"]), " at user::h (h.rs:3), in core::a");
        assert_eq!(called(&[]), " at user::h (h.rs:3)");
        let panic = ["sbm::inside::entry::leave", "core::panicking::panic_fmt", "core::option::unwrap_failed"];
        assert_eq!(place(&panic), " at user::h (h.rs:3), in core::option::unwrap_failed");
        assert_eq!(place(&panic[..2]), " at user::h (h.rs:3)");
    }

    #[test]
    fn the_static_that_was_touched_is_found() {
        let line = "sandbox fault: page fault, read at 0x400018 (client data) program=hello ip=0x201000";
        assert_eq!(touched(line), Some(0x40_0018));
        assert_eq!(touched("sandbox fault: page fault, read at 0x400018 (not mapped)"), None);
        assert_eq!(touched("x (client data) program=hello"), None);
        let objects = parse_objects(
            "0000000000400010 0000000000000010 b memchr::FN::h0123456789abcdef\n\
             0000000000400020 B _end\n\
             0000000000400020 0000000000000004 d a b\n",
        );
        assert_eq!(object(&objects, 0x40_0018), Some("memchr::FN"));
        assert_eq!(object(&objects, 0x40_0020), Some("a b"));
        assert_eq!(object(&objects, 0x40_0024), None);
    }

    #[test]
    fn an_address_without_function_has_no_place() {
        let symbols = Symbols { root: "/src".into(), files: HashMap::new() };
        assert_eq!(symbols.place(&parse_frames("??\n??:0\n")), None);
    }
}

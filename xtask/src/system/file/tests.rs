// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each key that is taken, and each way in which one is refused.
#![allow(clippy::unwrap_used)]

use super::*;

const MACHINE: Amounts = Amounts { sandboxes: 4064, pages: 131_072, slots: 262_144 };

fn read_text(text: &str) -> Result<Description, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("system.toml");
    fs::write(&path, text).unwrap();
    fs::write(folder.path().join("ring.pgp"), "x").unwrap();
    let programs = ["hello".to_owned(), "pgp-keys".to_owned()];
    read(&path, &programs, MACHINE).map_err(|error| {
        let text = error.to_string();
        text.replace(&format!("{}/", folder.path().display()), "")
    })
}

const WHOLE: &str = r#"
[[client]]
name = "parser"
program = "pgp-keys"
arguments = ["--json", ""]
inputs = ["ring.pgp"]
priority = 120
share = 3
quota = { sandboxes = 16, bytes = "64 MiB", slots = 8_192, mappings = 4, console = 2000 }
reserve = { sandboxes = 4, bytes = 4096, slots = 0x100 }
budget = { default-ms = 100, longest-ms = 1000 }
on-end = { restarts = 3 }

[[client]]
program = "hello"
inputs = ["ring.pgp"]
cancels = ["parser", "hello"]
kills = ["parser"]
on-end = "end-run"

[[client]]
name = "third"
program = "hello"
budget.longest-ms = 1000
on-end = "stop"
"#;

#[test]
fn every_key_is_taken() {
    let description = read_text(WHOLE).unwrap();
    let [parser, hello, third] = &description.clients[..] else { unreachable!() };
    assert_eq!((parser.name.as_str(), parser.program.as_str(), parser.priority), ("parser", "pgp-keys", 120));
    assert_eq!((&parser.arguments[..], &parser.inputs[..]), (&["--json".to_owned(), String::new()][..], &[0][..]));
    let wanted = Terms {
        share: 3,
        quota: Quota {
            sandboxes: Some(16),
            bytes: Some(64 << 20),
            slots: Some(8192),
            mappings: Some(4),
            console: Some(2000),
        },
        reserve: Reserve { sandboxes: Some(4), bytes: Some(4096), slots: Some(256) },
        budget: Budget { default_ms: 100, longest_ms: Some(1000) },
        cancels: ClientSet(0),
        kills: ClientSet(0),
        on_end: OnEnd::Restart(3),
    };
    assert_eq!(parser.terms, wanted);
    let mut client = Entry::new("hello");
    client.inputs.push(0);
    client.terms.cancels = ClientSet(0b11);
    client.terms.kills = ClientSet(0b01);
    client.terms.on_end = OnEnd::EndRun;
    assert_eq!(*hello, client);
    assert_eq!(third.terms.budget, Budget { default_ms: 1000, longest_ms: Some(1000) });
    assert_eq!(description.inputs.len(), 1, "a file of two clients is handed over once");
    assert_eq!(description.inputs[0].0, "ring.pgp");
}

/// What is said of a client with this line, which is the third of the file.
fn said(line: &str) -> String {
    read_text(&format!("[[client]]\nprogram = \"hello\"\n{line}\n")).unwrap_err()
}

#[test]
fn what_is_wrong_is_told_with_line_key_and_what_is_allowed() {
    for (line, text) in [
        ("nome = \"x\"", "nome is no key; allowed are: name, program, arguments, "),
        ("quota.pages = 3", "quota.pages is no key; allowed are: sandboxes, bytes, slots, mappings, console"),
        ("quota = { pages = 3 }", "quota.pages is no key; allowed are: sandboxes"),
        ("reserve.mappings = 3", "reserve.mappings is no key; allowed are: sandboxes, bytes, slots"),
        ("budget.longest = 3", "budget.longest is no key; allowed are: default-ms, longest-ms"),
        ("on-end.times = 3", "on-end.times is no key; allowed are: restarts"),
        ("name = 3", "name is an integer; allowed is a string"),
        ("name = \"A name\"", "name is no name; allowed are 1 to 32 of a-z, 0-9, - and _"),
        ("arguments = \"--json\"", "arguments is a string; allowed is a list of strings"),
        ("arguments = [1]", "arguments is an integer; allowed is a string"),
        ("inputs = [\"gone.pgp\"]", "inputs: gone.pgp cannot be read (No such file"),
        ("inputs = [\"\"]", "inputs: "),
        ("priority = \"high\"", "priority is a string; allowed is a whole number, not below zero"),
        ("priority = -1", "priority is -1; allowed is a whole number, not below zero"),
        ("priority = 1.5", "priority is a float; allowed is a whole number"),
        ("priority = 201", "priority is 201; allowed is 1 to 200"),
        ("priority = 300", "priority is 300; allowed is at most 255"),
        ("share = 0", "share is 0; allowed is 1 to 1000"),
        ("quota = 3", "quota is an integer; allowed is a table"),
        ("quota.sandboxes = 4065", "quota.sandboxes is 4065; allowed is 0 to 4064"),
        ("quota.bytes = \"64 MB\"", "quota.bytes is \"64 MB\"; allowed is a number of bytes, or one with KiB, MiB"),
        ("quota.bytes = true", "quota.bytes is a boolean; allowed is a number of bytes, or one with KiB"),
        (
            "quota.bytes = \"513 MiB\"",
            "quota.bytes makes 537919488 in all that are promised; the machine has 536870912",
        ),
        ("quota.console = 0", "quota.console is 0; allowed is 1 to 1000000"),
        ("reserve.slots = 300_000", "reserve.slots is 300000; allowed is 0 to 262144"),
        ("quota = { slots = 5 }\nreserve.slots = 6", "reserve.slots is 6; allowed is 0 to 5"),
        ("budget.default-ms = 0", "budget.default-ms is 0; allowed is 1 to 3600000"),
        ("budget.longest-ms = 3_600_001", "budget.longest-ms is 3600001; allowed is 1 to 3600000"),
        ("budget = { longest-ms = 5, default-ms = 6 }", "budget.default-ms is 6; allowed is 1 to 5"),
        ("cancels = [\"nobody\"]", "cancels: there is no client nobody; there are: hello"),
        ("kills = \"hello\"", "kills is a string; allowed is a list of strings"),
        ("on-end = \"again\"", "on-end is \"again\"; allowed is \"stop\", \"end-run\" or { restarts = N }"),
        ("on-end = 3", "on-end is an integer; allowed is \"stop\", \"end-run\" or { restarts = N }"),
        ("on-end = { restarts = 0 }", "on-end is 0; allowed is 1 to 1000000"),
        ("on-end = {}", "on-end.restarts is missing; it is a number of times"),
        ("name = \"x", "invalid basic string"),
        ("name = \"a\"\nname = \"b\"", "duplicate key"),
    ] {
        let said = said(line);
        let last = if line.contains('\n') { 4 } else { 3 };
        assert!(said.starts_with(&format!("system.toml:{last}: {text}")), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_is_wrong_with_the_whole_is_told_as_well() {
    for (text, said) in [
        ("", "system.toml:1: client is 0; allowed is 1 to 8"),
        ("client = 3", "system.toml:1: client is an integer; allowed is a list of tables, each with a program"),
        ("client = [3]", "system.toml:1: client is an integer; allowed is a table"),
        ("[machine]\nmemory = 3", "system.toml:1: machine is no key; allowed are: client"),
        ("\n[[client]]\nname = \"x\"\n", "system.toml:2: program is missing; it is the name of a program"),
        (
            "[[client]]\nprogram = \"hullo\"\n",
            "system.toml:2: program names no program of the image; there are: hello, pgp-keys",
        ),
        (
            "[[client]]\nprogram = \"hello\"\n[[client]]\nprogram = \"hello\"\n",
            "system.toml:3: name is that of client 1 as well; each has its own",
        ),
        (
            "[[client]]\nprogram = \"hello\"\nreserve.bytes = \"300 MiB\"\n[[client]]\nname = \"b\"\nprogram = \
             \"hello\"\nquota.bytes = \"300 MiB\"\n",
            "system.toml:7: quota.bytes makes 629145600 in all that are promised; the machine has 536870912",
        ),
    ] {
        assert_eq!(read_text(text).unwrap_err(), said);
    }
    let nine = "[[client]]\nprogram = \"hello\"\n".repeat(9);
    assert_eq!(read_text(&nine).unwrap_err(), "system.toml:17: client is one of 9; allowed are 8");
    let many = format!("arguments = [{}]", "\"x\", ".repeat(33));
    assert_eq!(said(&many), "system.toml:3: arguments has 33 entries; allowed are 32");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = read(Path::new("/no/such/file.toml"), &[], MACHINE).unwrap_err();
    assert!(error.to_string().starts_with("/no/such/file.toml cannot be read"), "{error}");
}

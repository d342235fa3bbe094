// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents name files, commands and functions that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// First parts of paths in this repository.
const FOLDERS: [&str; 8] = ["clients", "docs", "platform", "root-task", "sbm-server", "tests", "xtask", ".ci"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_owned()
}

fn documents() -> Vec<PathBuf> {
    let mut documents = vec![root().join("README.md")];
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    documents
}

/// The targets of links, and the code spans that begin like a path of this repository, each relative to a folder.
fn named(document: &Path, text: &str) -> Vec<PathBuf> {
    let folder = document.parent().unwrap();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let links = links.filter(|target| !target.contains("://") && !target.starts_with('#'));
    let links = links.map(|target| folder.join(target.split('#').next().unwrap()));
    let spans = text.split('`').skip(1).step_by(2).filter(|span| {
        let first = span.split('/').next().unwrap();
        span.contains('/') && FOLDERS.contains(&first) && !span.contains([' ', '*', '{', '<'])
    });
    links.chain(spans.map(|span| root().join(span))).collect()
}

#[test]
fn what_documents_name_exists() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for path in named(&document, &text) {
            assert!(path.exists(), "{} names {}, which is not there", document.display(), path.display());
        }
    }
}

#[test]
fn a_path_that_is_not_there_would_be_found() {
    let text = "see [this](gone.md), `clients/gone` and `https://x/y`";
    let missing = named(&root().join("docs/x.md"), text).into_iter().filter(|path| !path.exists()).count();
    assert_eq!(missing, 2);
}

/// The commands of this tool in blocks that are indented, without what follows them on the line.
fn commands(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter_map(|line| {
        let line = line.strip_prefix("    ")?;
        let line =
            line.strip_prefix("SEL4_PREFIX=").and_then(|rest| rest.split_once(' ')).map_or(line, |(_, rest)| rest);
        let rest = line.strip_prefix("./x ").or_else(|| line.strip_prefix("cargo xtask "))?;
        let command = rest.split("  ").next()?.split(" #").next()?;
        Some(command.split_whitespace().collect())
    })
}

/// Tells whether the tool takes a command: with `--help` after its own arguments it does not run it.
fn is_taken(command: &[&str]) -> bool {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-sbm"));
    tool.args(command.iter().take_while(|argument| **argument != "--"))
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    tool.status().unwrap().success()
}

#[test]
fn commands_in_documents_are_taken() {
    for document in documents() {
        for command in commands(&fs::read_to_string(&document).unwrap()) {
            assert!(is_taken(&command), "{} has a command that is none: {command:?}", document.display());
        }
    }
}

#[test]
fn a_command_that_is_none_would_be_found() {
    let text = "x\n    ./x fly --high   up\n    SEL4_PREFIX=/y cargo xtask run --fast # z\n    cargo test\n    ./x run hello  x\n";
    let commands: Vec<_> = commands(text).collect();
    assert_eq!(commands, [vec!["fly", "--high"], vec!["run", "--fast"], vec!["run", "hello"]]);
    assert_eq!(commands.iter().map(|command| is_taken(command)).collect::<Vec<_>>(), [false, false, true]);
}

/// All sources under a folder, but what is built and what is fetched.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(&path).unwrap();
        }
    }
    all
}

/// The functions that code spans name after their type or module, `Type::function`, or by themselves, as in `snake_case`.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let spans = text.split('`').skip(1).step_by(2);
    let names = spans.filter_map(|span| match span.rsplit_once("::") {
        Some((_, name)) => Some(name),
        None => span.contains('_').then_some(span),
    });
    names.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'))
}

fn is_defined(sources: &str, function: &str) -> bool {
    ["(", "<"].iter().any(|behind| sources.contains(&format!("fn {function}{behind}")))
}

#[test]
fn functions_that_the_architecture_names_are_there() {
    let sources: String = ["clients", "sbm-server", "root-task"].map(|folder| sources(&root().join(folder))).concat();
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let names: Vec<_> = functions(&text).collect();
    assert!(names.len() > 20, "few functions are named: {names:?}");
    for name in names {
        assert!(is_defined(&sources, name), "docs/architecture.md names `{name}`, which is no function");
    }
}

#[test]
fn a_function_that_is_not_there_would_be_found() {
    let names: Vec<_> = functions("`A::go`, `decode_it`, `A::New`, `plain`, `a.rs`").collect();
    assert_eq!(names, ["go", "decode_it"]);
    assert!(is_defined("fn go(", "go") && is_defined("fn go<T>(", "go") && !is_defined("fn going(", "go"));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The newcomer's guide against the checkout: its code is code that is built, its paths and clients are there. So is the
//! code of the README and of the library's documentation.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn guide() -> String {
    fs::read_to_string(root().join("docs/guide.md")).unwrap()
}

/// A block of code, and the file that the comment before it names.
struct Excerpt {
    file: Option<String>,
    code: String,
}

fn excerpts(text: &str) -> Vec<Excerpt> {
    let mut excerpts = Vec::new();
    let mut file = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("<!-- ") {
            file = rest.strip_suffix(" -->").map(str::to_owned);
        } else if line.starts_with("```") {
            let code: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            excerpts.push(Excerpt { file: file.take(), code: code.join("\n") });
        }
    }
    excerpts
}

/// Returns what stands between backticks in the running text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let running = text.split("```").step_by(2);
    running.flat_map(|part| part.split('`').skip(1).step_by(2))
}

/// Returns the documentation in a source file.
fn documentation(source: &str) -> String {
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!").or_else(|| line.strip_prefix("///")));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect()
}

#[test]
fn code_is_an_excerpt_of_a_file_that_is_built() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let library = documentation(&(read("clients/sbm/src/lib.rs") + &read("clients/sbm/src/value.rs")));
    for (text, fewest) in [(guide(), 6), (read("README.md"), 2), (library, 3)] {
        let excerpts = excerpts(&text);
        assert!(excerpts.len() >= fewest, "blocks of code are gone from:\n{text}");
        for Excerpt { file, code } in excerpts {
            let file = file.unwrap_or_else(|| panic!("no comment names the file of this block:\n{code}"));
            assert!(read(&file).contains(&format!("{code}\n")), "{file} does not contain this block:\n{code}");
        }
    }
}

#[test]
fn code_that_is_nowhere_is_noticed() {
    let excerpts = excerpts("<!-- a.rs -->\n```rust\nfn a() {}\n```\n\n```rust\nfn b() {}\n```\n");
    let found: Vec<_> = excerpts.iter().map(|excerpt| (excerpt.file.as_deref(), excerpt.code.as_str())).collect();
    assert_eq!(found, [(Some("a.rs"), "fn a() {}"), (None, "fn b() {}")]);
}

#[test]
fn paths_are_there() {
    let guide = guide();
    let paths: Vec<_> = quoted(&guide).filter(|text| text.contains('/') && !text.contains(' ')).collect();
    assert!(paths.contains(&"clients/pgp"));
    for path in paths {
        assert!(root().join(path).exists(), "{path}");
    }
}

#[test]
fn clients_are_there() {
    let guide = guide();
    let names: Vec<_> = guide.lines().filter_map(|line| line.trim().strip_prefix("cargo xtask run ")).collect();
    assert!(!names.is_empty());
    for name in names.iter().filter_map(|line| line.split(' ').next()) {
        let manifest = fs::read_to_string(root().join("clients").join(name).join("Cargo.toml"));
        assert!(manifest.is_ok_and(|text| text.contains("client = true")), "{name}");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the compiler says of calls that cannot be made: each program in `refused` is one, and names the sentences.
//!
//! A sentence is what the library's attributes say, where the compiler lets them, and its own words where it does not.
//! The whole message is not compared: it changes with the library's sources.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The program that is built, as a proof that the others are refused for what they do.
const ALLOWED: &str = "allowed";

/// Builds all programs in a project of their own; returns the errors of each.
fn build(programs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refused");
    let _ = fs::remove_dir_all(project.join("src"));
    fs::create_dir_all(project.join("src/bin")).unwrap();
    let manifest = format!(
        "[package]\nname = \"refused\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         sbm = {{ path = \"{}\" }}\n\
         serde = {{ version = \"1\", default-features = false, features = [\"alloc\", \"derive\"] }}\n",
        root.join("clients/sbm").display()
    );
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    for (name, program) in programs {
        fs::write(project.join("src/bin").join(name).with_extension("rs"), program).unwrap();
    }
    // On a host that has all packages without the network, which may not be there.
    let (errors, message) = errors(&project, &["--offline"]);
    let (errors, message) = if errors.is_empty() { self::errors(&project, &[]) } else { (errors, message) };
    assert!(!errors.is_empty(), "{message}");
    errors
}

/// Runs cargo; returns the errors of each program, and what cargo says itself.
fn errors(project: &Path, network: &[&str]) -> (BTreeMap<String, String>, String) {
    // With code, since what a closure captures is counted where code is made of it.
    let output = Command::new(env!("CARGO"))
        .args(["build", "--keep-going", "--quiet", "--message-format", "json"])
        .args(network)
        .current_dir(project)
        .env("CARGO_TARGET_DIR", project.join("target"))
        .output()
        .unwrap();
    let mut errors = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["message"]["level"] == "error" {
            let name = line["target"]["name"].as_str().unwrap().to_owned();
            *errors.entry(name).or_default() += line["message"]["rendered"].as_str().unwrap();
        }
    }
    (errors, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_work_is_refused_with_a_sentence() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused");
    let read =
        |path: &Path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap());
    let programs: BTreeMap<_, _> = fs::read_dir(folder).unwrap().map(|entry| read(&entry.unwrap().path())).collect();
    assert!(programs.len() > 10, "the programs are there");
    let errors = build(&programs);
    for (name, program) in &programs {
        let error = errors.get(name).map_or("", String::as_str);
        if name == ALLOWED {
            assert!(error.is_empty(), "{name} is refused:\n{error}");
            continue;
        }
        let says: Vec<_> = program.lines().filter_map(|line| line.strip_prefix("// says: ")).collect();
        assert!(!says.is_empty(), "{name} does not say what the compiler says");
        for sentence in says {
            assert!(error.contains(sentence), "of {name} the compiler does not say: {sentence}\nbut:\n{error}");
        }
    }
}

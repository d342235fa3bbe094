// SPDX-License-Identifier: MIT OR Apache-2.0
//! The claims of the security model: each names tests, and those are there.
//!
//! A test is named as it is printed: `suite::test`, or `crate::module::test` for one that runs under `cargo test`. It is
//! looked for where tests are listed, so that one that was taken out of its list is missed as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The document, relative to the checkout.
const DOCUMENT: &str = "docs/security.md";

/// Begins the table.
const HEADING: &str = "## Claims and the tests that show them";

/// Crates with tests on the host, and where their modules are.
const CRATES: [(&str, &str); 6] = [
    ("sbm_server", "sbm-server/src"),
    ("sbm_system", "sbm-server/system/src"),
    ("sbm_abi", "clients/abi/src"),
    ("sbm_coding", "clients/coding"),
    ("sbm_objects", "root-task/objects"),
    ("sbm_loader", "root-task/loader"),
];

/// Suites that this tool runs itself, whose tests have their names as texts.
const OWN: [&str; 3] = ["console", "failures", "systems"];

/// What is wrong with the table; nothing if it is sound.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn faults(root: &Path) -> io::Result<Vec<String>> {
    let document = fs::read_to_string(root.join(DOCUMENT))?;
    let rows = rows(&document);
    let mut faults = Vec::new();
    if rows.is_empty() {
        faults.push(format!("{DOCUMENT} has no table under \"{HEADING}\""));
    }
    for (claim, tests) in rows {
        if tests.is_empty() {
            faults.push(format!("{DOCUMENT}: no test shows that: {claim}"));
        }
        for test in tests {
            if !exists(root, test)? {
                faults.push(format!("{DOCUMENT}: there is no test {test}, which is to show that: {claim}"));
            }
        }
    }
    Ok(faults)
}

/// Reads the table: claims, and the names of their tests.
fn rows(document: &str) -> Vec<(&str, Vec<&str>)> {
    let Some((_, section)) = document.split_once(HEADING) else { return Vec::new() };
    let section = section.split("\n## ").next().unwrap_or(section);
    let lines = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let rows = lines.filter(|(claim, _)| *claim != "claim" && !claim.starts_with("---"));
    rows.map(|(claim, tests)| (claim, tests.split('`').skip(1).step_by(2).collect())).collect()
}

/// Tells whether there is a test of this name.
fn exists(root: &Path, test: &str) -> io::Result<bool> {
    let Some((path, name)) = test.rsplit_once("::") else { return Ok(false) };
    let (first, modules) = path.split_once("::").unwrap_or((path, ""));
    if OWN.contains(&first) {
        let source = fs::read_to_string(root.join("xtask/src/test").join(format!("{first}.rs")))?;
        return Ok(source.contains(&format!("name: \"{name}\"")));
    }
    if first == "bench" {
        let source = fs::read_to_string(root.join("xtask/src/bench/turns.rs"))?;
        return Ok(source.contains(&format!("\"{name}\"")));
    }
    if let Some((_, folder)) = CRATES.iter().find(|(krate, _)| *krate == first) {
        let Some(file) = module_file(&root.join(folder), modules) else { return Ok(false) };
        return Ok(is_host_test(&fs::read_to_string(file)?, name));
    }
    let folder = root.join("tests").join(first).join("src");
    if !folder.is_dir() {
        return Ok(false);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A module of several files has its tests in the first.
        let path = if path.is_dir() { path.join("mod.rs") } else { path };
        if is_listed(&fs::read_to_string(path)?, name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finds the file of a module; the module `tests` may stand in its parent's.
fn module_file(folder: &Path, modules: &str) -> Option<PathBuf> {
    let path = modules.replace("::", "/");
    let parent = path.strip_suffix("/tests").unwrap_or(&path).to_owned();
    let names = [&path, &parent].map(|path| [format!("{path}.rs"), format!("{path}/mod.rs")]);
    names.into_iter().flatten().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// Tells whether a list of tests, `tests![..]`, has this one.
fn is_listed(source: &str, name: &str) -> bool {
    let lists = source.split("tests![").skip(1).filter_map(|rest| rest.split_once(']')).map(|(list, _)| list);
    lists.flat_map(|list| list.split(',')).any(|entry| entry.trim().rsplit("::").next() == Some(name))
}

/// Tells whether a function of this name is marked as a test, and as one that runs.
fn is_host_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let signature = format!("fn {name}(");
    lines.iter().enumerate().filter(|(_, line)| line.starts_with(&signature)).any(|(at, _)| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let marks: Vec<&&str> = above.filter(|line| line.starts_with("#[")).collect();
        marks.iter().any(|mark| **mark == "#[test]") && !marks.iter().any(|mark| mark.contains("ignore"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_is_read() {
        let text = format!(
            "{HEADING}\n\n| claim | shown by |\n| --- | --- |\n| It holds | `a::b`, `c::d` |\n\n## X\n| Y | `e` |\n"
        );
        assert_eq!(rows(&text), [("It holds", vec!["a::b", "c::d"])]);
        assert!(rows("no table").is_empty());
    }

    #[test]
    fn a_test_is_found_in_its_list_and_not_beside_it() {
        let source = "const TESTS: &[Test] = tests![\n    one,\n    threads::two,\n];\nfn three() {}";
        assert!(is_listed(source, "one") && is_listed(source, "two"));
        assert!(!is_listed(source, "three") && !is_listed(source, "on"));
    }

    #[test]
    fn a_function_is_a_test_if_it_is_marked() {
        let source =
            "#[test]\nfn one() {}\n fn two() {}\n/// Doc.\n#[test]\n#[should_panic]\nfn three(steps in steps()) {}";
        assert!(is_host_test(source, "one") && is_host_test(source, "three"));
        assert!(!is_host_test(source, "two"));
    }

    #[test]
    fn a_test_that_does_not_run_shows_nothing() {
        for ignored in ["#[ignore]\n#[test]", "#[test]\n#[ignore]", "#[test]\n#[ignore = \"slow\"]"] {
            let source = format!("#[test]\nfn before() {{}}\n\n{ignored}\nfn four() {{}}\n\n#[test]\nfn after() {{}}");
            assert!(!is_host_test(&source, "four"), "{ignored}");
            assert!(is_host_test(&source, "before") && is_host_test(&source, "after"), "{ignored}");
        }
    }

    #[test]
    fn tests_of_every_kind_are_found_in_this_checkout() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in
            ["hostile::exactly_two_slots_hold_a_capability", "sbm_server::console::tests::nothing_begins_no_line"]
        {
            assert!(exists(&root, name).unwrap(), "{name}");
        }
        for name in
            ["hostile::gone", "gone::gone", "gone", "sbm_server::gone::gone", "sbm_server::console::tests::gone"]
        {
            assert!(!exists(&root, name).unwrap(), "{name}");
        }
        assert_eq!(faults(&root).unwrap(), Vec::<String>::new());
    }
}

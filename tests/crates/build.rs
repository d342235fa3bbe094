// SPDX-License-Identifier: MIT OR Apache-2.0
//! Has the host compute what the guest is to find.
#![allow(missing_docs, unreachable_pub, clippy::expect_used, clippy::panic)]

extern crate alloc;

#[path = "src/work.rs"]
mod work;

use std::path::Path;
use std::{env, fs};

use work::Work;

/// The crates, and what each one reads.
const CASES: [(&str, Work, &str); 10] = [
    ("memchr", work::memchr, "docs/performance.svg"),
    ("sha2", work::sha2, "docs/performance.svg"),
    ("regex", work::regex, "README.md"),
    ("serde_json", work::serde_json, "tests/baseline.json"),
    ("x509_cert", work::x509_cert, "tests/crates/testdata/certificate.der"),
    ("minipng", work::minipng, "tests/crates/testdata/picture.png"),
    ("miniz_oxide", work::miniz_oxide, "tests/crates/testdata/text.zlib"),
    ("ruzstd", work::ruzstd, "tests/crates/testdata/text.zst"),
    ("roxmltree", work::roxmltree, "docs/performance.svg"),
    ("toml", work::toml, "Cargo.lock"),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cases = String::from("[\n");
    for (name, work, input) in CASES {
        let path = root.join(input).canonicalize().unwrap_or_else(|error| panic!("{input}: {error}"));
        println!("cargo::rerun-if-changed={}", path.display());
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{input}: {error}"));
        let expected = work(&bytes).unwrap_or_else(|error| panic!("{name} refuses {input} on the host: {error}"));
        let case = format!(
            "Case {{ name: {name:?}, work: work::{name}, input: include_bytes!({path:?}), expected: {expected:?} }},\n"
        );
        cases.push_str(&case);
    }
    cases.push(']');
    let out = env::var_os("OUT_DIR").expect("cargo names it");
    fs::write(Path::new(&out).join("cases.rs"), cases).expect("the folder of a build script can be written to");
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents name files that exist, and nothing of the machine that they were written on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

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

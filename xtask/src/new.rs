// SPDX-License-Identifier: MIT OR Apache-2.0
//! The verb `new`: writes a project of its own, outside of this tree, that uses it.
//!
//! The project names this tree by path, or a repository by its address, for the library as for `cargo sbm`, which is this
//! tool. The files are those of `xtask/template`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::NewOptions;
use crate::failure::{Failure, Reason};
use crate::workspace::Workspace;

/// Files of a project, each with its template.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    ("src/main.rs", include_str!("../template/main.rs.in")),
    ("system.toml", include_str!("../template/system.toml.in")),
    ("ci.sh", include_str!("../template/ci.sh.in")),
    ("README.md", include_str!("../template/README.md.in")),
    (".gitignore", "/target\n"),
    ("rust-toolchain.toml", include_str!("../../rust-toolchain.toml")),
];

/// Makes this tool `cargo sbm` where it is not installed.
const ALIAS: (&str, &str) = (".cargo/config.toml", include_str!("../template/config.toml.in"));

/// Why no project was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewError {
    /// Something is there.
    #[error("{} is there and not empty; name a folder that is not", path.display())]
    Present { path: PathBuf },
    /// The folder's name makes no package's name.
    #[error("{} gives no name to a package; begin it with a letter", path.display())]
    Name { path: PathBuf },
    /// A file cannot be written.
    #[error("{} cannot be written ({cause})", path.display())]
    Write { path: PathBuf, cause: io::Error },
}

impl Reason for NewError {
    fn is_request(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}

/// Runs the verb.
pub(crate) fn verb(workspace: &Workspace, options: &NewOptions) -> Result<(), Failure> {
    let name = write(workspace.root(), options)?;
    let path = options.path.display();
    say!(
        "{path} is a project, with the program {name}, of which a function runs in a sandbox; in it, type: cargo sbm run"
    );
    if let Some(git) = &options.git {
        say!("once, to have `cargo sbm`: {}", install(git));
    }
    Ok(())
}

fn install(git: &str) -> String {
    format!("cargo install --locked --profile dev --git {git} xtask")
}

/// Writes a project, and returns what its package and its program are called.
fn write(tree: &Path, options: &NewOptions) -> Result<String, NewError> {
    let folder = &options.path;
    let name = package_name(folder).ok_or_else(|| NewError::Name { path: folder.clone() })?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(NewError::Present { path: folder.clone() });
    }
    let tree_text = tree.to_string_lossy();
    let (source, tree_name, install) = match &options.git {
        Some(git) => (format!("git = {}", toml_text(git)), git.clone(), format!("\n    {}\n", install(git))),
        None => (
            format!("path = {}", toml_text(&tree.join("clients/sbm").to_string_lossy())),
            format!("<{tree_text}>"),
            String::new(),
        ),
    };
    let manifest = toml_text(&tree.join("Cargo.toml").to_string_lossy());
    let values = [
        ("@name@", name.as_str()),
        ("@source@", &source),
        ("@tree@", &tree_name),
        ("@install@", &install),
        ("@manifest@", &manifest),
    ];
    let alias = options.git.is_none().then_some(ALIAS);
    for (path, template) in FILES.into_iter().chain(alias) {
        let path = folder.join(path);
        let text = values.iter().fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .and_then(|()| if path.ends_with("ci.sh") { make_executable(&path) } else { Ok(()) })
            .map_err(|cause| NewError::Write { path, cause })?;
    }
    Ok(name)
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Makes a package's name of a folder's.
fn package_name(folder: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let name = folder.file_name()?.to_string_lossy().to_lowercase();
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('-').to_owned();
    name.starts_with(|first: char| first.is_ascii_lowercase()).then_some(name)
}

/// Writes a text as TOML does.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(path: PathBuf, git: Option<&str>) -> NewOptions {
        NewOptions { path, git: git.map(str::to_owned) }
    }

    #[test]
    fn a_project_names_this_tree_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("My Parser, 2");
        assert_eq!(write(Path::new("/a \"b\""), &options(path.clone(), None)).unwrap(), "my-parser--2");
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"my-parser--2\"\n"), "{manifest}");
        assert!(manifest.contains(r#"sbm = { path = "/a \"b\"/clients/sbm" }"#), "{manifest}");
        let alias = fs::read_to_string(path.join(".cargo/config.toml")).unwrap();
        assert!(alias.contains(r#""--manifest-path", "/a \"b\"/Cargo.toml", "--package""#), "{alias}");
        for (file, _) in FILES {
            assert!(!fs::read_to_string(path.join(file)).unwrap().contains('@'), "{file}");
        }
    }

    #[test]
    fn a_project_names_a_repository() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parser");
        write(Path::new("/a"), &options(path.clone(), Some("https://example.org/sbm"))).unwrap();
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        assert!(manifest.contains(r#"sbm = { git = "https://example.org/sbm" }"#), "{manifest}");
        assert!(
            fs::read_to_string(path.join("README.md")).unwrap().contains("cargo install --locked --profile dev --git")
        );
        assert!(!path.join(".cargo").exists());
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        let path = folder.path().join("a");
        fs::create_dir(&path).unwrap();
        assert!(write(Path::new("/a"), &options(path, None)).is_ok());
        let full = options(folder.path().join("a"), None);
        assert!(matches!(write(Path::new("/a"), &full), Err(NewError::Present { .. })));
    }

    #[test]
    fn a_name_that_begins_with_no_letter_is_refused() {
        for name in ["/x/1a", "/x/,", "/"] {
            assert_eq!(package_name(Path::new(name)), None, "{name}");
        }
        assert_eq!(package_name(Path::new("/x/Ab_c")).as_deref(), Some("ab-c"));
    }
}

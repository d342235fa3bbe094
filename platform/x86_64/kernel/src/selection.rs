// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which installed kernel the environment asks for.
//!
//! `SEL4_PREFIX` names an installation; `SEL4_INCLUDE_DIRS` (separated by colons) and `SEL4_KERNEL` override its two
//! halves. Headers of one kernel with the image of another make a system that fails in strange ways, so each half must
//! be named, one way or the other.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Why the environment names no kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Headers are named, and no kernel for them.
    #[error("SEL4_INCLUDE_DIRS is set without a kernel; set SEL4_KERNEL or SEL4_PREFIX as well")]
    NoKernel,
    /// A kernel is named, and no headers for it.
    #[error("SEL4_KERNEL is set without headers; set SEL4_INCLUDE_DIRS or SEL4_PREFIX as well")]
    NoHeaders,
}

/// The parts of an installed kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What to call it in messages.
    pub name: PathBuf,
    /// Where headers are looked for, in this order.
    pub include_dirs: Vec<PathBuf>,
    /// The kernel's ELF file, as built.
    pub kernel: PathBuf,
}

impl Selection {
    /// Reads the environment; none if it asks for no kernel, and the default one is to be used.
    ///
    /// # Errors
    /// When only one half of a kernel is named.
    pub fn from_environment() -> Result<Option<Self>, SelectionError> {
        let get = |name| env::var_os(name).filter(|value: &OsString| !value.is_empty());
        Self::from_variables(get("SEL4_PREFIX"), get("SEL4_INCLUDE_DIRS"), get("SEL4_KERNEL"))
    }

    /// Returns the kernel installed in a folder.
    #[must_use]
    pub fn prefix(path: &Path) -> Self {
        Self {
            name: path.to_owned(),
            include_dirs: vec![path.join("libsel4/include")],
            kernel: path.join("bin/kernel.elf"),
        }
    }

    fn from_variables(
        prefix: Option<OsString>,
        include_dirs: Option<OsString>,
        kernel: Option<OsString>,
    ) -> Result<Option<Self>, SelectionError> {
        let installed = prefix.map(|path| Self::prefix(Path::new(&path)));
        let include_dirs = include_dirs.map(|list| env::split_paths(&list).collect::<Vec<_>>());
        let kernel = kernel.map(PathBuf::from);
        match (installed, include_dirs, kernel) {
            (None, None, None) => Ok(None),
            (None, Some(_), None) => Err(SelectionError::NoKernel),
            (None, None, Some(_)) => Err(SelectionError::NoHeaders),
            (None, Some(include_dirs), Some(kernel)) => Ok(Some(Self { name: kernel.clone(), include_dirs, kernel })),
            (Some(installed), include_dirs, kernel) => Ok(Some(Self {
                include_dirs: include_dirs.unwrap_or(installed.include_dirs),
                kernel: kernel.unwrap_or(installed.kernel),
                name: installed.name,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn select(variables: [Option<&str>; 3]) -> Result<Option<Selection>, SelectionError> {
        let [prefix, include_dirs, kernel] = variables.map(|value| value.map(OsString::from));
        Selection::from_variables(prefix, include_dirs, kernel)
    }

    #[test]
    fn no_variable_selects_the_default_kernel() {
        assert_eq!(select([None, None, None]), Ok(None));
    }

    #[test]
    fn a_prefix_selects_both_halves() {
        let selection = select([Some("/k"), None, None]).unwrap().unwrap();
        assert_eq!(selection.kernel, Path::new("/k/bin/kernel.elf"));
        assert_eq!(selection.include_dirs, [Path::new("/k/libsel4/include")]);
    }

    #[test]
    fn each_half_can_be_overridden() {
        let selection = select([Some("/k"), Some("/a:/b"), None]).unwrap().unwrap();
        assert_eq!(selection.include_dirs, [Path::new("/a"), Path::new("/b")]);
        assert_eq!(selection.kernel, Path::new("/k/bin/kernel.elf"));
        let selection = select([Some("/k"), None, Some("/x.elf")]).unwrap().unwrap();
        assert_eq!(selection.kernel, Path::new("/x.elf"));
    }

    #[test]
    fn one_half_alone_is_refused() {
        assert_eq!(select([None, Some("/a"), None]), Err(SelectionError::NoKernel));
        assert_eq!(select([None, None, Some("/x.elf")]), Err(SelectionError::NoHeaders));
    }
}

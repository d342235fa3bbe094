// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the default kernel, seL4 5.0.0, and installs it as a prefix.
//!
//! The work has two halves, because the rest of the image needs the headers only: [`Build::headers`] unpacks, checks the
//! configuration and installs `libsel4/include`; [`Build::kernel`] compiles, and may run beside the guest's own build.
//! A stamp over everything that goes in makes a second run do nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::changes::{self, ChangeError};
use crate::install::{self, Headers, InstallError};
use crate::kconfig::{Kconfig, KconfigError};
use crate::options::{Options, OptionsError};
use crate::source::{SOURCE_SHA256, SourceError, SourcePackage, sha256};
use crate::tools::{clean_command, python};

/// The version of the default kernel.
pub const KERNEL_VERSION: &str = "5.0.0";

/// What decides how a source becomes a prefix: when it changes, prefixes are built anew.
const RECIPE: &str = concat!(
    include_str!("build.rs"),
    include_str!("changes.rs"),
    include_str!("install.rs"),
    include_str!("options.rs"),
    include_str!("tools.rs")
);

/// Compiler switches for a compiler that is younger than the kernel by years.
///
/// The kernel has no run-time for stack protection and control-flow protection; it takes the address of an object at 0
/// for one, and reads memory through more than one type. The last three make `rep stos` of its loop that clears memory:
/// an eighth of the instructions, for every untyped block that is used again.
const COMPILER: &str = "gcc -g -fno-stack-protector -fcf-protection=none -fno-delete-null-pointer-checks \
                        -fno-strict-aliasing -ftree-loop-distribute-patterns -minline-all-stringops \
                        -mmemset-strategy=rep_8byte:-1:noalign";

/// Warnings to ask for. The default list has `error`; `undef` and the rest speak of the kernel's own style.
const WARNINGS: &str = "no-address-of-packed-member";

/// Why the default kernel cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source package is not usable.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The kernel's Kconfig files are not usable.
    #[error(transparent)]
    Kconfig(#[from] KconfigError),
    /// The configuration is not accepted.
    #[error("{}: {cause}", file.display())]
    Options {
        /// The configuration file.
        file: PathBuf,
        /// What is wrong with it.
        cause: OptionsError,
    },
    /// The source is not what the changes to it were made for.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The headers cannot be installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A folder cannot be prepared.
    #[error("{} cannot be prepared ({cause}); delete it and try again", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// `make` cannot be started.
    #[error("make cannot be started ({cause}); run `cargo xtask setup`")]
    Make {
        /// What the system said.
        cause: io::Error,
    },
    /// The kernel does not compile.
    #[error("the kernel does not build ({message}); see {}", log.display())]
    Compile {
        /// The line of the log that says most.
        message: String,
        /// The whole log.
        log: PathBuf,
    },
}

/// The default kernel in one configuration.
#[derive(Clone, Debug)]
pub struct Build {
    config_file: PathBuf,
    prefix: PathBuf,
    work: PathBuf,
    jobs: usize,
}

impl Build {
    /// Describes the kernel that `config_file` configures and that is installed as `prefix`.
    ///
    /// The source is unpacked and built in a folder beside the prefix; `jobs` is how many compilers may run at once.
    #[must_use]
    pub fn new(config_file: &Path, prefix: &Path, jobs: usize) -> Self {
        let mut work = prefix.as_os_str().to_owned();
        work.push(".build");
        Self { config_file: config_file.to_owned(), prefix: prefix.to_owned(), work: work.into(), jobs }
    }

    /// Returns where the kernel is, or will be, installed.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// Tells whether the prefix is complete and made of exactly this configuration, source and recipe.
    ///
    /// # Errors
    /// When the configuration file cannot be read.
    pub fn is_current(&self) -> Result<bool, BuildError> {
        Ok(self.has_stamp("stamp", &self.stamp()?))
    }

    /// Unpacks the source and installs the headers, unless they are current.
    ///
    /// # Errors
    /// When the source is not the pinned one, the configuration does not fit it, or a file cannot be written.
    pub fn headers(&self, source: impl FnOnce() -> Result<SourcePackage, SourceError>) -> Result<(), BuildError> {
        let stamp = self.stamp()?;
        if self.has_stamp("headers-stamp", &stamp) {
            return Ok(());
        }
        for folder in [&self.work, &self.prefix] {
            remove_folder(folder)?;
            create_folder(folder)?;
        }
        let tree = self.source_folder();
        source()?.unpack(&tree)?;
        let kconfig = Kconfig::read(&tree)?;
        let options = self.options()?;
        options.check(&kconfig).map_err(|cause| BuildError::Options { file: self.config_file.clone(), cause })?;
        install::write(&tree.join("include/plat/pc99/autoconf.h"), options.header().as_bytes())?;
        changes::apply(&tree)?;
        let include = self.prefix.join("libsel4/include");
        Headers { source: &tree, scratch: &self.work, include: &include, python: &python() }
            .install(&options, &kconfig)?;
        install::write(&self.prefix.join("VERSION"), format!("{KERNEL_VERSION}\n").as_bytes())?;
        install::write(&self.prefix.join("headers-stamp"), stamp.as_bytes())?;
        Ok(())
    }

    /// Compiles the kernel and installs it; the headers must be current.
    ///
    /// # Errors
    /// When the kernel does not compile, or a file cannot be written.
    pub fn kernel(&self) -> Result<(), BuildError> {
        let stamp = self.stamp()?;
        if self.has_stamp("stamp", &stamp) {
            return Ok(());
        }
        let log = self.work.join("build.log");
        let status = self.make(&self.options()?, &log)?.status().map_err(|cause| BuildError::Make { cause })?;
        if !status.success() {
            let text = fs::read_to_string(&log).unwrap_or_default();
            return Err(BuildError::Compile { message: telling_line(&text), log });
        }
        install::copy(&self.source_folder().join("kernel.elf"), &self.prefix.join("bin/kernel.elf"))?;
        install::write(&self.prefix.join("stamp"), stamp.as_bytes())?;
        Ok(())
    }

    /// Prepares the kernel's own build.
    fn make(&self, options: &Options, log: &Path) -> Result<Command, BuildError> {
        let folder = |path: &Path, cause| BuildError::Folder { path: path.to_owned(), cause };
        let tools = self.work.join("bin");
        create_folder(&tools)?;
        let shim = tools.join("python");
        if shim.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(python(), &shim).map_err(|cause| folder(&shim, cause))?;
        }
        let output = fs::File::create(log).map_err(|cause| folder(log, cause))?;
        let errors = output.try_clone().map_err(|cause| folder(log, cause))?;

        let mut make = clean_command("make");
        make.current_dir(self.source_folder()).stdin(Stdio::null()).stdout(output).stderr(errors);
        // Scripts are started through `env python`, which Debian has under another name only.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(tools).chain(std::env::split_paths(&path));
        make.env("PATH", std::env::join_paths(paths).unwrap_or(path.clone())).env("PYTHONDONTWRITEBYTECODE", "1");
        make.arg(format!("-j{}", self.jobs)).args(["kernel.elf", "ARCH=x86", "SEL4_ARCH=x86_64", "PLAT=pc99"]);
        // The check for circular includes misreads the output of a modern preprocessor. It only checks.
        make.args(["SKIP_PATH_CHECKS=1", "XMLLINT_PATH=xmllint", "CIRCULAR_INCLUDES=true"]);
        make.arg(format!("PYTHON={}", python().display())).arg(format!("WARNINGS={WARNINGS}"));
        make.arg(format!("CC={COMPILER}"));
        make.args(options.on_with_prefix("OPTIMISATION_").map(|name| format!("CONFIG_{name}=y")));
        if options.is_on("DEBUG_BUILD") {
            make.arg("DEBUG=1");
        }
        Ok(make)
    }

    fn options(&self) -> Result<Options, BuildError> {
        Options::read(&self.config_file).map_err(|cause| BuildError::Options { file: self.config_file.clone(), cause })
    }

    fn source_folder(&self) -> PathBuf {
        self.work.join("seL4")
    }

    /// Returns the stamp of everything that goes in.
    fn stamp(&self) -> Result<String, BuildError> {
        let config = fs::read(&self.config_file)
            .map_err(|cause| BuildError::Folder { path: self.config_file.clone(), cause })?;
        Ok(sha256(&[RECIPE.as_bytes(), b"\0", SOURCE_SHA256.as_bytes(), b"\0", &config]))
    }

    fn has_stamp(&self, name: &str, stamp: &str) -> bool {
        fs::read_to_string(self.prefix.join(name)).is_ok_and(|found| found == stamp)
    }
}

/// Returns the line of a build log that names the fault, or the last one.
fn telling_line(log: &str) -> String {
    let mut lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| ["error:", "Error:", "undefined reference"].iter().any(|word| line.contains(word));
    let first_telling = lines.clone().find(telling);
    first_telling.or_else(|| lines.next_back()).unwrap_or("no message").to_owned()
}

fn remove_folder(path: &Path) -> Result<(), BuildError> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(BuildError::Folder { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

fn create_folder(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(|cause| BuildError::Folder { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn build(folder: &Path) -> Build {
        fs::write(folder.join("a.config"), "FASTPATH=y\n").unwrap();
        Build::new(&folder.join("a.config"), &folder.join("prefix"), 1)
    }

    #[test]
    fn a_prefix_with_the_right_stamp_is_current() {
        let folder = tempfile::tempdir().unwrap();
        let build = build(folder.path());
        assert!(!build.is_current().unwrap());
        install::write(&build.prefix.join("stamp"), build.stamp().unwrap().as_bytes()).unwrap();
        assert!(build.is_current().unwrap());
    }

    #[test]
    fn a_changed_configuration_makes_a_prefix_stale() {
        let folder = tempfile::tempdir().unwrap();
        let build = build(folder.path());
        install::write(&build.prefix.join("stamp"), build.stamp().unwrap().as_bytes()).unwrap();
        fs::write(&build.config_file, "FASTPATH=n\n").unwrap();
        assert!(!build.is_current().unwrap());
    }

    #[test]
    fn the_first_error_in_a_log_is_the_telling_line() {
        let log = " [CC] a\na.c:1: error: no such thing\nmake: *** [Makefile:3: a] Error 1\n";
        assert_eq!(telling_line(log), "a.c:1: error: no such thing");
        assert_eq!(telling_line("one\ntwo\n\n"), "two");
    }
}

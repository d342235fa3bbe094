// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks an installed kernel before anything is built on it.
//!
//! An installation does not say which release it is; what it can be recognised by is what it contains. So a kernel is
//! judged by its configuration and its files: releases from 13.0.0 on name the interface descriptions and write the
//! configuration as the default kernel's prefix does.

use std::path::{Path, PathBuf};

use crate::configuration::Configuration;
use crate::demands::{self, Debugging};
use crate::elf_header::KernelImage;
use crate::identity::Headers;
use crate::selection::Selection;
use crate::unfit::Unfit;

const CONFIGURATION: &str = "kernel/gen_config.json";
const INTERFACE: &str = "interfaces/object-api.xml";

/// Headers without which an installation is not whole; the second is generated.
const HEADERS: [&str; 2] = ["sel4/sel4.h", "sel4/sel4_arch/types_gen.h"];

/// Something to know about a kernel that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// A sandbox cannot be contained.
    Debug,
    /// Only the first core is used.
    ManyCores,
}

impl Advice {
    /// Returns the advice as one line.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Debug => {
                "this is a debug kernel: a sandbox cannot be contained on it, since debug system calls need no \
                 capability; do not measure or ship it"
            }
            Self::ManyCores => "this kernel starts more than one core; only the first is used",
        }
    }
}

/// An installed kernel that was found fit.
#[derive(Clone, Debug)]
pub struct Prefix {
    selection: Selection,
    image: KernelImage,
    options: Configuration,
}

impl Prefix {
    /// Checks an installed kernel.
    ///
    /// # Errors
    /// When it is none, or one that the system cannot run on; the error says what to change.
    pub fn inspect(selection: Selection, debugging: Debugging) -> Result<Self, Unfit> {
        let name = || selection.name.clone();
        let find =
            |file: &str| selection.include_dirs.iter().map(|folder| folder.join(file)).find(|path| path.exists());
        let missing = |missing| Unfit::NotInstalled { name: name(), missing };
        let in_first = |file: &str| selection.include_dirs.first().map_or_else(|| file.into(), |dir| dir.join(file));
        if !selection.kernel.exists() {
            return Err(missing(selection.kernel.clone()));
        }
        if let Some(absent) = HEADERS.iter().find(|header| find(header).is_none()) {
            return Err(missing(in_first(absent)));
        }
        let interface = find(INTERFACE).ok_or_else(|| Unfit::TooOld { name: name(), missing: INTERFACE })?;
        let file = find(CONFIGURATION).ok_or_else(|| missing(in_first(CONFIGURATION)))?;
        let options = Configuration::read(&file)?;
        demands::check(&selection.name, &options, debugging)?;
        let image = KernelImage::read(&selection.kernel)?;
        let folder = file.ancestors().nth(2).unwrap_or(&file);
        Headers { folder, configuration: &options, interface: &interface }.check(&selection.kernel, &image.symbols)?;
        Ok(Self { selection, image, options })
    }

    /// Checks that the kernel runs on QEMU's machine, whose processor may be emulated.
    ///
    /// # Errors
    /// When the machine has not what the kernel wants, or its devices leave RAM out of the kernel's list of memory.
    pub fn check_qemu(&self, is_emulated: bool) -> Result<(), Unfit> {
        demands::check_qemu(self.name(), &self.options, is_emulated)
    }

    /// Returns where the kernel's parts are.
    #[must_use]
    pub fn into_selection(self) -> Selection {
        self.selection
    }

    /// Returns the kernel's ELF file, as built.
    #[must_use]
    pub fn kernel(&self) -> &Path {
        &self.selection.kernel
    }

    /// Returns how many pages the image that the kernel starts may take, and the size of the kernel's first CNode that says
    /// so, as a power of two; nothing where the release does not record it.
    #[must_use]
    pub fn image_pages(&self) -> Option<(u64, u64)> {
        Some((demands::image_pages(&self.options)?, self.options.number("ROOT_CNODE_SIZE_BITS")?))
    }

    /// Returns what the kernel's ELF file says about itself.
    #[must_use]
    pub fn image(&self) -> &KernelImage {
        &self.image
    }

    /// Returns the folders with headers.
    #[must_use]
    pub fn include_dirs(&self) -> &[PathBuf] {
        &self.selection.include_dirs
    }

    /// Returns what the kernel is called in messages: the folder it is installed in, if there is one.
    #[must_use]
    pub fn name(&self) -> &Path {
        &self.selection.name
    }

    /// Tells whether the kernel prints by itself.
    #[must_use]
    pub fn prints(&self) -> bool {
        self.options.is_on("PRINTING")
    }

    /// Returns what to know about the kernel.
    #[must_use]
    pub fn advice(&self) -> Vec<Advice> {
        let debug = self.options.is_on("DEBUG_BUILD") || self.prints();
        let many = self.options.number("MAX_NUM_NODES").is_some_and(|count| count != 1);
        let all = [(Advice::Debug, debug), (Advice::ManyCores, many)];
        all.into_iter().filter(|(_, holds)| *holds).map(|(advice, _)| advice).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::elf_header::tests::kernel;

    /// Makes a prefix with the given configuration and returns what the check says.
    fn inspect(options: &[(&str, &str)]) -> Result<Prefix, Unfit> {
        inspect_after(options, |_| {})
    }

    fn inspect_after(options: &[(&str, &str)], change: impl FnOnce(&Path)) -> Result<Prefix, Unfit> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let include = root.join("libsel4/include");
        for part in ["kernel", "interfaces", "sel4/sel4_arch"] {
            fs::create_dir_all(include.join(part)).unwrap();
        }
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/kernel.elf"), kernel(0x10_0000, 0x1000)).unwrap();
        for header in HEADERS {
            fs::write(include.join(header), "").unwrap();
        }
        fs::write(include.join(INTERFACE), "").unwrap();
        let usual = [("SEL4_ARCH", "\"x86_64\""), ("KERNEL_MCS", "false"), ("FASTPATH", "true")];
        let all: BTreeMap<_, _> = usual.iter().chain(options).copied().collect();
        let text: Vec<_> = all.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        fs::write(include.join(CONFIGURATION), format!("{{{}}}", text.join(","))).unwrap();
        change(root);
        Prefix::inspect(Selection::prefix(root), Debugging::Allowed)
    }

    #[test]
    fn a_fit_kernel_is_accepted() {
        let prefix = inspect(&[]).unwrap();
        assert_eq!(prefix.image().end, 0x10_1000);
        assert_eq!(prefix.advice(), []);
        assert!(!prefix.prints());
    }

    #[test]
    fn a_configuration_that_does_not_fit_is_refused() {
        let message = inspect(&[("KERNEL_X86_DANGEROUS_MSR", "true")]).unwrap_err().to_string();
        assert!(message.contains("has KERNEL_X86_DANGEROUS_MSR on"), "{message}");
        assert!(inspect(&[("SUPPORT_PCID", "true")]).unwrap().check_qemu(true).is_err());
    }

    #[test]
    fn headers_of_another_kernel_are_refused() {
        let other = tempfile::tempdir().unwrap();
        let outcome = inspect_after(&[], |root| {
            // What the selection names as headers is changed; what lies beside the kernel's real place is not.
            fs::create_dir_all(other.path().join("bin")).unwrap();
            fs::create_dir_all(other.path().join("libsel4/include/kernel")).unwrap();
            let own = other.path().join("libsel4/include").join(CONFIGURATION);
            fs::write(own, "{\"NUM_DOMAINS\": \"16\"}").unwrap();
            let (here, there) = (root.join("bin/kernel.elf"), other.path().join("bin/kernel.elf"));
            fs::rename(&here, &there).unwrap();
            std::os::unix::fs::symlink(&there, &here).unwrap();
        });
        assert!(matches!(outcome, Err(Unfit::Mixed { .. })));
    }

    #[test]
    fn an_image_for_another_machine_is_refused() {
        let outcome = inspect_after(&[], |root| fs::write(root.join("bin/kernel.elf"), "no ELF").unwrap());
        assert!(matches!(outcome, Err(Unfit::Image { .. })));
    }

    #[test]
    fn a_folder_without_kernel_is_refused_by_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let message = Prefix::inspect(Selection::prefix(folder.path()), Debugging::Refused).unwrap_err().to_string();
        assert!(message.contains("bin/kernel.elf is missing") && message.contains("SEL4_PREFIX"));
    }

    #[test]
    fn an_installation_that_is_not_whole_is_refused_by_what_is_missing() {
        let outcome =
            inspect_after(&[], |root| fs::remove_file(root.join("libsel4/include").join(HEADERS[1])).unwrap());
        assert!(outcome.unwrap_err().to_string().contains("types_gen.h is missing"));
    }

    #[test]
    fn an_old_release_is_refused() {
        let outcome = inspect_after(&[], |root| fs::remove_file(root.join("libsel4/include").join(INTERFACE)).unwrap());
        assert!(matches!(outcome, Err(Unfit::TooOld { .. })));
    }

    #[test]
    fn a_broken_configuration_is_refused() {
        let outcome =
            inspect_after(&[], |root| fs::write(root.join("libsel4/include").join(CONFIGURATION), "{").unwrap());
        assert!(matches!(outcome, Err(Unfit::Configuration { .. })));
    }

    #[test]
    fn what_works_with_a_reservation_comes_with_advice() {
        let options = [("DEBUG_BUILD", "true"), ("PRINTING", "true"), ("MAX_NUM_NODES", "\"4\"")];
        let prefix = inspect(&options).unwrap();
        assert_eq!(prefix.advice(), [Advice::Debug, Advice::ManyCores]);
        assert!(prefix.prints());
        assert_eq!(inspect(&[("MAX_NUM_NODES", "\"1\"")]).unwrap().advice(), []);
    }
}

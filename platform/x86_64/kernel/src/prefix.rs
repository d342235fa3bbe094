// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks an installed kernel before anything is built on it.
//!
//! An installation does not say which release it is; what it can be recognised by is what it contains. So a kernel is
//! judged by its configuration and its files: releases from 13.0.0 on name the interface descriptions and write the
//! configuration as the default kernel's prefix does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::elf_header::{KernelImage, KernelImageError};
use crate::selection::Selection;

const CONFIGURATION: &str = "kernel/gen_config.json";
const INTERFACE: &str = "interfaces/object-api.xml";

/// Why a kernel cannot carry the system.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The folder holds no installed kernel.
    #[error("{} is no installed seL4 kernel: {} is missing; set SEL4_PREFIX to where `cmake --install` put one",
        name.display(), missing.display())]
    NotInstalled {
        /// The kernel.
        name: PathBuf,
        /// What should be there.
        missing: PathBuf,
    },
    /// The installation is of a release older than 13.0.0.
    #[error("{} is older than seL4 13.0.0: it has no {INTERFACE}; install 13.0.0 to 16.0.0", name.display())]
    TooOld {
        /// The kernel.
        name: PathBuf,
    },
    /// The configuration cannot be understood.
    #[error("{} is no kernel configuration ({message}); install the kernel again", file.display())]
    Configuration {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The kernel's ELF file is not usable.
    #[error("{cause}; set SEL4_KERNEL to the kernel.elf as built, or install the kernel again")]
    Image {
        /// What is wrong with it.
        cause: KernelImageError,
    },
    /// The kernel is configured for another architecture.
    #[error("{} is a kernel for {found}, not x86_64; build it with -DKernelSel4Arch=x86_64", name.display())]
    Architecture {
        /// The kernel.
        name: PathBuf,
        /// Its architecture.
        found: String,
    },
    /// An option has a value that the system cannot work with.
    #[error("{} has {option} {state}: {reason}; build it with {change}", name.display(),
        state = if *on { "on" } else { "off" })]
    Option {
        /// The kernel.
        name: PathBuf,
        /// The option.
        option: &'static str,
        /// Whether the option is on.
        on: bool,
        /// Why that does not work.
        reason: &'static str,
        /// The argument of the kernel's build that changes it.
        change: &'static str,
    },
}

/// A switch that must be as given here.
struct Required {
    option: &'static str,
    on: bool,
    reason: &'static str,
    change: &'static str,
}

/// What the system relies on. An option that a release does not record is as it should be.
const REQUIRED: [Required; 4] = [
    Required {
        option: "KERNEL_MCS",
        on: false,
        reason: "an MCS kernel has other system calls and scheduling",
        change: "-DKernelIsMCS=OFF",
    },
    Required {
        option: "FASTPATH",
        on: true,
        reason: "a sandbox call relies on the fast path of IPC",
        change: "-DKernelFastpath=ON",
    },
    Required {
        option: "SET_TLS_BASE_SELF",
        on: false,
        reason: "a thread cannot set its own segment base, where its IPC buffer is found",
        change: "-DKernelFSGSBase=inst",
    },
    Required {
        option: "MULTIBOOT1_HEADER",
        on: true,
        reason: "the boot loader finds no header",
        change: "-DKernelMultiboot1Header=ON",
    },
];

/// Something to know about a kernel that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Advice {
    /// Debug system calls need no capability.
    Debug,
    /// Only the first core is used.
    ManyCores,
    /// The kernel stops at boot on a processor without PCID, such as QEMU's software CPU.
    Pcid,
    /// The kernel stops at boot on a processor without x2APIC, such as QEMU's software CPU.
    X2Apic,
}

impl Advice {
    /// Returns the advice as one line.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Debug => {
                "this is a debug kernel: its debug system calls need no capability; do not measure or ship it"
            }
            Self::ManyCores => "this kernel starts more than one core; only the first is used",
            Self::Pcid => {
                "this kernel needs PCID, which QEMU's software CPU lacks; build it with -DKernelSupportPCID=OFF"
            }
            Self::X2Apic => {
                "this kernel needs x2APIC, which QEMU's software CPU lacks; build it with -DKernelLAPICMode=XAPIC"
            }
        }
    }
}

/// An installed kernel that was found fit.
#[derive(Clone, Debug)]
pub struct Prefix {
    selection: Selection,
    image: KernelImage,
    options: BTreeMap<String, String>,
}

impl Prefix {
    /// Checks an installed kernel.
    ///
    /// # Errors
    /// When it is none, or one that the system cannot run on; the error says what to change.
    pub fn inspect(selection: Selection) -> Result<Self, Unfit> {
        let name = || selection.name.clone();
        let find =
            |file: &str| selection.include_dirs.iter().map(|folder| folder.join(file)).find(|path| path.exists());
        let missing = |missing| Unfit::NotInstalled { name: name(), missing };
        let in_first = |file: &str| selection.include_dirs.first().map_or_else(|| file.into(), |dir| dir.join(file));
        if !selection.kernel.exists() {
            return Err(missing(selection.kernel.clone()));
        }
        if find("sel4/sel4.h").is_none() {
            return Err(missing(in_first("sel4/sel4.h")));
        }
        if find(INTERFACE).is_none() {
            return Err(Unfit::TooOld { name: name() });
        }
        let file = find(CONFIGURATION).ok_or_else(|| missing(in_first(CONFIGURATION)))?;
        let options = read_configuration(&file)?;
        check(&selection.name, &options)?;
        let image = KernelImage::read(&selection.kernel).map_err(|cause| Unfit::Image { cause })?;
        Ok(Self { selection, image, options })
    }

    /// Returns the kernel's ELF file, as built.
    #[must_use]
    pub fn kernel(&self) -> &Path {
        &self.selection.kernel
    }

    /// Returns what the kernel's ELF file says about itself.
    #[must_use]
    pub fn image(&self) -> KernelImage {
        self.image
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
        self.is_on("PRINTING")
    }

    /// Returns what to know about the kernel.
    #[must_use]
    pub fn advice(&self) -> Vec<Advice> {
        let many = self.options.get("MAX_NUM_NODES").is_some_and(|count| count != "1");
        let all = [
            (Advice::Debug, self.is_on("DEBUG_BUILD")),
            (Advice::ManyCores, many),
            (Advice::Pcid, self.is_on("SUPPORT_PCID")),
            (Advice::X2Apic, self.is_on("X2APIC")),
        ];
        all.into_iter().filter(|(_, holds)| *holds).map(|(advice, _)| advice).collect()
    }

    fn is_on(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "true")
    }
}

/// Reads a configuration: booleans become `true` and `false`.
fn read_configuration(file: &Path) -> Result<BTreeMap<String, String>, Unfit> {
    let bad = |message: String| Unfit::Configuration { file: file.to_owned(), message };
    let text = fs::read_to_string(file).map_err(|cause| bad(cause.to_string()))?;
    let options: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|cause| bad(cause.to_string()))?;
    let plain = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(options.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

fn check(name: &Path, options: &BTreeMap<String, String>) -> Result<(), Unfit> {
    let name = || name.to_owned();
    let architecture = options.get("SEL4_ARCH").map_or("an unknown architecture", String::as_str);
    if architecture != "x86_64" {
        return Err(Unfit::Architecture { name: name(), found: architecture.to_owned() });
    }
    for Required { option, on, reason, change } in REQUIRED {
        if options.get(option).is_some_and(|value| (value == "true") != on) {
            return Err(Unfit::Option { name: name(), option, on: !on, reason, change });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        for part in ["kernel", "interfaces", "sel4"] {
            fs::create_dir_all(include.join(part)).unwrap();
        }
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/kernel.elf"), kernel(0x10_0000, 0x1000)).unwrap();
        fs::write(include.join("sel4/sel4.h"), "").unwrap();
        fs::write(include.join(INTERFACE), "").unwrap();
        let usual = [("SEL4_ARCH", "\"x86_64\""), ("KERNEL_MCS", "false"), ("FASTPATH", "true")];
        let all: BTreeMap<_, _> = usual.iter().chain(options).copied().collect();
        let text: Vec<_> = all.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        fs::write(include.join(CONFIGURATION), format!("{{{}}}", text.join(","))).unwrap();
        change(root);
        Prefix::inspect(Selection::prefix(root))
    }

    #[test]
    fn a_fit_kernel_is_accepted() {
        let prefix = inspect(&[]).unwrap();
        assert_eq!(prefix.image().end, 0x10_1000);
        assert_eq!(prefix.advice(), []);
        assert!(!prefix.prints());
    }

    #[test]
    fn an_mcs_kernel_is_refused_by_name() {
        let message = inspect(&[("KERNEL_MCS", "true")]).unwrap_err().to_string();
        assert!(message.contains("has KERNEL_MCS on") && message.ends_with("build it with -DKernelIsMCS=OFF"));
    }

    #[test]
    fn a_kernel_without_fastpath_is_refused_by_name() {
        let message = inspect(&[("FASTPATH", "false")]).unwrap_err().to_string();
        assert!(message.contains("has FASTPATH off") && message.ends_with("build it with -DKernelFastpath=ON"));
    }

    #[test]
    fn a_kernel_that_keeps_the_segment_base_is_refused_by_name() {
        let message = inspect(&[("SET_TLS_BASE_SELF", "true")]).unwrap_err().to_string();
        assert!(message.contains("SET_TLS_BASE_SELF on") && message.ends_with("-DKernelFSGSBase=inst"));
    }

    #[test]
    fn a_kernel_without_boot_header_is_refused_by_name() {
        assert!(inspect(&[("MULTIBOOT1_HEADER", "true")]).is_ok());
        let message = inspect(&[("MULTIBOOT1_HEADER", "false")]).unwrap_err().to_string();
        assert!(message.ends_with("-DKernelMultiboot1Header=ON"));
    }

    #[test]
    fn another_architecture_is_refused_by_name() {
        let message = inspect(&[("SEL4_ARCH", "\"aarch64\"")]).unwrap_err().to_string();
        assert!(message.contains("is a kernel for aarch64"));
    }

    #[test]
    fn an_image_for_another_machine_is_refused() {
        let outcome = inspect_after(&[], |root| fs::write(root.join("bin/kernel.elf"), "no ELF").unwrap());
        assert!(matches!(outcome, Err(Unfit::Image { .. })));
    }

    #[test]
    fn a_folder_without_kernel_is_refused_by_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let message = Prefix::inspect(Selection::prefix(folder.path())).unwrap_err().to_string();
        assert!(message.contains("bin/kernel.elf is missing") && message.contains("SEL4_PREFIX"));
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
        assert_eq!(inspect(&[("SUPPORT_PCID", "true")]).unwrap().advice(), [Advice::Pcid]);
    }
}

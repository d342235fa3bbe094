// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a kernel cannot carry the system. Each text says what to change.

use std::path::PathBuf;

use crate::elf_header::KernelImageError;

/// Why a kernel cannot carry the system.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The folder holds no whole installed kernel.
    #[error("{} is no installed seL4 kernel: {} is missing; set SEL4_PREFIX to where `cmake --install` put one, \
             after a whole build", name.display(), missing.display())]
    NotInstalled {
        /// The kernel.
        name: PathBuf,
        /// What should be there.
        missing: PathBuf,
    },
    /// The installation is of a release older than 13.0.0.
    #[error("{} is older than seL4 13.0.0: it has no {missing}; install 13.0.0 to 16.0.0", name.display())]
    TooOld {
        /// The kernel.
        name: PathBuf,
        /// What newer releases have.
        missing: &'static str,
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
        #[from]
        cause: KernelImageError,
    },
    /// The headers are not those of the kernel's ELF file.
    #[error("{} was not built with the headers in {}: {difference}; take both from one installation",
        kernel.display(), headers.display())]
    Mixed {
        /// The ELF file.
        kernel: PathBuf,
        /// The folder with headers.
        headers: PathBuf,
        /// How that is seen.
        difference: String,
    },
    /// The kernel is configured for another architecture.
    #[error("{} is a kernel for {found}, not x86_64; build it with -DKernelSel4Arch=x86_64", name.display())]
    Architecture {
        /// The kernel.
        name: PathBuf,
        /// Its architecture.
        found: String,
    },
    /// An option has a value that the system cannot work with, or not safely.
    #[error("{} has {option} {state}: {reason}; build it with {change}", name.display())]
    Option {
        /// The kernel.
        name: PathBuf,
        /// The option.
        option: &'static str,
        /// Its value, as part of a sentence.
        state: String,
        /// Why that does not work.
        reason: &'static str,
        /// The argument of the kernel's build that changes it.
        change: &'static str,
    },
    /// The processor that QEMU emulates does not have what the kernel wants.
    #[error("{} wants {wanted}, which the emulated processor lacks; build it with {change}, or use other hardware: \
             --accel kvm, or a PC", name.display())]
    Processor {
        /// The kernel.
        name: PathBuf,
        /// What it wants.
        wanted: &'static str,
        /// The argument of the kernel's build that changes it.
        change: &'static str,
    },
}

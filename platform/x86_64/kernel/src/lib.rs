// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds or checks the seL4 kernel that an image boots.
//!
//! Everything above this crate knows a kernel only as a *prefix*: a directory in the layout that seL4's own CMake build
//! installs, with `bin/kernel.elf` and `libsel4/include/`. There are two ways to one:
//!
//! ```text
//!   registry package ──SourcePackage──▶ source tree ─┐
//!   release.config ────Options────────▶ autoconf.h ──┴─Build──▶ prefix ─┐
//!                                                                       ├──Prefix::inspect──▶ fit, or a reason
//!   SEL4_PREFIX, SEL4_INCLUDE_DIRS, SEL4_KERNEL ──Selection──▶ prefix ──┘
//! ```
//!
//! [`Build`] makes the default kernel, seL4 5.0.0, whose source a registry package carries; [`Prefix::inspect`] checks
//! any kernel, that one included, before something is built on it.

mod build;
mod changes;
mod configuration;
mod demands;
mod elf_header;
mod identity;
mod install;
mod kconfig;
mod options;
mod prefix;
mod selection;
mod source;
mod tools;
mod unfit;

pub use build::{Build, BuildError, KERNEL_VERSION};
pub use changes::ChangeError;
pub use demands::Debugging;
pub use elf_header::{KernelImage, KernelImageError};
pub use install::InstallError;
pub use kconfig::{Kconfig, KconfigError};
pub use options::{Options, OptionsError, Value};
pub use prefix::{Advice, Prefix};
pub use selection::{Selection, SelectionError};
pub use source::{SOURCE_PACKAGE, SOURCE_PACKAGE_VERSION, SOURCE_SHA256, SourceError, SourcePackage};
pub use unfit::Unfit;

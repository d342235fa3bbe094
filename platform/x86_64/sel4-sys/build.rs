// SPDX-License-Identifier: MIT OR Apache-2.0
//! Generates the bindings of the selected kernel.
//!
//! `SEL4_INCLUDE_DIRS`, colon separated, or else `$SEL4_PREFIX/libsel4/include`, is where its headers are. What the
//! kernel has, of what kernels differ in, becomes `cfg`s here and in crates that depend on this one and read
//! `DEP_SEL4_CFGS` (those that hold) and `DEP_SEL4_ALL_CFGS` in their build scripts.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use sel4_sys_codegen::{Feature, Generated, generate};

fn main() {
    // A message of cargo's ends the build, and is one line for the user.
    if let Err(reason) = run() {
        println!("cargo::error={reason}");
    }
}

fn run() -> Result<(), String> {
    let dirs = include_dirs()?;
    let generated = generate(&dirs).map_err(|error| error.to_string())?;
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or("OUT_DIR is not set")?;
    write(&out, &generated)?;
    for source in dirs.iter().chain(&generated.sources) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let names = |features: &[Feature]| features.iter().map(|feature| feature.cfg()).collect::<Vec<_>>().join(",");
    println!("cargo::metadata=CFGS={}", names(&generated.features));
    println!("cargo::metadata=ALL_CFGS={}", names(&Feature::ALL));
    for feature in Feature::ALL {
        println!("cargo::rustc-check-cfg=cfg({})", feature.cfg());
    }
    for feature in generated.features {
        println!("cargo::rustc-cfg={}", feature.cfg());
    }
    Ok(())
}

/// Returns the folders in which the selected kernel's headers are.
fn include_dirs() -> Result<Vec<PathBuf>, String> {
    println!("cargo::rerun-if-env-changed=SEL4_INCLUDE_DIRS");
    println!("cargo::rerun-if-env-changed=SEL4_PREFIX");
    if let Some(dirs) = env::var_os("SEL4_INCLUDE_DIRS").filter(|dirs| !dirs.is_empty()) {
        return Ok(env::split_paths(&dirs).collect());
    }
    let named = env::var_os("SEL4_PREFIX").filter(|prefix| !prefix.is_empty()).map(PathBuf::from);
    let prefix = named.or_else(built).ok_or(
        "no kernel is selected, and none is built: type `./x kernel`, or set SEL4_PREFIX to where seL4 is installed",
    )?;
    let dir = prefix.join("libsel4/include");
    if dir.is_dir() { Ok(vec![dir]) } else { Err(format!("SEL4_PREFIX: {} is no folder", dir.display())) }
}

/// Returns the default kernel that the host tool has built in this target folder: for an editor, which names none.
fn built() -> Option<PathBuf> {
    let out = env::var_os("OUT_DIR").map(PathBuf::from)?;
    let kernels = out.ancestors().map(|folder| folder.join("sel4")).find(|folder| folder.is_dir())?;
    let folders = fs::read_dir(kernels).ok()?.flatten().map(|entry| entry.path());
    folders.filter(|path| path.join("libsel4/include").is_dir() && path.to_string_lossy().ends_with("-release")).max()
}

fn write(out: &Path, generated: &Generated) -> Result<(), String> {
    let files = [
        ("bindings.rs", &generated.bindings),
        ("invocations.rs", &generated.invocations),
        ("bitfields.rs", &generated.bitfields),
    ];
    for (name, text) in files {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds a kernel's files, and runs bindgen over its headers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bindgen::{Builder, CodegenConfig, EnumVariation, MacroTypeVariation};

use crate::error::Error;

/// Names of the interface files, each with its names since 13.0 and before. The order is that of the labels.
pub(crate) const INTERFACES: [[&str; 2]; 3] = [
    ["interfaces/object-api.xml", "interfaces/sel4.xml"],
    ["interfaces/object-api-sel4-arch.xml", "interfaces/sel4arch.xml"],
    ["interfaces/object-api-arch.xml", "interfaces/sel4arch.xml"],
];

/// Prefix of the macros by which the C preprocessor tells which conditions hold.
pub(crate) const CONDITION: &str = "SEL4_SYS_CONDITION_";

/// Returns the first of `names` in the first of `dirs` that has it.
pub(crate) fn find(dirs: &[PathBuf], names: &[&str]) -> Option<PathBuf> {
    names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|path| path.is_file())
}

/// Returns the bitfield files below `dirs`, of which a preprocessed one hides its source.
pub(crate) fn bitfield_files(dirs: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = dirs.iter().map(|dir| dir.join("sel4")).filter(|dir| dir.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| Error::unreadable(&folder, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| Error::unreadable(&folder, &error))?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if extension == Some("pbf") || extension == Some("bf") && !path.with_extension("pbf").is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Runs bindgen over the headers, and returns the Rust it writes. `conditions` are C preprocessor expressions; each that
/// holds becomes a constant with [`CONDITION`] and its index.
pub(crate) fn bindings(dirs: &[PathBuf], conditions: &[String]) -> Result<String, Error> {
    let mut wrapper = String::from("#include <autoconf.h>\n#include <sel4/sel4.h>\n");
    for (index, condition) in conditions.iter().enumerate() {
        wrapper.push_str(&format!("#if {condition}\n#define {CONDITION}{index} 1\n#endif\n"));
    }
    Builder::default()
        .header_contents("sel4-sys.h", &wrapper)
        .clang_args(["--target=x86_64-unknown-linux-gnu", "-ffreestanding", "-nostdinc", "-DHAVE_AUTOCONF"])
        .clang_args(dirs.iter().map(|dir| format!("-I{}", dir.display())))
        .use_core()
        .with_codegen_config(CodegenConfig::TYPES | CodegenConfig::VARS)
        .default_enum_style(EnumVariation::Consts)
        .default_macro_constant_type(MacroTypeVariation::Unsigned)
        .prepend_enum_name(false)
        .derive_default(false)
        .derive_eq(true)
        .layout_tests(true)
        .allowlist_type("seL4_.*|(sel4_arch_|arch_)?invocation_label|api_object|_object|_mode_object")
        .allowlist_var("seL4_.*|SEL4_.*|CONFIG_.*|VECTOR_M(IN|AX)")
        // Up to 10.1 these are variables that the headers define by accident, for want of a `typedef`.
        .blocklist_var("seL4_.*_Msg")
        .generate()
        .map(|bindings| bindings.to_string())
        .map_err(|error| Error::Headers { reason: error.to_string().trim().replace('\n', " ") })
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::unreadable(path, &error))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! From include folders to Rust.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use quote::quote;
use syn::{File, Item};

use crate::{
    bitfield::{self, Blocks},
    emit,
    error::Error,
    features::Feature,
    headers::{self, CONDITION, INTERFACES},
    interface::{self, Method},
    types::Bindings,
};

/// The bindings of a kernel.
#[derive(Debug)]
pub struct Generated {
    /// Rust of types and constants, from the C headers.
    pub bindings: String,
    /// Rust of the functions of invocations.
    pub invocations: String,
    /// Rust of the modules of bitfields.
    pub bitfields: String,
    /// What this kernel has, of what kernels differ in.
    pub features: Vec<Feature>,
    /// The files that all this was made of, but for headers that include each other.
    pub sources: Vec<PathBuf>,
}

/// Generates the bindings of the kernel with these include folders.
///
/// # Errors
/// A file that is missing or not understood, headers that do not compile, or a kernel that does not fit.
pub fn generate(dirs: &[PathBuf]) -> Result<Generated, Error> {
    let mut sources = Vec::new();
    let mut declared = Vec::new();
    for names in INTERFACES {
        let path = headers::find(dirs, &names).ok_or(Error::Missing { name: names[0] })?;
        let methods = interface::parse(&headers::read(&path)?)
            .map_err(|reason| Error::Malformed { path: path.clone(), reason })?;
        declared.push((path.clone(), methods));
        sources.push(path);
    }
    for name in ["autoconf.h", "sel4/sel4.h"] {
        sources.push(headers::find(dirs, &[name]).ok_or(Error::Missing { name })?);
    }

    let conditions: BTreeSet<_> =
        declared.iter().flat_map(|(_, methods)| methods).filter_map(|method| method.condition.clone()).collect();
    let conditions: Vec<_> = conditions.into_iter().collect();
    let text = headers::bindings(dirs, &conditions)?;
    let (file, holding) = split(&text, &conditions)?;
    let bindings = Bindings::of(&file);
    check(&bindings)?;

    let mut functions = BTreeMap::new();
    let mut methods: Vec<Method> = Vec::new();
    for (path, declared) in declared {
        for method in declared {
            if method.condition.as_ref().is_none_or(|condition| holding.contains(condition)) {
                let malformed = |reason| Error::Malformed { path: path.clone(), reason };
                if !bindings.has_constant(&method.label) {
                    return Err(malformed(format!("the headers have no label `{}`", method.label)));
                }
                let function = emit::method(&method, &bindings).map_err(malformed)?;
                if functions.insert(method.name.clone(), function).is_some() {
                    return Err(malformed(format!("`{}` is declared twice", method.name)));
                }
                methods.push(method);
            }
        }
    }

    let mut blocks = Blocks::new();
    for path in headers::bitfield_files(dirs)? {
        blocks.extend(
            bitfield::parse(&headers::read(&path)?, bindings.constants())
                .map_err(|reason| Error::Malformed { path: path.clone(), reason })?,
        );
        sources.push(path);
    }
    if !blocks.contains_key("seL4_MessageInfo") {
        return Err(Error::Missing { name: "sel4/shared_types.pbf" });
    }

    let features = Feature::ALL.into_iter().filter(|feature| feature.is_in(&bindings, &blocks, &methods)).collect();
    let functions = functions.values();
    Ok(Generated {
        bindings: prettyplease::unparse(&file),
        invocations: pretty(&quote!(#(#functions)*))?,
        bitfields: pretty(&emit::bitfields(&blocks))?,
        features,
        sources,
    })
}

/// Parses what bindgen wrote, and takes out the constants that tell which conditions hold.
fn split(text: &str, conditions: &[String]) -> Result<(File, BTreeSet<String>), Error> {
    let mut file = syn::parse_file(text).map_err(|error| Error::Headers { reason: error.to_string() })?;
    let mut holding = BTreeSet::new();
    file.items.retain(|item| {
        let Item::Const(item) = item else { return true };
        let name = item.ident.to_string();
        let Some(index) = name.strip_prefix(CONDITION) else { return true };
        holding.extend(index.parse().ok().and_then(|index: usize| conditions.get(index)).cloned());
        false
    });
    Ok((file, holding))
}

/// Refuses kernels that programs here cannot run on, as far as the headers tell.
fn check(bindings: &Bindings) -> Result<(), Error> {
    let wanted = [
        ("CONFIG_ARCH_X86_64", true, "it is not for x86-64; build it with KernelSel4Arch=x86_64"),
        ("CONFIG_KERNEL_MCS", false, "it is an MCS kernel; build it with KernelIsMCS=OFF"),
        ("CONFIG_SYSCALL", true, "it is entered by sysenter; build it with KernelSyscall=syscall"),
    ];
    for (name, present, reason) in wanted {
        if bindings.has_constant(name) != present {
            return Err(Error::Unfit { reason });
        }
    }
    Ok(())
}

fn pretty(tokens: &proc_macro2::TokenStream) -> Result<String, Error> {
    let file = syn::parse2(tokens.clone()).map_err(|error| Error::Headers { reason: error.to_string() })?;
    Ok(prettyplease::unparse(&file))
}

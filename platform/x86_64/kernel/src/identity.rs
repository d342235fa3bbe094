// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells whether headers are those that a kernel's ELF file was built with.
//!
//! Two things are looked at. Where the file still lies in the installation or build folder that it comes from, the
//! configuration there is compared. And its symbols tell some of the options, and some of the invocations that it has:
//! only names of variables are relied on, which no optimisation removes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::configuration::Configuration;
use crate::unfit::Unfit;

/// Where a kernel's own configuration lies, relative to its ELF file: installed, and in the folder of its build.
const OWN_CONFIGURATION: [&str; 2] = ["../libsel4/include/kernel/gen_config.json", "gen_config/kernel/gen_config.json"];

/// Where its own description of invocations lies, once installed.
const OWN_INTERFACE: &str = "../libsel4/include/interfaces/object-api.xml";

/// Variables that a kernel has if, and only if, a switch is on.
const SWITCHES: [(&str, &str); 5] = [
    ("ksSMP", "ENABLE_SMP_SUPPORT"),
    ("ksReprogram", "KERNEL_MCS"),
    ("x86KSconsolePort", "PRINTING"),
    ("ksEnter", "ENABLE_BENCHMARKS"),
    ("vmcs_revision", "VTX"),
];

/// Variables that a kernel has if, and only if, it has an invocation.
const INVOCATIONS: [(&str, &str); 2] =
    [("ksCurFPUOwner", "TCBSetFlags"), ("ksDomScheduleStart", "DomainScheduleConfigure")];

/// Variables that a kernel for several cores keeps in a table for each core, under no name of their own.
const PER_CORE: [&str; 3] = ["ksReprogram", "ksCurFPUOwner", "ksEnter"];

/// The headers that a kernel is to be used with.
pub(crate) struct Headers<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) configuration: &'a Configuration,
    pub(crate) interface: &'a Path,
}

impl Headers<'_> {
    /// Checks that they are those of a kernel with these symbols, each with its size.
    pub(crate) fn check(&self, kernel: &Path, symbols: &BTreeMap<String, u64>) -> Result<(), Unfit> {
        let unreadable = |path: &Path, cause: std::io::Error| Unfit::Configuration {
            file: path.to_owned(),
            message: cause.to_string(),
        };
        let interface = fs::read_to_string(self.interface).map_err(|cause| unreadable(self.interface, cause))?;
        let by_home = difference_at_home(kernel, self.configuration, &interface)?;
        match by_home.or_else(|| difference_of_symbols(symbols, self.configuration, &interface)) {
            Some(difference) => {
                Err(Unfit::Mixed { kernel: kernel.to_owned(), headers: self.folder.to_owned(), difference })
            }
            None => Ok(()),
        }
    }
}

/// Compares with what lies beside the kernel.
fn difference_at_home(kernel: &Path, options: &Configuration, interface: &str) -> Result<Option<String>, Unfit> {
    let real = fs::canonicalize(kernel).unwrap_or_else(|_| kernel.to_owned());
    let home = real.parent().unwrap_or(Path::new("")).to_owned();
    for place in OWN_CONFIGURATION.map(|place| home.join(place)).iter().filter(|place| place.exists()) {
        if let Some(difference) = Configuration::read(place)?.difference(options) {
            return Ok(Some(difference));
        }
    }
    let own: PathBuf = home.join(OWN_INTERFACE);
    let differs = fs::read_to_string(own).is_ok_and(|own| own != interface);
    Ok(differs.then(|| "they describe other invocations".to_owned()))
}

/// Compares with what the kernel's symbols tell; a kernel without symbols tells nothing.
fn difference_of_symbols(symbols: &BTreeMap<String, u64>, options: &Configuration, interface: &str) -> Option<String> {
    if symbols.is_empty() {
        return None;
    }
    let many_cores = symbols.contains_key("ksSMP");
    let told = |symbol: &str| (!many_cores || !PER_CORE.contains(&symbol)).then(|| symbols.contains_key(symbol));
    let has = |yes: bool| if yes { "has" } else { "lacks" };
    let switch = SWITCHES.iter().find_map(|(symbol, option)| {
        let is_on = told(symbol)?;
        (is_on != options.is_on(option)).then(|| format!("the kernel {} {option}", has(is_on)))
    });
    let invocation = || {
        INVOCATIONS.iter().find_map(|(symbol, name)| {
            let there = told(symbol)?;
            (there != interface.contains(&format!("\"{name}\""))).then(|| format!("the kernel {} {name}", has(there)))
        })
    };
    let queues = options.number("NUM_DOMAINS").zip(options.number("NUM_PRIORITIES"));
    let sizes = [
        ("x86KSnullFpuState", "XSAVE_SIZE", options.number("XSAVE_SIZE")),
        (
            "ksReadyQueues",
            "NUM_DOMAINS",
            queues.map(|(domains, priorities)| domains.saturating_mul(priorities).saturating_mul(16)),
        ),
    ];
    let size = || {
        sizes.into_iter().find_map(|(symbol, option, wanted)| {
            let (size, wanted) = (*symbols.get(symbol)?, wanted?);
            // The kernel rounds up to a line of the cache, at most.
            (size.next_multiple_of(64) != wanted.next_multiple_of(64))
                .then(|| format!("the kernel has another {option}"))
        })
    };
    switch.or_else(invocation).or_else(size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::configuration::tests::configuration;

    const OPTIONS: [(&str, &str); 4] =
        [("XSAVE_SIZE", "512"), ("NUM_DOMAINS", "1"), ("NUM_PRIORITIES", "256"), ("DEBUG_BUILD", "false")];

    /// Symbols of a kernel of 14.0.0 in that configuration.
    const SYMBOLS: [(&str, u64); 3] = [("ksCurFPUOwner", 8), ("x86KSnullFpuState", 512), ("ksReadyQueues", 4096)];

    const INTERFACE: &str = "<method id=\"TCBSetFlags\"/>";

    fn difference(symbols: &[(&str, u64)], options: &[(&str, &str)], interface: &str) -> Option<String> {
        let symbols = symbols.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        difference_of_symbols(&symbols, &configuration(options), interface)
    }

    #[test]
    fn a_kernels_own_headers_fit() {
        assert_eq!(difference(&SYMBOLS, &OPTIONS, INTERFACE), None);
        assert_eq!(difference(&[], &OPTIONS, INTERFACE), None);
    }

    #[test]
    fn headers_of_another_release_do_not() {
        assert_eq!(difference(&SYMBOLS, &OPTIONS, "").as_deref(), Some("the kernel has TCBSetFlags"));
        let newer = "<method id=\"TCBSetFlags\"/><method id=\"DomainScheduleConfigure\"/>";
        assert_eq!(difference(&SYMBOLS, &OPTIONS, newer).as_deref(), Some("the kernel lacks DomainScheduleConfigure"));
    }

    #[test]
    fn headers_of_another_configuration_do_not() {
        let with = |more: &[(&str, u64)]| difference(&[&SYMBOLS, more].concat(), &OPTIONS, INTERFACE);
        assert_eq!(with(&[("x86KSconsolePort", 2)]).as_deref(), Some("the kernel has PRINTING"));
        assert_eq!(with(&[("x86KSnullFpuState", 832)]).as_deref(), Some("the kernel has another XSAVE_SIZE"));
        assert_eq!(with(&[("ksReadyQueues", 65536)]).as_deref(), Some("the kernel has another NUM_DOMAINS"));
        let many = [&OPTIONS[..], &[("ENABLE_SMP_SUPPORT", "true")]].concat();
        assert_eq!(difference(&SYMBOLS, &many, INTERFACE).as_deref(), Some("the kernel lacks ENABLE_SMP_SUPPORT"));
        assert_eq!(difference(&[("ksSMP", 2688), ("x86KSnullFpuState", 512)], &many, INTERFACE), None);
    }

    #[test]
    fn a_kernel_in_its_own_folder_is_compared_with_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let include = folder.path().join("libsel4/include");
        for part in ["kernel", "interfaces"] {
            fs::create_dir_all(include.join(part)).unwrap();
        }
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        let kernel = folder.path().join("bin/kernel.elf");
        fs::write(&kernel, "").unwrap();
        fs::write(include.join("kernel/gen_config.json"), r#"{"DEBUG_BUILD": false, "XSAVE_SIZE": "576"}"#).unwrap();
        fs::write(include.join("interfaces/object-api.xml"), INTERFACE).unwrap();
        let compared = |options: &[(&str, &str)], interface| {
            difference_at_home(&kernel, &configuration(options), interface).unwrap()
        };
        let own = [("DEBUG_BUILD", "false"), ("XSAVE_SIZE", "576")];
        assert_eq!(compared(&own, INTERFACE), None);
        assert_eq!(compared(&own, "").as_deref(), Some("they describe other invocations"));
        let other = [("DEBUG_BUILD", "false"), ("XSAVE_SIZE", "512")];
        let difference = compared(&other, INTERFACE);
        assert_eq!(difference.as_deref(), Some("XSAVE_SIZE is 576 for the kernel, 512 in the headers"));
    }
}

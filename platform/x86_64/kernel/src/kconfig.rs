// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel's Kconfig files say about its options.
//!
//! Only what is needed to check a configuration is read: names, types, ranges, and which options exclude each other as
//! members of one `choice`. Conditions and defaults are not evaluated. A few numbers are no Kconfig options but have a
//! default in `include/config.h`, under `#ifndef CONFIG_<name>`; they are options as well.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The files that speak of a 64-bit PC, relative to the kernel's source.
const KCONFIG_FILES: [&str; 3] = ["Kconfig", "libsel4/Kconfig", "src/plat/pc99/Kconfig"];

/// The header with defaults for options that Kconfig may not know.
const DEFAULTS_HEADER: &str = "include/config.h";

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On or off.
    Bool,
    /// A number.
    Int,
    /// Text.
    Text,
}

/// The number of a `choice` block; options with the same number exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Choice(usize);

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) kind: Kind,
    pub(crate) range: Option<RangeInclusive<u64>>,
    pub(crate) choice: Option<Choice>,
}

/// Why the Kconfig files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KconfigError {
    /// A file cannot be read.
    #[error("{} cannot be read ({cause}); the kernel source is incomplete, delete its folder and try again",
        path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// The options that a kernel knows.
#[derive(Clone, Debug, Default)]
pub struct Kconfig {
    options: BTreeMap<String, Known>,
    choices: usize,
}

impl Kconfig {
    /// Reads the options of the kernel whose source lies at `source`.
    ///
    /// # Errors
    /// When one of its Kconfig files is not there.
    pub fn read(source: &Path) -> Result<Self, KconfigError> {
        let text = |name: &str| {
            let path = source.join(name);
            fs::read_to_string(&path).map_err(|cause| KconfigError::Unreadable { path, cause })
        };
        let mut kconfig = Self::default();
        for name in KCONFIG_FILES {
            kconfig.add_file(&text(name)?);
        }
        kconfig.add_header(&text(DEFAULTS_HEADER)?);
        Ok(kconfig)
    }

    /// Adds the options that one Kconfig file declares.
    pub(crate) fn add_file(&mut self, text: &str) {
        let mut choice = None;
        let mut current: Option<(String, Known)> = None;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (first, second) = (words.next().unwrap_or(""), words.next());
            match (first, second) {
                ("choice", None) => {
                    self.finish(current.take());
                    self.choices += 1;
                    choice = Some(Choice(self.choices));
                }
                ("endchoice" | "endmenu" | "menu", _) => {
                    self.finish(current.take());
                    if first == "endchoice" {
                        choice = None;
                    }
                }
                ("config", Some(name)) => {
                    self.finish(current.take());
                    current = Some((name.to_owned(), Known { kind: Kind::Bool, range: None, choice }));
                }
                ("int", _) => set_kind(&mut current, Kind::Int),
                ("string", _) => set_kind(&mut current, Kind::Text),
                ("range", Some(low)) => {
                    let bounds = (low.parse(), words.next().unwrap_or("").parse());
                    if let (Some((_, known)), (Ok(low), Ok(high))) = (current.as_mut(), bounds) {
                        known.range = Some(low..=high);
                    }
                }
                _ => {}
            }
        }
        self.finish(current);
    }

    /// Adds the options for which a header has a default.
    pub(crate) fn add_header(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("#ifndef CONFIG_") {
                self.options.entry(name.trim().to_owned()).or_insert(Known {
                    kind: Kind::Int,
                    range: None,
                    choice: None,
                });
            }
        }
    }

    /// Returns what is known of an option.
    pub(crate) fn get(&self, name: &str) -> Option<&Known> {
        self.options.get(name)
    }

    /// Returns the names of all options that are on or off.
    pub(crate) fn bools(&self) -> impl Iterator<Item = &str> {
        self.options.iter().filter(|(_, known)| known.kind == Kind::Bool).map(|(name, _)| name.as_str())
    }

    /// Returns the known name nearest to a wrong one, if one is near enough to be meant.
    pub(crate) fn similar(&self, name: &str) -> Option<&str> {
        let candidate = |other: &&String| {
            let (short, long) = if other.len() < name.len() { (other.as_str(), name) } else { (name, other.as_str()) };
            long.contains(short) || same_letters(name, other)
        };
        self.options.keys().find(candidate).map(String::as_str)
    }

    fn finish(&mut self, option: Option<(String, Known)>) {
        if let Some((name, known)) = option {
            self.options.insert(name, known);
        }
    }
}

fn set_kind(current: &mut Option<(String, Known)>, kind: Kind) {
    if let Some((_, known)) = current {
        known.kind = kind;
    }
}

/// Tells whether two names differ in punctuation or in one letter at most.
fn same_letters(one: &str, other: &str) -> bool {
    let letters = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let same_start = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let same_end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let longest = one.len().max(other.len());
    one.len().abs_diff(other.len()) <= 1 && same_start + same_end + 1 >= longest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = "
menu \"x\"
    choice
        prompt \"IRQ Controller\"
        default IRQ_PIC
        config IRQ_PIC
            bool \"PIC\"
        config IRQ_IOAPIC
            bool \"IOAPIC\"
    endchoice

    config ROOT_CNODE_SIZE_BITS
        range 4 27
        int \"Root CNode Size (2^n slots)\"
        default 12
    config DOMAIN_SCHEDULE
        string \"Domain schedule\"
    config FASTPATH
        bool \"Enable fastpath\"
endmenu
";

    fn kconfig() -> Kconfig {
        let mut kconfig = Kconfig::default();
        kconfig.add_file(TEXT);
        kconfig.add_header("#ifndef CONFIG_RESET_CHUNK_BITS\n#define CONFIG_RESET_CHUNK_BITS 8\n#endif\n");
        kconfig
    }

    #[test]
    fn types_ranges_and_choices_are_read() {
        let kconfig = kconfig();
        let bits = kconfig.get("ROOT_CNODE_SIZE_BITS").unwrap();
        assert_eq!((bits.kind, bits.range.clone()), (Kind::Int, Some(4..=27)));
        assert_eq!(kconfig.get("DOMAIN_SCHEDULE").unwrap().kind, Kind::Text);
        assert_eq!(kconfig.get("RESET_CHUNK_BITS").unwrap().kind, Kind::Int);
        let (pic, ioapic) = (kconfig.get("IRQ_PIC").unwrap(), kconfig.get("IRQ_IOAPIC").unwrap());
        assert!(pic.choice.is_some() && pic.choice == ioapic.choice);
        assert_eq!(kconfig.get("FASTPATH").unwrap().choice, None);
    }

    #[test]
    fn what_is_not_declared_is_not_known() {
        assert_eq!(kconfig().get("FAST_PATH"), None);
    }

    #[test]
    fn a_misspelt_name_is_recognised() {
        assert_eq!(kconfig().similar("FAST_PATH"), Some("FASTPATH"));
        assert_eq!(kconfig().similar("FASTPAHT"), None);
        assert_eq!(kconfig().similar("FASTPAT"), Some("FASTPATH"));
    }

    #[test]
    fn an_unrelated_name_suggests_nothing() {
        assert_eq!(kconfig().similar("BANANA"), None);
    }
}

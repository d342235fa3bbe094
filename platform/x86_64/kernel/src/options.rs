// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of the default kernel: a file of ours, checked and rendered.
//!
//! The file has `NAME=value` lines and `#` comments. [`Options::check`] holds it against what the kernel knows;
//! [`Options::header`] renders the `autoconf.h` that the kernel's build reads, and [`Options::json`] the
//! `gen_config.json` that modern releases install and that everything above reads.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::Path;

use crate::kconfig::{Choice, Kconfig, Kind};

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A number.
    Int(u64),
    /// Text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("y"),
            Self::Bool(false) => f.write_str("n"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Why a configuration is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("cannot be read ({cause}); restore the file")]
    Unreadable {
        /// What the system said.
        cause: io::Error,
    },
    /// A line is neither a comment nor `NAME=value`.
    #[error("line {line}: `{text}` is no NAME=value line; write one, or start it with #")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// An option is set twice.
    #[error("line {line}: {name} is set twice; keep one")]
    Twice {
        /// The number of the second line.
        line: usize,
        /// The option.
        name: String,
    },
    /// The kernel has no such option.
    #[error("the kernel knows no option {name}; {}", suggestion(similar.as_deref()))]
    Unknown {
        /// The option.
        name: String,
        /// An option that may be meant.
        similar: Option<String>,
    },
    /// The value is of another type.
    #[error("{name}={value} is not {wanted}; change the value")]
    Type {
        /// The option.
        name: String,
        /// Its value.
        value: Value,
        /// What the kernel wants.
        wanted: &'static str,
    },
    /// The number lies outside what the kernel takes.
    #[error("{name}={value} is outside {low} to {high}; change the value")]
    Range {
        /// The option.
        name: String,
        /// Its value.
        value: u64,
        /// The least value.
        low: u64,
        /// The greatest value.
        high: u64,
    },
    /// Two options of one choice are on.
    #[error("{first} and {second} exclude each other; switch one off")]
    Exclusive {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
}

fn suggestion(similar: Option<&str>) -> String {
    similar.map_or_else(|| "remove the line".to_owned(), |name| format!("is {name} meant?"))
}

/// A configuration as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    values: BTreeMap<String, Value>,
}

impl Options {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When the file cannot be read or has a line that is no option.
    pub fn read(path: &Path) -> Result<Self, OptionsError> {
        let text = fs::read_to_string(path).map_err(|cause| OptionsError::Unreadable { cause })?;
        Self::parse(&text)
    }

    /// Parses the text of a configuration file.
    ///
    /// # Errors
    /// When a line is no option, or an option is set twice.
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let mut values = BTreeMap::new();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let content = raw.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let bad = || OptionsError::Line { line, text: content.to_owned() };
            let (name, value) = content.split_once('=').ok_or_else(bad)?;
            let name_is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let value = if name_is_plain { parse_value(value).ok_or_else(bad)? } else { return Err(bad()) };
            if values.insert(name.to_owned(), value).is_some() {
                return Err(OptionsError::Twice { line, name: name.to_owned() });
            }
        }
        Ok(Self { values })
    }

    /// Checks every option against what the kernel knows.
    ///
    /// # Errors
    /// For the first option that is unknown, of the wrong type, out of range, or excluded by another one.
    pub fn check(&self, kconfig: &Kconfig) -> Result<(), OptionsError> {
        let mut chosen: BTreeMap<Choice, &str> = BTreeMap::new();
        for (name, value) in &self.values {
            let known = kconfig.get(name).ok_or_else(|| OptionsError::Unknown {
                name: name.clone(),
                similar: kconfig.similar(name).map(str::to_owned),
            })?;
            let wanted = match (known.kind, value) {
                (Kind::Bool, Value::Bool(_)) | (Kind::Int, Value::Int(_)) | (Kind::Text, Value::Text(_)) => None,
                (Kind::Bool, _) => Some("y or n"),
                (Kind::Int, _) => Some("a number"),
                (Kind::Text, _) => Some("a text in quotes"),
            };
            if let Some(wanted) = wanted {
                return Err(OptionsError::Type { name: name.clone(), value: value.clone(), wanted });
            }
            if let (Some(range), Value::Int(number)) = (&known.range, value)
                && !range.contains(number)
            {
                let (low, high) = (*range.start(), *range.end());
                return Err(OptionsError::Range { name: name.clone(), value: *number, low, high });
            }
            if let (Some(choice), Value::Bool(true)) = (known.choice, value)
                && let Some(first) = chosen.insert(choice, name)
            {
                return Err(OptionsError::Exclusive { first: first.to_owned(), second: name.clone() });
            }
        }
        Ok(())
    }

    /// Tells whether an option is switched on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.values.get(name) == Some(&Value::Bool(true))
    }

    /// Returns the options that are on and whose name begins with `start`.
    pub fn on_with_prefix(&self, start: &str) -> impl Iterator<Item = &str> {
        self.values
            .iter()
            .filter(move |(name, value)| name.starts_with(start) && **value == Value::Bool(true))
            .map(|(name, _)| name.as_str())
    }

    /// Renders the header that the kernel's build and libsel4 read.
    #[must_use]
    pub fn header(&self) -> String {
        let mut text = String::from("#pragma once\n\n#define AUTOCONF_INCLUDED\n");
        for (name, value) in &self.values {
            // Writing to a String cannot fail.
            let _ = match value {
                Value::Bool(true) => writeln!(text, "#define CONFIG_{name} 1"),
                Value::Bool(false) => writeln!(text, "/* disabled: CONFIG_{name} */"),
                Value::Int(number) => writeln!(text, "#define CONFIG_{name} {number}"),
                Value::Text(value) => writeln!(text, "#define CONFIG_{name} \"{value}\""),
            };
        }
        text
    }

    /// Renders `gen_config.json` as modern releases write it: booleans for switches, text for everything else.
    ///
    /// Switches that the kernel knows and the file does not name are off. `extra` adds what modern releases record and
    /// Kconfig has no name for.
    #[must_use]
    pub fn json(&self, kconfig: &Kconfig, extra: &[(&str, serde_json::Value)]) -> String {
        let mut object = serde_json::Map::new();
        for name in kconfig.bools() {
            object.insert(name.to_owned(), false.into());
        }
        for (name, value) in &self.values {
            let value = match value {
                Value::Bool(on) => (*on).into(),
                Value::Int(number) => number.to_string().into(),
                Value::Text(text) => text.clone().into(),
            };
            object.insert(name.clone(), value);
        }
        for (name, value) in extra {
            object.insert((*name).to_owned(), value.clone());
        }
        format!("{:#}\n", serde_json::Value::Object(object))
    }
}

fn parse_value(text: &str) -> Option<Value> {
    match text {
        "y" => Some(Value::Bool(true)),
        "n" => Some(Value::Bool(false)),
        _ => match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inside) => (!inside.contains(['"', '\\'])).then(|| Value::Text(inside.to_owned())),
            None => text.parse().ok().map(Value::Int),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const KCONFIG: &str = "
config FASTPATH
    bool \"x\"
config PRINTING
    bool \"x\"
config ROOT_CNODE_SIZE_BITS
    range 4 27
    int \"x\"
choice
config XAPIC
    bool \"x\"
config X2APIC
    bool \"x\"
endchoice
";

    fn kconfig() -> Kconfig {
        let mut kconfig = Kconfig::default();
        kconfig.add_file(KCONFIG);
        kconfig
    }

    fn options(text: &str) -> Result<Options, OptionsError> {
        let options = Options::parse(text)?;
        options.check(&kconfig())?;
        Ok(options)
    }

    #[test]
    fn a_correct_file_becomes_a_header_and_json() {
        let options = options("# comment\n\nFASTPATH=y\nX2APIC=n\nROOT_CNODE_SIZE_BITS=12\n").unwrap();
        let header = options.header();
        assert!(header.contains("#define CONFIG_FASTPATH 1\n"));
        assert!(header.contains("/* disabled: CONFIG_X2APIC */\n"));
        assert!(header.contains("#define CONFIG_ROOT_CNODE_SIZE_BITS 12\n"));
        let json: serde_json::Value =
            serde_json::from_str(&options.json(&kconfig(), &[("KERNEL_MCS", false.into())])).unwrap();
        assert_eq!(json["FASTPATH"], true);
        assert_eq!(json["PRINTING"], false);
        assert_eq!(json["ROOT_CNODE_SIZE_BITS"], "12");
        assert_eq!(json["KERNEL_MCS"], false);
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let error = options("FAST_PATH=y").unwrap_err();
        assert_eq!(error.to_string(), "the kernel knows no option FAST_PATH; is FASTPATH meant?");
    }

    #[test]
    fn a_number_for_a_switch_is_refused() {
        assert!(matches!(options("FASTPATH=1"), Err(OptionsError::Type { .. })));
    }

    #[test]
    fn a_number_outside_its_range_is_refused() {
        assert!(options("ROOT_CNODE_SIZE_BITS=27").is_ok());
        assert!(matches!(options("ROOT_CNODE_SIZE_BITS=28"), Err(OptionsError::Range { value: 28, high: 27, .. })));
    }

    #[test]
    fn two_members_of_a_choice_are_refused() {
        assert!(options("XAPIC=y\nX2APIC=n").is_ok());
        assert!(matches!(options("XAPIC=y\nX2APIC=y"), Err(OptionsError::Exclusive { .. })));
    }

    #[test]
    fn a_line_that_is_no_option_is_refused_with_its_number() {
        let error = options("FASTPATH=y\nset FASTPATH\n").unwrap_err();
        assert!(error.to_string().starts_with("line 2: `set FASTPATH`"));
    }

    #[test]
    fn an_option_set_twice_is_refused() {
        assert!(matches!(options("FASTPATH=y\nFASTPATH=n"), Err(OptionsError::Twice { line: 2, .. })));
    }
}

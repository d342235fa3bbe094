// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration that a kernel's installation records.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::unfit::Unfit;

/// The options of a kernel, by name; switches are `true` or `false`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configuration(BTreeMap<String, String>);

impl Configuration {
    /// Reads a `gen_config.json`.
    pub(crate) fn read(file: &Path) -> Result<Self, Unfit> {
        let bad = |message: String| Unfit::Configuration { file: file.to_owned(), message };
        let text = fs::read_to_string(file).map_err(|cause| bad(cause.to_string()))?;
        let options: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|cause| bad(cause.to_string()))?;
        let plain = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Self(options.into_iter().map(|(name, value)| (name, plain(value))).collect()))
    }

    /// Returns the value of an option, if the release records it.
    pub(crate) fn get(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// Tells whether a switch is on.
    pub(crate) fn is_on(&self, option: &str) -> bool {
        self.get(option) == Some("true")
    }

    /// Returns an option that is a number.
    pub(crate) fn number(&self, option: &str) -> Option<u64> {
        self.get(option)?.parse().ok()
    }

    /// Returns the first option that has another value here than there, and both values.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let value = |options: &Self, name: &str| options.get(name).unwrap_or("nothing").to_owned();
        self.0.keys().chain(other.0.keys()).find_map(|name| {
            let (here, there) = (value(self, name), value(other, name));
            (here != there).then(|| format!("{name} is {here} for the kernel, {there} in the headers"))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a configuration of some options.
    pub(crate) fn configuration(options: &[(&str, &str)]) -> Configuration {
        Configuration(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_difference_is_named_with_both_values() {
        let (one, other) = (configuration(&[("A", "1"), ("B", "2")]), configuration(&[("A", "1"), ("C", "3")]));
        assert_eq!(one.difference(&one), None);
        assert_eq!(one.difference(&other).as_deref(), Some("B is 2 for the kernel, nothing in the headers"));
        let more = configuration(&[("A", "1"), ("B", "2"), ("C", "3")]);
        assert_eq!(one.difference(&more).as_deref(), Some("C is nothing for the kernel, 3 in the headers"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names in a policy, which are any bytes but zero.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A name or path as the policy has it.
///
/// Prints on one line, as [`sbm_text::Line`] does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Text(Vec<u8>);

impl Text {
    /// Takes the bytes up to the first zero, as a reader of C's strings does.
    pub fn up_to_zero(bytes: &[u8]) -> Self {
        Self(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }

    /// Takes all bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text, with U+FFFD for what is not UTF-8.
    pub fn to_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sbm_text::Line(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_its_first_zero() {
        assert_eq!(Text::up_to_zero(b"a\0b"), Text::new(b"a"));
        assert_eq!(Text::up_to_zero(b""), Text::default());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Printing of user ids, which are any bytes at all, and of other text that was chosen by nobody knows whom.
//!
//! What is not UTF-8 prints as U+FFFD. Characters that could take over a terminal or reorder a line (control characters
//! and those that change the writing direction) print escaped.

use alloc::string::String;
use core::fmt::{self, Write as _};

/// Text, a user id's for one, safe for a terminal and on one line: with `\x0a` for control characters.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a [u8]);

/// Text as a JSON string with its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a [u8]);

/// Tells whether a character must not reach a terminal as it is.
fn is_hazardous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.0).chars().try_for_each(|character| match u32::from(character) {
            _ if !is_hazardous(character) => f.write_char(character),
            code @ 0..=0xff => write!(f, "\\x{code:02x}"),
            code => write!(f, "\\u{{{code:x}}}"),
        })
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        String::from_utf8_lossy(self.0).chars().try_for_each(|character| match character {
            '"' | '\\' => write!(f, "\\{character}"),
            _ if is_hazardous(character) => write!(f, "\\u{:04x}", u32::from(character)),
            _ => f.write_char(character),
        })?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn both(bytes: &[u8]) -> (String, String) {
        (Text(bytes).to_string(), Json(bytes).to_string())
    }

    #[test]
    fn plain_text_prints_as_it_is() {
        let name = "J\u{fc}rgen \u{c5}. <j@example.org>";
        assert_eq!(both(name.as_bytes()), (name.into(), std::format!("\"{name}\"")));
    }

    #[test]
    fn hazardous_text_prints_escaped() {
        assert_eq!(both(b"a\x1b[2Jb\n\x7f"), ("a\\x1b[2Jb\\x0a\\x7f".into(), r#""a\u001b[2Jb\u000a\u007f""#.into()));
        assert_eq!(both("a\u{202e}b".as_bytes()), ("a\\u{202e}b".into(), r#""a\u202eb""#.into()));
        assert_eq!(both(br#"say "hi" \o"#), (r#"say "hi" \o"#.into(), r#""say \"hi\" \\o""#.into()));
    }

    #[test]
    fn what_is_not_utf8_prints_as_a_replacement() {
        assert_eq!(both(b"J\xfcrgen"), ("J\u{fffd}rgen".into(), "\"J\u{fffd}rgen\"".into()));
        assert_eq!(both(b"\xe2\x82"), ("\u{fffd}".into(), "\"\u{fffd}\"".into()));
    }
}

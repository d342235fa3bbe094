// SPDX-License-Identifier: MIT OR Apache-2.0
//! Printing of user ids, which are any bytes at all, and of other text that was chosen by nobody knows whom.
//!
//! What is not UTF-8 prints as U+FFFD. Characters that could take over a terminal or reorder a line (control characters
//! and those that change the writing direction) print escaped.

use core::fmt::{self, Write as _};

use crate::parser::UserId;

/// Text, a user id's for one, safe for a terminal and on one line.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(&'a [u8]);

/// Text as a JSON string with its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Takes the text as it came.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Json<'a> {
    /// Takes the text as it came.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> UserId<'a> {
    /// Returns the text in printable form: `\x0a` for control characters, U+FFFD for what is not UTF-8.
    pub const fn text(&self) -> Text<'a> {
        Text(self.bytes)
    }

    /// Returns the text as a JSON string.
    pub const fn json(&self) -> Json<'a> {
        Json(self.bytes)
    }
}

/// Writes the text: pieces without anything to escape as they are, what is not UTF-8 as U+FFFD, and the other characters
/// with `escape`.
fn write(
    bytes: &[u8],
    f: &mut fmt::Formatter<'_>,
    is_special: fn(char) -> bool,
    escape: fn(char, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(is_special) {
            match piece.char_indices().next_back() {
                Some((at, last)) if is_special(last) => {
                    f.write_str(piece.get(..at).unwrap_or_default())?;
                    escape(last, f)?;
                }
                Some(_) | None => f.write_str(piece)?,
            }
        }
        if !chunk.invalid().is_empty() {
            f.write_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    Ok(())
}

/// Tells whether a character must not reach a terminal as it is.
fn is_hazardous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, f, is_hazardous, |character, f| match u32::from(character) {
            code @ 0..=0xff => write!(f, "\\x{code:02x}"),
            code => write!(f, "\\u{{{code:x}}}"),
        })
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_special = |character| matches!(character, '"' | '\\') || is_hazardous(character);
        f.write_char('"')?;
        write(self.0, f, is_special, |character, f| match character {
            '"' | '\\' => write!(f, "\\{character}"),
            _ => write!(f, "\\u{:04x}", u32::from(character)),
        })?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn both(bytes: &[u8]) -> (std::string::String, std::string::String) {
        let user_id = UserId { bytes, offset: 0 };
        (user_id.text().to_string(), user_id.json().to_string())
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

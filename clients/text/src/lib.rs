// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints text that was chosen by nobody knows whom: names in files, which are any bytes at all.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;

use core::fmt::{self, Write as _};

/// Bytes that print on one line, and as what they are: escaped are control characters, and those that end a line, change
/// the direction of what follows, or take no room. U+FFFD stands for what is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a>(pub &'a [u8]);

/// Tells whether a terminal takes a character for a command, or shows others in another order or place for it: controls,
/// line and paragraph separators, marks and overrides of direction, and what has no width.
#[must_use]
pub fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if is_command(character) {
                    write!(f, "{}", character.escape_unicode())?;
                } else {
                    f.write_char(character)?;
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn what_is_text_prints_as_it_is() {
        assert_eq!(Line("J\u{fc}rgen/\u{1f512} \\o".as_bytes()).to_string(), "J\u{fc}rgen/\u{1f512} \\o");
    }

    #[test]
    fn what_is_no_text_cannot_end_or_change_its_line() {
        assert_eq!(Line(b"a\nb\x1b[2J\xff/\xc3\xbc\x7f").to_string(), "a\\u{a}b\\u{1b}[2J\u{fffd}/\u{fc}\\u{7f}");
        assert_eq!(Line("a\u{202e}b\u{9b}\u{feff}".as_bytes()).to_string(), "a\\u{202e}b\\u{9b}\\u{feff}");
    }
}

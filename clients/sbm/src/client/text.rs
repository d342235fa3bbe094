// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text that functions print: to the console, in lines that say which sandbox they are of.

use heapless::String;
use sbm_abi::limits::{LINE_BYTES, LINE_OFFSET, PANIC_TEXT_OFFSET, TEXT_BYTES};

use super::{console, env::env, instance::Instance, request::Answer};
use crate::error::{Error, characters, shown};

/// What a line costs, beside its bytes, of what a call may print: so empty ones have an end as well.
const LINE_COST: usize = 32;

/// The text of a running call. The line that it has not ended stands in its own argument page, where it can change nothing
/// but what it says itself.
#[derive(Debug)]
pub(super) struct Text {
    /// Bytes that the call may still print; `None` where it prints no more.
    left: Option<u32>,
    /// Bytes of the line.
    length: u16,
}

impl Text {
    pub(super) const NONE: Self = Self { left: None, length: 0 };
}

impl Instance {
    /// Begins with a call that may print so many bytes.
    pub(super) fn begin_text(&mut self) {
        let limit = u32::try_from(self.text_limit).unwrap_or(u32::MAX);
        self.text.left = (limit > 0).then_some(limit);
    }

    /// Prints `length` bytes that a function has left in its argument page.
    pub(super) fn print(&mut self, length: u64) -> Result<Answer, Error> {
        let mut bytes = [0; TEXT_BYTES];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = bytes.get_mut(..length).ok_or(Error::Request)?;
        self.arguments().read(PANIC_TEXT_OFFSET as usize, bytes);
        self.add(bytes);
        Ok(Answer([0, 0]))
    }

    fn add(&mut self, bytes: &[u8]) {
        for character in characters(bytes) {
            let spent = if character == '\n' { LINE_COST } else { character.len_utf8() };
            let Some(left) = self.text.left else { return };
            self.text.left = left.checked_sub(spent as u32);
            if self.text.left.is_none() {
                self.end_text();
                return self.write_line("(prints more than it may; dropped)");
            }
            if character == '\n' {
                self.end_line();
            } else {
                self.push(character);
            }
        }
    }

    /// Adds a character to the line; a longer one becomes several.
    fn push(&mut self, character: char) {
        if usize::from(self.text.length) + character.len_utf8() > LINE_BYTES {
            self.end_line();
        }
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        self.arguments().write(LINE_OFFSET as usize + usize::from(self.text.length), bytes);
        self.text.length += bytes.len() as u16;
    }

    /// Writes the line. What is no text, and control characters, become question marks.
    fn end_line(&mut self) {
        let mut bytes = [0; LINE_BYTES];
        let bytes = &mut bytes[..usize::from(self.text.length)];
        self.arguments().read(LINE_OFFSET as usize, bytes);
        self.text.length = 0;
        let mut line = String::<LINE_BYTES>::new();
        // There is room: a question mark takes no more bytes than what it stands for.
        characters(bytes).for_each(|character| drop(line.push(shown(character))));
        self.write_line(&line);
    }

    fn write_line(&self, line: &str) {
        console::write_line(format_args!("sandbox {} of {}: {line}", self.number(), env().name()));
    }

    /// Writes what the call has left without an end.
    pub(crate) fn end_text(&mut self) {
        if self.text.length > 0 {
            self.end_line();
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text that functions print: to the console, in lines that say which sandbox they are of.

use heapless::String;
use sbm_abi::limits::{PANIC_TEXT_OFFSET, TEXT_BYTES};

use super::{console, env::env, instance::Instance, request::Answer};
use crate::error::{Error, characters, shown};

/// Most bytes of a line; a longer one becomes several.
const LINE: usize = 200;

/// What a line costs, beside its bytes, of what a call may print: so empty ones have an end as well.
const LINE_COST: usize = 32;

/// The text of a running call.
#[derive(Debug)]
pub(super) struct Text {
    sandbox: u16,
    /// Bytes that the call may still print; `None` where it prints no more.
    left: Option<usize>,
    line: String<LINE>,
}

impl Text {
    pub(super) const fn new(sandbox: u16) -> Self {
        Self { sandbox, left: None, line: String::new() }
    }

    /// Begins with a call that may print so many bytes.
    pub(super) const fn begin(&mut self, limit: usize) {
        self.left = if limit > 0 { Some(limit) } else { None };
    }

    /// Takes what a function prints: what is no text, and control characters, become question marks.
    fn add(&mut self, bytes: &[u8]) {
        for character in characters(bytes) {
            let spent = if character == '\n' { LINE_COST } else { character.len_utf8() };
            let Some(left) = self.left else { return };
            self.left = left.checked_sub(spent);
            if self.left.is_none() {
                self.end();
                return self.write("(prints more than it may; dropped)");
            }
            if character == '\n' {
                self.end_line();
            } else if self.line.push(shown(character)).is_err() {
                self.end_line();
                // It has room now.
                let _ = self.line.push(shown(character));
            }
        }
    }

    fn end_line(&mut self) {
        self.write(&self.line);
        self.line.clear();
    }

    fn write(&self, line: &str) {
        console::write_line(format_args!("sandbox {} of {}: {line}", self.sandbox, env().name()));
    }

    /// Writes what the call has left without an end.
    pub(super) fn end(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl Instance {
    /// Prints `length` bytes that a function has left in its argument page.
    pub(super) fn print(&mut self, length: u64) -> Result<Answer, Error> {
        let mut bytes = [0; TEXT_BYTES];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = bytes.get_mut(..length).ok_or(Error::Request)?;
        self.arguments().read(PANIC_TEXT_OFFSET as usize, bytes);
        self.text.add(bytes);
        Ok(Answer([0, 0]))
    }
}

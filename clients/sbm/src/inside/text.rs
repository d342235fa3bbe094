// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text of a function that was called, to its caller: a service that is always there.
//!
//! It travels in the argument page, where a panic's text would stand, so it needs neither a mailbox nor the heap.
#![expect(unsafe_code, reason = "the argument page")]

use core::fmt::{self, Write};

use sbm_abi::{
    Asked,
    limits::{PANIC_TEXT_OFFSET, TEXT_BYTES},
};

use super::{
    ask::{self, argument_page},
    panic::in_sandbox,
};
use crate::client::here;

/// Tells whether this code is a function that was called, in a sandbox or without one.
pub(crate) fn is_called() -> bool {
    in_sandbox() || here::is_running()
}

/// Sends text to the caller.
pub(crate) fn print(arguments: fmt::Arguments<'_>) {
    let mut piece = Piece { bytes: [0; TEXT_BYTES], length: 0 };
    // Writing to the piece cannot fail; a `Display` that does ends its own output.
    let _ = piece.write_fmt(arguments);
    piece.send();
}

/// Gathers text, and sends it in requests. It stands on the stack until then, since what is formatted may print as well.
struct Piece {
    bytes: [u8; TEXT_BYTES],
    length: usize,
}

impl Piece {
    fn send(&mut self) {
        if self.length > 0 {
            let page = argument_page().cast_mut().cast::<u8>();
            // SAFETY: the page of the call that this runs in, which has so much room there and no reference to it.
            unsafe { page.add(PANIC_TEXT_OFFSET as usize).copy_from_nonoverlapping(self.bytes.as_ptr(), self.length) }
            ask::ask(Asked::TEXT, [self.length as u64, 0]);
            self.length = 0;
        }
    }
}

impl Write for Piece {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.length + character.len_utf8() > TEXT_BYTES {
                self.send();
            }
            self.length += character.encode_utf8(&mut self.bytes[self.length..]).len();
        }
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the loop's turns take, where the host asks for it: in each of them nobody else runs.

use core::fmt::Write;

use crate::{clock::ticks, console::Console};

/// The longest turn so far.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    start: Option<u64>,
    longest: u64,
}

impl Turns {
    /// Notes that a message has come.
    pub(crate) fn begin(&mut self) {
        self.start = Some(ticks());
    }

    /// Notes that all was done for it.
    pub(crate) fn end(&mut self) {
        let taken = self.start.take().map_or(0, |start| ticks() - start);
        self.longest = self.longest.max(taken);
    }

    /// Tells the longest one, and begins anew. What that takes is none.
    pub(crate) fn tell(&mut self, console: Console) {
        self.end();
        // The console takes all that is written.
        let _ = writeln!(console.writer(), "root-task: the longest turn took {} ticks", self.longest);
        self.longest = 0;
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: COM1, or the kernel's where it has one and there is no COM1.

use core::{cell::UnsafeCell, fmt};

use pc::Serial;
use sel4::cap;

struct Global(UnsafeCell<Option<Serial<cap::IOPort>>>);

// SAFETY: the root task has one thread.
unsafe impl Sync for Global {}

static SERIAL: Global = Global(UnsafeCell::new(None));

/// The console, which everyone in the root task may write to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console;

impl Console {
    /// Starts COM1.
    pub(crate) fn start(ports: cap::IOPort) -> Self {
        // SAFETY: one thread, and no reference outlives the statement that makes it, here and in `write`.
        unsafe { *SERIAL.0.get() = Serial::new(ports) };
        Self
    }

    /// Writes bytes as they are.
    pub(crate) fn write(self, bytes: &[u8]) {
        // SAFETY: as in `start`.
        match unsafe { (*SERIAL.0.get()).as_mut() } {
            // A console that does not take bytes has nobody to tell it to.
            Some(serial) => drop(serial.write(bytes)),
            None => bytes.iter().copied().for_each(sel4::debug_put_char),
        }
    }

    /// Writes a client's bytes; what a terminal would take for a command becomes a question mark.
    pub(crate) fn write_clean(self, bytes: &[u8]) {
        let clean = |byte: &u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~' | 0x80..);
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| !clean(byte)) {
            self.write(&rest[..at]);
            self.write(b"?");
            rest = &rest[at + 1..];
        }
        self.write(rest);
    }

    /// Returns something to write text to.
    pub(crate) const fn writer(self) -> Writer {
        Writer(self)
    }
}

/// Writes text to the console.
#[derive(Debug)]
pub(crate) struct Writer(Console);

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

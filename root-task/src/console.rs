// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: COM1, or the kernel's where it has one and there is no COM1.
//!
//! What of a text reaches it, and whose line it is, [`sbm_server::Console`] decides.

use core::{cell::UnsafeCell, fmt};

use pc::Serial;
use sbm_server::{ClientId, Writer};
use sel4::cap;

struct State {
    serial: Option<Serial<cap::IOPort>>,
    lines: sbm_server::Console,
}

struct Global(UnsafeCell<State>);

// SAFETY: one thread of the root task runs at a time: a second one takes over when the first has faulted, and that one
// never goes on.
unsafe impl Sync for Global {}

static STATE: Global = Global(UnsafeCell::new(State { serial: None, lines: sbm_server::Console::new() }));

/// The console, which everyone in the root task may write to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console;

impl Console {
    /// Starts COM1.
    pub(crate) fn start(ports: cap::IOPort) -> Self {
        // SAFETY: one thread at a time, and no reference outlives the statement that makes it.
        unsafe { (*STATE.0.get()).serial = Serial::new(ports) };
        Self
    }

    /// Writes the root task's own text.
    pub(crate) fn write(self, bytes: &[u8]) {
        self.write_as(Writer::RootTask, bytes);
    }

    /// Writes a client's text, each line with its name.
    pub(crate) fn write_of(self, client: ClientId, name: &str, bytes: &[u8]) {
        self.write_as(Writer::Client(client, name), bytes);
    }

    fn write_as(self, writer: Writer<'_>, bytes: &[u8]) {
        // SAFETY: one thread at a time, and nothing that is called from here writes to the console. A thread that
        // faulted does not use its reference any more; what it left half-written are numbers, checked where they are
        // used.
        let State { serial, lines } = unsafe { &mut *STATE.0.get() };
        lines.write(writer, bytes, |piece| match serial {
            // A console that does not take bytes has nobody to tell it to.
            Some(serial) => drop(serial.write(piece)),
            None => piece.iter().copied().for_each(sel4::debug_put_char),
        });
    }

    /// Returns something to write text to.
    pub(crate) const fn writer(self) -> RootTaskText {
        RootTaskText(self)
    }
}

/// Writes the root task's own text to the console.
#[derive(Debug)]
pub(crate) struct RootTaskText(Console);

impl fmt::Write for RootTaskText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: COM1, or the kernel's where it has one and there is no COM1.
//!
//! What of a text reaches it, and whose line it is, [`sbm_server::Console`] decides.

use core::{cell::UnsafeCell, fmt};

use pc::{Receiver, Serial};
use sbm_server::{ClientId, Writer};
use sel4::{Error, IRQ_VECTORS, cap, init_thread::slot};

use crate::cspace::Slot;

/// The vector of COM1's interrupt; the first one is the timer's.
const VECTOR: sel4::Word = *IRQ_VECTORS.start() + 1;

/// What the host writes to ask what is running: Ctrl-T.
const QUESTION: u8 = 0x14;

struct State {
    serial: Option<Serial<cap::IOPort>>,
    receiver: Option<Receiver>,
    lines: sbm_server::Console,
}

struct Global(UnsafeCell<State>);

// SAFETY: one thread of the root task runs at a time: a second one takes over when the first has faulted, and that one
// never goes on.
unsafe impl Sync for Global {}

static STATE: Global =
    Global(UnsafeCell::new(State { serial: None, receiver: None, lines: sbm_server::Console::new() }));

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

    /// Has what the host writes to COM1 signal `notification`, if there is a COM1. `handler` is an empty slot.
    pub(crate) fn start_receiving(self, handler: Slot, notification: cap::Notification) -> Result<(), Error> {
        // SAFETY: as in `write_as`.
        let State { serial, receiver, .. } = unsafe { &mut *STATE.0.get() };
        if let Some(serial) = serial {
            let pin = Receiver::IRQ;
            let control = slot::IRQ_CONTROL.cap();
            control.irq_control_get_ioapic(pin.ioapic, pin.pin, pin.trigger, VECTOR, &handler.path())?;
            *receiver = Some(Receiver::new(serial, handler.cap(), notification)?);
        }
        Ok(())
    }

    /// Takes what the host has written, and says whether it asks what is running; once after each signal.
    pub(crate) fn is_asked(self) -> bool {
        // SAFETY: as in `write_as`.
        let State { serial, receiver, .. } = unsafe { &mut *STATE.0.get() };
        match (serial, receiver) {
            // A handler that is none signals nothing.
            (Some(serial), Some(receiver)) => receiver.take(serial, QUESTION).unwrap_or(false),
            _ => false,
        }
    }

    /// Writes the root task's own text.
    pub(crate) fn write(self, bytes: &[u8]) {
        self.write_as(Writer::RootTask, bytes);
    }

    /// Writes a client's text, each line with its name.
    pub(crate) fn write_of(self, client: ClientId, name: &str, bytes: &[u8]) {
        self.write_as(Writer::Client(client, name), bytes);
    }

    /// Ends what a client has begun that has ended.
    pub(crate) fn forget(self, client: ClientId) {
        // SAFETY: as in `write_as`.
        let State { serial, lines, .. } = unsafe { &mut *STATE.0.get() };
        lines.forget(client, |piece| put(serial, piece));
    }

    fn write_as(self, writer: Writer<'_>, bytes: &[u8]) {
        // SAFETY: one thread at a time, and nothing that is called from here writes to the console. A thread that
        // faulted does not use its reference any more; what it left half-written are numbers, checked where they are
        // used.
        let State { serial, lines, .. } = unsafe { &mut *STATE.0.get() };
        lines.write(writer, bytes, |piece| put(serial, piece));
    }

    /// Returns something to write text to.
    pub(crate) const fn writer(self) -> RootTaskText {
        RootTaskText(self)
    }
}

fn put(serial: &mut Option<Serial<cap::IOPort>>, piece: &[u8]) {
    match serial {
        // A console that does not take bytes has nobody to tell it to.
        Some(serial) => drop(serial.write(piece)),
        None => piece.iter().copied().for_each(sel4::debug_put_char),
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

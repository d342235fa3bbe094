// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interrupt of bytes that COM1 receives
//!
//! ```text
//!   COM1 --> I/O APIC 0, pin 4 --> interrupt handler --> notification
//! ```
//! The kernel masks an interrupt when it delivers it, and an edge that comes while it is masked is lost. So
//! [`Receiver::take`] lets the next interrupt through first and takes the bytes then; a signal may find none.

use sel4::cap;

use crate::{IrqPin, Ports, Serial};

/// What signals a notification when bytes have come.
#[derive(Debug)]
pub struct Receiver {
    irq: cap::IrqHandler,
}

impl Receiver {
    /// Where the interrupt handler comes from: on a PC, ISA line 4 is wired to pin 4.
    pub const IRQ: IrqPin = IrqPin { ioapic: 0, pin: 4, trigger: sel4::Trigger::EdgeHigh };

    /// Joins COM1 and the handler of [`Self::IRQ`], and switches the interrupt on.
    ///
    /// # Errors
    /// When the handler or the notification is none.
    pub fn new<P: Ports>(
        serial: &mut Serial<P>,
        irq: cap::IrqHandler,
        notification: cap::Notification,
    ) -> sel4::Result<Self> {
        irq.irq_handler_set_notification(notification)?;
        // An interrupt may be pending from before.
        irq.irq_handler_ack()?;
        serial.start_receiving();
        Ok(Self { irq })
    }

    /// Takes what has come, and says whether `wanted` is among it; once after each signal.
    ///
    /// # Errors
    /// When the handler is none.
    pub fn take<P: Ports>(&self, serial: &mut Serial<P>, wanted: u8) -> sel4::Result<bool> {
        self.irq.irq_handler_ack()?;
        Ok(serial.take_received(wanted))
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one-shot timer: the PIT with its interrupt
//!
//! ```text
//!   PIT channel 0 --> I/O APIC 0, pin 2 --> interrupt handler --> notification
//! ```
//! The kernel masks an interrupt when it delivers it; [`Timer::ack`] lets the next one through. A signal says that a
//! shot may be over, not which: one that was replaced or stopped may have been on its way already.

use core::time::Duration;

use sel4::cap;

use crate::{Pit, Ports, Ticks};

/// Where the PIT's interrupt arrives: what `irq_control_get_ioapic` wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqPin {
    /// Number of the I/O APIC.
    pub ioapic: sel4::Word,
    /// Its pin.
    pub pin: sel4::Word,
    /// Its mode.
    pub trigger: sel4::Trigger,
}

/// A one-shot timer that signals a notification.
pub struct Timer<P: Ports> {
    pit: Pit<P>,
    irq: cap::IrqHandler,
}

impl<P: Ports> Timer<P> {
    /// Where the interrupt handler comes from. On every PC the interrupt of ISA line 0 is wired to pin 2, which is why
    /// ACPI tables need not be read for it.
    pub const IRQ: IrqPin = IrqPin { ioapic: 0, pin: 2, trigger: sel4::Trigger::EdgeHigh };

    /// Joins the PIT and the handler of [`Self::IRQ`]. What the firmware left running is stopped.
    ///
    /// # Errors
    /// When the notification is none. Ports that may not be used show at the first shot.
    pub fn new(mut pit: Pit<P>, irq: cap::IrqHandler, notification: cap::Notification) -> sel4::Result<Self> {
        let _ = pit.stop();
        irq.irq_handler_set_notification(notification)?;
        // An interrupt may be pending from before.
        irq.irq_handler_ack()?;
        Ok(Self { pit, irq })
    }

    /// Starts a shot, in place of one that is under way, and returns how long it lasts: `after`, rounded up to ticks, or
    /// the 54.9 ms that the counter can count where that is less.
    ///
    /// # Errors
    /// When the ports may not be used.
    pub fn start(&mut self, after: Duration) -> Result<Duration, P::Error> {
        let ticks = Ticks::lasting(after);
        self.pit.start(ticks)?;
        Ok(ticks.duration())
    }

    /// Stops a shot. Its signal may come all the same; see [`Pit::stop`].
    ///
    /// # Errors
    /// When the ports may not be used.
    pub fn stop(&mut self) -> Result<(), P::Error> {
        self.pit.stop()
    }

    /// Lets the next interrupt through; once after each signal.
    ///
    /// # Errors
    /// When the handler is none.
    pub fn ack(&self) -> sel4::Result<()> {
        self.irq.irq_handler_ack()
    }
}

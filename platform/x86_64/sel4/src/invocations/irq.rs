// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interrupts (manual, section "Interrupt Delivery").

use core::ops::RangeInclusive;

use crate::{AbsoluteCPtr, Result, Word, cap, sys};

/// The vectors that the headers name for interrupts. Kernels keep the last two for themselves and answer
/// [`RangeError`](crate::Error::RangeError) to them, so take them from the start.
pub const IRQ_VECTORS: RangeInclusive<Word> = sys::VECTOR_MIN as Word..=sys::VECTOR_MAX as Word;

/// How an I/O APIC pin says that it wants an interrupt.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A change, from low to high: ISA devices.
    EdgeHigh,
    /// A state, low: PCI devices.
    LevelLow,
    /// A state, high.
    LevelHigh,
}

impl cap::IrqControl {
    /// Makes the handler of a pin of an I/O APIC: `seL4_IRQControl_GetIOAPIC`.
    ///
    /// `vector` is the program's choice of [`IRQ_VECTORS`], one for each interrupt.
    ///
    /// # Errors
    /// [`RangeError`](crate::Error::RangeError) for a controller, pin or vector that does not exist;
    /// [`RevokeFirst`](crate::Error::RevokeFirst) where the vector is in use.
    #[inline]
    pub fn irq_control_get_ioapic(
        self,
        ioapic: Word,
        pin: Word,
        trigger: Trigger,
        vector: Word,
        dst: &AbsoluteCPtr,
    ) -> Result<()> {
        let (level, polarity) = match trigger {
            Trigger::EdgeHigh => (0, 0),
            Trigger::LevelLow => (1, 1),
            Trigger::LevelHigh => (1, 0),
        };
        let (root, index, depth) = dst.words();
        self.invoke(|ipc, cptr| {
            sys::seL4_IRQControl_GetIOAPIC(ipc, cptr, root, index, depth, ioapic, pin, level, polarity, vector)
        })
    }
}

impl cap::IrqHandler {
    /// Lets the next interrupt come: `seL4_IRQHandler_Ack`.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where this is no handler.
    #[inline]
    pub fn irq_handler_ack(self) -> Result<()> {
        self.invoke(sys::seL4_IRQHandler_Ack)
    }

    /// Sets what the interrupt signals: `seL4_IRQHandler_SetNotification`.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where that is no notification, or not writable.
    #[inline]
    pub fn irq_handler_set_notification(self, notification: cap::Notification) -> Result<()> {
        self.invoke(|ipc, cptr| sys::seL4_IRQHandler_SetNotification(ipc, cptr, notification.bits()))
    }
}

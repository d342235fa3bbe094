// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's `isa-debug-exit` device, at `iobase=0xf4,iosize=4`

use core::ops::RangeInclusive;

use crate::Ports;

const PORT: u16 = 0xf4;

/// The device that ends QEMU.
pub struct DebugExit<P> {
    ports: P,
}

impl<P: Ports> DebugExit<P> {
    /// The ports that it uses.
    pub const PORTS: RangeInclusive<u16> = PORT..=PORT + 3;

    /// Takes the device, which need not be there.
    pub fn new(ports: P) -> Self {
        Self { ports }
    }

    /// Ends QEMU with exit code `2 * value + 1`. Where nothing ends, as on a PC, calls `rest` for ever.
    pub fn exit(&mut self, value: u8, mut rest: impl FnMut()) -> ! {
        // A refusal leaves the same thing to do as a device that is not there.
        let _ = self.ports.out8(PORT, value);
        loop {
            rest();
        }
    }
}

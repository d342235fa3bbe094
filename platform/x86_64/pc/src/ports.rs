// SPDX-License-Identifier: MIT OR Apache-2.0
//! Access to I/O ports
//!
//! User level may not execute `in` and `out`; seL4 executes them for whoever has a capability to the port, at the price
//! of a system call. So a driver here counts its accesses.

use core::fmt::Debug;

/// Something that reads and writes I/O ports.
pub trait Ports {
    /// Why an access was refused.
    type Error: Debug;

    /// Reads a byte.
    ///
    /// # Errors
    /// When the port may not be used. So with all methods.
    fn in8(&mut self, port: u16) -> Result<u8, Self::Error>;
    /// Writes a byte.
    ///
    /// # Errors
    /// As [`Ports::in8`].
    fn out8(&mut self, port: u16, value: u8) -> Result<(), Self::Error>;
    /// Writes two bytes at once.
    ///
    /// # Errors
    /// As [`Ports::in8`].
    fn out16(&mut self, port: u16, value: u16) -> Result<(), Self::Error>;
    /// Writes four bytes at once.
    ///
    /// # Errors
    /// As [`Ports::in8`].
    fn out32(&mut self, port: u16, value: u32) -> Result<(), Self::Error>;
}

#[cfg(feature = "sel4")]
impl Ports for sel4::cap::IOPort {
    type Error = sel4::Error;

    fn in8(&mut self, port: u16) -> sel4::Result<u8> {
        self.ioport_in8(port)
    }

    fn out8(&mut self, port: u16, value: u8) -> sel4::Result<()> {
        self.ioport_out8(port, value)
    }

    fn out16(&mut self, port: u16, value: u16) -> sel4::Result<()> {
        self.ioport_out16(port, value)
    }

    fn out32(&mut self, port: u16, value: u32) -> sel4::Result<()> {
        self.ioport_out32(port, value)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! COM1: text out, and a byte in now and then
//!
//! The registers are `uart_16550`'s business; here is how they are reached, and that waiting ends: a port whose other
//! side holds the line (flow control, a pipe that nobody reads) must not hold the root task. 16 bytes cost 17 system
//! calls: one to see that the transmit FIFO is empty, and one for each byte.

use core::fmt;
use core::ops::RangeInclusive;

use uart_16550::backend::Backend;
use uart_16550::spec::{FIFO_SIZE, registers::IER};
use uart_16550::{BaudRate, Config, Uart16550};

use crate::Ports;

/// First port of COM1.
const BASE: u16 = 0x3f8;

/// Looks at the line status before a byte is given up: about half a second, where 16 bytes take 1.4 ms.
const PATIENCE: u32 = 1_000_000;

/// COM1, at 115,200 baud, 8 data bits, no parity, 1 stop bit. Bytes are sent as they are: a newline stays one byte.
pub struct Serial<P: Ports> {
    uart: Uart16550<Registers<P>>,
    /// The last byte was given up; the next one is not waited for.
    stuck: bool,
}

/// The other side took no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// How many bytes were sent.
    pub sent: usize,
}

impl<P: Ports> Serial<P> {
    /// The ports that it uses.
    pub const PORTS: RangeInclusive<u16> = BASE..=BASE + 7;

    /// Sets COM1 up, unless there is none, or `ports` has no access to it.
    pub fn new(ports: P) -> Option<Self> {
        // SAFETY: the registers are reached through `ports`, which checks each access by itself; a UART reaches no memory,
        // and its interrupt goes to the kernel.
        let mut uart = unsafe { Uart16550::new_with_backend(Registers { ports }) };
        uart.init(Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT }).ok()?;
        Some(Self { uart, stuck: false })
    }

    /// Sends bytes, and waits for room meanwhile.
    ///
    /// # Errors
    /// When the other side does not take them in time. The next call does not wait again, until bytes move.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Stuck> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let patience = if self.stuck { 1 } else { PATIENCE };
            let sent = (0..patience).map(|_| self.uart.send_bytes(rest)).find(|&sent| sent > 0);
            self.stuck = sent.is_none();
            rest = match sent.and_then(|sent| rest.get(sent..)) {
                Some(rest) => rest,
                None => return Err(Stuck { sent: bytes.len() - rest.len() }),
            };
        }
        Ok(())
    }

    /// Has received bytes raise the interrupt.
    pub fn start_receiving(&mut self) {
        self.uart.enable_interrupts(IER::DATA_READY);
    }

    /// Takes received bytes, at most as many as the FIFO holds, and says whether `wanted` is among them.
    ///
    /// The interrupt is off meanwhile: if bytes are left, switching it on raises it anew. One that stayed raised would
    /// be no edge, and the last.
    pub fn take_received(&mut self, wanted: u8) -> bool {
        self.uart.disable_interrupts(IER::DATA_READY);
        let mut found = false;
        for byte in (0..FIFO_SIZE).map_while(|_| self.uart.try_receive_byte().ok()) {
            found |= byte == wanted;
        }
        self.start_receiving();
        found
    }
}

impl<P: Ports> fmt::Write for Serial<P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// The UART's registers as ports.
struct Registers<P> {
    ports: P,
}

impl<P: Ports> Backend for Registers<P> {
    unsafe fn read(&mut self, register_offset: u8) -> u8 {
        // What may not be read reads like a bus without a device.
        self.ports.in8(BASE + u16::from(register_offset)).unwrap_or(u8::MAX)
    }

    unsafe fn write(&mut self, register_offset: u8, value: u8) {
        // What may not be written does not answer either, and reading finds that out.
        let _ = self.ports.out8(BASE + u16::from(register_offset), value);
    }
}

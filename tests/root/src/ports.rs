// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of I/O ports, COM1 and the debug exit.
//!
//! That the debug exit ends QEMU, and with which code, shows at the end of the suite.

use core::time::Duration;

use pc::{DebugExit, Pit, Serial, Ticks};
use sbm_objects::SizeBits;
use sel4::{Error, cap, cap_type, init_thread::Slot};

use crate::{
    World,
    check::{At, Verdict, check, same},
    devices::{self, Port},
};

/// Registers of a 16550 (National Semiconductor PC16550D), as offsets from its first port.
const DATA: u16 = 0;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

/// Line status: a byte was received.
const DATA_READY: u8 = 1 << 0;
/// Line status: all bytes are sent.
const EMPTY: u8 = 1 << 6;
/// Modem control: what is sent is received, and does not leave the chip.
const LOOP: u8 = 1 << 4;

/// Bytes that the chip holds.
const FIFO: usize = 16;

fn com1() -> (u16, u16) {
    let ports = Serial::<Port>::PORTS;
    (*ports.start(), *ports.end())
}

pub(crate) fn ports_of_a_capability_are_reached_and_those_beside_them_are_not(world: &mut World<'_>) -> Verdict {
    let (port, (first, last)) = (world.ports.serial, com1());
    port.ioport_in8(first + LINE_STATUS).at("line status")?;
    port.ioport_in8(last).at("last port")?;
    same!(port.ioport_in8(first - 1), Err(Error::IllegalOperation));
    same!(port.ioport_in8(last + 1), Err(Error::IllegalOperation));
    same!(port.ioport_out8(last + 1, 0), Err(Error::IllegalOperation));
    Ok(())
}

pub(crate) fn an_access_that_reaches_past_the_last_port_is_refused(world: &mut World<'_>) -> Verdict {
    let (port, (_, last)) = (world.ports.serial, com1());
    port.ioport_in16(last - 1).at("the last two ports")?;
    same!(port.ioport_in16(last), Err(Error::IllegalOperation));
    same!(port.ioport_in32(last - 2), Err(Error::IllegalOperation));
    same!(port.ioport_out32(last, 0), Err(Error::IllegalOperation));
    Ok(())
}

pub(crate) fn ports_are_not_reached_through_an_empty_slot(world: &mut World<'_>) -> Verdict {
    let span = world.memory.slots.alloc(SizeBits::ONE).at("slot")?;
    let empty: cap::IOPort = Slot::<cap_type::IOPort>::from_index(span.first as usize).cap();
    same!(empty.ioport_in8(com1().0), Err(Error::InvalidCapability));
    world.memory.slots.free(span).at("free slot")
}

/// Sends all 256 bytes to the chip itself, a FIFO at a time, so a newline too arrives as the one byte that it is.
pub(crate) fn bytes_are_sent_as_they_are(world: &mut World<'_>) -> Verdict {
    let port = world.ports.serial;
    looped(port, || echo(port, com1().0 + DATA, com1().0 + LINE_STATUS))
}

/// Has the chip receive what it sends, while `run` does.
pub(crate) fn looped(port: Port, run: impl FnOnce() -> Verdict) -> Verdict {
    let register = |offset| com1().0 + offset;
    // The bytes before these are on their way, and must not be received.
    let sent = (0..1_000_000).any(|_| port.ioport_in8(register(LINE_STATUS)).is_ok_and(|status| status & EMPTY != 0));
    check!(sent, "earlier bytes are not sent");
    let before = port.ioport_in8(register(MODEM_CONTROL)).at("modem control")?;
    port.ioport_out8(register(MODEM_CONTROL), before | LOOP).at("loop")?;
    let outcome = run();
    port.ioport_out8(register(MODEM_CONTROL), before).at("end of loop")?;
    outcome
}

fn echo(port: Port, data: u16, status: u16) -> Verdict {
    let bytes: [u8; 256] = core::array::from_fn(|byte| byte as u8);
    for chunk in bytes.chunks(FIFO) {
        devices::write(chunk).at("write")?;
        for &byte in chunk {
            let ready = (0..1_000_000).any(|_| port.ioport_in8(status).is_ok_and(|status| status & DATA_READY != 0));
            check!(ready, "{byte:#x} is not received");
            same!(port.ioport_in8(data), Ok(byte));
        }
    }
    same!(port.ioport_in8(status).map(|status| status & DATA_READY), Ok(0));
    Ok(())
}

pub(crate) fn com1_is_found_behind_its_own_ports_and_behind_no_others(world: &mut World<'_>) -> Verdict {
    check!(world.has_serial, "no COM1");
    check!(Serial::new(world.ports.fw_cfg).is_none(), "COM1 behind the ports of fw_cfg");
    Ok(())
}

pub(crate) fn the_debug_exit_is_out_of_reach_of_other_ports(world: &mut World<'_>) -> Verdict {
    let exit = *DebugExit::<Port>::PORTS.start();
    // Would end the run as a failure.
    same!(world.ports.serial.ioport_out8(exit, 0x11), Err(Error::IllegalOperation));
    Ok(())
}

pub(crate) fn a_timer_behind_other_ports_does_not_start(world: &mut World<'_>) -> Verdict {
    let mut pit = Pit::new(world.ports.serial);
    same!(pit.start(Ticks::lasting(Duration::from_millis(1))), Err(Error::IllegalOperation));
    same!(pit.stop(), Err(Error::IllegalOperation));
    Ok(())
}

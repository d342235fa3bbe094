// SPDX-License-Identifier: MIT OR Apache-2.0
//! COM1, debug exit, fw_cfg and timer of a PC, through seL4 capabilities
//!
//! Drivers for what the root task needs of a PC, each over a type of [`Ports`]: a capability to I/O ports in the guest
//! (feature `sel4`), a model of the device in the tests on the host. A driver names the ports that it uses, so that
//! whoever makes it can hand it a capability to these and no others.
//!
//! A device that is not there is no error: a PC has no fw_cfg, and may have no COM1.
#![no_std]

mod debug_exit;
mod fw_cfg;
mod pit;
mod ports;
#[cfg(feature = "sel4")]
mod receiver;
mod serial;
#[cfg(feature = "sel4")]
mod timer;

pub use debug_exit::DebugExit;
pub use fw_cfg::{DmaBuffer, File, FwCfg, FwCfgError, MAX_FILES, Reader};
pub use pit::{Pit, Ticks};
pub use ports::Ports;
#[cfg(feature = "sel4")]
pub use receiver::Receiver;
pub use serial::{Serial, Stuck};
#[cfg(feature = "sel4")]
pub use timer::{IrqPin, Timer};

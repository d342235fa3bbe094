// SPDX-License-Identifier: MIT OR Apache-2.0
//! All that the root task owns and no client has: memory, slots, address-space ids, window, endpoint, console.

use core::fmt::Write;

use sbm_abi::limits::PAGE;
use sbm_objects::NODES;
use sbm_server::{Clock, Free};
use sel4::{Error, ObjectBlueprint, cap};

use crate::{
    asid::Asids,
    badge::Signals,
    clock::{Alarm, Interrupts, Measurement},
    console::Console,
    memory::Memory,
    window::Window,
    worker::Worker,
};

/// What kernel objects are made of, and what belongs to no client.
pub(crate) struct Machine {
    pub(crate) memory: &'static mut Memory,
    pub(crate) asids: Asids,
    pub(crate) window: Window,
    /// The endpoint that all messages to the root task come to.
    pub(crate) endpoint: cap::Endpoint,
    pub(crate) console: Console,
    pub(crate) alarm: Alarm,
    pub(crate) worker: Worker,
}

impl Machine {
    /// Makes what the root task needs for itself.
    pub(crate) fn new(
        memory: &'static mut Memory,
        console: Console,
        timer: cap::IOPort,
        measurement: Measurement,
    ) -> Result<Self, Error> {
        // The larger first, since objects are aligned to their size.
        let bytes = 2 << ObjectBlueprint::Notification.physical_size_bits();
        let mut maker = memory.block(bytes, 2).map_err(|_| Error::NotEnoughMemory)?.maker();
        let (notification, endpoint) = (maker.object()?, maker.object()?);
        let mut window = Window::new(memory)?;
        let interrupts = Interrupts::new(notification)?;
        let handler = memory.slots(1).map_err(|_| Error::NotEnoughMemory)?.first();
        console.start_receiving(handler, interrupts.signal(memory, Signals::SERIAL)?)?;
        let alarm = Alarm::new(memory, &interrupts, timer, measurement)?;
        let worker = Worker::start(memory, &mut window, endpoint)?;
        Ok(Self { memory, asids: Asids::new(), window, endpoint, console, alarm, worker })
    }

    /// Returns what clients can have. What the root task may need for itself while they run, for pools of address-space
    /// ids and for splits of blocks, is set apart, so that nobody has to be charged for it.
    pub(crate) fn free(&self) -> Free {
        let (pools, splits) = (self.asids.unmade(), NODES as u32 - self.memory.split_slots());
        Free {
            bytes: self.memory.free_bytes().saturating_sub(u64::from(pools * PAGE)),
            slots: self.memory.free_slot_count().saturating_sub(pools + splits),
        }
    }

    /// Returns the time.
    pub(crate) fn clock(&self) -> Clock {
        self.alarm.clock()
    }

    /// Reports what the root task could not do; its caller gets an error reply.
    pub(crate) fn complain(&self, what: &str, error: Error) {
        if error != Error::NotEnoughMemory {
            let _ = writeln!(self.console.writer(), "root-task: the kernel refused {what}: {error:?}");
        }
    }
}

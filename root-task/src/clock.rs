// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time: the time-stamp counter, how fast it goes, and an interrupt when it is time to look.

use core::time::Duration;

use pc::{Pit, Ticks, Timer};
use sbm_server::Clock;
use sel4::{Error, IRQ_VECTORS, cap, init_thread::slot};

use crate::{
    badge::{Badge, Signals},
    cspace::path_of,
    memory::Memory,
};

const NANOS: u128 = 1_000_000_000;

/// Reads the time-stamp counter.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has it, and the kernel leaves it to user mode.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Measures how fast the counter goes, by the interval timer, while the root task boots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    start: u64,
}

impl Measurement {
    /// Starts to measure.
    pub(crate) fn start(ports: cap::IOPort) -> Result<Self, Error> {
        Pit::new(ports).start(Ticks::MAX)?;
        Ok(Self { start: ticks() })
    }

    /// Ends the measurement, which has to last a millisecond, and returns how far the counter goes in a second. One that
    /// took too long begins anew.
    pub(crate) fn finish(mut self, ports: cap::IOPort) -> Result<u64, Error> {
        let mut pit = Pit::new(ports);
        loop {
            match pit.elapsed()? {
                Some(elapsed) if elapsed.duration() >= Duration::from_millis(1) => {
                    let gone = u128::from(ticks() - self.start);
                    let per_second = gone * NANOS / elapsed.duration().as_nanos().max(1);
                    return Ok(u64::try_from(per_second).unwrap_or(u64::MAX).max(1));
                }
                Some(_) => {}
                None => self = Self::start(ports)?,
            }
        }
    }
}

/// The notification that interrupts signal, bound to the root task's thread.
pub(crate) struct Interrupts {
    notification: cap::Notification,
}

impl Interrupts {
    pub(crate) fn new(notification: cap::Notification) -> Result<Self, Error> {
        slot::TCB.cap().tcb_bind_notification(notification)?;
        Ok(Self { notification })
    }

    /// Makes a capability that signals `signal`.
    pub(crate) fn signal(&self, memory: &mut Memory, signal: Signals) -> Result<cap::Notification, Error> {
        let slot = memory.slots(1).map_err(|_| Error::NotEnoughMemory)?.first();
        let badge = Badge::Signals(signal).to_word();
        slot.path().mint(&path_of(self.notification), sel4::CapRights::all(), badge)?;
        Ok(slot.cap())
    }
}

/// The clock, and the timer that says when it is time to look.
pub(crate) struct Alarm {
    timer: Timer<cap::IOPort>,
    per_second: u64,
}

impl Alarm {
    pub(crate) fn new(
        memory: &mut Memory,
        interrupts: &Interrupts,
        ports: cap::IOPort,
        measurement: Measurement,
    ) -> Result<Self, Error> {
        let per_second = measurement.finish(ports)?;
        let handler = memory.slots(1).map_err(|_| Error::NotEnoughMemory)?.first();
        let pin = Timer::<cap::IOPort>::IRQ;
        let vector = *IRQ_VECTORS.start();
        slot::IRQ_CONTROL.cap().irq_control_get_ioapic(pin.ioapic, pin.pin, pin.trigger, vector, &handler.path())?;
        let timer = Timer::new(Pit::new(ports), handler.cap(), interrupts.signal(memory, Signals::TIMER)?)?;
        Ok(Self { timer, per_second })
    }

    /// Returns the time.
    pub(crate) fn clock(&self) -> Clock {
        Clock { now: ticks(), per_second: self.per_second }
    }

    /// Sets when the next signal comes, or none. A signal that is late to be stopped harms nobody.
    ///
    /// It comes later by two microseconds and a thousandth: one that came before its time, since the two clocks do not go
    /// quite alike, would have to be followed by another.
    pub(crate) fn set(&mut self, at: Option<u64>) {
        // A port that cannot be written is one that boot has found.
        let _ = match at {
            Some(at) => {
                let ahead = u128::from(at.saturating_sub(ticks())) * NANOS / u128::from(self.per_second);
                let ahead = ahead + ahead / 1000 + 2000;
                let ahead = Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX));
                self.timer.start(ahead).map(drop)
            }
            None => self.timer.stop(),
        };
    }

    /// Lets the next signal come.
    pub(crate) fn acknowledge(&self) {
        let _ = self.timer.ack();
    }
}

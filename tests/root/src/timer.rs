// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the one-shot timer: the PIT, its interrupt, and the notification that it signals.
//!
//! Time is compared in ticks of the processor's counter, of whose frequency nothing is known; so what is short is
//! compared with what is long. The machine may be slow, but is never fast.

use core::time::Duration;

use pc::{Pit, Ticks, Timer};
use sbm_objects::SizeBits;
use sel4::{CapRights, Error, IRQ_VECTORS, ObjectBlueprint, cap, cap_type, init_thread::Slot, init_thread::slot};

use crate::{
    World,
    check::{At, Verdict, check, same},
    devices::Port,
    memory::retype,
};

/// Badge of the notification that the interrupt signals.
const BADGE: sel4::Word = 0x71;

/// Longer than any shot, by far: some seconds on any processor.
const FOR_EVER: u64 = 1 << 34;

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_millis(40);

/// The timer, what it signals, and how long its longest shot is.
pub(crate) struct Rig {
    timer: Timer<Port>,
    signal: cap::Notification,
    /// In ticks of the processor's counter.
    longest: u64,
}

/// Reads the processor's counter.
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has it, and the kernel leaves it to user mode.
    unsafe { core::arch::x86_64::_rdtsc() }
}

impl Rig {
    /// Takes interrupt and ports, and finds out how long the longest shot is.
    fn new(world: &mut World<'_>) -> Verdict<Self> {
        // Three slots: the notification, itself with a badge, and the handler.
        let held = world.memory.hold(SizeBits::of::<12>(), SizeBits::of::<2>())?;
        let slot = |offset| Slot::<cap_type::Notification>::from_index((held.slots.first + offset) as usize);
        let (plain, badged, handler) = (slot(0), slot(1), slot(2).cast::<cap_type::IrqHandler>());
        retype(&held.block, &ObjectBlueprint::Notification, held.slots, 1).at("notification")?;
        badged.absolute().mint(&plain.absolute(), CapRights::all(), BADGE).at("badge")?;
        interrupt(*IRQ_VECTORS.start(), &handler).at("interrupt")?;
        let timer = Timer::new(Pit::new(world.ports.pit), handler.cap(), badged.cap()).at("timer")?;
        let mut rig = Self { timer, signal: plain.cap(), longest: FOR_EVER };
        rig.longest = rig.shot(Duration::MAX)?;
        Ok(rig)
    }

    /// Fires once, lets the next interrupt through, and returns how many ticks it took.
    fn shot(&mut self, after: Duration) -> Verdict<u64> {
        let start = ticks();
        self.timer.start(after).at("start")?;
        let badge = self.wait(FOR_EVER).at("a signal")?;
        let lasted = ticks() - start;
        self.timer.ack().at("ack")?;
        same!(badge, BADGE);
        Ok(lasted)
    }

    /// Waits for a signal, for some ticks at most.
    fn wait(&self, limit: u64) -> Option<sel4::Word> {
        let start = ticks();
        while ticks() - start < limit {
            let badge = self.signal.poll();
            if badge != 0 {
                return Some(badge);
            }
        }
        None
    }

    /// Returns more ticks than any shot takes that is under way.
    fn long_enough(&self) -> u64 {
        self.longest + self.longest / 2
    }

    /// The shortest of some shots: what disturbs one makes it longer.
    fn shortest(&mut self, after: Duration) -> Verdict<u64> {
        let mut shortest = u64::MAX;
        for _ in 0..5 {
            shortest = shortest.min(self.shot(after)?);
        }
        Ok(shortest)
    }
}

fn interrupt(vector: sel4::Word, handler: &Slot<cap_type::IrqHandler>) -> sel4::Result<()> {
    let pin = Timer::<Port>::IRQ;
    let control = slot::IRQ_CONTROL.cap();
    control.irq_control_get_ioapic(pin.ioapic, pin.pin, pin.trigger, vector, &handler.absolute())
}

/// The timer; the first test that asks makes it.
fn rig<'a>(world: &'a mut World<'_>) -> Verdict<&'a mut Rig> {
    if world.rig.is_none() {
        world.rig = Some(Rig::new(world)?);
    }
    world.rig.as_mut().at("timer")
}

pub(crate) fn a_shot_signals_its_notification(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    rig.shot(SHORT)?;
    same!(rig.wait(rig.long_enough()), None);
    Ok(())
}

pub(crate) fn a_longer_shot_takes_longer(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    let (short, long) = (rig.shortest(SHORT)?, rig.shortest(LONG)?);
    check!(long > 4 * short, "{LONG:?} took {long} ticks, {SHORT:?} took {short}");
    Ok(())
}

pub(crate) fn a_shot_is_at_least_as_long_as_asked_and_never_longer_than_it_can_be(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    let lasts = rig.timer.start(SHORT).at("start")?;
    check!(lasts >= SHORT && lasts < 2 * SHORT, "{SHORT:?} became {lasts:?}");
    // Takes the place of the first.
    let lasts = rig.timer.start(Duration::from_secs(1)).at("start")?;
    same!(lasts, Ticks::MAX.duration());
    same!(rig.wait(FOR_EVER), Some(BADGE));
    rig.timer.ack().at("ack")
}

pub(crate) fn a_sleeping_thread_is_woken(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    rig.timer.start(LONG).at("start")?;
    same!(rig.signal.wait(), BADGE);
    rig.timer.ack().at("ack")
}

pub(crate) fn each_of_many_shots_signals(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    for shot in 0..500 {
        let lasted = rig.shot(Duration::from_micros(200))?;
        check!(lasted > 0, "shot {shot} took no time");
    }
    Ok(())
}

pub(crate) fn a_second_signal_comes_after_the_ack_and_not_before(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    rig.timer.start(SHORT).at("start")?;
    same!(rig.wait(FOR_EVER), Some(BADGE));
    rig.timer.start(SHORT).at("second start")?;
    same!(rig.wait(rig.long_enough()), None);
    rig.timer.ack().at("ack")?;
    // The interrupt that was held back may come now, and is one signal at most.
    if rig.wait(rig.longest).is_some() {
        rig.timer.ack().at("ack")?;
    }
    rig.shot(SHORT).map(drop)
}

pub(crate) fn a_shot_that_was_replaced_does_not_signal(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    let long = rig.shortest(LONG)?;
    let start = ticks();
    rig.timer.start(LONG).at("start")?;
    let lasted = rig.shot(SHORT)?;
    let all = ticks() - start;
    same!(rig.wait(rig.long_enough()), None);
    check!(all < 4 * long, "{SHORT:?} took {lasted} ticks after a start for {LONG:?}, which takes {long}");
    Ok(())
}

/// QEMU's timer signals once more after it was stopped, a PC's does not; either way that is all.
pub(crate) fn after_a_stop_there_is_one_stale_signal_at_most(world: &mut World<'_>) -> Verdict {
    let rig = rig(world)?;
    rig.timer.start(SHORT).at("start")?;
    rig.timer.stop().at("stop")?;
    if let Some(badge) = rig.wait(rig.long_enough()) {
        same!(badge, BADGE);
        rig.timer.ack().at("ack")?;
    }
    same!(rig.wait(rig.long_enough()), None);
    rig.shot(SHORT).map(drop)
}

pub(crate) fn a_handler_signals_nothing_but_a_notification(world: &mut World<'_>) -> Verdict {
    let other = slot::TCB.cap().cast::<cap_type::Notification>();
    let span = world.memory.slots.alloc(SizeBits::ONE).at("slot")?;
    let handler = Slot::<cap_type::IrqHandler>::from_index(span.first as usize);
    // A pin and a vector of its own: nothing is connected to it.
    let control = slot::IRQ_CONTROL.cap();
    let (pin, vector) = (Timer::<Port>::IRQ, *IRQ_VECTORS.start() + 1);
    control.irq_control_get_ioapic(pin.ioapic, pin.pin + 1, pin.trigger, vector, &handler.absolute()).at("handler")?;
    same!(Timer::new(Pit::new(world.ports.pit), handler.cap(), other).err(), Some(Error::InvalidCapability));
    handler.absolute().delete().at("delete")?;
    world.memory.slots.free(span).at("free slot")
}

pub(crate) fn a_vector_is_given_out_once_and_only_where_there_is_one(world: &mut World<'_>) -> Verdict {
    rig(world)?;
    let span = world.memory.slots.alloc(SizeBits::ONE).at("slot")?;
    let handler = Slot::<cap_type::IrqHandler>::from_index(span.first as usize);
    same!(interrupt(*IRQ_VECTORS.start(), &handler), Err(Error::RevokeFirst));
    same!(interrupt(*IRQ_VECTORS.end() + 1, &handler), Err(Error::RangeError));
    rig(world)?.shot(SHORT)?;
    world.memory.slots.free(span).at("free slot")
}

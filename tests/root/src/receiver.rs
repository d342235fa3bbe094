// SPDX-License-Identifier: MIT OR Apache-2.0
//! A test of bytes that COM1 receives: its interrupt, and the notification that it signals.

use pc::{Receiver, Serial};
use sbm_objects::SizeBits;
use sel4::{
    CapRights, IRQ_VECTORS, ObjectBlueprint, cap, cap_type,
    init_thread::{Slot, slot},
};

use crate::{
    World,
    check::{At, Verdict, check, same},
    devices::Port,
    memory::retype,
    ports::looped,
};

/// Badge of the notification that the interrupt signals.
const BADGE: sel4::Word = 0x72;

/// Looks for a signal before it is given up: some seconds.
const PATIENCE: u32 = 10_000_000;

pub(crate) fn a_byte_that_com1_receives_signals_and_is_taken_out(world: &mut World<'_>) -> Verdict {
    let held = world.memory.hold(SizeBits::of::<12>(), SizeBits::of::<2>())?;
    let slot_at = |offset| Slot::<cap_type::Notification>::from_index((held.slots.first + offset) as usize);
    let (plain, badged, handler) = (slot_at(0), slot_at(1), slot_at(2).cast::<cap_type::IrqHandler>());
    retype(&held.block, &ObjectBlueprint::Notification, held.slots, 1).at("notification")?;
    badged.absolute().mint(&plain.absolute(), CapRights::all(), BADGE).at("badge")?;
    let (pin, vector) = (Receiver::IRQ, *IRQ_VECTORS.start() + 1);
    let control = slot::IRQ_CONTROL.cap();
    control.irq_control_get_ioapic(pin.ioapic, pin.pin, pin.trigger, vector, &handler.absolute()).at("handler")?;
    let mut serial = Serial::new(world.ports.serial).at("COM1")?;
    let receiver = Receiver::new(&mut serial, handler.cap(), badged.cap()).at("receiver")?;
    let outcome = looped(world.ports.serial, || signals(&receiver, &mut serial, plain.cap()));
    // Set up anew, it raises no interrupt.
    Serial::new(world.ports.serial).at("COM1 again")?;
    handler.absolute().delete().at("delete")?;
    world.memory.give_back(held)?;
    outcome
}

/// Has COM1 receive what it sends.
fn signals(receiver: &Receiver, serial: &mut Serial<Port>, signal: cap::Notification) -> Verdict {
    same!(signal.poll(), 0);
    for (text, is_wanted) in [("x", false), ("?", true), ("y?z", true), ("", false)] {
        serial.write(text.as_bytes()).at("write")?;
        if !text.is_empty() {
            check!((0..PATIENCE).any(|_| signal.poll() == BADGE), "{text} does not signal");
        }
        same!(receiver.take(serial, b'?'), Ok(is_wanted));
    }
    same!(signal.poll(), 0);
    Ok(())
}

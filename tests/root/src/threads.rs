// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of what a root task does to threads: run and stop them, read their registers, bind their notifications.

use core::sync::atomic::{AtomicU64, Ordering};

use sbm_objects::SizeBits;
use sel4::{
    CNodeCapData, CPtr, CapRights, Error, ObjectBlueprint, UserContext, cap, cap_type,
    init_thread::{Slot, slot},
};

use crate::{
    World,
    check::{At, Verdict, check, same},
    memory::{Held, retype},
};

/// What the second thread counts to: the only memory that it touches.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts for ever. It needs no stack, so that it can be a thread beside the suite's.
#[unsafe(naked)]
extern "C" fn count() -> ! {
    core::arch::naked_asm!(
        "2:",
        "lock inc qword ptr [rip + {count}]",
        "jmp 2b",
        count = sym COUNT,
    )
}

/// Bytes of [`count`], at most.
const COUNT_BYTES: u64 = 16;

/// Flags of a thread: the bit that is always set, and interrupts.
const FLAGS: u64 = 1 << 1 | 1 << 9;

/// Gives the counting thread its time slice, and returns how far it came.
fn counted() -> u64 {
    let before = COUNT.load(Ordering::Relaxed);
    sel4::r#yield();
    COUNT.load(Ordering::Relaxed) - before
}

/// Makes a thread in the suite's own address space, with the suite's priority, that has not run.
fn thread(world: &mut World<'_>) -> Verdict<(Held, cap::Tcb)> {
    let held = world.memory.hold(SizeBits::of::<12>(), SizeBits::ONE)?;
    retype(&held.block, &ObjectBlueprint::Tcb, held.slots, 1).at("thread")?;
    let thread = cap::Tcb::from_bits(held.slots.first.into());
    let guard = CNodeCapData::skip_high_bits(world.bootinfo.init_cnode_size_bits());
    let (authority, cspace, vspace) = (slot::TCB.cap(), slot::CNODE.cap(), slot::VSPACE.cap());
    thread.tcb_configure(CPtr::NULL, u8::MAX, authority, cspace, guard, vspace, None).at("configure")?;
    let mut context = UserContext::zeroed();
    (*context.pc_mut(), *context.flags_mut()) = ((count as extern "C" fn() -> !) as usize as u64, FLAGS);
    thread.tcb_write_all_registers(false, &context).at("registers")?;
    Ok((held, thread))
}

pub(crate) fn a_thread_runs_from_its_resume_to_its_suspend_and_no_longer(world: &mut World<'_>) -> Verdict {
    let (held, thread) = thread(world)?;
    same!(counted(), 0);
    thread.tcb_resume().at("resume")?;
    check!(counted() > 0, "the thread does not run");
    thread.tcb_suspend().at("suspend")?;
    same!(counted(), 0);
    thread.tcb_resume().at("second resume")?;
    check!(counted() > 0, "the thread does not go on");
    world.memory.give_back(held)?;
    same!(counted(), 0);
    Ok(())
}

pub(crate) fn registers_are_read_as_they_were_written(world: &mut World<'_>) -> Verdict {
    let (held, thread) = thread(world)?;
    let mut written = UserContext::zeroed();
    (*written.pc_mut(), *written.sp_mut(), *written.flags_mut()) = (0x1000, 0x2000, FLAGS);
    let registers = written.inner_mut();
    (registers.rax, registers.rdi, registers.r15) = (0xa, 0xd1, 0x15);
    thread.tcb_write_all_registers(false, &written).at("write")?;
    same!(thread.tcb_read_registers(false, UserContext::COUNT_ALL).at("read")?, written);
    let first = thread.tcb_read_registers(false, UserContext::COUNT_FLAGS).at("read of the first")?;
    same!((first.pc(), first.sp(), first.flags()), (0x1000, 0x2000, FLAGS));
    same!((first.inner().rax, first.inner().r15), (0, 0));
    world.memory.give_back(held)
}

pub(crate) fn registers_of_a_running_thread_are_read_and_it_stops(world: &mut World<'_>) -> Verdict {
    let (held, thread) = thread(world)?;
    let code = (count as extern "C" fn() -> !) as usize as u64;
    thread.tcb_resume().at("resume")?;
    check!(counted() > 0, "the thread does not run");
    let running = thread.tcb_read_registers(false, UserContext::COUNT_FLAGS).at("read")?;
    check!((code..code + COUNT_BYTES).contains(&running.pc()), "it is at {:#x}, not at {code:#x}", running.pc());
    check!(counted() > 0, "the thread stopped");
    thread.tcb_read_registers(true, UserContext::COUNT_FLAGS).at("read that stops")?;
    same!(counted(), 0);
    world.memory.give_back(held)
}

pub(crate) fn a_thread_does_not_read_its_own_registers(_: &mut World<'_>) -> Verdict {
    same!(slot::TCB.cap().tcb_read_registers(false, UserContext::COUNT_FLAGS), Err(Error::IllegalOperation));
    Ok(())
}

/// Makes an endpoint, a notification and a copy of it with a badge.
fn objects(world: &mut World<'_>, badge: sel4::Badge) -> Verdict<(Held, cap::Endpoint, cap::Notification)> {
    let held = world.memory.hold(SizeBits::of::<12>(), SizeBits::of::<2>())?;
    let mut slots = held.slots;
    retype(&held.block, &ObjectBlueprint::Endpoint, slots, 1).at("endpoint")?;
    slots.first += 1;
    retype(&held.block, &ObjectBlueprint::Notification, slots, 1).at("notification")?;
    let path = |slot: u32| Slot::<cap_type::Notification>::from_index(slot as usize).absolute();
    path(slots.first + 1).mint(&path(slots.first), CapRights::all(), badge).at("badge")?;
    let endpoint = cap::Endpoint::from_bits(held.slots.first.into());
    Ok((held, endpoint, cap::Notification::from_bits((slots.first + 1).into())))
}

/// As a thread that waits for messages hears of a timer.
pub(crate) fn a_signal_reaches_the_thread_that_its_notification_is_bound_to(world: &mut World<'_>) -> Verdict {
    let (held, endpoint, signal) = objects(world, 0x5)?;
    slot::TCB.cap().tcb_bind_notification(signal).at("bind")?;
    same!(signal.poll(), 0);
    signal.signal();
    let (_, badge, _) = endpoint.recv_with_mrs();
    same!(badge, 0x5);
    same!(signal.poll(), 0);
    world.memory.give_back(held)
}

pub(crate) fn a_thread_is_bound_to_one_notification_only(world: &mut World<'_>) -> Verdict {
    let this = slot::TCB.cap();
    let (first, _, signal) = objects(world, 1)?;
    let (second, _, other) = objects(world, 2)?;
    this.tcb_bind_notification(signal).at("bind")?;
    same!(this.tcb_bind_notification(other), Err(Error::IllegalOperation));
    // The notification's end is the end of the bond.
    world.memory.give_back(first)?;
    this.tcb_bind_notification(other).at("bind to another one")?;
    world.memory.give_back(second)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guarded heap: which pages are mapped after which request, who pays for them, and what is none of its requests.

use std::{vec, vec::Vec};

use sbm_abi::{
    Access, BufferAccess, Errno, FaultKind, Handle, Own, Pages, Registers, Request, Response, Restore, Spec, Zone,
    guarded::{NUMBER, PageAsk},
    limits::PAGE,
};

use super::{ENTRIES, QUOTA, World, index, touch};
use sbm_system::Amounts;

use crate::{Charge, Handled, KernelFault, Quota, SLICE, State};

const IP: u64 = 0x20_7000;

fn guarded(heap_pages: u32) -> Spec {
    Spec { own: Some(Own { heap_pages: heap_pages | Own::GUARDED, ..Own::default() }), ..Spec::default() }
}

fn message(address: u32, mapped: bool) -> KernelFault {
    KernelFault::UnknownSyscall { ip: IP, number: NUMBER, word: PageAsk { address, mapped }.into_word() }
}

impl World {
    fn init_guarded(&mut self, from: u64, heap_pages: u32) -> (Handle, Zone) {
        let Response::Ready { handle, .. } = self.ask(from, &Request::Init(guarded(heap_pages))) else { panic!() };
        let sandbox = self.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap();
        (handle, sandbox.zones.heap.unwrap().0)
    }

    fn ask_page(&mut self, handle: Handle, address: u32, mapped: bool) -> Handled {
        self.server.fault(&mut self.machine, index(handle), message(address, mapped))
    }

    /// Asks as a thread does, which goes back to its request until it was served, and counts how often.
    fn ask_on(&mut self, handle: Handle, address: u32, mapped: bool) -> usize {
        let asked = (0..100).take_while(|_| self.ask_page(handle, address, mapped) == Handled::GoesOn).count();
        assert_eq!(self.machine.restarts.last().unwrap().1, Registers::behind(IP.try_into().unwrap()));
        asked
    }

    fn last(&self) -> Registers {
        self.machine.restarts.last().unwrap().1
    }
}

/// Returns which of a heap's pages are mapped, by their numbers.
fn there(world: &World, handle: Handle, heap: Zone) -> Vec<u32> {
    let Pages { address, .. } = heap.pages();
    let mapped = &world.sandbox(handle).mapped;
    let inside = mapped.iter().filter(|(page, _)| heap.pages().contains(u64::from(**page)));
    assert!(inside.clone().all(|(_, (_, access))| *access == BufferAccess::ReadWrite));
    inside.map(|(page, _)| (page - address) / PAGE).collect()
}

#[test]
fn a_page_is_mapped_when_it_is_asked_for_and_no_other_one() {
    let mut world = World::new();
    let (handle, heap) = world.init_guarded(0, 64);
    let page = |number: u32| heap.pages().address + number * PAGE;
    let before = world.charge(0);
    assert_eq!((world.ask_on(handle, page(1), true), there(&world, handle, heap)), (1, vec![1]));
    assert_eq!(world.charge(0), before.plus(Charge::of(4, 4)), "for its chunk");
    assert_eq!(world.ask_on(handle, page(3), true), 0, "its chunk is there");
    assert_eq!(world.ask_on(handle, page(1), true), 0, "once more");
    assert_eq!(world.ask_on(handle, page(9), true), 1);
    assert_eq!(there(&world, handle, heap), [1, 3, 9]);
    assert_eq!(world.ask_on(handle, page(3), false), 0);
    assert_eq!(world.ask_on(handle, page(3), false), 0, "once more");
    assert_eq!(there(&world, handle, heap), [1, 9]);
    assert_eq!(world.charge(0), before.plus(Charge::of(4, 4)).plus(Charge::of(8, 8)), "what was taken is kept");
    assert_eq!(world.state(handle), Some(State::Ready));
    world.check();
}

#[test]
fn a_large_chunk_is_made_in_steps_up_to_the_page() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: Amounts { pages: 800, slots: 2000, ..QUOTA.limit }, ..QUOTA });
    let (handle, heap) = world.init_guarded(0, 256);
    let chunk = heap.chunk(6).unwrap();
    let page = chunk.address + (3 * SLICE + 1) * PAGE;
    for step in 0..4 {
        world.machine.effort = 0;
        assert_eq!(world.ask_page(handle, page, true), Handled::GoesOn, "{step}");
        assert!(world.machine.effort <= SLICE);
    }
    assert_eq!(world.ask_page(handle, page, true), Handled::Served);
    assert_eq!(world.ask_page(handle, chunk.address, true), Handled::Served);
    world.check();
}

#[test]
fn no_page_comes_by_a_touch() {
    let mut world = World::new();
    let (handle, heap) = world.init_guarded(0, 64);
    let address = heap.pages().address;
    for _ in 0..2 {
        for page in [0, 1, 63] {
            let fault = touch(u64::from(address + page * PAGE));
            assert_eq!(world.server.fault(&mut world.machine, index(handle), fault), Handled::Ended);
            assert_eq!(world.last().rax & 0xff, FaultKind::Page as u64);
        }
        assert_eq!(there(&world, handle, heap).len(), 0);
        world.ask_on(handle, address, true);
        world.ask_on(handle, address, false);
    }
}

#[test]
fn what_asks_for_no_page_of_its_own_heap_ends_the_call() {
    let mut world = World::new();
    let (other, theirs) = world.init_guarded(0, 64);
    let (handle, heap) = world.init_guarded(0, 64);
    let Response::Ready { handle: plain, .. } = world.ask(0, &Request::Init(Spec::default())) else { panic!() };
    let spec = Spec { own: Some(Own { heap_pages: 64, ..Own::default() }), ..Spec::default() };
    let Response::Ready { handle: unguarded, .. } = world.ask(0, &Request::Init(spec)) else { panic!() };
    let Pages { address, .. } = heap.pages();
    let before = world.charge(0);
    let (arguments, stack) = world.parts(handle);
    for ask in [address - PAGE, heap.pages().end(), theirs.pages().address, arguments.address, stack.address, 0] {
        for mapped in [true, false] {
            assert_eq!(world.ask_page(handle, ask, mapped), Handled::Ended, "{ask:#x}");
            assert_eq!(world.last().rax & 0xff, FaultKind::SystemCall as u64);
        }
    }
    assert_eq!(world.ask_page(handle, address, false), Handled::Ended, "given back before it was there");
    let good = PageAsk { address, mapped: true }.into_word();
    for (ip, number, word) in [
        (IP, NUMBER, good | 2),
        (IP, NUMBER, good + 8),
        (IP, NUMBER, good | 1 << 32),
        (IP, NUMBER + 1, good),
        (IP, NUMBER | 1 << 32, good),
        (1 << 32, NUMBER, good),
        (0x8000_0000_0000_0000, NUMBER, good),
    ] {
        let message = KernelFault::UnknownSyscall { ip, number, word };
        assert_eq!(world.server.fault(&mut world.machine, index(handle), message), Handled::Ended, "{message:?}");
    }
    for sandbox in [plain, unguarded] {
        assert_eq!(world.ask_page(sandbox, address, true), Handled::Ended);
    }
    let own = world.server.sandboxes[index(unguarded).get()].sandbox.as_ref().unwrap().zones.heap.unwrap().0;
    assert_eq!(world.ask_page(unguarded, own.pages().address, true), Handled::Ended);
    assert_eq!((there(&world, handle, heap).len(), there(&world, other, theirs).len()), (0, 0));
    assert_eq!(world.charge(0), before);
    world.check();
}

#[test]
fn a_spare_a_stopped_and_an_unfinished_sandbox_get_nothing() {
    let mut world = World::new();
    for state in [State::Spare, State::Stopped, State::Unfinished] {
        let (handle, heap) = world.init_guarded(0, 16);
        world.server.sandboxes[index(handle).get()].sandbox.as_mut().unwrap().state = state;
        assert_eq!(world.ask_page(handle, heap.pages().address, true), Handled::Ended);
        assert_eq!(there(&world, handle, heap).len(), 0);
    }
}

#[test]
fn without_memory_or_room_a_request_is_told_as_a_touch_of_the_page() {
    let mut world = World::new();
    let (handle, heap) = world.init_guarded(0, 64);
    let page = heap.pages().end() - PAGE;
    let told = |world: &World| (world.last().rax & 0xff, world.last().rax >> 8 & 0xff, world.last().rbx);
    let expected = |kind| (kind as u64, Access::Write as u64, u64::from(page));
    world.machine.fails_in = Some(0);
    assert_eq!(world.ask_page(handle, page, true), Handled::Ended);
    assert_eq!(told(&world), expected(FaultKind::NoMemory));
    let limit = Amounts { pages: world.charge(0).pages + 31, ..QUOTA.limit };
    world.set_quota(0, Quota { limit, ..QUOTA });
    assert_eq!(world.ask_page(handle, page, true), Handled::Ended);
    assert_eq!(told(&world), expected(FaultKind::OverQuota));
    world.set_quota(0, QUOTA);
    world.machine.is_late_in = Some(0);
    assert_eq!(world.ask_page(handle, page, true), Handled::Waits);
    world.server.resume(&mut world.machine);
    assert_eq!(world.machine.went_on.len(), 1, "and asks again");
    assert_eq!(world.ask_on(handle, page, true), 1);
    world.check();
}

#[test]
fn what_the_kernel_refuses_ends_the_call() {
    let mut world = World::new();
    let (handle, heap) = world.init_guarded(0, 64);
    let address = heap.pages().address;
    world.ask_on(handle, address, true);
    world.machine.refuses = true;
    assert_eq!(world.ask_page(handle, address + PAGE, true), Handled::Ended);
    assert_eq!(world.last().rax & 0xff, FaultKind::SystemCall as u64);
    assert_eq!(there(&world, handle, heap), [0]);
    world.check();
}

#[test]
fn a_reset_leaves_nothing_of_a_guarded_heap() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: Amounts { pages: 800, slots: 2000, ..QUOTA.limit }, ..QUOTA });
    let (handle, heap) = world.init_guarded(0, 256);
    let (arguments, stack) = world.parts(handle);
    let before = world.charge(0);
    for _ in 0..3 {
        for chunk in [0, 2, 6] {
            world.ask_on(handle, heap.chunk(chunk).unwrap().address, true);
        }
        world.ask_on(handle, heap.chunk(2).unwrap().address, false);
        assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
        assert_eq!((there(&world, handle, heap).len(), world.charge(0)), (0, before));
        assert_eq!(world.last(), Registers::reset(ENTRIES, arguments, stack, Restore::default()));
        world.check();
    }
    world.ask_on(handle, heap.pages().address, true);
    assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
    let Response::Ready { handle, used, .. } = world.ask(0, &Request::Init(guarded(256))) else { panic!() };
    assert!(!used, "nor does a spare have any of it");
    assert_eq!(there(&world, handle, heap).len(), 0);
    world.check();
}

#[test]
fn a_snapshot_of_a_guarded_heap_is_refused() {
    let mut world = World::new();
    let (handle, heap) = world.init_guarded(0, 64);
    for _ in 0..2 {
        assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Refused(Errno::Invalid));
        world.ask_on(handle, heap.pages().address, true);
    }
    world.check();
}

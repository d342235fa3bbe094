// SPDX-License-Identifier: MIT OR Apache-2.0
//! The heap of a sandbox: what is there of it after which touch, who pays for it, and what is no touch of it.

use sbm_abi::{
    BufferAccess, Chunks, Errno, FaultKind, Handle, LayoutError, Own, Pages, Registers, Request, Response, Restore,
    Spec, ZONE_CHUNKS, Zone,
    limits::{HEAP_PAGES, INPUT_BASE, PAGE},
};

use super::{
    DATA, DATA_PAGES, ENTRIES, PRIORITIES, QUOTA, World, begin, client, exception, fake::Frame, index, map, pages,
    spec, touch,
};
use sbm_system::Amounts;

use crate::{Charge, Effect, Handled, InitError, KernelFault, MapError, Quota, SLICE, State};

fn with_heap(heap_pages: u32) -> Spec {
    Spec { own: Some(Own { heap_pages, ..Own::default() }), ..Spec::default() }
}

impl World {
    /// Makes a sandbox with a heap, and returns where that is.
    fn init_heap(&mut self, from: u64, heap_pages: u32) -> (Handle, Zone) {
        let Response::Ready { handle, .. } = self.ask(from, &Request::Init(with_heap(heap_pages))) else { panic!() };
        (handle, self.heap_of(handle))
    }

    fn heap_of(&self, handle: Handle) -> Zone {
        let sandbox = self.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap();
        sandbox.zones.heap.unwrap().0
    }

    pub(super) fn touch(&mut self, handle: Handle, address: u32) -> Handled {
        self.server.fault(&mut self.machine, index(handle), touch(address.into()))
    }

    /// Returns the kind of the fault that the last restart told.
    fn told(&self) -> u64 {
        self.machine.restarts.last().unwrap().1.rax & 0xff
    }
}

#[test]
fn a_heap_is_empty_at_first_and_costs_no_pages() {
    let mut world = World::new();
    world.init(1, 1);
    let (handle, heap) = world.init_heap(0, 64);
    let Response::Ready { handle: plain, .. } = world.ask(0, &Request::Init(Spec::default())) else { panic!() };
    assert_eq!(world.sandbox(handle).mapped.len(), world.sandbox(plain).mapped.len());
    assert!(world.sandbox(handle).mapped.keys().all(|page| !heap.pages().contains(u64::from(*page))));
    let charge = |handle| world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().charge;
    assert_eq!(charge(handle), charge(plain));
}

#[test]
fn a_touch_brings_its_chunk_to_the_sandbox_and_nothing_else() {
    let mut world = World::new();
    let (handle, heap) = world.init_heap(0, 64);
    let restarts = world.machine.restarts.len();
    for (offset, number) in [(0x8000 - 1, 1), (0x8000, 2), (0, 0), (64 * 0x1000 - 1, 4)] {
        let before = (world.sandbox(handle).mapped.clone(), world.charge(0));
        let owners = world.machine.owners[&0].mapped.clone();
        assert_eq!(world.touch(handle, heap.pages().address + offset), Handled::GoesOn);
        let chunk = heap.chunk(number).unwrap();
        let made = world.sandbox(handle);
        assert!(pages(chunk.address, chunk.count).all(|page| made.mapped[&page].1 == BufferAccess::ReadWrite));
        assert_eq!(world.machine.owners[&0].mapped, owners);
        assert_eq!(made.mapped.len(), before.0.len() + chunk.count as usize);
        let count = chunk.count;
        assert_eq!(world.charge(0), before.1.plus(Charge::of(count, count)));
        world.check();
    }
    assert_eq!(world.state(handle), Some(State::Ready));
    assert_eq!(world.machine.restarts.len(), restarts, "a thread that goes on keeps its registers");
}

#[test]
fn what_is_no_touch_of_the_heap_ends_the_call() {
    let mut world = World::new();
    let (handle, heap) = world.init_heap(0, 16);
    let Pages { address, .. } = heap.pages();
    assert_eq!(world.touch(handle, address), Handled::GoesOn);
    // The second time it is there already: the fault is another one, or forged.
    assert_eq!((world.touch(handle, address), world.told()), (Handled::Ended, FaultKind::Page as u64));
    assert_eq!(world.state(handle), Some(State::Faulted));
    for other in [address - 1, heap.pages().end(), 0, u32::MAX] {
        assert_eq!(world.touch(handle, other), Handled::Ended, "{other:#x}");
    }
    let beyond = u64::from(address) + 0x8000;
    for fault in
        [exception(beyond, 13), KernelFault::UnknownSyscall { ip: beyond, number: 1, word: beyond }, KernelFault::Other]
    {
        assert_eq!(world.server.fault(&mut world.machine, index(handle), fault), Handled::Ended);
    }
    let above = touch(u64::from(address) + 0x8000 + (1 << 32));
    assert_eq!(world.server.fault(&mut world.machine, index(handle), above), Handled::Ended);
    assert_eq!(world.sandbox(handle).mapped.len(), 3 + 4);
}

#[test]
fn a_touch_of_another_sandboxs_heap_ends_the_call() {
    let mut world = World::new();
    let (_, theirs) = world.init_heap(0, 16);
    let (handle, _) = world.init_heap(0, 16);
    let Response::Ready { handle: plain, .. } = world.ask(0, &Request::Init(Spec::default())) else { panic!() };
    for handle in [handle, plain] {
        let before = world.sandbox(handle).mapped.len();
        assert_eq!(world.touch(handle, theirs.pages().address), Handled::Ended);
        assert_eq!(world.sandbox(handle).mapped.len(), before);
    }
}

#[test]
fn a_spare_and_a_stopped_sandbox_get_nothing() {
    let mut world = World::new();
    for state in [State::Spare, State::Stopped] {
        let (handle, heap) = world.init_heap(0, 16);
        world.server.sandboxes[index(handle).get()].sandbox.as_mut().unwrap().state = state;
        assert_eq!(world.touch(handle, heap.pages().address), Handled::Ended);
        assert!(world.server.sandboxes[index(handle).get()].additions.chunks.is_empty());
    }
}

#[test]
fn a_heap_without_memory_or_room_is_told_as_that() {
    let mut world = World::new();
    let (handle, heap) = world.init_heap(0, 64);
    let last = heap.pages().end() - 1;
    world.machine.fails_in = Some(0);
    assert_eq!((world.touch(handle, last), world.told()), (Handled::Ended, FaultKind::NoMemory as u64));
    let charge = world.charge(0);
    let limit = Amounts { pages: charge.pages + 31, ..QUOTA.limit };
    world.set_quota(0, Quota { limit, ..QUOTA });
    assert_eq!((world.touch(handle, last), world.told()), (Handled::Ended, FaultKind::OverQuota as u64));
    assert_eq!(world.charge(0), charge);
    world.set_quota(0, QUOTA);
    assert_eq!(world.touch(handle, last), Handled::GoesOn);
    world.check();
}

#[test]
fn spares_make_room_for_a_heap() {
    let mut world = World::new();
    let spare = world.init(0, 40);
    let (handle, heap) = world.init_heap(0, 64);
    assert_eq!(world.ask(0, &Request::Destroy(spare)), Response::Done);
    let limit = Amounts { pages: world.charge(0).pages + 4, ..QUOTA.limit };
    world.set_quota(0, Quota { limit, ..QUOTA });
    assert_eq!(world.touch(handle, heap.pages().end() - 1), Handled::GoesOn);
    assert_eq!(world.state(spare), None);
    world.check();
}

#[test]
fn a_touch_waits_for_the_room_that_a_large_spare_leaves() {
    let mut world = World::new();
    let limit = Amounts { pages: 800, slots: 2000, ..QUOTA.limit };
    world.set_quota(0, Quota { limit, ..QUOTA });
    let spare = world.init(0, 150);
    let (handle, heap) = world.init_heap(0, 64);
    assert_eq!(world.ask(0, &Request::Destroy(spare)), Response::Done);
    world.set_quota(0, Quota { limit: Amounts { pages: world.charge(0).pages + 4, ..limit }, ..QUOTA });
    let last = heap.pages().end() - 1;
    assert_eq!((world.touch(handle, last), world.state(spare)), (Handled::Waits, Some(State::Doomed)));
    assert!(world.server.waits());
    assert_eq!(world.server.busy_priority(), Some(PRIORITIES.usual), "there is something to do, and it waits");
    while world.server.has_work() {
        assert!(world.machine.went_on.is_empty());
        world.work();
    }
    assert_eq!((world.machine.went_on.len(), world.server.waits()), (1, false));
    assert_eq!(world.touch(handle, last), Handled::GoesOn);
    world.check();
}

#[test]
fn whoever_comes_after_a_sandbox_that_waited_is_not_told_to_go_on() {
    // Another client's, and one of the same client that is not whole.
    for (owner, pages) in [(1, 1), (0, 100)] {
        let mut world = World::new();
        world.set_quota(0, Quota { spares: 0, ..QUOTA });
        let (handle, heap) = world.init_heap(0, 64);
        world.machine.is_late_in = Some(0);
        assert_eq!(world.touch(handle, heap.pages().address), Handled::Waits);
        assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
        begin(&mut world, owner, &Request::Init(spec(pages)));
        let later = Handle::new(handle.index(), handle.generation() + 1);
        assert_eq!(world.state(later), Some(if pages == 1 { State::Ready } else { State::Unfinished }));
        world.server.resume(&mut world.machine);
        assert!(world.machine.went_on.is_empty(), "{owner}");
        world.settle();
        world.check();
    }
}

#[test]
fn whoever_restarts_clears_the_chunks_that_are_there() {
    let mut world = World::new();
    let (handle, heap) = world.init_heap(0, 64);
    let (arguments, stack) = world.parts(handle);
    let restarted = |world: &World| world.machine.restarts.last().unwrap().1;
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!(restarted(&world), Registers::reset(ENTRIES, arguments, stack, Restore::default()));
    for number in [3, 0] {
        assert_eq!(world.touch(handle, heap.chunk(number).unwrap().address), Handled::GoesOn);
    }
    let chunks = Chunks::default().with(0).with(3);
    let restore = Restore::new(Some((heap, 0)), None, chunks, Chunks::default());
    let cleared = Registers::reset(ENTRIES, arguments, stack, restore);
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!(restarted(&world), cleared);
    assert_eq!(begin(&mut world, 0, &Request::Reset(handle)), Effect::Answer(Response::Done), "at once");
    assert_eq!(restarted(&world), cleared, "they stay");
    assert_eq!(world.touch(handle, heap.chunk(3).unwrap().address), Handled::Ended);
    assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
    assert_eq!(restarted(&world), cleared, "and are kept in a spare");
    assert!(matches!(world.ask(0, &Request::Init(with_heap(32))), Response::Ready { used: false, .. }));
    assert!(matches!(world.ask(0, &Request::Init(with_heap(64))), Response::Ready { used: true, .. }));
    world.check();
}

#[test]
fn a_sandbox_with_a_chunk_that_is_there_in_part_becomes_no_spare() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: Amounts { pages: 800, slots: 2000, ..QUOTA.limit }, ..QUOTA });
    let (handle, heap) = world.init_heap(0, 128);
    let chunk = heap.chunk(5).unwrap();
    assert!(chunk.count > SLICE);
    // Its first pages come by one touch, the others by another one.
    assert_eq!(world.touch(handle, chunk.address), Handled::GoesOn);
    assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
    let again = world.ask(0, &Request::Init(with_heap(128)));
    assert!(matches!(again, Response::Ready { used: false, .. }), "{again:?}");
    world.check();

    let Response::Ready { handle, .. } = again else { panic!() };
    let chunk = world.heap_of(handle).chunk(5).unwrap();
    for _ in 0..2 {
        assert_eq!(world.touch(handle, chunk.address), Handled::GoesOn);
    }
    assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
    assert!(matches!(world.ask(0, &Request::Init(with_heap(128))), Response::Ready { used: true, .. }), "a whole one");
    world.check();
}

#[test]
fn a_reset_takes_out_what_is_there_in_part() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: Amounts { pages: 800, slots: 2000, ..QUOTA.limit }, ..QUOTA });
    let (handle, heap) = world.init_heap(0, 256);
    let (arguments, stack) = world.parts(handle);
    let before = world.charge(0);
    assert_eq!(world.touch(handle, heap.pages().address), Handled::GoesOn);
    let with_one = world.charge(0);
    let chunk = heap.chunk(6).unwrap();
    assert!(chunk.count > 2 * SLICE);
    for _ in 0..2 {
        assert_eq!(world.touch(handle, chunk.address), Handled::GoesOn);
    }
    assert_eq!(begin(&mut world, 0, &Request::Reset(handle)), Effect::Wait);
    // What runs on brings nothing in.
    let restarts = world.machine.restarts.len();
    assert_eq!(world.touch(handle, chunk.end() - 1), Handled::Ended);
    assert_eq!(world.machine.restarts.len(), restarts);
    world.settle();
    assert_eq!(world.answered(0), Response::Done);
    assert_ne!(before, with_one);
    assert_eq!(world.charge(0), with_one);
    let restore = Restore::new(Some((heap, 0)), None, Chunks::default().with(0), Chunks::default());
    let cleared = Registers::reset(ENTRIES, arguments, stack, restore);
    assert_eq!(world.machine.restarts.last().unwrap().1, cleared);
    assert_eq!(world.state(handle), Some(State::Ready));
    world.check();
    assert_eq!(world.touch(handle, chunk.address), Handled::GoesOn, "and it may be there again");
}

#[test]
fn a_sandbox_that_touches_again_and_again_waits_once() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: Amounts { pages: 800, slots: 2000, ..QUOTA.limit }, ..QUOTA });
    let (handle, heap) = world.init_heap(0, 64);
    let (other, its_heap) = world.init_heap(0, 64);
    for (sandbox, heap) in [(handle, heap); 32].into_iter().chain([(other, its_heap)]) {
        world.machine.is_late_in = Some(0);
        assert_eq!(world.touch(sandbox, heap.pages().address), Handled::Waits);
    }
    world.check();
}

#[test]
fn a_touch_for_which_no_place_to_wait_is_left_is_told_that_there_is_no_memory() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: Amounts { sandboxes: 16, pages: 800, slots: 2000 }, ..QUOTA });
    let heaps = core::array::from_fn::<_, 9, _>(|_| world.init_heap(0, 64));
    for (number, (sandbox, heap)) in heaps.into_iter().enumerate() {
        world.machine.is_late_in = Some(0);
        let handled = world.touch(sandbox, heap.pages().address);
        assert_eq!(handled, if number < 8 { Handled::Waits } else { Handled::Ended }, "{number}");
    }
    assert_eq!(world.told(), FaultKind::NoMemory as u64);
    world.check();
}

#[test]
fn heaps_outside_their_limits_are_refused_with_the_size() {
    let mut world = World::new();
    for pages in [3, 5, 2 * HEAP_PAGES.end()] {
        let refused = world.server.init(&mut world.machine, client(0), &with_heap(pages));
        assert_eq!(refused, Err(InitError::Layout(LayoutError::Heap { pages })));
        assert_eq!(world.ask(0, &Request::Init(with_heap(pages))), Response::Refused(Errno::Invalid));
    }
    world.check();
}

fn with_statics(statics_pages: u16) -> Spec {
    Spec { own: Some(Own { statics_pages, ..Own::default() }), ..Spec::default() }
}

#[test]
fn a_touch_of_private_statics_brings_them_and_their_ground_to_the_sandbox_alone() {
    let mut world = World::new();
    let Response::Ready { handle, .. } = world.ask(0, &Request::Init(with_statics(DATA_PAGES))) else { panic!() };
    let sandbox = world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap();
    let (statics, ground) = sandbox.zones.statics.unwrap();
    let before = (world.sandbox(handle).mapped.len(), world.machine.owners[&0].mapped.clone(), world.charge(0));
    assert_eq!(world.touch(handle, DATA + 3 * PAGE + 5), Handled::GoesOn);
    let made = world.sandbox(handle);
    for (first, wanted) in [(DATA, BufferAccess::ReadWrite), (ground, BufferAccess::ReadOnly)] {
        for (page, data) in pages(first, DATA_PAGES.into()).zip(pages(DATA, DATA_PAGES.into())) {
            let (frame, access) = made.mapped[&page];
            assert!(matches!(frame, Frame::Data(_, filled) if filled == data) && access == wanted, "{page:#x}");
        }
    }
    assert_eq!(made.mapped.len(), before.0 + 2 * usize::from(DATA_PAGES));
    assert_eq!(world.machine.owners[&0].mapped, before.1);
    assert_eq!(world.charge(0), before.2.plus(Charge::of(8, 8)));
    assert_eq!(world.touch(handle, DATA), Handled::Ended, "it is there already");
    for outside in [DATA - 1, DATA + u32::from(DATA_PAGES) * PAGE, ground] {
        assert_eq!(world.touch(handle, outside), Handled::Ended, "{outside:#x}");
    }
    // Whoever restarts copies from the ground.
    let (arguments, stack) = world.parts(handle);
    assert_eq!(statics.pages(), Pages { address: DATA, count: DATA_PAGES.into() });
    let chunks = Chunks::default().with(16);
    let restore = Restore::new(None, Some((statics, ground)), chunks, chunks);
    world.ask(0, &Request::Reset(handle));
    assert_eq!(world.machine.restarts.last().unwrap().1, Registers::reset(ENTRIES, arguments, stack, restore));
    world.check();
}

#[test]
fn many_statics_come_in_steps_and_with_them_their_ground() {
    const MANY: u16 = 512;
    let mut world = World::new();
    world.start_with(2, MANY);
    world.machine.left = (3000, 4000);
    world.set_quota(2, Quota { limit: Amounts { pages: 2000, slots: 3000, ..QUOTA.limit }, ..QUOTA });
    let Response::Ready { handle, .. } = world.ask(2, &Request::Init(with_statics(MANY))) else { panic!() };
    let sandbox = world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap();
    let (statics, ground) = sandbox.zones.statics.unwrap();
    let last = statics.chunk(7).unwrap();
    assert_eq!((last.count, last.end()), (256, DATA + u32::from(MANY) * PAGE));
    let ground_of = |address: u32| ground + (address - DATA);
    assert_eq!(world.touch(handle, ground_of(last.address)), Handled::Ended, "nothing of it is there");
    world.ask(2, &Request::Reset(handle));
    let before = world.charge(2);
    // What is there in part a reset takes out.
    assert_eq!(world.touch(handle, last.address), Handled::GoesOn);
    assert_eq!(world.ask(2, &Request::Reset(handle)), Response::Done);
    assert_eq!((world.charge(2), world.sandbox(handle).mapped.contains_key(&last.address)), (before, false));
    world.check();
    // The first pages by a touch of them, the last ones of the ground by those who copy from there.
    let steps = 2 * last.count / SLICE;
    for step in 0..steps {
        let address = if step == 0 { last.end() - 1 } else { ground_of(last.end()) - 1 };
        assert!(!world.sandbox(handle).mapped.contains_key(&(address & !0xfff)));
        assert_eq!(world.touch(handle, address), Handled::GoesOn, "{step}");
        assert_eq!(world.charge(2), before.plus(Charge::of(512, 512)), "it is all paid for at first");
    }
    for page in pages(last.address, last.count) {
        let mapped = &world.sandbox(handle).mapped;
        assert!(matches!(mapped[&page], (Frame::Data(_, data), BufferAccess::ReadWrite) if data == page));
        assert!(matches!(mapped[&ground_of(page)], (Frame::Data(_, data), BufferAccess::ReadOnly) if data == page));
    }
    let chunks = &world.server.sandboxes[index(handle).get()].additions.chunks;
    assert!(chunks.iter().map(|chunk| chunk.number).eq([ZONE_CHUNKS + 7]), "and taken for none of the heap's");
    assert_eq!(world.touch(handle, ground_of(last.end()) - 1), Handled::Ended, "it is there");
    world.check();
}

#[test]
fn the_largest_heap_and_the_most_statics_fit_one_sandbox() {
    const MANY: u16 = 512;
    let mut world = World::new();
    world.start_with(2, MANY);
    world.machine.left = (200_000, 80_000);
    world.set_quota(2, Quota { limit: Amounts { pages: 150_000, slots: 70_000, ..QUOTA.limit }, ..QUOTA });
    let own = Some(Own { heap_pages: *HEAP_PAGES.end(), statics_pages: MANY });
    let Response::Ready { handle, .. } = world.ask(2, &Request::Init(Spec { own, ..Spec::default() })) else {
        panic!()
    };
    let heap = world.heap_of(handle);
    let chunks = (0..).map_while(|number| heap.chunk(number)).map(|chunk| chunk.address);
    for address in chunks.chain((2..9).map(|power| DATA + (PAGE << power))).chain([DATA]) {
        assert_eq!(world.touch(handle, address), Handled::GoesOn, "{address:#x}");
    }
}

#[test]
fn without_private_statics_a_touch_of_data_ends_the_call() {
    let mut world = World::new();
    let (handle, _) = world.init_heap(0, 16);
    let plain = world.init(0, 1);
    for handle in [handle, plain] {
        assert_eq!((world.touch(handle, DATA), world.told()), (Handled::Ended, FaultKind::Page as u64));
        assert!(!world.sandbox(handle).mapped.contains_key(&DATA));
    }
}

#[test]
fn private_statics_are_as_many_as_the_program_has_and_nothing_is_mapped_over_them() {
    let mut world = World::new();
    for pages in [1, 3, 5, 512] {
        let refused = world.server.init(&mut world.machine, client(0), &with_statics(pages));
        assert_eq!(refused, Err(InitError::Layout(LayoutError::Statics { pages })));
    }
    let Response::Ready { handle, .. } = world.ask(0, &Request::Init(with_statics(DATA_PAGES))) else { panic!() };
    assert_eq!(world.ask(0, &map(handle, DATA + PAGE, 1)), Response::Refused(Errno::Invalid));
    // What lies beside them is refused for what it is, or mapped.
    let end = DATA + u32::from(DATA_PAGES) * PAGE;
    for address in [DATA - PAGE, end] {
        let pages = Pages { address, count: 1 };
        let refused = world.server.map(&mut world.machine, client(0), handle, pages, BufferAccess::ReadOnly);
        assert_eq!(refused, Err(MapError::NotHeld { address }));
    }
    assert_eq!(world.ask(0, &map(handle, INPUT_BASE, 1)), Response::Done);
    let plain = world.init(0, 1);
    assert_eq!(world.ask(0, &map(plain, DATA + PAGE, 1)), Response::Done);
    world.check();
}

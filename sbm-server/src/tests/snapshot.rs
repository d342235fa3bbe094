// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots: what is copied where, who pays for it, what a reset makes of it, and what is left of one that is refused.

use sbm_abi::{
    BufferAccess, Chunks, Errno, Handle, Own, Registers, Request, Response, Restore, Spec, Zone, limits::PAGE,
};
use sbm_system::Amounts;

use super::{DATA, DATA_PAGES, ENTRIES, QUOTA, World, begin, index, pages, touch};
use crate::{Charge, Effect, Handled, Quota, SLICE};

/// A quota that a large heap fits.
const LARGE: Quota = Quota { limit: Amounts { pages: 900, slots: 2000, ..QUOTA.limit }, ..QUOTA };

fn with(heap_pages: u32, statics_pages: u16) -> Spec {
    Spec { own: Some(Own { heap_pages, statics_pages }), ..Spec::default() }
}

/// A client with a sandbox that has a heap and private statics.
fn world_with(heap_pages: u32) -> (World, Handle, Zone) {
    let mut world = World::new();
    world.machine.left = (3000, 6000);
    world.set_quota(0, LARGE);
    let Response::Ready { handle, .. } = world.ask(0, &Request::Init(with(heap_pages, DATA_PAGES))) else { panic!() };
    let heap = world.zones(handle).heap.unwrap().0;
    (world, handle, heap)
}

impl World {
    fn zones(&self, handle: Handle) -> crate::table::Zones {
        self.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().zones
    }

    fn touch_all(&mut self, handle: Handle, addresses: &[u32]) {
        for address in addresses {
            let touched = self.server.fault(&mut self.machine, index(handle), touch(u64::from(*address)));
            assert_eq!(touched, Handled::GoesOn, "{address:#x}");
        }
    }

    /// Returns what the sandbox's thread is told to restore at a reset.
    fn restored(&mut self, from: u64, handle: Handle) -> Registers {
        assert_eq!(self.ask(from, &Request::Reset(handle)), Response::Done);
        self.machine.restarts.last().unwrap().1
    }
}

#[test]
fn a_snapshot_gives_what_is_there_of_the_heap_a_ground_and_keeps_the_statics() {
    let (mut world, handle, heap) = world_with(64);
    world.touch_all(handle, &[heap.chunk(2).unwrap().address, DATA, heap.pages().address]);
    let before = (world.charge(0), world.machine.owners[&0].mapped.clone());
    assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
    let (statics, statics_ground) = world.zones(handle).statics.unwrap();
    let ground = world.zones(handle).heap.unwrap().1;
    // Twelve pages, and none of them for the client.
    assert_eq!((world.charge(0), &world.machine.owners[&0].mapped), (before.0.plus(Charge::of(12, 12)), &before.1));
    let at = |page: u32| (heap.pages().address + page * PAGE, ground + page * PAGE);
    let kept = (0..4).chain(8..16).map(at);
    let kept = kept.chain((0..4).map(|page| (DATA + page * PAGE, statics_ground + page * PAGE)));
    let copied: std::vec::Vec<_> = world.machine.copied.iter().map(|(_, from, to)| (*from, *to)).collect();
    assert_eq!(copied, kept.collect::<std::vec::Vec<_>>());
    for (_, to) in &copied {
        assert_eq!(world.sandbox(handle).mapped[to].1, BufferAccess::ReadOnly, "{to:#x}");
    }
    assert!(!world.sandbox(handle).mapped.contains_key(&at(4).1), "of what is not there");
    world.check();
    // What comes later is cleared.
    world.touch_all(handle, &[heap.chunk(1).unwrap().address]);
    let kept = Chunks::default().with(0).with(2).with(16);
    let restore = Restore::new(Some((heap, ground)), Some((statics, statics_ground)), kept.with(1), kept);
    let (arguments, stack) = world.parts(handle);
    assert_eq!(world.restored(0, handle), Registers::reset(ENTRIES, arguments, stack, restore));
}

#[test]
fn a_sandbox_has_one_snapshot_and_is_no_spare_afterwards() {
    for addresses in [&[DATA][..], &[]] {
        let (mut world, handle, _) = world_with(64);
        world.touch_all(handle, addresses);
        let charge = world.charge(0);
        assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
        let growths = &world.server.sandboxes[index(handle).get()].additions.growths;
        assert_eq!((world.charge(0), growths.len()), (charge, 0), "nothing of the heap is there");
        assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Refused(Errno::Invalid), "once");
        world.check();
        assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
        let again = world.ask(0, &Request::Init(with(64, DATA_PAGES)));
        assert!(matches!(again, Response::Ready { used: false, .. }), "its next life would begin with that state");
        world.check();
    }
}

#[test]
fn a_large_snapshot_is_taken_in_steps_and_has_all_of_what_was_there_in_part() {
    let (mut world, handle, heap) = world_with(128);
    let last = heap.chunk(5).unwrap();
    assert!(last.count == 2 * SLICE);
    world.touch_all(handle, &[last.address, DATA]);
    let charge = world.charge(0);
    assert_eq!(begin(&mut world, 0, &Request::Snapshot(handle)), Effect::Wait);
    let ground = |world: &World| world.server.sandboxes[index(handle).get()].additions.growths[0].base;
    let first = ground(&world) + (last.address - heap.pages().address);
    assert_eq!(world.zones(handle).heap.unwrap().1, 0, "it is none before it is whole");
    // The rest of the chunk, its ground in two steps, its copy in eight, the statics, and what ends it.
    for (step, made) in [0, SLICE].into_iter().chain([2 * SLICE; 10]).enumerate() {
        world.work();
        assert!(world.machine.copied.len() <= step.saturating_sub(2) * 8);
        let there = pages(first, last.count).filter(|page| world.sandbox(handle).mapped.contains_key(page)).count();
        assert_eq!(u32::try_from(there).unwrap(), made);
        assert!(matches!(world.ask(1, &Request::Usage), Response::Usage(_)), "others are served");
    }
    world.work();
    assert_eq!((world.answered(0), world.server.has_work()), (Response::Done, false));
    assert_eq!(world.charge(0).pages, charge.pages + 2 * SLICE, "and no page table");
    assert_eq!(world.machine.copied.len(), (last.count + u32::from(DATA_PAGES)) as usize);
    world.check();
}

#[test]
fn each_page_of_many_statics_is_copied_to_its_ground() {
    const MANY: u16 = 130;
    let mut world = World::new();
    world.start_with(2, MANY);
    world.machine.left = (3000, 6000);
    world.set_quota(2, LARGE);
    let Response::Ready { handle, .. } = world.ask(2, &Request::Init(with(0, MANY))) else { panic!() };
    let (statics, ground) = world.zones(handle).statics.unwrap();
    // The second chunk, and the one of 64 pages.
    let touched = [1, 5].map(|number| statics.chunk(number).unwrap());
    world.touch_all(handle, &touched.map(|pages| pages.address));
    assert_eq!(world.ask(2, &Request::Snapshot(handle)), Response::Done);
    let wanted = touched.into_iter().flat_map(|chunk| pages(chunk.address, chunk.count));
    let wanted: std::vec::Vec<_> = wanted.map(|page| (page, ground + (page - DATA))).collect();
    let copied = world.machine.copied.iter().map(|(_, from, to)| (*from, *to));
    assert_eq!(copied.collect::<std::vec::Vec<_>>(), wanted);
    world.check();
}

#[test]
fn a_snapshot_that_is_refused_changes_nothing() {
    for fails_in in 0..6 {
        let (mut world, handle, heap) = world_with(1024);
        let chunk = heap.chunk(5).unwrap();
        world.touch_all(handle, &[chunk.address, chunk.end() - 1, heap.pages().address, DATA]);
        let before = (world.charge(0), world.machine.left, world.sandbox(handle).clone());
        let restore = world.restored(0, handle);
        // A page table, slots, and the ground in three steps.
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(0, &Request::Snapshot(handle));
        if world.machine.fails_in.take().is_some() {
            assert_eq!((answer, fails_in), (Response::Done, 5), "there was nothing to fail at");
            continue;
        }
        assert_eq!(answer, Response::Refused(Errno::NoMemory), "{fails_in}");
        assert_eq!(world.restored(0, handle), restore);
        assert_eq!((world.charge(0), world.machine.left), (before.0, before.1));
        assert_eq!(world.sandbox(handle).mapped, before.2.mapped);
        assert!(world.machine.copied.iter().all(|(_, from, _)| heap.pages().contains(u64::from(*from))));
        world.check();
        // It can be taken when there is room.
        assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
        world.check();
    }
}

#[test]
fn a_snapshot_counts_and_belongs_to_the_sandboxs_client() {
    let (mut world, handle, heap) = world_with(64);
    world.touch_all(handle, &[heap.pages().end() - 1]);
    let limit = Amounts { pages: world.charge(0).pages + 31, ..LARGE.limit };
    world.set_quota(0, Quota { limit, ..LARGE });
    assert!(matches!(world.ask(0, &Request::Snapshot(handle)), Response::OverQuota(_)));
    assert_eq!(world.ask(1, &Request::Snapshot(handle)), Response::Refused(Errno::BadHandle));
    world.set_quota(0, LARGE);
    for _ in 0..12 {
        world.grown(0, handle, 1);
    }
    assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Refused(Errno::Invalid), "no place for a ground");
    assert!(world.machine.copied.is_empty());
    world.check();
}

#[test]
fn the_ground_is_not_the_clients_to_give_back() {
    let (mut world, handle, heap) = world_with(64);
    world.touch_all(handle, &[heap.pages().address]);
    assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
    let base = world.zones(handle).heap.unwrap().1;
    assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Refused(Errno::Invalid));
    let grown = world.grown(0, handle, 1);
    assert!(!(base..base + heap.pages().bytes()).contains(&grown), "room for the ground of all of the heap is taken");
    assert_eq!(world.ask(0, &Request::Shrink { handle, base: grown }), Response::Done);
    world.check();
}

#[test]
fn a_snapshot_takes_the_place_of_a_spare_that_is_in_its_way() {
    let (mut world, handle, heap) = world_with(64);
    let spare = world.init(0, 40);
    world.touch_all(handle, &[heap.pages().end() - 1]);
    assert_eq!(world.ask(0, &Request::Destroy(spare)), Response::Done);
    let limit = Amounts { pages: world.charge(0).pages + 4, ..LARGE.limit };
    world.set_quota(0, Quota { limit, ..LARGE });
    assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
    assert_eq!(world.state(spare), None);
    world.check();
}

#[test]
fn a_client_can_end_while_a_snapshot_is_taken() {
    for steps in 0..6 {
        let mut world = World::new();
        let left = world.machine.left;
        world.set_quota(0, LARGE);
        let Response::Ready { handle, .. } = world.ask(0, &Request::Init(with(128, DATA_PAGES))) else { panic!() };
        let heap = world.zones(handle).heap.unwrap().0;
        world.touch_all(handle, &[heap.pages().end() - 1, DATA]);
        assert_eq!(begin(&mut world, 0, &Request::Snapshot(handle)), Effect::Wait);
        for _ in 0..steps {
            world.work();
        }
        world.end(0);
        assert_eq!(world.machine.left, left, "{steps}");
        world.check();
    }
}

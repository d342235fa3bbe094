// SPDX-License-Identifier: MIT OR Apache-2.0
//! Large pages: which there are, who has them, what they take the place of.

use std::vec::Vec;

use sbm_abi::{
    BufferAccess::{ReadOnly, ReadWrite},
    BufferSpec, Chunks, Errno, Handle, Layout, Own, Pages, Request, Response, Spec, Zone,
    limits::{ARENA_BASE, CODE_BASE, HIGH_ARENA_BASE, LARGE_PAGE, LARGE_PAGES, PAGE},
};
use sbm_system::Amounts;

use super::{DATA, LIMIT, QUOTA, World, begin, buffers, client, fake::Frame, has_answer, map, pages};
use crate::{Charge, Handled, MapError, Plan, Program, Quota, SLICE, Table};

/// A world with memory for large pages, whose first client may have them.
fn world() -> World {
    let mut world = World::new();
    world.machine.left = (1 << 18, 1 << 18);
    let limit = Amounts { pages: 1 << 17, slots: 1 << 16, ..LIMIT };
    world.set_quota(0, Quota { limit, spares: 0, ..QUOTA });
    world
}

/// Makes a sandbox with a heap of so many large pages, and returns where its span begins, and the heap.
fn with_heap(world: &mut World, large_pages: u32) -> (Handle, u32, Zone) {
    let own = Some(Own { heap_pages: large_pages * LARGE_PAGES, statics_pages: 0 });
    let wanted = Spec { own, ..Spec::default() };
    let Response::Ready { handle, base, .. } = world.ask(0, &Request::Init(wanted.clone())) else {
        panic!("not ready")
    };
    (handle, base, Layout::of_sandbox(&wanted).unwrap().at(base).heap().unwrap())
}

fn page_table(address: u32) -> Table {
    Table::Page(u16::try_from(address / LARGE_PAGE).unwrap())
}

#[test]
fn what_fills_large_pages_is_made_of_them_for_both_sides() {
    let mut world = world();
    let before = world.charge(0);
    let read = BufferSpec::new(3 * LARGE_PAGES + 5, ReadOnly);
    let write = BufferSpec::new(2 * LARGE_PAGES, ReadWrite);
    let wanted = Spec { buffers: heapless::Vec::from_slice(&[read, write]).unwrap(), ..Spec::default() };
    let Response::Ready { handle, base, .. } = world.ask(0, &Request::Init(wanted.clone())) else {
        panic!("not ready")
    };
    assert!((ARENA_BASE..HIGH_ARENA_BASE).contains(&base), "there is room below");
    let layout = Layout::of_sandbox(&wanted).unwrap().at(base);
    let made = world.sandbox(handle);
    let owner = &world.machine.owners[&0].mapped;
    for (buffer, access) in layout.buffers() {
        for address in (0..buffer.large()).map(|page| buffer.address + page * LARGE_PAGE) {
            let (frame, found) = made.mapped[&address];
            assert!(matches!(frame, Frame::Large(_)) && found == access);
            assert_eq!(owner[&address], (frame, ReadWrite));
        }
        let rest = buffer.count % LARGE_PAGES;
        for address in pages(buffer.end() - rest * PAGE, rest) {
            assert!(matches!(made.mapped[&address], (Frame::New(_), found) if found == access));
        }
    }
    // Three small pages of arguments and stack, and the five of the first buffer.
    assert_eq!(made.mapped.len(), 5 + 3 + 5);
    let tables = [base, base + 4 * LARGE_PAGE].map(page_table);
    assert_eq!((made.tables.as_slice(), world.machine.owners[&0].tables.as_slice()), (&tables[..], &tables[..]));
    let after = world.charge(0);
    assert_eq!(after.pages - before.pages, 2 + (4 + 2_u32).next_power_of_two() + 5 * LARGE_PAGES + 8);
    world.check();
    world.ask(0, &Request::Destroy(handle));
    world.settle();
    assert_eq!(world.charge(0), before.plus(Charge { pages: 2, slots: 2 }), "the client keeps its page tables");
    world.check();
}

#[test]
fn each_large_page_is_a_step_and_small_ones_come_first() {
    let mut world = world();
    let handle = world.init(0, 1);
    let before = world.sandbox(handle).mapped.len();
    let growth = Request::Grow { handle, buffers: buffers(&[4 * LARGE_PAGES + SLICE + 1]) };
    begin(&mut world, 0, &growth);
    for frames in [SLICE, SLICE + 1, SLICE + 2, SLICE + 3, SLICE + 4] {
        assert!(!has_answer(&world, 0));
        assert_eq!(world.sandbox(handle).mapped.len() - before, frames as usize);
        world.work();
        world.check();
    }
    assert_eq!(world.sandbox(handle).mapped.len() - before, SLICE as usize + 5);
    let Response::Grown { base } = world.answered(0) else { panic!("not grown") };
    let charge = world.charge(0);
    assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Done);
    assert_eq!(world.sandbox(handle).mapped.len(), before);
    let part = Charge { pages: 4 * LARGE_PAGES + SLICE + 1, slots: 128 };
    let tables = Charge { pages: 2, slots: 2 };
    assert_eq!(world.charge(0), charge.minus(part).minus(tables));
    world.check();
}

#[test]
fn page_tables_of_the_client_give_way_to_large_pages_in_steps() {
    let mut world = world();
    let small = Spec { buffers: buffers(&[511; 8]), ..Spec::default() };
    let large = Spec { buffers: buffers(&[20 * LARGE_PAGES]), ..Spec::default() };
    let tables = |world: &World| world.machine.owners[&0].tables.len();
    let one = |world: &mut World, wanted: &Spec| match world.ask(0, &Request::Init(wanted.clone())) {
        Response::Ready { handle, base, .. } => (handle, base),
        other => panic!("not ready: {other:?}"),
    };
    // Twice nine regions of small pages, side by side in two spans, for which there is a larger one afterwards.
    let handles = [one(&mut world, &small), one(&mut world, &small)];
    let had = tables(&world);
    for (handle, _) in handles {
        world.ask(0, &Request::Destroy(handle));
    }
    world.settle();
    assert_eq!((had, tables(&world)), (19, 19), "the client keeps them");
    assert_eq!(begin(&mut world, 0, &Request::Init(large.clone())), crate::Effect::Wait);
    assert_eq!(tables(&world), had - 8, "some at a time");
    assert!(matches!(world.ask(1, &Request::Usage), Response::Usage(_)), "others are served");
    world.settle();
    let Response::Ready { handle, base, .. } = world.answered(0) else { panic!("not ready") };
    assert_eq!(base, handles[0].1, "in their place");
    assert_eq!(tables(&world), 6, "some of the second one lie beyond");
    assert!(world.machine.owners[&0].tables.contains(&page_table(base)), "what lies before has its own");
    world.check();
    world.ask(0, &Request::Destroy(handle));
    world.settle();
    let (_, again) = one(&mut world, &small);
    assert_eq!((again, tables(&world)), (base, 14));
    world.check();
}

#[test]
fn page_tables_of_a_sandbox_give_way_to_large_pages() {
    let mut world = world();
    let handle = world.init(0, 1);
    let grow = |world: &mut World, pages: u32| match world.ask(0, &Request::Grow { handle, buffers: buffers(&[pages]) })
    {
        Response::Grown { base } => base,
        other => panic!("not grown: {other:?}"),
    };
    let before = world.charge(0);
    // The first one brings the page directory of both, and page tables where the third one has large pages.
    let first = grow(&mut world, 9 * LARGE_PAGES + 5);
    let second = grow(&mut world, 9 * LARGE_PAGES + 5);
    assert!(first >= HIGH_ARENA_BASE && second >= HIGH_ARENA_BASE);
    world.ask(0, &Request::Shrink { handle, base: first });
    world.check();
    // In all places that there are, and so in that one.
    let others: Vec<_> = (0..4).map(|_| grow(&mut world, 14 * LARGE_PAGES)).collect();
    assert!(others.contains(&first), "{first:#x} {others:x?}");
    world.check();
    for base in others.into_iter().chain([second]) {
        world.ask(0, &Request::Shrink { handle, base });
        world.check();
    }
    let after = world.charge(0);
    assert_eq!(after.pages - before.pages, after.slots - before.slots, "nothing but the client's own page tables");
}

#[test]
fn a_large_part_of_a_heap_comes_in_large_pages() {
    let mut world = world();
    let (handle, base, heap) = with_heap(&mut world, 8);
    assert_eq!(heap.pages().address % LARGE_PAGE, 0);
    let needed = [Table::Directory(1), page_table(base), page_table(base + LARGE_PAGE)];
    assert_eq!(world.sandbox(handle).tables, needed, "no more than small chunks need");
    for number in (0..16).take_while(|number| heap.chunk(*number).is_some()) {
        let chunk = heap.chunk(number).unwrap();
        let before = (world.sandbox(handle).mapped.len(), world.charge(0));
        let steps = if chunk.large() > 0 { chunk.large() } else { chunk.count.div_ceil(SLICE) };
        for step in 0..steps {
            assert_eq!(world.touch(handle, chunk.end() - 1), Handled::GoesOn, "{number}, {step}");
        }
        let mapped = &world.sandbox(handle).mapped;
        let frames = if chunk.large() > 0 { chunk.large() } else { chunk.count };
        assert_eq!(mapped.len() - before.0, frames as usize, "{number}");
        let size = chunk.bytes() / frames;
        let all: Vec<_> = (0..frames).map(|frame| mapped[&(chunk.address + frame * size)]).collect();
        assert!(all.iter().all(|(frame, access)| {
            matches!((frame, chunk.count >= LARGE_PAGES), (Frame::Large(_), true) | (Frame::New(_), false))
                && *access == ReadWrite
        }));
        let slots = frames.next_power_of_two();
        assert_eq!(world.charge(0), before.1.plus(Charge { pages: chunk.count, slots }), "{number}");
        world.check();
    }
    assert_eq!(heap.pages().count, 8 * LARGE_PAGES);
    world.ask(0, &Request::Destroy(handle));
    world.settle();
    world.check();
}

#[test]
fn a_snapshot_copies_large_pages_to_large_ones() {
    let mut world = world();
    let (handle, _, heap) = with_heap(&mut world, 4);
    let (small, large) = (heap.chunk(0).unwrap(), heap.chunk(9).unwrap());
    assert_eq!((small.count, large.count), (4, 2 * LARGE_PAGES));
    for address in [small.address, large.address, large.address] {
        world.touch(handle, address);
    }
    assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
    let grounds: Vec<_> = world
        .sandbox(handle)
        .mapped
        .iter()
        .filter(|(_, (frame, access))| matches!(frame, Frame::Large(_)) && *access == ReadOnly)
        .map(|(address, _)| *address)
        .collect();
    assert_eq!(grounds.len(), 2);
    let ground = grounds[0] - (large.address - heap.pages().address);
    let offset = ground - heap.pages().address;
    let copied: Vec<_> = world.machine.copied.iter().map(|(_, from, to)| (*from, *to)).collect();
    let wanted = pages(small.address, small.count).chain(pages(large.address, large.count));
    assert!(copied.into_iter().eq(wanted.map(|page| (page, page + offset))));
    world.check();
    world.ask(0, &Request::Destroy(handle));
    world.settle();
    world.check();
}

#[test]
fn a_large_span_lies_in_the_high_part_as_long_as_there_is_room() {
    let mut world = world();
    let wanted = Spec { buffers: buffers(&[16 * LARGE_PAGES]), ..Spec::default() };
    let Response::Ready { handle, base, .. } = world.ask(0, &Request::Init(wanted)) else { panic!("not ready") };
    assert_eq!(base, HIGH_ARENA_BASE);
    assert_eq!(world.sandbox(handle).tables, [Table::Directory(1), page_table(base)]);
    assert_eq!(world.machine.owners[&0].tables, [Table::Directory(1), page_table(base)]);
    let arena = &mut world.server.arenas[0];
    // What is left of it, and then the low part.
    let taken: Vec<u32> = core::iter::from_fn(|| arena.reserve(28).ok()).collect();
    assert_eq!(taken.len(), 7 + 3, "the rest of two GiB, and 768 MiB");
    assert!(
        taken[..7].iter().all(|base| *base > HIGH_ARENA_BASE) && taken[7..].iter().all(|base| *base < HIGH_ARENA_BASE)
    );
    for base in taken {
        arena.release(base, 28);
    }
    let bounds = [24, 25].map(|bits| arena.reserve(bits).map(|base| (base, bits)).unwrap());
    assert_eq!(bounds.map(|(base, _)| base < HIGH_ARENA_BASE), [true, false]);
    for (base, bits) in bounds {
        arena.release(base, bits);
    }
    // And the other way round.
    let small: Vec<u32> = core::iter::from_fn(|| arena.reserve(24).ok()).collect();
    assert_eq!(small.len(), 48 + 128 - 4);
    assert!(small[..48].iter().all(|base| *base < HIGH_ARENA_BASE));
    assert!(small[48..].iter().all(|base| *base >= HIGH_ARENA_BASE));
    small.into_iter().for_each(|base| arena.release(base, 24));
    world.check();
    world.ask(0, &Request::Destroy(handle));
    world.settle();
    assert_eq!(world.server.arenas[0].used(), 0);
}

#[test]
fn a_large_page_is_taken_apart_in_steps_whatever_few_slots_it_takes() {
    let mut world = world();
    let wanted = Spec { buffers: buffers(&[8 * LARGE_PAGES]), ..Spec::default() };
    let Response::Ready { handle, .. } = world.ask(0, &Request::Init(wanted)) else { panic!("not ready") };
    begin(&mut world, 0, &Request::Destroy(handle));
    assert!(world.server.has_work(), "it is gone at once");
    world.settle();
    world.check();
}

#[test]
fn a_plan_numbers_small_pages_first() {
    let specs = [
        BufferSpec::new(LARGE_PAGES + 1, ReadOnly),
        BufferSpec::new(2, ReadWrite),
        BufferSpec::new(LARGE_PAGES, ReadOnly),
    ];
    let layout = Layout::of_growth(&specs).unwrap().at(ARENA_BASE);
    let plan = Plan::new(layout, 0, |_| true).unwrap();
    let runs: Vec<_> =
        plan.runs().map(|run| ((run.pages.address - ARENA_BASE) / PAGE, run.frames(), run.large)).collect();
    assert_eq!(runs, [(1024, 1, false), (1026, 2, false), (512, 1, true), (1536, 1, true)]);
    assert_eq!((plan.frames(), plan.small_frames(), plan.shared_frames()), (5, 3, 5));
    let chunks = Chunks::default().with(0).with(8).with(9);
    let heap = Zone::new(Pages { address: ARENA_BASE, count: 2048 }).unwrap();
    let plan = Plan::of_ground(heap, chunks, HIGH_ARENA_BASE, |_| true).unwrap();
    let runs: Vec<_> =
        plan.runs().map(|run| ((run.pages.address - HIGH_ARENA_BASE) / PAGE, run.frames(), run.large)).collect();
    assert_eq!(runs, [(0, 4, false), (512, 1, true), (1024, 2, true)]);
    assert_eq!(plan.tables, [Table::Directory(1), page_table(HIGH_ARENA_BASE)]);
}

/// Gives the first client an input file of two large pages and three small ones, behind one of three small pages.
fn with_input(world: &mut World) -> [Pages; 2] {
    let small = Pages::of_input(None, 3 * PAGE).unwrap();
    let large = Pages::of_input(Some(small), 2 * LARGE_PAGE + 3 * PAGE).unwrap();
    let code = u64::from(CODE_BASE);
    let data = u64::from(DATA);
    let ranges = (code..code + 0x1000, data..data + u64::from(PAGE));
    let program = Program::new(&ranges.0, &ranges.1, &[small, large]).unwrap();
    world.server.clients[0].as_mut().unwrap().program = program;
    [small, large]
}

#[test]
fn an_input_in_large_pages_is_mapped_by_few_slots_and_no_page_table_for_them() {
    let mut world = world();
    let [small, large] = with_input(&mut world);
    let handle = world.init(0, 1);
    let before = (world.sandbox(handle).clone(), world.charge(0));
    assert_eq!(world.ask(0, &map(handle, large.address, large.count)), Response::Done);
    let made = world.sandbox(handle);
    // Data, stack, IPC buffer, start information, and the first file come before.
    let first = 1 + 64 + 1 + 1 + 3;
    for (number, address) in (first..).zip([large.address, large.address + LARGE_PAGE]) {
        assert_eq!(made.mapped[&address], (Frame::OwnLarge(number), ReadOnly));
    }
    for (number, address) in (first + 2..).zip(pages(large.address + 2 * LARGE_PAGE, 3)) {
        assert_eq!(made.mapped[&address], (Frame::Own(number), ReadOnly));
    }
    assert_eq!(made.mapped.len() - before.0.mapped.len(), 5);
    let added = [Table::Directory(3), page_table(large.address + 2 * LARGE_PAGE)];
    assert_eq!(made.tables[before.0.tables.len()..], added);
    assert_eq!(world.charge(0), before.1.plus(Charge { pages: 2, slots: 2 + 8 }));
    assert_eq!(world.ask(0, &map(handle, small.address + PAGE, 2)), Response::Done, "any pages of a small one");
    world.check();
    world.ask(0, &Request::Destroy(handle));
    world.settle();
    world.check();
}

#[test]
fn a_part_of_a_large_page_is_refused() {
    let mut world = world();
    let [small, large] = with_input(&mut world);
    let handle = world.init(0, 1);
    let before = world.sandbox(handle).clone();
    let end = large.address + 2 * LARGE_PAGE;
    for (address, count) in [(large.address, 1), (large.address + PAGE, 1024), (end - PAGE, 2), (large.address, 1023)] {
        let pages = Pages { address, count };
        let refused = world.server.map(&mut world.machine, client(0), handle, pages, ReadOnly);
        assert_eq!(refused, Err(MapError::Cut { large: Pages { count: 1024, ..large } }), "{address:#x} {count}");
        assert_eq!(world.ask(0, &map(handle, address, count)), Response::Refused(Errno::Invalid));
    }
    assert_eq!(*world.sandbox(handle), before);
    for (address, count) in [(large.address, 512), (large.address + LARGE_PAGE, 513), (end + PAGE, 2)] {
        assert_eq!(world.ask(0, &map(handle, address, count)), Response::Done, "{address:#x} {count}");
    }
    let between = Pages { address: small.end(), count: 1 };
    let refused = world.server.map(&mut world.machine, client(0), handle, between, ReadOnly);
    assert_eq!(refused, Err(MapError::NotHeld { address: small.end() }), "nothing lies before a large file");
    world.check();
}

#[test]
fn a_reset_takes_large_pages_out_unless_a_snapshot_has_kept_them() {
    let mut world = world();
    let (handle, _, heap) = with_heap(&mut world, 8);
    let (small, kept, later) = (heap.chunk(0).unwrap(), heap.chunk(8).unwrap(), heap.chunk(9).unwrap());
    let before = world.charge(0);
    for address in [small.address, kept.address] {
        assert_eq!(world.touch(handle, address), Handled::GoesOn);
    }
    let has = |world: &World, address: u32| world.sandbox(handle).mapped.contains_key(&address);
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!([small, kept].map(|chunk| has(&world, chunk.address)), [true, false]);
    assert_eq!(world.charge(0), before.plus(Charge { pages: 4, slots: 4 }));
    world.check();
    world.touch(handle, kept.address);
    assert_eq!(world.ask(0, &Request::Snapshot(handle)), Response::Done);
    for _ in 0..2 {
        world.touch(handle, later.address);
    }
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!([small, kept, later].map(|chunk| has(&world, chunk.address)), [true, true, false]);
    world.check();
}

#[test]
fn a_sandbox_with_large_pages_in_its_heap_becomes_no_spare() {
    let mut world = world();
    world.set_quota(0, Quota { spares: 4, ..world.server.clients[0].as_ref().unwrap().quota });
    let own = Some(Own { heap_pages: 4 * LARGE_PAGES, statics_pages: 0 });
    let wanted = Spec { own, ..Spec::default() };
    for (touches_large, spares) in [(false, 1), (true, 0)] {
        let Response::Ready { handle, base, .. } = world.ask(0, &Request::Init(wanted.clone())) else { panic!() };
        let heap = Layout::of_sandbox(&wanted).unwrap().at(base).heap().unwrap();
        world.touch(handle, heap.pages().address);
        if touches_large {
            world.touch(handle, heap.chunk(8).unwrap().address);
        }
        world.ask(0, &Request::Destroy(handle));
        world.settle();
        assert_eq!(world.server.clients[0].as_ref().unwrap().spares.len(), spares);
        world.check();
    }
}

#[test]
fn a_request_gives_up_one_spare_a_go() {
    let mut world = world();
    let limit = Amounts { pages: 1000, slots: 4000, ..LIMIT };
    world.set_quota(0, Quota { limit, spares: 4, ..QUOTA });
    let handles: Vec<_> = (0..4).map(|_| world.init(0, 56)).collect();
    for handle in handles {
        world.ask(0, &Request::Destroy(handle));
    }
    let spares = |world: &World| world.server.clients[0].as_ref().unwrap().spares.len();
    assert_eq!(spares(&world), 4);
    let wanted = Spec { buffers: buffers(&[900]), ..Spec::default() };
    begin(&mut world, 0, &Request::Init(wanted));
    for left in [3, 2, 1] {
        assert_eq!(spares(&world), left);
        assert!(world.server.has_work(), "{left}");
        world.work();
    }
    world.settle();
    assert!(matches!(world.answered(0), Response::Ready { .. }));
    world.check();
}

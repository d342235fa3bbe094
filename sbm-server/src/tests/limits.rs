// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where requests end: limits, quotas, memory; and that a refusal leaves nothing behind.

use sbm_abi::{
    Books, BufferAccess, Errno, Layout, LayoutError, OverQuota, Pages, Request, Resource, Response, Spec,
    limits::{
        ARENA_BASE, ARENA_END, CLIENT_STACK_BASE, INPUT_BASE, LARGE_PAGE, MAX_BUFFER_PAGES, MAX_GROWTHS, MAX_MAPPINGS,
        PAGE,
    },
};
use sbm_system::{Amounts, Key, Part, Terms, Why, Wrong};

use super::{DATA, Fake, LIMIT, PLENTY, QUOTA, World, begin, buffers, client, grow, map, spec};
use crate::{
    Charge, Effect, GrowError, InitError, Launched, MapError, Plan, Platform, Quota, Server, State, plan::MAX_TABLES,
};

fn refused(errno: Errno) -> Response {
    Response::Refused(errno)
}

/// A world in which the first client runs into no quota.
fn large_world() -> World {
    let mut world = World::new();
    let limit = Amounts { pages: 100_000, slots: 400_000, ..LIMIT };
    world.machine.left = (limit.pages, limit.slots);
    world.set_quota(0, Quota { limit, ..QUOTA });
    world
}

#[test]
fn shapes_outside_their_limits_are_told_with_the_size() {
    let mut world = World::new();
    let too_large = MAX_BUFFER_PAGES + 1;
    let mut wanted = spec(too_large);
    let refused = world.server.init(&mut world.machine, client(0), &wanted);
    assert_eq!(refused, Err(InitError::Layout(LayoutError::Buffer { number: 0, pages: too_large })));
    wanted.stack_pages = 0;
    let refused = world.server.init(&mut world.machine, client(0), &wanted);
    assert_eq!(refused, Err(InitError::Layout(LayoutError::Stack { pages: 0 })));
    let handle = world.init(0, 1);
    let refused = world.server.grow(&mut world.machine, client(0), handle, &buffers(&[1, 0]));
    assert_eq!(refused, Err(GrowError::Layout(LayoutError::Buffer { number: 1, pages: 0 })));
    let refused = world.server.grow(&mut world.machine, client(0), handle, &heapless::Vec::new());
    assert_eq!(refused, Err(GrowError::Layout(LayoutError::Count { buffers: 0 })));
    world.check();
}

#[test]
fn each_operation_has_the_error_number_that_the_protocol_says() {
    let over = OverQuota { resource: Resource::Pages, requested: 1, used: 1, limit: 1, kept: false };
    let layout = LayoutError::Stack { pages: 0 };
    for (errno, expected) in [
        (InitError::NotRegistered.into(), Errno::Invalid),
        (InitError::Layout(layout).into(), Errno::Invalid),
        (InitError::Quota(over).into(), Errno::Quota),
        (InitError::AllInUse { limit: 1 }.into(), Errno::TooMany),
        (InitError::Exhausted.into(), Errno::NoMemory),
        (GrowError::NoSandbox.into(), Errno::BadHandle),
        (GrowError::Layout(layout).into(), Errno::Invalid),
        (GrowError::Full { limit: 1 }.into(), Errno::Invalid),
        (GrowError::Quota(over).into(), Errno::Quota),
        (GrowError::Exhausted.into(), Errno::NoMemory),
        (MapError::NoSandbox.into(), Errno::BadHandle),
        (MapError::Full { limit: 1 }.into(), Errno::Invalid),
        (MapError::NotHeld { address: 0 }.into(), Errno::Perm),
        (MapError::Quota(over).into(), Errno::Quota),
        (MapError::Exhausted.into(), Errno::NoMemory),
    ] {
        let errno: Errno = errno;
        assert_eq!(errno, expected);
    }
}

#[test]
fn growths_end_at_their_number_and_go_on_after_one_is_given_back() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let bases: std::vec::Vec<_> = (0..MAX_GROWTHS).map(|_| world.grown(0, handle, 1)).collect();
    let full = world.server.grow(&mut world.machine, client(0), handle, &buffers(&[1]));
    assert_eq!(full, Err(GrowError::Full { limit: MAX_GROWTHS }));
    // There is no limit to how often.
    for _ in 0..100 {
        for base in &bases {
            assert_eq!(world.ask(0, &Request::Shrink { handle, base: *base }), Response::Done);
            assert_eq!(world.grown(0, handle, 1), *base);
        }
        world.check();
    }
}

#[test]
fn growths_of_all_sizes_in_any_order_leave_no_tables_behind() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let tables = world.sandbox(handle).tables.clone();
    let mut bases = std::vec::Vec::new();
    for round in 0..200_u32 {
        if bases.len() > 3 {
            let at = (round * 7) as usize % bases.len();
            let base = bases.swap_remove(at);
            assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Done);
        }
        if let Response::Grown { base } = world.ask(0, &grow(handle, 1 << (round * 5 % 8))) {
            bases.push(base);
        }
        world.check();
    }
    for base in bases {
        assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Done);
    }
    assert_eq!(world.sandbox(handle).tables, tables);
}

#[test]
fn a_page_table_stays_as_long_as_a_growth_or_a_mapping_lies_in_its_region() {
    let mut world = large_world();
    // Takes the first region whole, so that what is added lies in others.
    let handle = world.init(0, 400);
    let first = world.grown(0, handle, 1);
    let region = u16::try_from(first / LARGE_PAGE).unwrap();
    let second = world.grown(0, handle, 1);
    assert_eq!(second / LARGE_PAGE, first / LARGE_PAGE);
    let other = world.grown(0, handle, 400);
    assert_ne!(other / LARGE_PAGE, first / LARGE_PAGE);
    assert_eq!(world.ask(0, &Request::Shrink { handle, base: first }), Response::Done);
    let has = |world: &World| world.sandbox(handle).tables.contains(&crate::Table::Page(region));
    assert!(has(&world), "the second growth lies in it");
    assert_eq!(world.ask(0, &Request::Shrink { handle, base: second }), Response::Done);
    assert!(!has(&world), "what lies in another region does not need it");
    world.check();
}

#[test]
fn a_growth_that_fills_its_region_keeps_no_page_table_of_the_next_one() {
    let mut world = large_world();
    let handle = world.init(0, 400);
    let (whole, next) = (world.grown(0, handle, 400), world.grown(0, handle, 1));
    assert_eq!(next, whole + LARGE_PAGE);
    let has = |world: &World, base| {
        let region = u16::try_from(base / LARGE_PAGE).unwrap();
        world.sandbox(handle).tables.contains(&crate::Table::Page(region))
    };
    assert!(has(&world, whole) && has(&world, next));
    assert_eq!(world.ask(0, &Request::Shrink { handle, base: next }), Response::Done);
    assert!(has(&world, whole) && !has(&world, next));
    world.check();
}

#[test]
fn mappings_end_at_their_number() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    for page in 0..MAX_MAPPINGS {
        assert_eq!(world.ask(0, &map(handle, DATA + u32::try_from(page).unwrap() * PAGE, 1)), Response::Done);
    }
    let full = world.server.map(
        &mut world.machine,
        client(0),
        handle,
        Pages { address: CLIENT_STACK_BASE, count: 1 },
        BufferAccess::ReadOnly,
    );
    assert_eq!(full, Err(MapError::Full { limit: MAX_MAPPINGS }));
}

#[test]
fn each_quota_stops_its_client_and_not_the_neighbour() {
    for (limit, resource) in [
        (Amounts { sandboxes: 1, ..LIMIT }, Resource::Sandboxes),
        (Amounts { pages: 30, ..LIMIT }, Resource::Pages),
        (Amounts { slots: 40, ..LIMIT }, Resource::Slots),
    ] {
        let mut world = World::new();
        world.set_quota(0, Quota { limit, spares: 0, ..QUOTA });
        world.init(0, 4);
        let refused = world.server.init(&mut world.machine, client(0), &spec(4));
        assert!(matches!(refused, Err(InitError::Quota(over)) if over.resource == resource), "{refused:?}");
        world.init(1, 4);
        world.check();
    }
}

#[test]
fn a_page_table_of_the_clients_own_counts_before_it_is_made() {
    let mut world = World::new();
    world.init(0, 1);
    // The sandbox, and the table for its region.
    let Charge { pages, slots } = world.charge(0);
    for (pages, slots, over) in
        [(pages, slots, None), (pages - 1, slots, Some(Resource::Pages)), (pages, slots - 1, Some(Resource::Slots))]
    {
        let mut world = World::new();
        world.set_quota(0, Quota { limit: Amounts { pages, slots, ..LIMIT }, ..QUOTA });
        let made = world.server.init(&mut world.machine, client(0), &spec(1));
        let refused = match made {
            Err(InitError::Quota(over)) => Some(over.resource),
            _ => None,
        };
        assert_eq!((made.is_ok(), refused), (over.is_none(), over));
        world.check();
    }
}

#[test]
fn growth_and_mappings_are_charged_and_stop_at_the_quota() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let used = world.charge(0);
    world.set_quota(0, Quota { limit: used.plus(Charge { pages: 4, slots: 8 + 4 }).with(8), ..QUOTA });
    let over = |resource, requested, used: u32, limit| {
        Response::OverQuota(OverQuota { resource, requested, used, limit, kept: false })
    };
    let pages = |requested, more| over(Resource::Pages, requested, used.pages + more, used.pages + 4);
    assert_eq!(world.ask(0, &grow(handle, 5)), pages(8, 0));
    let base = world.grown(0, handle, 4);
    assert_eq!(world.charge(0), used.plus(Charge { pages: 4, slots: 8 }));
    assert_eq!(world.ask(0, &grow(handle, 1)), pages(1, 4));
    assert_eq!(world.ask(0, &map(handle, DATA, 4)), pages(1, 4));
    assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Done);
    assert_eq!(world.ask(0, &map(handle, DATA, 4)), Response::Done);
    // Four copies, a page table and its slot.
    assert_eq!(world.charge(0), used.plus(Charge { pages: 1, slots: 5 }));
    world.check();
}

#[test]
fn all_sandboxes_in_use_is_an_error_of_its_own() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: PLENTY, ..QUOTA });
    for _ in 0..super::SANDBOXES {
        world.init(0, 1);
    }
    let refused = world.server.init(&mut world.machine, client(0), &spec(1));
    assert_eq!(refused, Err(InitError::AllInUse { limit: super::SANDBOXES }));
}

#[test]
fn a_spare_gives_its_index_for_another_shape() {
    let mut world = World::new();
    world.set_quota(0, Quota { limit: PLENTY, ..QUOTA });
    let handles: std::vec::Vec<_> = (0..super::SANDBOXES).map(|_| world.init(0, 1)).collect();
    world.ask(0, &Request::Destroy(handles[3]));
    assert!(matches!(world.ask(0, &Request::Init(spec(2))), Response::Ready { used: false, .. }));
    world.check();
}

#[test]
fn a_large_spare_gives_its_index_when_it_is_taken_apart() {
    let mut world = large_world();
    world.set_quota(0, Quota { limit: PLENTY, ..QUOTA });
    let large = world.init(0, 150);
    let _others: std::vec::Vec<_> = (1..super::SANDBOXES).map(|_| world.init(0, 1)).collect();
    world.ask(0, &Request::Destroy(large));
    assert_eq!(begin(&mut world, 0, &Request::Init(spec(2))), Effect::Wait);
    world.settle();
    let Response::Ready { handle, used: false, .. } = world.answered(0) else { panic!("not ready") };
    assert_eq!((handle.index(), world.state(large)), (large.index(), Some(State::Ready)));
    world.check();
}

#[test]
fn without_memory_the_answer_is_enomem_wherever_it_ends() {
    // A shape that needs page tables on both sides, so that each step of the platform is one that can fail.
    for fails_in in 0.. {
        let mut world = World::new();
        world.set_quota(0, Quota { limit: PLENTY, ..QUOTA });
        let handle = world.init(0, 400);
        let (before, left, charge) = (world.sandbox(handle).clone(), world.machine.left, world.charge(0));
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(0, &grow(handle, 2));
        let failed = world.machine.fails_in.take().is_none();
        world.check();
        if !failed {
            assert!(matches!(answer, Response::Grown { .. }) && fails_in == 4, "{fails_in} {answer:?}");
            break;
        }
        assert_eq!(answer, refused(Errno::NoMemory));
        assert_eq!(*world.sandbox(handle), before);
        // The client keeps a page table that it got first.
        let covers = u32::from(fails_in > 0);
        assert_eq!(left.0 - world.machine.left.0, covers);
        assert_eq!(world.charge(0), charge.plus(Charge { pages: covers, slots: covers }));
    }
    for fails_in in 0..4 {
        let mut world = World::new();
        let handle = world.init(0, 1);
        let (before, left) = (world.sandbox(handle).clone(), world.machine.left);
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(0, &map(handle, DATA, 2));
        assert_eq!(answer, if fails_in < 3 { refused(Errno::NoMemory) } else { Response::Done });
        world.machine.fails_in = None;
        if fails_in < 3 {
            assert_eq!((world.sandbox(handle), world.machine.left), (&before, left));
        }
        world.check();
    }
    for fails_in in 0..3 {
        let mut world = World::new();
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(0, &Request::Init(spec(2)));
        assert_eq!(answer == refused(Errno::NoMemory), fails_in < 2, "{fails_in}");
        world.check();
    }
}

#[test]
fn a_grown_and_mapped_sandbox_gives_everything_back() {
    let mut world = World::new();
    let left = world.machine.left;
    let handle = world.init(0, 1);
    world.grown(0, handle, 3);
    assert_eq!(world.ask(0, &map(handle, DATA, 2)), Response::Done);
    world.check();
    assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
    assert_eq!(world.state(handle), None);
    world.check();
    assert_eq!(left.0 - world.machine.left.0, 1, "the client keeps one page table for its arena");
    world.ask(0, &Request::Exit(0));
    assert_eq!(world.machine.left, left);
}

#[test]
fn spares_make_room_for_their_own_client_and_for_no_other() {
    let mut world = World::new();
    let spare = world.init(0, 100);
    world.ask(0, &Request::Destroy(spare));
    world.machine.left.0 = 100;
    assert_eq!(world.ask(1, &Request::Init(spec(100))), refused(Errno::NoMemory));
    assert!(world.state(spare).is_some(), "another client's spare went");
    assert!(matches!(world.ask(0, &Request::Init(spec(101))), Response::Ready { used: false, .. }));
    world.check();
}

#[test]
fn spares_make_room_for_growth_and_for_mappings() {
    for request in [grow, |handle, _| map(handle, DATA, 4)] {
        let mut world = World::new();
        let (spare, handle) = (world.init(0, 10), world.init(0, 1));
        world.ask(0, &Request::Destroy(spare));
        let used = world.charge(0);
        world.set_quota(0, Quota { limit: used.with(8), ..QUOTA });
        assert!(!matches!(world.ask(0, &request(handle, 8)), Response::Refused(_)));
        assert!(world.state(spare).is_none());
        world.check();
    }
}

#[test]
fn a_new_sandbox_takes_a_page_and_slots_for_each_of_its_objects() {
    let spec = spec(1);
    let layout = Layout::of_sandbox(&spec).unwrap().at(ARENA_BASE);
    let plan = Plan::new(layout, 3, |_| true).unwrap();
    // Arguments, stack of two pages, buffer; a page table; and what the platform has beside.
    assert_eq!((plan.frames(), plan.shared_frames(), plan.table_count()), (4, 2, 1));
    assert_eq!(plan.of_new::<Fake>(), (Fake::FIXED_PAGES + 1 + 4, 6 + 3 + 1 + 4 + 2));
    assert_eq!(plan.slots_of_pages(), 4 + 2);
    // Where the pages come by steps the block does not have them, and has slots for as many on both sides.
    let spec = super::spec(150);
    let plan = Plan::new(Layout::of_sandbox(&spec).unwrap().at(ARENA_BASE), 3, |_| true).unwrap();
    assert_eq!(plan.of_new::<Fake>(), (Fake::FIXED_PAGES + 1, 6 + 3 + 1 + 2 * 153));
}

#[test]
fn page_tables_are_noted_for_each_region_of_the_arena_and_for_no_other() {
    let mut world = World::new();
    let tables = &mut world.server.clients[0].as_mut().unwrap().tables;
    let (first, end) = (ARENA_BASE / LARGE_PAGE, ARENA_END / LARGE_PAGE);
    for region in first - 1..=end {
        let table = crate::Table::Page(u16::try_from(region).unwrap());
        assert!(!tables.has(table), "{region}");
        tables.set(table, true);
        assert_eq!(tables.has(table), (first..end).contains(&region), "{region}");
    }
    for gib in 0..4 {
        let table = crate::Table::Directory(gib);
        assert!(!tables.has(table));
        tables.set(table, true);
        assert!(tables.has(table));
    }
    // Twice is once.
    let again = crate::Table::Page(u16::try_from(first).unwrap());
    tables.set(again, true);
    assert!(tables.has(again));
    for region in (first..end).step_by(7) {
        let [table, next] = [region, region + 1].map(|region| crate::Table::Page(u16::try_from(region).unwrap()));
        tables.set(table, false);
        assert!(!tables.has(table) && tables.has(next) == (region + 1 < end), "{region}");
    }
    tables.set(crate::Table::Directory(2), false);
    assert_eq!([1, 2, 3].map(|gib| tables.has(crate::Table::Directory(gib))), [true, false, true]);
}

#[test]
fn a_sandbox_has_as_many_tables_as_its_list_has_room_for() {
    let mut world = large_world();
    let handle = world.init(0, 1);
    let grow = |world: &mut World, pages: &[u32]| world.ask(0, &Request::Grow { handle, buffers: buffers(pages) });
    // Its own, a page directory, seven times nine, six and one: each buffer has small pages behind a large one, and the first one some
    // before.
    for pages in [&[513; 8][..]; 7].into_iter().chain([&[513; 5][..], &[400]]) {
        assert!(matches!(grow(&mut world, pages), Response::Grown { .. }), "{pages:?}");
    }
    assert_eq!(world.sandbox(handle).tables.len(), MAX_TABLES);
    let before = world.sandbox(handle).clone();
    assert_eq!(grow(&mut world, &[400]), refused(Errno::NoMemory));
    assert_eq!(*world.sandbox(handle), before);
    // What lies in a region that has one needs none.
    assert!(matches!(grow(&mut world, &[1]), Response::Grown { .. }));
    world.check();
}

#[test]
fn every_growth_and_every_mapping_can_have_tables_of_its_own() {
    let mut world = large_world();
    let handle = world.init(0, 1);
    for _ in 0..MAX_GROWTHS {
        world.grown(0, handle, 400);
    }
    for address in [DATA, CLIENT_STACK_BASE, INPUT_BASE] {
        assert_eq!(world.ask(0, &map(handle, address, 1)), Response::Done);
    }
    // The last one needs a page directory as well.
    assert_eq!(world.sandbox(handle).tables.len(), 1 + MAX_GROWTHS + 3 + 1);
    world.check();
}

#[test]
fn what_is_free_is_divided_among_the_clients() {
    let mut world = World::new();
    world.machine.left = (101, 51);
    world.server.divide(world.machine.free()).unwrap();
    for index in 0..2 {
        let quota = world.server.clients[index].as_ref().unwrap().quota;
        let share = Amounts { sandboxes: 6, pages: 50, slots: 25 };
        assert_eq!((quota.limit, quota.kept, quota.mappings, quota.spares), (share, share, u32::MAX, 4));
    }
}

#[test]
fn a_client_gets_what_is_kept_for_it_while_another_takes_all_that_it_can() {
    for resource in [Resource::Sandboxes, Resource::Pages, Resource::Slots] {
        let mut world = World::new();
        // What the other one may have is all there is, so that what is kept is what stops it.
        let kept = Amounts { sandboxes: 3, pages: 3 * 8, slots: 3 * 16 };
        world.server.there = match resource {
            Resource::Sandboxes => Amounts { sandboxes: 8, ..PLENTY },
            Resource::Pages => Amounts { pages: 8 * 8 + 4, ..PLENTY },
            _ => Amounts { slots: 8 * 16 + 8, ..PLENTY },
        };
        world.set_quota(0, Quota { limit: PLENTY, ..QUOTA });
        world.set_quota(1, Quota { limit: PLENTY, kept, ..QUOTA });
        let take_all = |world: &mut World| loop {
            match world.server.init(&mut world.machine, client(0), &Spec::default()) {
                Ok(_) => {}
                Err(InitError::Quota(over)) => break over,
                Err(error) => panic!("{error:?}"),
            }
        };
        let over = take_all(&mut world);
        assert!((over.resource, over.kept) == (resource, true), "{over:?}");
        // One is in use, others are made while the first client takes what it can.
        for _ in 0..2 {
            assert!(world.server.init(&mut world.machine, client(1), &Spec::default()).is_ok());
            take_all(&mut world);
        }
        // A spare is its client's: what is kept for others is not lent to it.
        assert!(world.server.init(&mut world.machine, client(1), &Spec::default()).is_ok());
        let refused = world.server.init(&mut world.machine, client(1), &Spec::default());
        assert!(matches!(refused, Err(InitError::Quota(over)) if over.kept), "{refused:?}");
        world.check();
    }
}

#[test]
fn mappings_stop_at_their_quota_and_come_back_with_their_sandbox() {
    let mut world = World::new();
    world.set_quota(0, Quota { mappings: 2, spares: 0, ..QUOTA });
    let (one, other) = (world.init(0, 1), world.init(0, 1));
    assert_eq!(world.ask(0, &map(one, DATA, 1)), Response::Done);
    assert_eq!(world.ask(0, &map(other, DATA, 1)), Response::Done);
    let refused = world.server.map(
        &mut world.machine,
        client(0),
        one,
        Pages { address: INPUT_BASE, count: 1 },
        BufferAccess::ReadOnly,
    );
    let over = OverQuota { resource: Resource::Mappings, requested: 1, used: 2, limit: 2, kept: false };
    assert_eq!(refused, Err(MapError::Quota(over)));
    world.ask(0, &Request::Destroy(other));
    assert_eq!(world.ask(0, &map(one, INPUT_BASE, 1)), Response::Done);
    world.check();
}

#[test]
fn promises_above_what_is_free_are_refused() {
    let mut world = World::new();
    world.machine.left = (100, 1000);
    world.terms(0).reserve.bytes = Some(60 * 4096);
    world.terms(1).quota.bytes = Some(40 * 4096);
    assert_eq!(world.server.divide(world.machine.free()), Ok(()));
    world.terms(1).quota.bytes = Some(41 * 4096);
    let why = Why::Sum { promised: 101 * 4096, there: 100 * 4096 };
    let wrong = Wrong { client: Some(1), key: Key::Quota(Part::Bytes), why };
    assert_eq!(world.server.divide(world.machine.free()), Err(wrong));
}

#[test]
fn a_client_has_no_quota_before_memory_is_divided() {
    let mut world = World::new();
    let program = world.server.clients[0].as_ref().unwrap().program.clone();
    let objects = world.machine.client(2);
    let launched = Launched { name: "two", program, terms: Terms::DEFAULT, priorities: super::PRIORITIES, objects };
    world.server.add_client(&mut world.machine, client(2), launched);
    world.ask(2, &Request::Register(super::ENTRIES));
    let (resource, requested, used, limit) = (Resource::Sandboxes, 1, 0, 0);
    let over = OverQuota { resource, requested, used, limit, kept: false };
    assert_eq!(world.ask(2, &Request::Init(spec(1))), Response::OverQuota(over));
}

#[test]
fn usage_tells_what_the_client_has_and_may_have_and_of_no_other() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    world.init(0, 2);
    world.init(1, 1);
    world.ask(0, &Request::Destroy(handle));
    let other = world.init(0, 3);
    assert_eq!(world.ask(0, &map(other, DATA, 2)), Response::Done);
    let Charge { pages, slots } = world.charge(0);
    let Amounts { sandboxes: most_sandboxes, pages: most_pages, slots: most_slots } = LIMIT;
    let most_sandboxes = u16::try_from(most_sandboxes).unwrap();
    let books = Books { sandboxes: 2, spares: 1, mappings: 1, pages, slots, most_sandboxes, most_pages, most_slots };
    assert_eq!(world.ask(0, &Request::Usage), Response::Usage(books));
    // Whatever the other one does, it is told the same.
    world.init(1, 50);
    assert_eq!(world.ask(0, &Request::Usage), Response::Usage(books));
}

#[test]
fn an_empty_server_has_no_clients() {
    let server = Server::<Fake, 4>::default();
    assert!(!server.has_clients());
    assert!(World::new().server.has_clients());
}

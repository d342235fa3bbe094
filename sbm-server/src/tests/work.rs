// SPDX-License-Identifier: MIT OR Apache-2.0
//! What takes long: in steps, in turn for each client, and with nothing left of it however it ends.

use sbm_abi::{
    Books, BufferAccess, Errno, Handle, Request, Response, Spec,
    limits::{INPUT_BASE, PAGE},
};

use sbm_system::{Amounts, OnEnd};

use super::{DATA, LIMIT, NOW, QUOTA, World, begin, buffers, client, fake::Frame, grow, has_answer, map, pages, spec};
use crate::{Charge, Effect, Quota, SLICE, State};

/// A quota that a shape of many pages fits.
const LARGE: Quota = Quota { limit: LARGE_LIMIT, ..QUOTA };
const LARGE_LIMIT: Amounts = Amounts { pages: 800, slots: 2000, ..LIMIT };

fn large_world() -> World {
    let mut world = World::new();
    for from in 0..2 {
        world.set_quota(from, LARGE);
    }
    world
}

#[test]
fn a_large_sandbox_is_made_in_steps_and_others_are_served_between_them() {
    let mut world = large_world();
    assert_eq!(begin(&mut world, 0, &Request::Init(spec(150))), Effect::Wait);
    let steps = (150_u32 + 3).div_ceil(SLICE);
    for step in 0..steps {
        assert!(world.server.has_work() && !has_answer(&world, 0), "{step}");
        assert!(matches!(world.ask(1, &Request::Usage), Response::Usage(Books { sandboxes: 0, .. })));
        world.work();
        world.check();
    }
    assert!(!world.server.has_work());
    let Response::Ready { handle, used: false, .. } = world.answered(0) else { panic!("not ready") };
    assert_eq!(world.state(handle), Some(State::Ready));
    assert_eq!(world.sandbox(handle).mapped.len(), 150 + 3);
    assert_eq!(world.machine.restarts.len(), 1, "its thread starts when it is whole");
}

#[test]
fn a_sandbox_that_one_step_makes_is_made_at_once() {
    let mut world = large_world();
    // Beside the buffer there are three pages.
    let pages = SLICE - 3;
    let made = begin(&mut world, 0, &Request::Init(spec(pages)));
    assert!(matches!(made, Effect::Answer(Response::Ready { .. })), "{made:?}");
    assert_eq!(begin(&mut world, 0, &Request::Init(spec(pages + 1))), Effect::Wait);
    world.settle();
    world.check();
}

#[test]
fn a_handle_of_a_sandbox_that_is_not_whole_is_refused() {
    let mut world = large_world();
    let first = world.init(0, 1);
    assert_eq!(begin(&mut world, 0, &Request::Init(spec(150))), Effect::Wait);
    world.work();
    let guessed = Handle::new(first.index() + 1, 0);
    assert_eq!(world.state(guessed), Some(State::Unfinished));
    assert!(world.server.owned(client(0), guessed).is_err());
    // A fault of its thread, which does not run, and a look find nothing to restart.
    world.fault(guessed, crate::KernelFault::Other);
    let owner = world.machine.owners.get_mut(&0).unwrap();
    owner.marks.insert(super::index(guessed).get());
    world.look(NOW);
    assert!(world.machine.restarts.is_empty());
    world.settle();
    assert_eq!(world.state(guessed), Some(State::Ready));
}

#[test]
fn what_waits_for_memory_goes_on_when_it_is_ready() {
    for late in 0..10 {
        let mut world = large_world();
        world.machine.is_late_in = Some(late);
        assert_eq!(begin(&mut world, 0, &Request::Init(spec(150))), Effect::Wait);
        while world.server.has_work() {
            world.work();
            world.check();
        }
        assert_eq!(world.server.waits(), world.machine.is_late_in.is_none(), "{late}");
        if world.server.waits() {
            // Others are served, and a step does nothing for it.
            let handle = world.init(1, 1);
            assert_eq!(world.ask(1, &Request::Destroy(handle)), Response::Done);
            assert!(!has_answer(&world, 0));
        }
        world.settle();
        assert!(matches!(world.answered(0), Response::Ready { .. }), "{late}");
        world.check();
    }
}

#[test]
fn without_memory_for_all_pages_nothing_stays() {
    // An operation each for the client's page table, the first block, and each step.
    for fails_in in 0..8 {
        let mut world = large_world();
        let left = world.machine.left;
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(0, &Request::Init(spec(150)));
        world.check();
        if world.machine.fails_in.take().is_some() {
            assert_eq!(fails_in, 7, "the last one had nothing to fail at");
            assert!(matches!(answer, Response::Ready { .. }));
            continue;
        }
        assert_eq!(answer, Response::Refused(Errno::NoMemory), "{fails_in}");
        assert!(left.0 - world.machine.left.0 <= 1, "the client keeps a page table");
        assert!(world.machine.boxes.is_empty());
    }
}

#[test]
fn a_spare_goes_for_pages_that_have_no_room() {
    for fails_in in 0..7 {
        let mut world = large_world();
        let spare = world.init(0, 20);
        world.ask(0, &Request::Destroy(spare));
        world.machine.fails_in = Some(fails_in);
        assert!(matches!(world.ask(0, &Request::Init(spec(150))), Response::Ready { .. }), "{fails_in}");
        world.check();
    }
}

#[test]
fn a_client_is_given_page_tables_in_steps() {
    let mut world = World::new();
    world.machine.left = (100_000, 400_000);
    let limit = Amounts { pages: 40_000, slots: 80_000, ..LIMIT };
    world.set_quota(0, Quota { limit, ..QUOTA });
    let tables = |world: &World| world.machine.owners[&0].tables.len();
    // Each of these buffers has a large page and small ones behind it, in a region of their own; one page table is for what
    // lies before them, and a page directory for all.
    let wanted = Spec { buffers: buffers(&[1023; 8]), ..Spec::default() };
    assert_eq!(begin(&mut world, 0, &Request::Init(wanted.clone())), Effect::Wait);
    for given in [8, 10] {
        assert_eq!(tables(&world), given);
        assert!(!has_answer(&world, 0) && world.server.has_work() && !world.server.waits());
        assert!(matches!(world.ask(1, &Request::Usage), Response::Usage(Books { sandboxes: 0, .. })));
        world.work();
        world.check();
    }
    world.settle();
    let Response::Ready { handle, .. } = world.answered(0) else { panic!("not ready") };
    let growth = Request::Grow { handle, buffers: buffers(&[1023; 8]) };
    assert!(matches!(world.ask(0, &growth), Response::Grown { .. }));
    assert_eq!(tables(&world), 19);
    // It keeps them, so the next one begins at once.
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(begin(&mut world, 0, &Request::Init(wanted)), Effect::Wait);
    assert_eq!(tables(&world), 19);
    world.settle();
    assert!(matches!(world.answered(0), Response::Ready { .. }));
    world.check();
}

#[test]
fn what_is_grown_and_mapped_in_steps_goes_in_steps() {
    let mut world = large_world();
    let handle = world.init(0, 1);
    let left = world.machine.left;
    let before = world.sandbox(handle).clone();
    assert_eq!(begin(&mut world, 0, &grow(handle, 100)), Effect::Wait);
    world.settle();
    let Response::Grown { base } = world.answered(0) else { panic!("not grown") };
    world.check();
    assert_eq!(begin(&mut world, 0, &Request::Shrink { handle, base }), Effect::Wait);
    world.settle();
    assert_eq!((world.answered(0), world.machine.left), (Response::Done, left));
    assert_eq!(*world.sandbox(handle), before);
    // Few pages are mapped at once.
    assert!(matches!(begin(&mut world, 0, &map(handle, DATA, 2)), Effect::Answer(Response::Done)));
    world.check();
}

/// A client with many pages of its own and a sandbox, into which an input file and a page of its data are mapped.
fn world_with_mappings() -> (World, Handle) {
    let mut world = World::new();
    world.start_with(2, 200);
    world.set_quota(2, LARGE);
    let handle = world.init(2, 1);
    for address in [INPUT_BASE, DATA] {
        assert_eq!(world.ask(2, &map(handle, address, 1)), Response::Done);
    }
    (world, handle)
}

#[test]
fn many_pages_of_the_clients_own_are_mapped_in_steps() {
    let (mut world, handle) = world_with_mappings();
    let (before, charge) = (world.sandbox(handle).mapped.len(), world.charge(2));
    assert_eq!(begin(&mut world, 2, &map(handle, DATA + PAGE, 100)), Effect::Wait);
    for step in 1..4 {
        assert_eq!(world.sandbox(handle).mapped.len() - before, step * SLICE as usize);
        assert!(!has_answer(&world, 2));
        world.work();
    }
    assert_eq!((world.answered(2), world.server.has_work()), (Response::Done, false));
    for (number, page) in pages(DATA + PAGE, 100).enumerate() {
        let frame = Frame::Own(u32::try_from(number).unwrap() + 1);
        assert_eq!(world.sandbox(handle).mapped[&page], (frame, BufferAccess::ReadOnly));
    }
    assert_eq!(world.charge(2), charge.plus(Charge::of(0, 100)));
    world.check();
}

#[test]
fn a_mapping_that_is_not_finished_leaves_nothing_and_the_others_stay() {
    for fails_in in 0..6 {
        let (mut world, handle) = world_with_mappings();
        let (before, left, charge) = (world.sandbox(handle).clone(), world.machine.left, world.charge(2));
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(2, &map(handle, DATA + PAGE, 100));
        if world.machine.fails_in.take().is_none() {
            assert_eq!(answer, Response::Refused(Errno::NoMemory), "{fails_in}");
            assert_eq!((world.sandbox(handle), world.machine.left, world.charge(2)), (&before, left, charge));
        } else {
            assert_eq!((answer, fails_in), (Response::Done, 5));
        }
        world.check();
    }
}

#[test]
fn a_growth_that_finds_no_memory_halfway_leaves_nothing() {
    for fails_in in 0..7 {
        let mut world = large_world();
        let handle = world.init(0, 1);
        let (before, left) = (world.sandbox(handle).clone(), world.machine.left);
        world.machine.fails_in = Some(fails_in);
        let answer = world.ask(0, &grow(handle, 100));
        if world.machine.fails_in.take().is_none() {
            assert_eq!(answer, Response::Refused(Errno::NoMemory), "{fails_in}");
            assert_eq!((world.sandbox(handle), world.machine.left), (&before, left));
        } else {
            assert!(matches!(answer, Response::Grown { .. }) && fails_in >= 5, "{fails_in}");
        }
        world.check();
    }
}

#[test]
fn a_large_sandbox_is_out_of_reach_at_once_and_gone_before_its_client_is_served_again() {
    let mut world = large_world();
    world.set_quota(0, Quota { spares: 0, ..LARGE });
    let left = world.machine.left;
    let handle = world.init(0, 150);
    assert_eq!(begin(&mut world, 0, &Request::Destroy(handle)), Effect::Answer(Response::Done));
    assert_eq!(world.state(handle), Some(State::Doomed));
    assert!(world.sandbox(handle).is_ended, "its thread runs on");
    world.check();
    let stale = begin(&mut world, 0, &Request::Reset(handle));
    assert_eq!(stale, Effect::Answer(Response::Refused(Errno::BadHandle)));
    // There would be no room for another one beside it.
    world.set_quota(0, Quota { spares: 0, limit: Amounts { sandboxes: 1, ..LARGE_LIMIT }, ..LARGE });
    assert_eq!(begin(&mut world, 0, &Request::Init(spec(1))), Effect::Wait);
    world.settle();
    assert!(matches!(world.answered(0), Response::Ready { .. }));
    world.check();
    world.end(0);
    assert_eq!(world.machine.left, left);
}

#[test]
fn steps_are_done_for_one_client_after_the_other() {
    let mut world = large_world();
    for from in 0..2 {
        assert_eq!(begin(&mut world, from, &Request::Init(spec(100))), Effect::Wait);
    }
    let made = |world: &World| {
        let count = |name| world.machine.boxes.values().filter(|it| it.client == name).map(|it| it.mapped.len()).sum();
        [0, 1].map(count)
    };
    for _ in 0..3 {
        let before: [usize; 2] = made(&world);
        world.work();
        world.work();
        let after = made(&world);
        assert!(before[0] < after[0] && before[1] < after[1], "{before:?} {after:?}");
    }
    world.settle();
    assert!([0, 1].into_iter().all(|from| matches!(world.answered(from), Response::Ready { .. })));
}

#[test]
fn a_client_that_ends_is_taken_apart_a_sandbox_at_a_time() {
    let mut world = large_world();
    let handles = [0; 5].map(|_| world.init(0, 2));
    let large = world.init(0, 100);
    let other = world.init(1, 2);
    world.server.end_client(&mut world.machine, client(0), true);
    // A second reason to end changes nothing.
    world.server.end_client(&mut world.machine, client(0), false);
    for living in (0..handles.len()).rev() {
        world.work();
        let left = handles.iter().filter(|handle| world.state(**handle).is_some()).count();
        assert_eq!(left, living);
        world.check();
        assert_eq!(world.ask(1, &Request::Reset(other)), Response::Done);
    }
    assert_eq!(begin(&mut world, 0, &Request::Usage), Effect::Wait, "it is not served any more");
    world.settle();
    assert_eq!(world.state(large), None);
    assert!(world.server.client(client(0)).is_none() && world.server.has_clients() && world.server.all_well());
    world.check();
}

#[test]
fn a_client_can_end_while_something_is_made_for_it() {
    for steps in 0..8 {
        let mut world = large_world();
        let left = world.machine.left;
        let handle = world.init(0, 1);
        let request = if steps % 2 == 0 { Request::Init(spec(150)) } else { grow(handle, 150) };
        assert_eq!(begin(&mut world, 0, &request), Effect::Wait);
        for _ in 0..steps {
            world.work();
        }
        world.end(0);
        assert_eq!(world.machine.left, left, "{steps}");
        world.check();
    }
}

#[test]
fn a_client_is_started_again_in_steps_and_can_be_ended_meanwhile() {
    for steps in 0..6 {
        let mut world = World::new();
        world.terms(1).on_end = OnEnd::Restart(1);
        let left = world.machine.left;
        world.init(1, 1);
        assert_eq!(begin(&mut world, 1, &Request::Exit(0)), Effect::Ended);
        while world.server.clients[1].as_ref().unwrap().ends.is_some() {
            world.work();
            world.server.resume(&mut world.machine);
        }
        for step in 0..steps {
            assert_eq!(world.server.has_work(), step < 3, "it is started in three steps");
            world.check();
            world.look(NOW);
            assert!(matches!(begin(&mut world, 0, &Request::Usage), Effect::Answer(Response::Usage(_))));
            if world.server.has_work() {
                world.work();
            }
        }
        world.server.end_client(&mut world.machine, client(1), true);
        world.settle();
        assert!(world.server.client(client(1)).is_none());
        assert_eq!(world.machine.left, left);
        world.check();
    }
}

#[test]
fn a_client_that_cannot_be_started_again_has_ended() {
    for steps in 0..3 {
        let mut world = World::new();
        world.terms(1).on_end = OnEnd::Restart(9);
        assert_eq!(begin(&mut world, 1, &Request::Exit(0)), Effect::Ended);
        while world.server.clients[1].as_ref().unwrap().ends.is_some() {
            world.work();
            world.server.resume(&mut world.machine);
        }
        for _ in 0..steps {
            world.work();
        }
        world.machine.fails_in = Some(0);
        world.settle();
        assert!(world.server.client(client(1)).is_none() && !world.server.all_well());
        world.check();
    }
}

#[test]
fn a_client_that_sends_on_without_waiting_is_not_heard_until_it_has_its_answer() {
    let mut world = large_world();
    assert_eq!(begin(&mut world, 0, &Request::Init(spec(150))), Effect::Wait);
    for request in [Request::Init(spec(1)), Request::Usage, Request::Arm, Request::Register(super::OTHER_ENTRIES)] {
        assert_eq!(begin(&mut world, 0, &request), Effect::Wait);
    }
    world.settle();
    assert_eq!(world.machine.owners[&0].answers.len(), 1);
    assert!(matches!(world.ask(0, &Request::Usage), Response::Usage(Books { sandboxes: 1, .. })));
}

#[test]
fn a_long_text_is_written_in_pieces_that_end_with_a_line_where_they_can() {
    let mut world = World::new();
    let text = [&[b'a'; 50][..], b"\n", &[b'b'; 300], b"\n", &[b'c'; 20]].concat();
    assert_eq!(begin(&mut world, 0, &Request::Console(&text)), Effect::Wait);
    assert!(world.machine.texts.is_empty());
    world.work();
    assert_eq!(begin(&mut world, 1, &Request::Console(b"between")), Effect::Answer(Response::Done));
    world.settle();
    assert_eq!(world.answered(0), Response::Done);
    let (own, others): (std::vec::Vec<_>, std::vec::Vec<_>) =
        world.machine.texts.drain(..).partition(|(from, _)| *from == 0);
    assert_eq!(others, [(1, b"between".to_vec())]);
    let lengths: std::vec::Vec<_> = own.iter().map(|(_, piece)| piece.len()).collect();
    assert_eq!(lengths, [51, 128, 128, 45, 20]);
    assert_eq!(own.into_iter().flat_map(|(_, piece)| piece).collect::<std::vec::Vec<_>>(), text);
}

#[test]
fn a_text_that_is_one_piece_is_written_at_once() {
    let mut world = World::new();
    let text = [b'a'; 129];
    assert_eq!(begin(&mut world, 0, &Request::Console(&text[1..])), Effect::Answer(Response::Done));
    assert_eq!(world.machine.texts, [(0, text[1..].to_vec())]);
    assert_eq!(begin(&mut world, 0, &Request::Console(&text)), Effect::Wait);
    world.settle();
    assert_eq!(world.answered(0), Response::Done);
}

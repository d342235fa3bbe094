// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each side gets, where, with which rights; and who may ask for it.

use sbm_abi::{
    BufferAccess, BufferSpec, Errno, Handle, Layout, Message, Registers, Request, Response, Spec,
    limits::{
        ARENA_BASE, CLIENT_IPC_BUFFER, CLIENT_STACK_BASE, CLIENT_START_INFO, CODE_BASE, INPUT_BASE, MAX_MAPPING_PAGES,
        MAX_MESSAGE, PAGE,
    },
};

use super::{
    DATA, ENTRIES, INPUT_PAGES, NOW, OTHER_ENTRIES, World, client,
    fake::{Frame, Mapped},
    grow, index, map, pages, spec,
};
use crate::{Effect, KernelFault, State};

const READ: BufferAccess = BufferAccess::ReadOnly;
const WRITE: BufferAccess = BufferAccess::ReadWrite;

fn refused(errno: Errno) -> Response {
    Response::Refused(errno)
}

#[test]
fn a_new_sandbox_has_its_own_pages_and_its_client_all_but_the_stack() {
    let mut world = World::new();
    let buffers = [BufferSpec::new(3, READ), BufferSpec::new(2, WRITE)];
    let spec = Spec { stack_pages: 4, buffers: heapless::Vec::from_slice(&buffers).unwrap(), ..Spec::default() };
    let Response::Ready { handle, base, used: false } = world.ask(0, &Request::Init(spec.clone())) else { panic!() };
    let layout = Layout::of_sandbox(&spec).unwrap().at(base);
    let (arguments, stack) = (layout.arguments().unwrap(), layout.stack().unwrap());
    let mut buffers = layout.buffers();
    let ((read, _), (write, _)) = (buffers.next().unwrap(), buffers.next().unwrap());
    let made = world.sandbox(handle);
    let owner = &world.machine.owners[&0].mapped;
    let mut expected = 0;
    for (run, sandbox, client) in
        [(arguments, WRITE, Some(WRITE)), (stack, WRITE, None), (read, READ, Some(WRITE)), (write, WRITE, Some(WRITE))]
    {
        for address in pages(run.address, run.count) {
            let (frame, access) = made.mapped[&address];
            assert_eq!(access, sandbox, "{address:#x}");
            assert_eq!(owner.get(&address), client.map(|access| (frame, access)).as_ref(), "{address:#x}");
            expected += 1;
        }
    }
    assert_eq!(made.mapped.len(), expected);
    assert_eq!(owner.len(), expected - 4);
    assert_eq!((made.code_frames, made.names.client, made.names.index), (1, client(0), index(handle)));
    assert_eq!(made.registers, Registers::start(ENTRIES, arguments, stack));
    world.check();
}

#[test]
fn growths_come_with_their_rights_and_go_without_a_trace() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let before = (world.sandbox(handle).mapped.clone(), world.machine.owners[&0].mapped.clone());
    let charge = world.charge(0);
    let buffers = [BufferSpec::new(2, READ), BufferSpec::new(1, WRITE)];
    let request = Request::Grow { handle, buffers: heapless::Vec::from_slice(&buffers).unwrap() };
    let Response::Grown { base } = world.ask(0, &request) else { panic!() };
    let added: Mapped = world
        .sandbox(handle)
        .mapped
        .iter()
        .filter(|(at, _)| !before.0.contains_key(at))
        .map(|(a, m)| (*a, *m))
        .collect();
    let rights: std::vec::Vec<_> = added.iter().map(|(at, (_, access))| (*at, *access)).collect();
    assert_eq!(rights, [(base + PAGE, READ), (base + 2 * PAGE, READ), (base + 4 * PAGE, WRITE)]);
    for (address, (frame, _)) in &added {
        assert_eq!(world.machine.owners[&0].mapped[address], (*frame, WRITE));
    }
    world.check();
    assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Done);
    assert_eq!((world.sandbox(handle).mapped.clone(), world.machine.owners[&0].mapped.clone()), before);
    assert_eq!(world.charge(0), charge);
    assert_eq!(world.ask(0, &Request::Shrink { handle, base }), refused(Errno::Invalid));
    world.check();
}

#[test]
fn what_was_not_grown_is_not_given_back() {
    let mut world = World::new();
    let (handle, other) = (world.init(0, 1), world.init(0, 1));
    let base = world.grown(0, handle, 1);
    for (from, handle, base, errno) in [
        (0, handle, base + PAGE, Errno::Invalid),
        (0, handle, ARENA_BASE, Errno::Invalid),
        (0, other, base, Errno::Invalid),
        (1, handle, base, Errno::BadHandle),
    ] {
        assert_eq!(world.ask(from, &Request::Shrink { handle, base }), refused(errno));
    }
    assert_eq!(world.ask(0, &Request::Shrink { handle, base }), Response::Done);
}

#[test]
fn a_clients_own_pages_are_mapped_with_no_more_rights_than_it_has() {
    for (address, pages, may_read, may_write) in [
        (DATA, 4, true, true),
        (DATA + PAGE, 3, true, true),
        (DATA, 5, false, false),
        (CLIENT_STACK_BASE, 2, true, true),
        (CLIENT_IPC_BUFFER, 1, true, true),
        (CLIENT_START_INFO, 1, true, false),
        (INPUT_BASE, INPUT_PAGES, true, false),
        (INPUT_BASE, INPUT_PAGES + 1, false, false),
        (CODE_BASE, 1, false, false),
        (ARENA_BASE + PAGE, 1, false, false),
        (0, 1, false, false),
    ] {
        for (access, may) in [(READ, may_read), (WRITE, may_write)] {
            let mut world = World::new();
            let handle = world.init(0, 1);
            let before = world.sandbox(handle).mapped.len();
            let answer = world.ask(0, &Request::Map { handle, address, pages, access });
            assert_eq!(answer, if may { Response::Done } else { refused(Errno::Perm) }, "{address:#x} {access:?}");
            let mapped = &world.sandbox(handle).mapped;
            assert_eq!(mapped.len() - before, if may { pages as usize } else { 0 });
            for address in super::pages(address, pages).filter(|_| may) {
                assert!(matches!(mapped[&address], (Frame::Own(_), given) if given == access));
            }
            world.check();
        }
    }
}

#[test]
fn the_frames_that_are_mapped_are_those_of_the_addresses() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    assert_eq!(world.ask(0, &map(handle, DATA + PAGE, 2)), Response::Done);
    assert_eq!(world.ask(0, &map(handle, INPUT_BASE + 2 * PAGE, 1)), Response::Done);
    let mapped = &world.sandbox(handle).mapped;
    assert_eq!(mapped[&(DATA + PAGE)].0, Frame::Own(1));
    assert_eq!(mapped[&(DATA + 2 * PAGE)].0, Frame::Own(2));
    // Four pages of data, 64 of stack, IPC buffer, start information, two of the file.
    assert_eq!(mapped[&(INPUT_BASE + 2 * PAGE)].0, Frame::Own(4 + 64 + 1 + 1 + 2));
}

#[test]
fn ranges_that_wrap_or_are_not_whole_pages_are_refused() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let last = u32::MAX - PAGE + 1;
    for (address, pages) in
        [(last, 2), (last, 1), (last - 15 * PAGE, 16), (DATA + 1, 1), (DATA, 0), (DATA, MAX_MAPPING_PAGES + 1)]
    {
        assert_eq!(world.ask(0, &map(handle, address, pages)), refused(Errno::Invalid), "{address:#x} {pages}");
    }
    for (address, pages) in [(last - 15 * PAGE, 15), (DATA, MAX_MAPPING_PAGES)] {
        assert_eq!(world.ask(0, &map(handle, address, pages)), refused(Errno::Perm));
    }
}

#[test]
fn pages_that_are_mapped_already_are_refused_and_their_neighbours_are_not() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    assert_eq!(world.ask(0, &map(handle, DATA + PAGE, 2)), Response::Done);
    for (address, pages) in [(DATA, 2), (DATA + PAGE, 1), (DATA + 2 * PAGE, 2), (DATA, 4)] {
        assert_eq!(world.ask(0, &map(handle, address, pages)), refused(Errno::Invalid));
    }
    assert_eq!(world.ask(0, &map(handle, DATA, 1)), Response::Done);
    assert_eq!(world.ask(0, &map(handle, DATA + 3 * PAGE, 1)), Response::Done);
    world.check();
}

#[test]
fn another_clients_handle_and_one_that_never_was_are_refused_alike() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    for (from, handle) in [(1, handle), (0, Handle::new(9, 0)), (0, Handle::new(4095, 0)), (0, Handle::new(0, 77))] {
        for request in [
            Request::Destroy(handle),
            Request::Reset(handle),
            grow(handle, 1),
            Request::Shrink { handle, base: ARENA_BASE },
            map(handle, DATA, 1),
        ] {
            assert_eq!(world.ask(from, &request), refused(Errno::BadHandle));
        }
    }
    assert_eq!(world.state(handle), Some(State::Ready));
    assert!(world.machine.restarts.is_empty());
}

#[test]
fn a_destroyed_handle_is_refused_even_when_its_index_is_taken_again() {
    let mut world = World::new();
    let old = world.init(0, 1);
    assert_eq!(world.ask(0, &Request::Destroy(old)), Response::Done);
    assert_eq!(world.ask(0, &Request::Reset(old)), refused(Errno::BadHandle));
    // Nor is the next one of that index a name for the spare that it has become.
    let spare = Handle::new(old.index(), old.generation() + 1);
    assert_eq!(world.state(spare), Some(State::Spare));
    assert_eq!(world.ask(0, &Request::Reset(spare)), refused(Errno::BadHandle));
    let new = world.init(0, 1);
    assert_eq!(new.index(), old.index());
    assert_eq!(world.ask(0, &Request::Destroy(old)), refused(Errno::BadHandle));
    assert_eq!(world.ask(0, &Request::Destroy(new)), Response::Done);
}

#[test]
fn a_client_that_registered_nothing_gets_no_sandbox() {
    let mut world = World::new();
    world.server.clients[0].as_mut().unwrap().entries = None;
    assert_eq!(world.ask(0, &Request::Init(spec(1))), refused(Errno::Invalid));
    assert_eq!(world.ask(0, &Request::Register(ENTRIES)), Response::Done);
    world.init(0, 1);
}

#[test]
fn a_client_that_is_not_there_gets_nothing_and_changes_nothing() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    world.look(NOW);
    world.machine.effort = 0;
    let before = world.machine.clone();
    for (request, answer) in [
        (Request::Register(ENTRIES), refused(Errno::BadHandle)),
        (Request::Init(spec(1)), refused(Errno::Invalid)),
        (grow(handle, 1), refused(Errno::BadHandle)),
        (Request::Shrink { handle, base: ARENA_BASE }, refused(Errno::BadHandle)),
        (map(handle, DATA, 1), refused(Errno::BadHandle)),
        (Request::Reset(handle), refused(Errno::BadHandle)),
        (Request::Destroy(handle), refused(Errno::BadHandle)),
        (Request::Console(b"x"), Response::Done),
        (Request::Usage, refused(Errno::BadHandle)),
        (Request::Arm, refused(Errno::BadHandle)),
        (Request::Sleep { until: NOW }, refused(Errno::BadHandle)),
        (Request::Cancel("zero"), refused(Errno::BadHandle)),
    ] {
        let message = Message::<MAX_MESSAGE>::new(&request).unwrap();
        assert_eq!(world.send(3, NOW, message.bytes()), Effect::Answer(answer), "{request:?}");
        assert_eq!(world.machine, before, "{request:?}");
        world.check();
    }
    let exit = Message::<MAX_MESSAGE>::new(&Request::Exit(5)).unwrap();
    assert_eq!(world.send(3, NOW, exit.bytes()), Effect::Ended);
    assert_eq!(world.machine, before);
    assert_eq!(world.state(handle), Some(State::Ready));
}

#[test]
fn a_sandbox_keeps_the_entry_points_that_it_was_made_with() {
    let mut world = World::new();
    let old = world.init(0, 1);
    assert_eq!(world.ask(0, &Request::Register(OTHER_ENTRIES)), Response::Done);
    world.fault(old, KernelFault::Exception { ip: 1, vector: 6 });
    assert_eq!(world.sandbox(old).registers.rip, u64::from(ENTRIES.abort));
    world.ask(0, &Request::Reset(old));
    assert_eq!(world.sandbox(old).registers.rip, u64::from(ENTRIES.reset));
    let new = world.init(0, 2);
    assert_eq!(world.sandbox(new).registers.rip, u64::from(OTHER_ENTRIES.start.get()));
    // As a spare it waits for a client that starts sandboxes as it does.
    world.ask(0, &Request::Destroy(old));
    assert!(matches!(world.ask(0, &Request::Init(spec(1))), Response::Ready { used: false, .. }));
    world.ask(0, &Request::Register(ENTRIES));
    assert!(matches!(world.ask(0, &Request::Init(spec(1))), Response::Ready { used: true, .. }));
}

#[test]
fn text_goes_to_the_console_as_its_clients_up_to_the_limit() {
    let mut world = World::new();
    let text = [b'x'; sbm_abi::limits::MAX_CONSOLE + 1];
    assert_eq!(world.ask(1, &Request::Console(&text)), refused(Errno::Invalid));
    assert_eq!(world.ask(1, &Request::Console(&text[1..])), Response::Done);
    assert!(world.machine.texts.len() > 1 && world.machine.texts.iter().all(|(from, _)| *from == 1));
    let pieces: std::vec::Vec<u8> = world.machine.texts.drain(..).flat_map(|(_, piece)| piece).collect();
    assert_eq!(pieces, text[1..]);
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let mut world = World::new();
    for bytes in [&[][..], &[0xff], &[1]] {
        let effect = world.send(0, NOW, bytes);
        assert_eq!(effect, Effect::Answer(refused(Errno::BadMessage)));
    }
}

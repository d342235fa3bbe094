// SPDX-License-Identifier: MIT OR Apache-2.0
//! How sandboxes and clients live and end: spares, faults, and any sequence of events.

use std::{collections::BTreeSet, vec, vec::Vec};

use proptest::prelude::*;
use sbm_abi::{
    Access, BufferAccess, Errno, Fault, FaultKind, Handle, Message, Own, Registers, Request, Response, Restore, Spec,
    decode_request,
    guarded::{NUMBER, PageAsk},
    limits::{ARENA_BASE, INPUT_BASE, MAX_MESSAGE, PAGE},
};
use sbm_system::{ClientSet, OnEnd, Terms};

use super::{
    DATA, ENTRIES, QUOTA, SANDBOXES, World, buffers, client, exception,
    fake::{Held, Mapped, NAMES},
    index, map, spec, touch,
};
use crate::{Effect, Handled, KernelFault, Launched, Program, Quota, SandboxIndex, State};

const ABORT: u64 = ENTRIES.abort as u64;

#[test]
fn a_sandbox_is_made_and_its_memory_comes_back() {
    let mut world = World::new();
    let left = world.machine.left;
    let handle = world.init(0, 4);
    assert_eq!(world.state(handle), Some(State::Ready));
    let effect = world.send(0, super::NOW, &[13, 7]);
    assert_eq!(effect, Effect::Ended);
    world.settle();
    assert_eq!(world.machine.left, left);
    assert!(world.server.client(client(0)).is_none() && world.server.client(client(1)).is_some());
    let frames = |id| world.server.program(client(id)).map(Program::code_frames);
    assert_eq!([frames(0), frames(1)], [None, Some(1)]);
    world.check();
}

#[test]
fn a_client_that_may_ends_another_one_and_learns_of_no_other() {
    let mut world = World::new();
    world.terms(1).kills = ClientSet(0b01);
    let left = world.machine.left;
    let handle = world.init(0, 4);
    world.grown(0, handle, 3);
    for (name, errno) in [("one", Errno::Perm), ("two", Errno::Perm), ("", Errno::Perm)] {
        assert_eq!(world.ask(1, &Request::Kill(name)), Response::Refused(errno));
    }
    assert_eq!(world.ask(0, &Request::Kill("one")), Response::Refused(Errno::Perm));
    assert_eq!(world.ask(1, &Request::Kill("zero")), Response::Done);
    assert_eq!((world.state(handle), world.machine.left), (None, left));
    assert_eq!(world.ask(1, &Request::Kill("zero")), Response::Refused(Errno::Invalid));
    assert!(!world.server.all_well());
    world.check();
}

#[test]
fn a_client_is_started_again_as_often_as_its_terms_say_with_nothing_of_its_last_life() {
    let mut world = World::new();
    world.terms(0).on_end = OnEnd::Restart(2);
    world.terms(1).kills = ClientSet(0b01);
    let (left, quota) = (world.machine.left, world.server.clients[0].as_ref().unwrap().quota);
    for life in 0..3 {
        if life > 0 {
            assert_eq!(
                world.ask(0, &Request::Init(spec(1))),
                Response::Refused(Errno::Invalid),
                "entry points are left"
            );
            world.ask(0, &Request::Register(ENTRIES));
        }
        let (spare, ready, faulted) = (world.init(0, 1), world.init(0, 2), world.init(0, 3));
        world.ask(0, &Request::Destroy(spare));
        world.fault(faulted, exception(5, 6));
        world.grown(0, ready, 3);
        assert_eq!(world.ask(0, &map(ready, DATA, 1)), Response::Done);
        assert_eq!(world.send_sleep(0), Effect::Wait);
        let how = if life == 1 { world.ask(1, &Request::Kill("zero")) } else { world.exit(0, 7) };
        assert_eq!(how, Response::Done);
        assert_eq!([spare, ready, faulted].map(|handle| world.state(handle)), [None; 3]);
        assert_eq!(world.machine.left, left);
        for handle in [spare, ready, faulted] {
            assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Refused(Errno::BadHandle), "life {life}");
        }
        let client = world.server.clients[0].as_ref();
        assert!(client.is_none_or(|client| client.restarts == life + 1 && client.quota == quota));
        assert_eq!((client.is_some(), world.server.all_well()), (life < 2, life < 2));
        world.check();
    }
    assert_eq!(world.machine.starts, 2);
}

#[test]
fn a_client_that_cannot_be_started_again_stays_away() {
    let mut world = World::new();
    world.terms(0).on_end = OnEnd::Restart(2);
    world.machine.fails_in = Some(0);
    world.exit(0, 0);
    assert!(world.server.client(client(0)).is_none());
    world.check();
}

#[test]
fn the_end_of_a_client_can_be_the_end_of_the_run() {
    for (status, well) in [(0, true), (1, false)] {
        let mut world = World::new();
        world.terms(0).on_end = OnEnd::EndRun;
        world.start(2);
        for from in 0..3 {
            world.init(from, 1);
        }
        world.exit(1, 3);
        world.exit(0, status);
        assert_eq!((world.server.has_clients(), world.server.all_well()), (false, well));
        // Those that it has taken along ended by no fault of their own.
        assert_eq!(world.machine.ended_badly.len(), 1 + usize::from(!well));
        assert!(world.machine.owners.is_empty());
        world.check();
    }
    // Whoever ends such a client is ended with it.
    let mut world = World::new();
    world.terms(0).on_end = OnEnd::EndRun;
    world.terms(1).kills = ClientSet(0b01);
    let message = Message::<MAX_MESSAGE>::new(&Request::Kill("zero")).unwrap();
    assert_eq!(world.send(1, super::NOW, message.bytes()), Effect::Ended);
    let mut world = World::new();
    world.terms(1).kills = ClientSet(0b10);
    let message = Message::<MAX_MESSAGE>::new(&Request::Kill("one")).unwrap();
    assert_eq!(world.send(1, super::NOW, message.bytes()), Effect::Ended);
}

#[test]
fn a_client_that_is_added_where_one_is_ends_that_one() {
    let mut world = World::new();
    let handle = world.init(0, 4);
    let program = world.server.clients[0].as_ref().unwrap().program.clone();
    let objects = world.machine.client(5);
    let launched = Launched { name: "zero", program, terms: Terms::DEFAULT, priorities: super::PRIORITIES, objects };
    world.server.add_client(&mut world.machine, client(0), launched);
    assert_eq!(world.state(handle), None);
    assert_eq!(world.server.client(client(0)), Some(&5));
}

#[test]
fn a_spare_serves_the_same_shape_and_only_its_client() {
    let mut world = World::new();
    let handle = world.init(0, 3);
    world.fault(handle, exception(1, 6));
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(world.state(handle), Some(State::Spare));
    let (arguments, stack) = world.parts(handle);
    assert_eq!(world.sandbox(handle).registers, Registers::reset(ENTRIES, arguments, stack, Restore::default()));
    assert!(matches!(world.ask(1, &Request::Init(spec(3))), Response::Ready { used: false, .. }));
    assert!(matches!(world.ask(0, &Request::Init(spec(2))), Response::Ready { used: false, .. }));
    let Response::Ready { handle: again, base, used: true } = world.ask(0, &Request::Init(spec(3))) else {
        panic!("not the spare")
    };
    assert_eq!(base + PAGE, arguments.address);
    assert_eq!((again.index(), again.generation()), (handle.index(), handle.generation() + 1));
    assert_eq!(world.state(again), Some(State::Ready));
    world.check();
}

#[test]
fn the_oldest_spare_goes_for_a_newer_one() {
    let mut world = World::new();
    let handles = [1, 2, 3].map(|pages| world.init(0, pages));
    for handle in handles {
        world.ask(0, &Request::Destroy(handle));
        world.check();
    }
    assert_eq!(handles.map(|handle| world.state(handle)), [None, Some(State::Spare), Some(State::Spare)]);
}

#[test]
fn a_client_without_spares_gives_a_destroyed_sandbox_back() {
    let mut world = World::new();
    for (spares, state) in [(0, None), (1, Some(State::Spare))] {
        world.set_quota(0, Quota { spares, ..QUOTA });
        let handle = world.init(0, 1);
        world.ask(0, &Request::Destroy(handle));
        assert_eq!(world.state(handle), state);
        world.check();
    }
}

#[test]
fn what_was_grown_or_mapped_into_is_not_kept_as_a_spare() {
    let mut world = World::new();
    for grown in [false, true] {
        let handle = world.init(0, 1);
        if grown {
            world.grown(0, handle, 1);
        } else {
            assert_eq!(world.ask(0, &map(handle, DATA, 1)), Response::Done);
        }
        world.ask(0, &Request::Destroy(handle));
        assert_eq!(world.state(handle), None);
        world.check();
    }
}

#[test]
fn what_was_grown_and_shrunk_again_is_kept() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let base = world.grown(0, handle, 1);
    world.ask(0, &Request::Shrink { handle, base });
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(world.state(handle), Some(State::Spare));
}

#[test]
fn where_the_stack_pointer_was_is_told_to_who_wants_to_know() {
    let fault = Fault { kind: FaultKind::Page, access: Access::Write, vector: 0, address: 8, ip: 0x20_1000 };
    for (traced, pointer, told) in [
        (true, Some(0x1000_4ff8), 0x1000_4ff8),
        (true, Some(u64::MAX), 0),
        (true, None, 0),
        (false, Some(0x1000_4ff8), 0),
    ] {
        let mut world = World::new();
        world.machine.stack_pointer = pointer;
        let init = world.ask(0, &Request::Init(Spec { traced, ..Spec::default() }));
        let Response::Ready { handle, .. } = init else { panic!("{init:?}") };
        world.fault(handle, KernelFault::Vm { ip: 0x20_1000, address: 8, prefetch: false, fsr: 6 });
        let (_, stack) = world.parts(handle);
        let mut registers = Registers::abort(ENTRIES, stack, fault);
        registers.tell(told);
        assert_eq!(world.sandbox(handle).registers, registers);
    }
}

#[test]
fn a_fault_is_answered_by_the_abort_entry_and_reset_ends_it() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let other = world.init(0, 1);
    world.fault(handle, KernelFault::Vm { ip: 0x20_1000, address: 8, prefetch: false, fsr: 6 });
    assert_eq!(world.state(handle), Some(State::Faulted));
    let fault = Fault { kind: FaultKind::Page, access: Access::Write, vector: 0, address: 8, ip: 0x20_1000 };
    let (arguments, stack) = world.parts(handle);
    assert_eq!(world.sandbox(handle).registers, Registers::abort(ENTRIES, stack, fault));
    assert_eq!(world.state(other), Some(State::Ready));
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!(world.state(handle), Some(State::Ready));
    assert_eq!(world.sandbox(handle).registers, Registers::reset(ENTRIES, arguments, stack, Restore::default()));
}

#[test]
fn a_thread_that_faults_where_it_answers_faults_is_stopped_the_second_time() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    world.machine.position = Some(ABORT);
    world.fault(handle, exception(ABORT, 6));
    assert_eq!((world.state(handle), world.machine.restarts.len()), (Some(State::Faulted), 1));
    world.fault(handle, exception(ABORT, 6));
    assert_eq!((world.state(handle), world.machine.restarts.len()), (Some(State::Stopped), 1));
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(world.state(handle), None);
}

#[test]
fn a_stopped_sandbox_can_be_reset() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    world.machine.position = Some(ABORT);
    world.fault(handle, exception(ABORT, 6));
    world.fault(handle, exception(ABORT, 6));
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!(world.state(handle), Some(State::Ready));
}

/// A message that says so is not enough: its sender waits elsewhere, and its caller for an answer.
#[test]
fn a_forged_fault_at_the_abort_entry_is_answered_however_often() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    for (position, fault) in [
        (Some(0x20_5555), exception(ABORT, 6)),
        (Some(ABORT), exception(ABORT, 1)),
        (Some(ABORT), exception(ABORT, 3)),
        (Some(ABORT), exception(0x20_5555, 6)),
        (None, exception(ABORT, 6)),
    ] {
        for _ in 0..3 {
            let restarts = world.machine.restarts.len();
            world.machine.position = position;
            world.fault(handle, fault);
            assert_eq!((world.state(handle), world.machine.restarts.len()), (Some(State::Faulted), restarts + 1));
        }
    }
}

#[test]
fn a_spare_that_faults_stays_and_one_that_cannot_answer_goes() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    world.ask(0, &Request::Destroy(handle));
    world.fault(handle, exception(5, 6));
    assert_eq!(world.state(handle), Some(State::Spare));
    world.machine.position = Some(ABORT);
    world.fault(handle, exception(ABORT, 6));
    assert_eq!(world.state(handle), None);
    world.check();
    let spare = Handle::new(handle.index(), handle.generation() + 1);
    assert!(matches!(world.ask(0, &Request::Reset(spare)), Response::Refused(_)));
}

#[test]
fn a_fault_of_no_sandbox_is_told_apart() {
    let mut world = World::new();
    let none = SandboxIndex::new(3, SANDBOXES).unwrap();
    assert_eq!(world.server.fault(&mut world.machine, none, KernelFault::Other), Handled::Lost);
    assert_eq!(SandboxIndex::new(SANDBOXES as u64, SANDBOXES), None);
    assert_eq!(SandboxIndex::new(1 << 16, 1 << 17), None);
}

#[test]
fn a_handle_of_what_is_gone_names_nothing_that_comes_later() {
    for spares in [0, 2] {
        let mut world = World::new();
        world.set_quota(0, Quota { spares, ..QUOTA });
        let mut old = vec![];
        for generation in 0..4 {
            let handle = world.init(0, 1);
            assert_eq!((handle.index(), handle.generation()), (0, generation));
            for old in &old {
                assert_eq!(world.ask(0, &Request::Reset(*old)), Response::Refused(Errno::BadHandle));
            }
            assert_eq!(world.ask(0, &Request::Destroy(handle)), Response::Done);
            old.push(handle);
        }
    }
}

#[test]
fn generations_wrap_and_start_again() {
    for spares in [0, 2] {
        let mut world = World::new();
        world.set_quota(0, Quota { spares, ..QUOTA });
        let handle = world.init(0, 1);
        world.server.sandboxes[index(handle).get()].generation = Handle::GENERATIONS - 1;
        let last = Handle::new(handle.index(), Handle::GENERATIONS - 1);
        assert_eq!(world.ask(0, &Request::Destroy(last)), Response::Done);
        let first = world.init(0, 1);
        assert_eq!(first, Handle::new(handle.index(), 0));
        assert_eq!(world.ask(0, &Request::Reset(first)), Response::Done);
    }
}

/// A step of a random life; handles are chosen among those ever seen, so that stale ones are common.
#[derive(Debug, Clone)]
enum Step {
    Register(u64, bool),
    Init(u64, u32, Option<Own>),
    Destroy(u64, usize),
    Reset(u64, usize),
    Snapshot(u64, usize),
    Grow(u64, usize, Vec<u32>),
    Shrink(u64, usize, usize),
    Map(u64, usize, u32, u32, bool),
    Fault(u64, u64, Option<u64>),
    /// A sandbox, by index, touches the page of that number from the one before its heap on.
    Touch(u64, u32),
    /// A sandbox, by index, asks for such a page to be mapped, or not.
    Ask(u64, u32, bool),
    Bytes(u64, Vec<u8>),
    Fail(u32),
    /// An operation to come finds memory that is not ready.
    BeLate(u32),
    /// So many steps of what takes long.
    Work(u32),
    /// Memory is ready.
    BeReady,
    /// A client calls a sandbox, by index, and has marks and a deadline, by how far away it is.
    Call(u64, Option<usize>, Vec<usize>, u64),
    Arm(u64),
    Sleep(u64, u64),
    /// A client ends another one's call; the second one may.
    Cancel(u64, usize),
    /// A client writes so many bytes to the console.
    Console(u64, usize),
    /// A client ends another one, or itself; the second one may.
    Kill(u64, usize),
    Look(u64),
    End(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0u64..2;
    let at = || 0usize..64;
    let page = |first: u32, count: u32| (0..count).prop_map(move |page| first + page * PAGE);
    let address = prop_oneof![page(DATA, 5), page(INPUT_BASE, 4), page(ARENA_BASE, 40), any::<u32>()];
    let heap = prop_oneof![2 => Just(0), 4 => (2u32..7).prop_map(|power| 1 << power), 1 => any::<u32>()];
    let statics = prop_oneof![4 => Just(0), 4 => Just(4), 1 => any::<u16>()];
    let own = (heap, statics, any::<bool>());
    let own = own.prop_map(|(heap_pages, statics_pages, guarded)| {
        let beside = if guarded { Own::GUARDED } else { 0 };
        Own { heap_pages: heap_pages | beside, statics_pages }
    });
    let heap = proptest::option::of(own);
    let ip = || prop_oneof![Just(ABORT), any::<u64>()];
    let step = prop_oneof![
        1 => (who(), any::<bool>()).prop_map(|(who, other)| Step::Register(who, other)),
        8 => (who(), prop_oneof![8 => 1u32..4, 8 => 1u32..150, 1 => 510u32..700], heap).prop_map(|(who, pages, own)| Step::Init(who, pages, own)),
        6 => (0u64..20, 0u32..66).prop_map(|(at, page)| Step::Touch(at, page)),
        6 => (0u64..20, 0u32..66, any::<bool>()).prop_map(|(at, page, mapped)| Step::Ask(at, page, mapped)),
        4 => (who(), at()).prop_map(|(who, at)| Step::Destroy(who, at)),
        2 => (who(), at()).prop_map(|(who, at)| Step::Reset(who, at)),
        2 => (who(), at()).prop_map(|(who, at)| Step::Snapshot(who, at)),
        6 => (who(), at(), proptest::collection::vec(prop_oneof![1u32..3, 0u32..700], 1..3))
            .prop_map(|(who, at, pages)| Step::Grow(who, at, pages)),
        4 => (who(), at(), at()).prop_map(|(who, at, base)| Step::Shrink(who, at, base)),
        4 => (who(), at(), address, 0u32..4, any::<bool>())
            .prop_map(|(who, at, to, n, write)| Step::Map(who, at, to, n, write)),
        2 => (0u64..20, ip(), proptest::option::of(ip())).prop_map(|(at, ip, position)| Step::Fault(at, ip, position)),
        2 => (who(), proptest::collection::vec(any::<u8>(), 0..100)).prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        2 => (0u32..4).prop_map(Step::Fail),
        2 => (0u32..8).prop_map(Step::BeLate),
        12 => (1u32..12).prop_map(Step::Work),
        4 => Just(Step::BeReady),
        3 => (who(), proptest::option::of(0usize..14), proptest::collection::vec(0usize..2048, 0..40), 0u64..200_000)
            .prop_map(|(who, calls, marks, deadline)| Step::Call(who, calls, marks, deadline)),
        1 => who().prop_map(Step::Arm),
        2 => (who(), 0u64..200_000).prop_map(|(who, later)| Step::Sleep(who, later)),
        2 => (who(), 0usize..3).prop_map(|(who, target)| Step::Cancel(who, target)),
        2 => (who(), 0usize..900).prop_map(|(who, bytes)| Step::Console(who, bytes)),
        1 => (who(), 0usize..3).prop_map(|(who, target)| Step::Kill(who, target)),
        3 => (0u64..300_000).prop_map(Step::Look),
        1 => who().prop_map(Step::End),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What a refused request must leave as it was: everything but the client's spares, its page tables and the books of both.
#[derive(PartialEq)]
struct Lasting {
    /// Index, generation, state and objects of sandboxes.
    sandboxes: Vec<(usize, u32, State, Held)>,
    /// What other clients have mapped.
    others: Vec<Mapped>,
    /// Deadline, marks and next look of all clients.
    watch_words: Vec<(u64, BTreeSet<usize>, Option<u64>)>,
    look_at: Option<u64>,
    restarts: usize,
    answers: usize,
}

fn lasting(world: &World, from: u64) -> Lasting {
    let mut sandboxes = Vec::new();
    for (at, entry) in world.server.sandboxes.iter().enumerate() {
        if let Some(sandbox) = &entry.sandbox
            && (sandbox.owner.get() as u64 != from || sandbox.state != State::Spare)
        {
            sandboxes.push((at, entry.generation, sandbox.state, world.machine.boxes[&sandbox.objects].clone()));
        }
    }
    let owners = &world.machine.owners;
    let others = owners.iter().filter(|(name, _)| u64::from(**name) != from);
    let watch_words = owners.values().map(|owner| (owner.deadline, owner.marks.clone(), owner.next_look));
    Lasting {
        sandboxes,
        others: others.map(|(_, owner)| owner.mapped.clone()).collect(),
        watch_words: watch_words.collect(),
        look_at: world.machine.look_at,
        restarts: world.machine.restarts.len(),
        answers: owners.values().map(|owner| owner.answers.len()).sum(),
    }
}

/// Sends, and checks that a refusal changed nothing but what the documentation says.
fn send(world: &mut World, from: u64, bytes: &[u8]) -> Effect {
    let before = lasting(world, from);
    let effect = world.send(from, super::NOW, bytes);
    if matches!(effect, Effect::Answer(Response::Refused(_))) {
        assert!(lasting(world, from) == before, "a refused {:?} changed something", decode_request(bytes));
    }
    effect
}

fn ask(world: &mut World, from: u64, request: &Request<'_>) -> Option<Response> {
    let message = Message::<MAX_MESSAGE>::new(request).unwrap();
    match send(world, from, message.bytes()) {
        Effect::Answer(response) => Some(response),
        Effect::Wait | Effect::Ended => None,
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_loses_anything(steps in steps()) {
        let mut world = World::new();
        (world.terms(1).cancels, world.terms(1).kills) = (ClientSet(!0), ClientSet(!0));
        world.terms(1).quota.console = Some(1000);
        (world.terms(0).on_end, world.terms(1).on_end) = (OnEnd::Restart(1000), OnEnd::Restart(1000));
        let whole = (1000, 4000);
        let mut handles = vec![Handle::new(3, 3)];
        let mut bases = vec![ARENA_BASE];
        let mut answered = [0; 2];
        for step in steps {
            let pick = |at: usize| handles[at % handles.len()];
            match step {
                Step::Register(who, other) => {
                    let entries = if other { super::OTHER_ENTRIES } else { ENTRIES };
                    ask(&mut world, who, &Request::Register(entries));
                }
                Step::Init(who, pages, own) => {
                    let spec = Spec { own, ..spec(pages) };
                    if let Some(Response::Ready { handle, .. }) = ask(&mut world, who, &Request::Init(spec)) {
                        handles.push(handle);
                    }
                }
                Step::Destroy(who, at) => { ask(&mut world, who, &Request::Destroy(pick(at))); }
                Step::Snapshot(who, at) => {
                    ask(&mut world, who, &Request::Snapshot(pick(at)));
                }
                Step::Reset(who, at) => { ask(&mut world, who, &Request::Reset(pick(at))); }
                Step::Grow(who, at, pages) => {
                    let request = Request::Grow { handle: pick(at), buffers: buffers(&pages) };
                    if let Some(Response::Grown { base }) = ask(&mut world, who, &request) {
                        bases.push(base);
                    }
                }
                Step::Shrink(who, at, base) => {
                    let base = bases[base % bases.len()];
                    ask(&mut world, who, &Request::Shrink { handle: pick(at), base });
                }
                Step::Map(who, at, address, pages, write) => {
                    let access = if write { BufferAccess::ReadWrite } else { BufferAccess::ReadOnly };
                    ask(&mut world, who, &Request::Map { handle: pick(at), address, pages, access });
                }
                Step::Fault(at, ip, position) => if let Some(index) = SandboxIndex::new(at, SANDBOXES) {
                    world.machine.position = position;
                    world.server.fault(&mut world.machine, index, exception(ip, 13));
                },
                Step::Touch(at, page) => if let Some(index) = SandboxIndex::new(at, SANDBOXES) {
                    let sandbox = world.server.sandboxes[index.get()].sandbox.as_ref();
                    let heap = sandbox.and_then(|sandbox| sandbox.zones.heap);
                    let first = heap.map_or(ARENA_BASE, |(heap, _)| heap.pages().address) - PAGE;
                    // Each third time a page of the statics, or one beside them.
                    let address = if page % 3 == 0 { DATA - PAGE + page / 3 % 6 * PAGE } else { first + page * PAGE };
                    let spares = |world: &World| {
                        world.server.clients.iter().flatten().map(|client| client.spares.len()).sum::<usize>()
                    };
                    let before = spares(&world);
                    if world.server.fault(&mut world.machine, index, touch(address.into())) == Handled::GoesOn {
                        let sandbox = world.server.sandboxes[index.get()].sandbox.as_ref().unwrap();
                        let is_there = world.machine.boxes[&sandbox.objects].mapped.contains_key(&address);
                        // Where a spare was given up for it, the thread touches again.
                        prop_assert!(is_there || spares(&world) + 1 == before);
                    }
                },
                Step::Ask(at, page, mapped) => if let Some(index) = SandboxIndex::new(at, SANDBOXES) {
                    let sandbox = world.server.sandboxes[index.get()].sandbox.as_ref();
                    let heap = sandbox.and_then(|sandbox| sandbox.zones.heap);
                    let address = heap.map_or(ARENA_BASE, |(heap, _)| heap.pages().address) - PAGE + page * PAGE;
                    let word = PageAsk { address, mapped }.into_word();
                    let message = KernelFault::UnknownSyscall { ip: 0x20_7000, number: NUMBER, word };
                    if world.server.fault(&mut world.machine, index, message) == Handled::Served {
                        let sandbox = world.server.sandboxes[index.get()].sandbox.as_ref().unwrap();
                        let is_there = world.machine.boxes[&sandbox.objects].mapped.contains_key(&address);
                        prop_assert_eq!(is_there, mapped);
                    }
                },
                Step::Bytes(who, bytes) => { send(&mut world, who, &bytes); }
                Step::BeLate(steps) => world.machine.is_late_in = Some(steps),
                Step::BeReady => world.server.resume(&mut world.machine),
                Step::Work(steps) => for _ in 0..steps {
                    world.work();
                    for who in 0..2 {
                        world.revive(who);
                    }
                    for (from, answered) in (0..).zip(&mut answered) {
                        let count = world.machine.owners[&from].answers.len();
                        let is_response = world.machine.owners[&from].answers.last().is_some_and(|it| it.label == 0);
                        if count > std::mem::replace(answered, count) && is_response {
                            match world.answered(from.into()) {
                                Response::Ready { handle, .. } => handles.push(handle),
                                Response::Grown { base } => bases.push(base),
                                _ => {}
                            }
                        }
                    }
                    world.check();
                },
                Step::Call(who, calls, marks, deadline) => {
                    let owner = world.machine.owners.get_mut(&u32::try_from(who).unwrap()).unwrap();
                    owner.calls = calls;
                    owner.marks.extend(marks);
                    owner.deadline = if deadline % 3 == 0 { 0 } else { super::NOW + deadline };
                }
                Step::Arm(who) => { ask(&mut world, who, &Request::Arm); }
                Step::Sleep(who, later) => {
                    ask(&mut world, who, &Request::Sleep { until: super::NOW + later });
                }
                Step::Cancel(who, target) => {
                    ask(&mut world, who, &Request::Cancel(NAMES[target]));
                }
                Step::Console(who, bytes) => {
                    ask(&mut world, who, &Request::Console(&[b'x'; 900][..bytes]));
                }
                Step::Kill(who, target) => {
                    ask(&mut world, who, &Request::Kill(NAMES[target]));
                    (0..2).for_each(|who| world.revive(who));
                }
                Step::Look(later) => world.look(super::NOW + later),
                Step::Fail(steps) => world.machine.fails_in = Some(steps),
                Step::End(who) => world.server.end_client(&mut world.machine, client(who), true),
            }
            world.check();
        }
        for who in 0..2 {
            world.settle();
            world.revive(who);
            world.terms(who).on_end = OnEnd::Stop;
            world.end(who);
        }
        world.check();
        prop_assert!(world.machine.boxes.is_empty() && world.machine.owners.is_empty());
        prop_assert_eq!(world.machine.left, whole);
    }
}

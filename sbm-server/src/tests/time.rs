// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which calls are ended when, who is woken, what is stopped, and when the server looks again.

use std::vec::Vec;

use sbm_abi::{
    Access, Errno, Fault, FaultKind, Handle, Label, Message, Registers, Request, Response, Restore, limits::MAX_MESSAGE,
};
use sbm_system::ClientSet;

use super::{ENTRIES, NOW, PER_SECOND, World, index};
use crate::{Answer, Effect, State};

/// A twentieth of a second, and what is let pass at least.
const INTERVAL: u64 = PER_SECOND / 20;
const LEAST: u64 = PER_SECOND / 4000;
const SOON: u64 = PER_SECOND / 1250;
const MARKS_AGAIN: u64 = PER_SECOND / 250;

/// Lets client 0 call a sandbox, with a deadline.
fn call(world: &mut World, handle: Handle, deadline: u64) {
    let owner = world.machine.owners.get_mut(&0).unwrap();
    owner.calls = Some(index(handle).get());
    owner.marks.insert(index(handle).get());
    owner.deadline = deadline;
}

fn answers(world: &World, from: u32) -> Vec<Answer> {
    world.machine.owners[&from].answers.clone()
}

fn padded(fault: Fault) -> [u64; 4] {
    let [first, second, third] = fault.words();
    [first, second, third, 0]
}

fn ended(kind: FaultKind, ip: u64) -> (Fault, Answer) {
    let fault = Fault { kind, access: Access::None, vector: 0, address: 0, ip };
    (fault, Answer { label: Label::Aborted as u64, length: 3, words: padded(fault) })
}

fn send(world: &mut World, from: u64, now: u64, request: &Request<'_>) -> Effect {
    let message = Message::<MAX_MESSAGE>::new(request).unwrap();
    world.send(from, now, message.bytes())
}

#[test]
fn a_call_is_ended_at_its_deadline_and_not_before() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    world.machine.position = Some(0x20_7777);
    call(&mut world, handle, NOW + 1000);
    world.look(NOW + 999);
    assert_eq!((answers(&world, 0), world.state(handle)), (Vec::new(), Some(State::Ready)));
    world.look(NOW + 1000);
    let (fault, answer) = ended(FaultKind::TimedOut, 0x20_7777);
    assert_eq!((answers(&world, 0), world.state(handle)), (std::vec![answer], Some(State::Faulted)));
    let (_, stack) = world.parts(handle);
    assert_eq!(world.sandbox(handle).registers, Registers::abort(ENTRIES, stack, fault));
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!(world.state(handle), Some(State::Ready));
}

#[test]
fn a_deadline_that_is_over_ends_only_the_call_that_its_client_waits_in() {
    for calls in [None, Some(1), Some(5), Some(super::SANDBOXES), Some(usize::MAX)] {
        let mut world = World::apart();
        // Index 0 is client 0's, 1 the other's; the others stand empty.
        let (own, other) = (world.init(0, 1), world.init(1, 1));
        assert_eq!((own.index(), other.index()), (0, 1));
        let owner = world.machine.owners.get_mut(&0).unwrap();
        (owner.calls, owner.deadline) = (calls, NOW);
        world.look(NOW);
        assert!(answers(&world, 0).is_empty() && world.machine.restarts.is_empty(), "{calls:?}");
        // It is not forgotten: the call may be about to begin.
        assert_eq!(world.machine.look_at, Some(NOW + SOON));
    }
}

#[test]
fn a_spare_is_not_called() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    world.ask(0, &Request::Destroy(handle));
    let restarts = world.machine.restarts.len();
    call(&mut world, handle, NOW);
    world.look(NOW);
    assert!(answers(&world, 0).is_empty());
    assert_eq!(world.machine.restarts.len(), restarts);
}

#[test]
fn the_next_look_is_at_the_first_deadline_within_bounds() {
    for (deadlines, next) in [
        ([0, 0], None),
        ([NOW + 7000, 0], Some(NOW + 7000)),
        ([NOW + 9000, NOW + 8000], Some(NOW + 8000)),
        ([NOW + 1, 0], Some(NOW + LEAST)),
        ([NOW + INTERVAL + 1, 0], Some(NOW + INTERVAL)),
        ([u64::MAX, 0], Some(NOW + INTERVAL)),
        ([1, 0], Some(NOW + LEAST)),
    ] {
        let mut world = World::apart();
        for (owner, deadline) in world.machine.owners.values_mut().zip(deadlines) {
            owner.deadline = deadline;
        }
        for from in 0..2 {
            assert_eq!(send(&mut world, from, NOW, &Request::Arm), Effect::Answer(Response::Done));
        }
        assert_eq!(world.machine.look_at, next, "{deadlines:?}");
        for owner in world.machine.owners.values() {
            assert_eq!(owner.next_look, next);
        }
        world.look(NOW);
        let next = if deadlines[0] == 1 { Some(NOW + SOON) } else { next };
        assert_eq!(world.machine.look_at, next, "{deadlines:?}");
    }
}

#[test]
fn to_ask_for_a_look_is_no_look_and_puts_none_off() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    call(&mut world, handle, NOW - 1);
    send(&mut world, 0, NOW, &Request::Arm);
    assert!(answers(&world, 0).is_empty());
    world.machine.owners.get_mut(&0).unwrap().deadline = NOW + 20_000;
    world.machine.owners.get_mut(&0).unwrap().next_look = Some(7);
    send(&mut world, 0, NOW, &Request::Arm);
    assert_eq!((world.machine.look_at, world.machine.owners[&0].next_look), (Some(NOW + LEAST), Some(NOW + LEAST)));
    assert_eq!(send(&mut world, 3, NOW, &Request::Arm), Effect::Answer(Response::Refused(Errno::BadHandle)));
}

#[test]
fn a_client_that_begins_knows_of_the_next_look() {
    let mut world = World::apart();
    world.machine.owners.get_mut(&0).unwrap().deadline = NOW + 10;
    send(&mut world, 0, NOW, &Request::Arm);
    world.start(2);
    assert_eq!(world.machine.owners[&2].next_look, Some(NOW + LEAST));
}

#[test]
fn what_runs_on_is_stopped_and_what_waits_or_is_called_is_not() {
    let mut world = World::apart();
    let [waits, runs, called] = [0; 3].map(|_| world.init(0, 1));
    let other = world.init(1, 1);
    let name = |world: &World, handle| world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().objects;
    for handle in [runs, called, other] {
        let name = name(&world, handle);
        world.machine.boxes.get_mut(&name).unwrap().waits = false;
    }
    let owner = world.machine.owners.get_mut(&0).unwrap();
    owner.calls = Some(index(called).get());
    // The neighbour's as well, which it cannot reach, and one that is not there.
    owner.marks = [waits, runs, called, other].map(|handle| index(handle).get()).into_iter().chain([9]).collect();
    world.look(NOW);
    let restarted: Vec<_> = world.machine.restarts.iter().map(|(sandbox, _)| *sandbox).collect();
    assert_eq!(restarted, [name(&world, runs)]);
    // What it was about to clear it clears.
    let (arguments, stack) = world.parts(runs);
    assert_eq!(world.sandbox(runs).registers, Registers::reset(ENTRIES, arguments, stack, Restore::default()));
    assert_eq!(world.state(runs), Some(State::Ready));
    assert!(world.machine.owners[&0].marks.is_empty() && answers(&world, 0).is_empty());
}

/// What runs on may be in the middle of a reset, as a spare is after its life.
#[test]
fn what_is_stopped_is_reset() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    let sandbox = world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap();
    let (name, wanted) =
        (sandbox.objects, Registers::reset(sandbox.entries, sandbox.arguments, sandbox.stack, Restore::default()));
    for now in [NOW, NOW + MARKS_AGAIN] {
        world.machine.boxes.get_mut(&name).unwrap().waits = false;
        world.machine.owners.get_mut(&0).unwrap().marks = [index(handle).get()].into_iter().collect();
        world.machine.restarts.clear();
        world.look(now);
        assert_eq!(world.machine.restarts, [(name, wanted)]);
        world.ask(0, &Request::Destroy(handle));
    }
}

#[test]
fn marks_stay_while_a_call_has_a_deadline_since_it_may_be_about_to_begin() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    call(&mut world, handle, NOW + 100_000);
    world.machine.owners.get_mut(&0).unwrap().calls = None;
    world.look(NOW);
    assert_eq!(world.machine.owners[&0].marks.len(), 1);
    assert_eq!(world.machine.look_at, Some(NOW + INTERVAL));
    world.machine.owners.get_mut(&0).unwrap().deadline = 0;
    world.look(NOW + INTERVAL);
    assert!(world.machine.owners[&0].marks.is_empty());
    assert_eq!(world.machine.look_at, None);
}

#[test]
fn a_look_goes_through_some_marks_and_the_next_one_goes_on() {
    for armed in [false, true] {
        let mut world = World::apart();
        let handle = world.init(0, 1);
        let name = world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().objects;
        world.machine.boxes.get_mut(&name).unwrap().waits = false;
        // Its mark is the last of many.
        world.server.sandboxes.swap(index(handle).get(), super::SANDBOXES - 1);
        let owner = world.machine.owners.get_mut(&0).unwrap();
        owner.marks = (0..super::SANDBOXES).chain(100..130).collect();
        owner.deadline = if armed { u64::MAX } else { 0 };
        let mut looks = 0;
        while world.machine.look_at.is_some() || looks == 0 {
            world.look(NOW + INTERVAL * looks);
            looks += 1;
            if looks > 5 {
                break;
            }
        }
        assert_eq!(world.machine.restarts.len(), 1, "{armed}");
        assert_eq!(world.machine.owners[&0].marks.is_empty(), !armed);
        assert_eq!(looks > 5, armed);
    }
}

#[test]
fn a_look_goes_around_its_marks_once() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    let name = world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().objects;
    let marks = |world: &mut World, count| {
        let owner = world.machine.owners.get_mut(&0).unwrap();
        (owner.marks, owner.deadline) = ((0..count).collect(), u64::MAX);
    };
    // As many as a look goes through and sees that it is around.
    marks(&mut world, 30);
    world.look(NOW);
    assert_eq!(world.machine.look_at, Some(NOW + INTERVAL));
    // The look after one that did not get around goes on there, and then from the first mark on.
    marks(&mut world, 40);
    let now = NOW + MARKS_AGAIN;
    world.look(now);
    assert_eq!(world.machine.look_at, Some(now + MARKS_AGAIN));
    world.machine.boxes.get_mut(&name).unwrap().waits = false;
    // One that comes before its time does not, and says when that is.
    world.look(now + MARKS_AGAIN - 1);
    assert_eq!((world.machine.restarts.len(), world.machine.look_at), (0, Some(now + MARKS_AGAIN + 249)));
    world.look(now + MARKS_AGAIN);
    assert_eq!(world.machine.restarts.len(), 1);
}

#[test]
fn a_client_sleeps_until_its_time_has_come() {
    let mut world = World::apart();
    assert_eq!(send(&mut world, 0, NOW, &Request::Sleep { until: NOW + 3000 }), Effect::Wait);
    assert_eq!(world.machine.look_at, Some(NOW + 3000));
    world.look(NOW + 2999);
    assert!(answers(&world, 0).is_empty());
    world.look(NOW + 3000);
    let done = Message::<32>::new(&Response::Done).unwrap();
    let word = done.words().next().unwrap();
    assert_eq!(answers(&world, 0), [Answer { label: 0, length: 1, words: [word, 0, 0, 0] }]);
    assert_eq!(world.machine.look_at, None);
    world.look(NOW + 4000);
    assert_eq!(answers(&world, 0).len(), 1, "woken twice");
}

#[test]
fn a_client_that_sleeps_until_what_is_over_does_not_sleep() {
    let mut world = World::apart();
    assert_eq!(send(&mut world, 0, NOW, &Request::Sleep { until: NOW }), Effect::Answer(Response::Done));
    assert_eq!((world.machine.look_at, answers(&world, 0).len()), (None, 0));
    assert_eq!(
        send(&mut world, 3, NOW, &Request::Sleep { until: NOW }),
        Effect::Answer(Response::Refused(Errno::BadHandle))
    );
}

#[test]
fn a_deadline_beyond_the_longest_budget_is_over_at_once() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    world.terms(0).budget.longest_ms = Some(100);
    call(&mut world, handle, NOW + PER_SECOND / 10);
    world.look(NOW);
    assert!(answers(&world, 0).is_empty());
    call(&mut world, handle, NOW + PER_SECOND / 10 + 1);
    world.look(NOW);
    assert_eq!(answers(&world, 0).len(), 1);
    // One without a limit may have any.
    world.terms(0).budget.longest_ms = None;
    call(&mut world, handle, u64::MAX);
    world.look(NOW);
    assert_eq!(answers(&world, 0).len(), 1);
}

#[test]
fn text_above_its_quota_has_its_client_wait_as_long_as_it_takes() {
    let mut world = World::apart();
    world.terms(0).quota.console = Some(100);
    let text = |length: usize| Request::Console(&[b'x'; 100][..length]);
    let done = Effect::Answer(Response::Done);
    // A second's worth goes at once, and then all at its pace.
    assert_eq!(send(&mut world, 0, NOW, &text(100)), done);
    assert_eq!(send(&mut world, 0, NOW, &text(20)), Effect::Wait);
    assert_eq!(world.machine.texts.len(), 2);
    // It does not wait, which helps it nothing.
    assert_eq!(send(&mut world, 0, NOW, &text(1)), Effect::Answer(Response::Refused(Errno::Quota)));
    assert_eq!(world.machine.texts.len(), 2);
    let until = NOW + PER_SECOND / 5;
    world.look(until - 1);
    assert!(answers(&world, 0).is_empty());
    world.look(until);
    assert_eq!(answers(&world, 0).len(), 1);
    world.machine.owners.get_mut(&0).unwrap().sleeps = false;
    // Time that it lets pass is not saved up for more than a second's worth.
    let later = until + 100 * PER_SECOND;
    assert_eq!(send(&mut world, 0, later, &text(100)), done);
    assert_eq!(send(&mut world, 0, later, &text(1)), Effect::Wait);
    // Others have quotas of their own, or none.
    for _ in 0..10 {
        assert_eq!(send(&mut world, 1, later, &text(100)), done);
    }
}

#[test]
fn a_client_that_may_ends_the_running_call_of_the_client_that_it_names() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    world.machine.position = Some(0x20_8888);
    call(&mut world, handle, 0);
    world.terms(1).cancels = ClientSet(0b101);
    assert_eq!(world.ask(1, &Request::Cancel("zero")), Response::Done);
    let (fault, answer) = ended(FaultKind::Canceled, 0x20_8888);
    assert_eq!((answers(&world, 0), world.state(handle)), (std::vec![answer], Some(State::Faulted)));
    let (_, stack) = world.parts(handle);
    assert_eq!(world.sandbox(handle).registers, Registers::abort(ENTRIES, stack, fault));
    // Now there is none to be ended, which is no error.
    assert_eq!(world.ask(1, &Request::Cancel("zero")), Response::Done);
    assert_eq!(answers(&world, 0).len(), 1);
    world.end(0);
    assert_eq!(world.ask(1, &Request::Cancel("zero")), Response::Refused(Errno::Invalid));
}

#[test]
fn a_client_that_may_not_ends_no_call_and_learns_no_name() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    call(&mut world, handle, 0);
    (world.terms(0).cancels, world.terms(1).cancels) = (ClientSet(!0), ClientSet(0b10));
    for name in ["zero", "two", ""] {
        assert_eq!(world.ask(1, &Request::Cancel(name)), Response::Refused(Errno::Perm));
    }
    assert_eq!(world.ask(3, &Request::Cancel("zero")), Response::Refused(Errno::BadHandle));
    assert!(answers(&world, 0).is_empty());
}

#[test]
fn what_runs_is_told_with_the_sandbox_that_is_called() {
    let mut world = World::apart();
    let handle = world.init(0, 1);
    call(&mut world, handle, 0);
    world.machine.owners.get_mut(&1).unwrap().calls = Some(7);
    let running: Vec<_> = world
        .server
        .running(&world.machine)
        .map(|it| (*it.client, it.called.map(|(index, name)| (index, *name))))
        .collect();
    let name = world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().objects;
    assert_eq!(running, [(0, Some((index(handle).get(), name))), (1, None)]);
}

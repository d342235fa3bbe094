// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the clients of one priority is first, what keeps up with it, and for whom steps are done.

use std::{vec, vec::Vec};

use sbm_abi::{Handle, Message, Request, Response, limits::MAX_MESSAGE};
use sbm_system::{ClientSet, OnEnd, Priorities};

use super::{NOW, PRIORITIES, World, client, fake::Thread, index, spec};
use crate::Effect;
use crate::shares::{Cpu, MOST_FORWARD};

/// Ticks of a quantum: a two-hundredth of a second.
const QUANTUM: u64 = 5000;

impl World {
    /// Returns the clients whose threads are first.
    fn first(&self) -> Vec<u32> {
        let owners = self.machine.owners.iter();
        owners.filter(|(_, owner)| owner.priority == PRIORITIES.first).map(|(number, _)| *number).collect()
    }

    /// Looks when the machine is to, and returns who is first then.
    fn next_quantum(&mut self) -> (u64, Vec<u32>) {
        let now = self.machine.look_at.expect("no look is planned");
        self.look(now);
        self.check();
        (now, self.first())
    }

    fn keeps_up(&self, handle: Handle) -> bool {
        self.sandbox(handle).priority == PRIORITIES.first
    }

    fn begin(&mut self, from: u64, now: u64, request: &Request<'_>) -> Effect {
        let message = Message::<MAX_MESSAGE>::new(request).unwrap();
        self.send(from, now, message.bytes())
    }
}

#[test]
fn whoever_has_its_priority_to_itself_has_no_quanta() {
    let mut world = World::apart();
    world.look(NOW);
    assert_eq!((world.machine.look_at, world.first()), (None, vec![]));
    let handle = world.init(0, 1);
    assert!(!world.keeps_up(handle));
}

#[test]
fn two_of_one_priority_are_first_in_turn() {
    let mut world = World::new();
    world.look(NOW);
    assert_eq!((world.first(), world.machine.look_at), (vec![0], Some(NOW + QUANTUM)));
    // Looks that come earlier change nothing.
    world.look(NOW + QUANTUM - 1);
    assert_eq!((world.first(), world.machine.look_at), (vec![0], Some(NOW + QUANTUM)));
    for turn in 1..20 {
        assert_eq!(world.next_quantum(), (NOW + QUANTUM * turn, vec![(turn % 2) as u32]));
    }
}

#[test]
fn clients_of_each_priority_are_first_in_turn_among_themselves() {
    let mut world = World::new();
    let others = Priorities { usual: 4, first: 5 };
    for number in 2..4 {
        world.start(number);
        world.server.clients[client(number.into()).get()].as_mut().unwrap().cpu = Cpu::new(others);
    }
    for turn in 0..6 {
        world.look(NOW + QUANTUM * turn);
        let has = |priority| world.machine.owners.iter().filter(move |(_, owner)| owner.priority == priority);
        let first = |priority| has(priority).map(|(number, _)| u64::from(*number)).collect::<Vec<_>>();
        assert_eq!((first(PRIORITIES.first), first(others.first)), (vec![turn % 2], vec![2 + turn % 2]));
        assert_eq!(world.machine.look_at, Some(NOW + QUANTUM * (turn + 1)));
    }
}

#[test]
fn a_sleep_of_one_that_is_not_first_begins_no_quantum() {
    let mut world = World::new();
    world.look(NOW);
    let now = NOW + QUANTUM + 1;
    assert_eq!(world.begin(1, now, &Request::Sleep { until: now + QUANTUM }), Effect::Wait);
    assert_eq!((world.first(), world.machine.look_at), (vec![0], Some(NOW + QUANTUM)));
}

#[test]
fn a_client_and_the_sandbox_that_it_calls_run_before_its_others() {
    let mut world = World::new();
    world.look(NOW);
    world.set_quota(0, crate::Quota { limit: super::PLENTY, ..super::QUOTA });
    let sandboxes: Vec<Handle> = (0..=MOST_FORWARD).map(|_| world.init(0, 1)).collect();
    let named = |world: &World, handle| {
        Thread::Sandbox(world.server.sandboxes[index(handle).get()].sandbox.as_ref().unwrap().objects)
    };
    // One that keeps up already, and one that does not.
    for called in [sandboxes[3], sandboxes[0], sandboxes[8]] {
        world.machine.owners.get_mut(&0).unwrap().calls = Some(index(called).get());
        while world.next_quantum().1 != [1] {}
        world.machine.priorities.clear();
        assert_eq!(world.next_quantum().1, [0]);
        let last = world.machine.priorities.last_chunk().copied();
        assert_eq!(last, Some([named(&world, called), Thread::Client(0)]));
        assert!(world.keeps_up(called));
    }
}

#[test]
fn the_end_of_a_quantum_is_no_look_at_clients() {
    let mut world = World::new();
    world.look(NOW);
    let owner = world.machine.owners.get_mut(&0).unwrap();
    assert_eq!(owner.next_look, None);
    owner.deadline = NOW + 2 * QUANTUM;
    world.next_quantum();
    assert_eq!(world.machine.owners[&0].next_look, None, "its deadline was read");
    // It says so, where it is to be read, and quanta go on in between.
    world.ask(0, &Request::Arm);
    assert_eq!(world.machine.owners[&0].next_look, Some(NOW + 2 * QUANTUM));
    assert_eq!(world.machine.look_at, Some(NOW + 2 * QUANTUM));
}

#[test]
fn quanta_go_by_shares() {
    let mut world = World::new();
    world.start(2);
    (world.terms(0).share, world.terms(1).share, world.terms(2).share) = (1, 6, 3);
    world.look(NOW);
    let mut turns = [0; 3];
    for _ in 0..1000 {
        let (_, first) = world.next_quantum();
        assert_eq!(first.len(), 1);
        turns[first[0] as usize] += 1;
    }
    let near = |found: i32, wanted: i32| (found - wanted).abs() <= 2;
    assert!(near(turns[0], 100) && near(turns[1], 600) && near(turns[2], 300), "{turns:?}");
}

#[test]
fn whoever_had_more_than_its_quantum_waits_the_longer() {
    let mut world = World::new();
    world.look(NOW);
    // The look comes late, since something took long that was done for it.
    world.look(NOW + 3 * QUANTUM);
    for turn in 3..6 {
        assert_eq!(world.first(), [1]);
        assert_eq!(world.next_quantum().0, NOW + QUANTUM * (turn + 1));
    }
    assert_eq!(world.first(), [0]);
}

#[test]
fn whoever_sleeps_gives_its_quantum_away_and_saves_one_at_most() {
    let mut world = World::new();
    world.look(NOW);
    let until = NOW + 10 * QUANTUM;
    assert_eq!(world.begin(0, NOW + 1000, &Request::Sleep { until }), Effect::Wait);
    assert_eq!((world.first(), world.machine.look_at), (vec![1], Some(NOW + 1000 + QUANTUM)));
    while world.next_quantum().0 < until {
        assert!(world.first() == [1]);
    }
    // Awake, it is first at once; having slept so long it would be for nine quanta, but is for one, and from then on in turn.
    assert_eq!((world.first(), world.machine.look_at), (vec![0], Some(until + QUANTUM)));
    let turns: Vec<_> = (0..4).map(|_| world.next_quantum().1[0]).collect();
    assert_eq!(turns, [1, 0, 1, 0]);
    // Where all sleep nobody is first, and nobody looks before they wake.
    let now = world.machine.look_at.unwrap() - 1;
    for from in 0..2 {
        assert_eq!(world.begin(from, now, &Request::Sleep { until: now + 9 * QUANTUM }), Effect::Wait);
    }
    assert_eq!((world.first(), world.machine.look_at), (vec![], Some(now + 9 * QUANTUM)));
    assert_eq!(world.next_quantum().1.len(), 1);
    world.check();
}

/// Has client 0 work for so long and sleep for so long, again and again, beside others that never sleep, and returns how much
/// of the time it was first, in thousandths.
fn share_of_sleeper(others: u32, work: u64, sleep: u64) -> u64 {
    let mut world = World::new();
    (2..=others).for_each(|other| world.start(other));
    world.look(NOW);
    let (mut now, mut had) = (NOW, 0);
    // What is left of its work, while it is not asleep.
    let mut left = Some(work);
    let end = NOW + 200 * QUANTUM;
    while now < end {
        let due = world.machine.look_at.unwrap();
        let is_first = world.first() == [0];
        if let Some(rest) = left.filter(|rest| is_first && now + rest < due) {
            (now, had, left) = (now + rest, had + rest, None);
            assert_eq!(world.begin(0, now, &Request::Sleep { until: now + sleep }), Effect::Wait);
            continue;
        }
        if is_first {
            left = left.map(|rest| rest - (due - now));
            had += due - now;
        }
        now = due;
        world.look(now);
        if left.is_none() && !world.machine.owners.get_mut(&0).unwrap().answers.drain(..).as_slice().is_empty() {
            left = Some(work);
        }
    }
    world.check();
    had * 1000 / (end - NOW)
}

#[test]
fn whoever_sleeps_in_between_has_what_it_works_or_its_share() {
    // It works for half of the time, and half is its share.
    for work in [QUANTUM / 10, QUANTUM / 5, QUANTUM / 2, QUANTUM - 1] {
        let had = share_of_sleeper(1, work, work);
        assert!((440..=510).contains(&had), "{had} of 1000, of {work} ticks at a time");
    }
    // In one go it has a quantum at most, and what it sleeps after it has waited is the others'.
    for work in [QUANTUM, 3 * QUANTUM] {
        let had = share_of_sleeper(1, work, work);
        assert!((330..=350).contains(&had), "{had} of 1000, of {work} ticks at a time");
    }
    // It would work for most of the time.
    let had = share_of_sleeper(1, 9 * QUANTUM / 10, QUANTUM / 10);
    assert!((450..=530).contains(&had), "{had} of 1000");
    // It works for a tenth of the time.
    let had = share_of_sleeper(1, QUANTUM / 10, 9 * QUANTUM / 10);
    assert!((95..=100).contains(&had), "{had} of 1000");
    let had = share_of_sleeper(3, QUANTUM / 5, QUANTUM / 5);
    assert!((220..=260).contains(&had), "{had} of 1000 beside three");
}

#[test]
fn nobody_saves_up_while_all_sleep() {
    // Client 1 sleeps while the other one works; one of them wakes while the other one sleeps, or both at once.
    for (first, second) in [(1, 2), (2, 1), (1, 1)] {
        let mut world = World::new();
        world.look(NOW);
        let asleep = NOW + 400 * QUANTUM;
        let until = |quanta: u64| asleep + quanta * QUANTUM;
        assert_eq!(world.begin(1, NOW, &Request::Sleep { until: until(first) }), Effect::Wait);
        while world.machine.look_at.unwrap() < asleep {
            world.next_quantum();
        }
        assert_eq!(world.begin(0, asleep, &Request::Sleep { until: until(second) }), Effect::Wait);
        assert_eq!(world.first(), [] as [u32; 0]);
        let mut turns = [0_i32; 2];
        for _ in 0..40 {
            if let [one] = world.next_quantum().1[..]
                && world.machine.look_at.unwrap() > until(2) + QUANTUM
            {
                turns[one as usize] += 1;
            }
        }
        assert!((turns[0] - turns[1]).abs() <= 2, "{turns:?}, after sleeps until {first} and {second}");
        world.check();
    }
}

#[test]
fn whoever_wakes_waits_for_its_turn_unless_it_is_behind() {
    let (fifth, mut world) = (QUANTUM / 5, World::new());
    world.look(NOW);
    // It has had as much as the other one when it wakes, a tick less than it takes, and as much as it takes.
    for (work, sleep, is_first) in [(fifth, fifth, false), (fifth, 2 * fifth - 1, false), (fifth, 2 * fifth, true)] {
        let mut world = World::new();
        world.look(NOW);
        assert_eq!(world.begin(0, NOW + work, &Request::Sleep { until: NOW + work + sleep }), Effect::Wait);
        world.look(NOW + work + sleep);
        assert_eq!(world.first(), [u32::from(!is_first)], "after a sleep of {sleep}");
        world.check();
    }
    // One with its share is behind the sooner that the other has a small one.
    (world.terms(0).share, world.terms(1).share) = (2, 1);
    assert_eq!(world.begin(0, NOW + 2 * fifth, &Request::Sleep { until: NOW + 4 * fifth }), Effect::Wait);
    world.look(NOW + 4 * fifth);
    assert_eq!(world.first(), [0]);
}

#[test]
fn whoever_sleeps_pays_for_the_change() {
    let mut world = World::new();
    world.look(NOW);
    world.machine.now = NOW + 1500;
    assert_eq!(world.begin(0, NOW + 1000, &Request::Sleep { until: NOW + 10_000_000 }), Effect::Wait);
    world.look(NOW + 1500 + 100);
    let had = |place: usize| world.server.clients[place].as_ref().unwrap().cpu.had();
    assert_eq!(had(0), 15 * had(1));
}

#[test]
fn whichever_client_wakes_in_anothers_quantum_is_first_at_once() {
    for sleeper in 0..2 {
        let mut world = World::new();
        world.look(NOW);
        let begun = NOW + QUANTUM * sleeper;
        world.look(begun);
        let until = begun + 10 * QUANTUM;
        assert_eq!(world.begin(sleeper, begun + 1000, &Request::Sleep { until }), Effect::Wait);
        while world.next_quantum().0 < until {}
        assert_eq!((world.first(), world.machine.look_at), (vec![sleeper as u32], Some(until + QUANTUM)));
    }
}

#[test]
fn sandboxes_keep_up_with_their_client_up_to_a_number() {
    let mut world = World::new();
    world.set_quota(0, crate::Quota { limit: super::PLENTY, ..super::QUOTA });
    world.look(NOW);
    let handles: Vec<_> = (0..=MOST_FORWARD).map(|_| world.init(0, 1)).collect();
    let keeps_up: Vec<_> = handles.iter().map(|handle| world.keeps_up(*handle)).collect();
    assert_eq!((keeps_up[0], &keeps_up[1..]), (false, &[true; MOST_FORWARD][..]));
    let neighbours = world.init(1, 1);
    assert!(!world.keeps_up(neighbours));
    world.next_quantum();
    assert!(!handles.iter().any(|handle| world.keeps_up(*handle)));
    assert!(world.keeps_up(neighbours));
    // A spare that is taken is one of them.
    world.ask(1, &Request::Destroy(neighbours));
    world.next_quantum();
    world.next_quantum();
    let again = world.init(1, 1);
    assert_eq!(again.index(), neighbours.index());
    assert!(world.keeps_up(again));
    world.check();
}

#[test]
fn what_is_called_when_a_quantum_begins_keeps_up() {
    let mut world = World::new();
    world.set_quota(0, crate::Quota { spares: 0, ..super::QUOTA });
    let handles: Vec<_> = (0..3).map(|_| world.init(0, 1)).collect();
    let neighbours = world.init(1, 1);
    // They were set up while nobody had quanta.
    for called in [handles[1], neighbours] {
        world.machine.owners.get_mut(&0).unwrap().calls = Some(index(called).get());
        world.look(NOW + if called == neighbours { 2 * QUANTUM } else { 0 });
        assert_eq!(world.first(), [0]);
        assert_eq!(handles.iter().map(|handle| world.keeps_up(*handle)).collect::<Vec<_>>(), [false, true, false]);
        assert!(!world.keeps_up(neighbours), "another one's");
        world.next_quantum();
    }
}

#[test]
fn a_sandbox_that_is_to_be_taken_apart_is_left_alone() {
    let mut world = World::new();
    world.set_quota(0, crate::Quota { limit: super::PLENTY, ..super::QUOTA });
    world.look(NOW);
    let Response::Ready { handle, .. } = world.ask(0, &Request::Init(spec(150))) else { panic!("not ready") };
    assert!(world.keeps_up(handle));
    world.server.remove(&mut world.machine, index(handle));
    assert!(world.server.has_work());
    // The machine is not asked for the priority of a thread that is gone.
    world.next_quantum();
    world.settle();
    world.check();
}

#[test]
fn steps_are_done_for_the_first_one_first() {
    let mut world = World::new();
    for from in 0..2 {
        world.set_quota(from, crate::Quota { limit: super::PLENTY, ..super::QUOTA });
    }
    world.look(NOW);
    for from in 0..2 {
        assert_eq!(world.begin(from, NOW, &Request::Init(spec(100))), Effect::Wait);
    }
    assert_eq!(world.server.busy_priority(), Some(PRIORITIES.first));
    while world.machine.owners[&0].answers.is_empty() {
        assert!(world.machine.owners[&1].answers.is_empty());
        world.work();
    }
    assert!(world.machine.boxes.values().filter(|it| it.client == 1).all(|it| it.mapped.len() < 100));
    assert_eq!(world.server.busy_priority(), Some(PRIORITIES.usual));
    world.next_quantum();
    assert_eq!(world.server.busy_priority(), Some(PRIORITIES.first));
    world.settle();
    assert_eq!(world.server.busy_priority(), None);
}

#[test]
fn whoever_waits_for_anothers_end_is_first_again_when_that_has_come() {
    let mut world = World::new();
    world.terms(0).kills = ClientSet(0b10);
    world.terms(1).on_end = OnEnd::Restart(1);
    world.look(NOW);
    assert_eq!(world.begin(0, NOW, &Request::Kill("one")), Effect::Wait);
    // A step says that it is not over yet.
    world.work();
    assert_eq!(world.next_quantum().1, [] as [u32; 0], "whoever has ended does not run");
    assert_eq!(world.server.busy_priority(), Some(PRIORITIES.first), "its end is its own quantum");
    while world.server.clients[1].as_ref().unwrap().ends.is_some() {
        world.work();
        world.server.resume(&mut world.machine);
    }
    assert!(world.machine.owners[&0].answers.is_empty());
    // The one that was started again never stops asking; the answer comes in the other one's quantum.
    world.next_quantum();
    assert_eq!(world.first(), [0]);
    world.work();
    assert_eq!(world.machine.owners[&0].answers.len(), 1);
}

#[test]
fn an_end_is_no_way_to_another_quantum() {
    let mut world = World::new();
    world.terms(0).on_end = OnEnd::Restart(10);
    world.look(NOW);
    assert_eq!(world.begin(0, NOW, &Request::Exit(1)), Effect::Ended);
    world.settle();
    assert_eq!((world.first(), world.machine.look_at), (vec![0], Some(NOW + QUANTUM)));
    assert_eq!(world.next_quantum().1, [1]);
    world.check();
}

#[test]
fn whoever_is_left_has_no_quanta() {
    let mut world = World::new();
    world.look(NOW);
    let handle = world.init(0, 1);
    world.server.end_client(&mut world.machine, client(1), true);
    world.settle();
    world.next_quantum();
    assert_eq!((world.machine.look_at, world.first()), (None, vec![]));
    assert!(!world.keeps_up(handle));
    world.check();
}

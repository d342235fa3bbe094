// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server on a fake platform: single requests, and arbitrary sequences of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

extern crate std;

use std::{collections::BTreeMap, num::NonZeroU32, vec, vec::Vec};

use proptest::prelude::*;
use sbm_abi::{
    BufferAccess, BufferSpec, EntryPoints, Errno, Handle, Layout, Message, Pages, Request, Response, Spec,
    limits::{ARENA_BASE, PAGE},
};

use crate::{
    ClientId, Effect, Exhausted, Free, KernelFault, MapError, Platform, Quota, Restart, SandboxIndex, Server, State,
};

const PLACES: usize = 12;
const ENTRIES: EntryPoints =
    EntryPoints { start: NonZeroU32::new(0x20_0000).unwrap(), abort: 0x20_0010, reset: 0x20_0020 };
const QUOTA: Quota = Quota { sandboxes: 8, pages: 200, spares: 2 };

/// Counts what it gave out; fails when its memory is used up.
#[derive(Default)]
struct Fake {
    pages_left: u32,
    next: u32,
    /// Pages of each living sandbox, with its owner.
    living: BTreeMap<u32, (usize, u32)>,
    /// Reserved spans: base to size.
    spans: BTreeMap<u32, u8>,
    restarts: Vec<(u32, Restart)>,
}

impl Platform for Fake {
    type Sandbox = u32;

    fn reserve(&mut self, bits: u8) -> Result<u32, Exhausted> {
        let size = 1u32 << bits;
        let mut base = ARENA_BASE;
        while let Some((taken, bits)) = self.spans.range(..base + size).next_back()
            && taken + (1 << bits) > base
        {
            base = (taken + (1 << bits)).next_multiple_of(size);
        }
        self.spans.insert(base, bits);
        Ok(base)
    }

    fn release(&mut self, base: u32, bits: u8) {
        assert_eq!(self.spans.remove(&base), Some(bits), "released what was not reserved");
    }

    fn build(&mut self, client: ClientId, _: SandboxIndex, layout: &Layout, _: EntryPoints) -> Result<u32, Exhausted> {
        assert!(self.spans.contains_key(&layout.base()));
        self.pages_left = self.pages_left.checked_sub(layout.memory_pages()).ok_or(Exhausted)?;
        self.next += 1;
        self.living.insert(self.next, (client.place(), layout.memory_pages()));
        Ok(self.next)
    }

    fn grow(&mut self, _: ClientId, sandbox: &mut u32, layout: &Layout) -> Result<(), Exhausted> {
        self.pages_left = self.pages_left.checked_sub(layout.memory_pages()).ok_or(Exhausted)?;
        self.living.get_mut(sandbox).unwrap().1 += layout.memory_pages();
        Ok(())
    }

    fn map(&mut self, _: ClientId, sandbox: &mut u32, pages: Pages, _: BufferAccess) -> Result<(), MapError> {
        assert!(self.living.contains_key(sandbox));
        if pages.address >= ARENA_BASE { Err(MapError::NotTheClients) } else { Ok(()) }
    }

    fn restart(&mut self, sandbox: &u32, restart: Restart) {
        assert!(self.living.contains_key(sandbox), "restarted what is gone");
        self.restarts.push((*sandbox, restart));
    }

    fn destroy(&mut self, client: ClientId, sandbox: u32) {
        let (owner, pages) = self.living.remove(&sandbox).expect("destroyed twice");
        assert_eq!(owner, client.place());
        self.pages_left += pages;
    }

    fn console(&mut self, _: ClientId, _: &[u8]) {}

    fn free(&self) -> Free {
        Free { bytes: u64::from(self.pages_left * PAGE), slots: 0 }
    }
}

struct World {
    server: Server<u32, PLACES>,
    platform: Fake,
}

fn client(place: u64) -> ClientId {
    ClientId::new(place).unwrap()
}

fn index(handle: Handle) -> SandboxIndex {
    SandboxIndex::new(u64::from(handle.index()), PLACES).unwrap()
}

fn spec(buffer_pages: u16) -> Spec {
    let buffer = BufferSpec::new(buffer_pages, BufferAccess::ReadWrite);
    Spec { stack_pages: 2, buffers: heapless::Vec::from_slice(&[buffer]).unwrap() }
}

impl World {
    /// Two clients, registered.
    fn new() -> Self {
        let mut world = Self { server: Server::new(), platform: Fake { pages_left: 300, ..Fake::default() } };
        for place in 0..2 {
            world.server.add_client(client(place), QUOTA);
            assert_eq!(world.ask(place, &Request::Register(ENTRIES)), Response::Done);
        }
        world
    }

    fn ask(&mut self, from: u64, request: &Request<'_>) -> Response {
        let message = Message::<{ sbm_abi::limits::MAX_MESSAGE }>::new(request).unwrap();
        match self.server.request(&mut self.platform, client(from), message.bytes()) {
            Effect::Answer(response) => response,
            Effect::Exit(_) => Response::Done,
        }
    }

    fn init(&mut self, from: u64, buffer_pages: u16) -> Handle {
        match self.ask(from, &Request::Init(spec(buffer_pages))) {
            Response::Ready { handle, .. } => handle,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self, handle: Handle) -> Option<State> {
        self.server.places[index(handle).place()].sandbox.as_ref().map(|sandbox| sandbox.state)
    }

    fn check(&self) {
        let mut owned = [(0u16, 0u32); 2];
        let mut spans = 0;
        for place in &self.server.places {
            if let Some(sandbox) = &place.sandbox {
                assert!(self.platform.living.contains_key(&sandbox.objects));
                owned[sandbox.owner.place()].0 += 1;
                owned[sandbox.owner.place()].1 += sandbox.charge;
                spans += 1 + sandbox.growths.len();
            }
        }
        assert_eq!(spans, self.platform.spans.len(), "an arena span was lost");
        let living = self.server.places.iter().filter(|place| place.sandbox.is_some()).count();
        assert_eq!(living, self.platform.living.len(), "kernel objects were lost");
        for (place, (sandboxes, pages)) in owned.into_iter().enumerate() {
            if let Some(client) = &self.server.clients[place] {
                assert_eq!((client.sandboxes, client.pages), (sandboxes, pages), "the charge is wrong");
                assert!(sandboxes <= client.quota.sandboxes && pages <= client.quota.pages, "over the quota");
                assert!(client.spares.len() <= usize::from(client.quota.spares));
                for (at, spare) in client.spares.iter().enumerate() {
                    assert!(!client.spares[..at].contains(spare), "a spare is listed twice");
                    let sandbox = self.server.places[spare.place()].sandbox.as_ref().unwrap();
                    assert_eq!((sandbox.owner.place(), sandbox.state), (place, State::Spare));
                }
                let spares = self.server.places.iter().flat_map(|place| &place.sandbox);
                let spares = spares.filter(|it| it.owner.place() == place && it.state == State::Spare).count();
                assert_eq!(spares, client.spares.len(), "a spare is not listed");
            } else {
                assert_eq!(sandboxes, 0, "an ended client has sandboxes");
            }
        }
    }
}

#[test]
fn a_sandbox_is_made_and_its_memory_comes_back() {
    let mut world = World::new();
    let handle = world.init(0, 4);
    assert_eq!(world.state(handle), Some(State::Ready));
    world.ask(0, &Request::Exit(0));
    assert_eq!(world.platform.pages_left, 300);
    assert!(world.platform.spans.is_empty());
}

#[test]
fn a_client_that_registered_nothing_gets_no_sandbox() {
    let mut world = World::new();
    world.server.add_client(client(2), QUOTA);
    assert_eq!(world.ask(2, &Request::Init(spec(1))), Response::Refused(Errno::Invalid));
}

#[test]
fn another_clients_handle_is_refused() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    for request in [Request::Destroy(handle), Request::Reset(handle)] {
        assert_eq!(world.ask(1, &request), Response::Refused(Errno::Perm));
    }
    assert_eq!(world.state(handle), Some(State::Ready));
}

#[test]
fn a_destroyed_handle_is_refused_even_when_its_place_is_taken_again() {
    let mut world = World::new();
    let old = world.init(0, 1);
    assert_eq!(world.ask(0, &Request::Destroy(old)), Response::Done);
    assert_eq!(world.ask(0, &Request::Reset(old)), Response::Refused(Errno::BadHandle));
    let new = world.init(0, 1);
    assert_eq!(new.index(), old.index());
    assert_eq!(world.ask(0, &Request::Destroy(old)), Response::Refused(Errno::BadHandle));
    assert_eq!(world.ask(0, &Request::Destroy(new)), Response::Done);
}

#[test]
fn a_spare_serves_the_same_shape_and_only_its_client() {
    let mut world = World::new();
    let handle = world.init(0, 3);
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(world.state(handle), Some(State::Spare));
    assert!(matches!(world.platform.restarts.last(), Some((_, Restart::Reset { .. }))));
    assert!(matches!(world.ask(1, &Request::Init(spec(3))), Response::Ready { used: false, .. }));
    assert!(matches!(world.ask(0, &Request::Init(spec(2))), Response::Ready { used: false, .. }));
    assert!(matches!(world.ask(0, &Request::Init(spec(3))), Response::Ready { used: true, .. }));
}

#[test]
fn what_was_grown_or_mapped_into_is_not_kept_as_a_spare() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let mapped = Request::Map { handle, address: 0x40_0000, pages: 1, access: BufferAccess::ReadOnly };
    assert_eq!(world.ask(0, &mapped), Response::Done);
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(world.state(handle), None);
}

#[test]
fn spares_make_room_when_memory_runs_out() {
    let mut world = World::new();
    world.platform.pages_left = 20;
    let handle = world.init(0, 10);
    world.ask(0, &Request::Destroy(handle));
    assert!(matches!(world.ask(1, &Request::Init(spec(12))), Response::Ready { .. }));
    assert_eq!(world.state(handle).is_none(), world.platform.living.len() == 1);
}

#[test]
fn without_memory_the_answer_is_enomem_and_nothing_is_lost() {
    let mut world = World::new();
    world.platform.pages_left = 5;
    assert_eq!(world.ask(0, &Request::Init(spec(10))), Response::Refused(Errno::NoMemory));
    assert!(world.platform.spans.is_empty());
    assert_eq!(world.platform.pages_left, 5);
}

#[test]
fn the_quota_stops_the_client_and_not_its_neighbour() {
    let mut world = World::new();
    for _ in 0..QUOTA.sandboxes {
        world.init(0, 1);
    }
    assert_eq!(world.ask(0, &Request::Init(spec(1))), Response::Refused(Errno::Quota));
    world.init(1, 1);
}

#[test]
fn a_fault_is_answered_by_the_abort_entry_and_reset_ends_it() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let fault = KernelFault::Vm { ip: 0x20_1000, address: 8, prefetch: false, fsr: 6 };
    assert!(world.server.fault(&mut world.platform, index(handle), fault));
    assert_eq!(world.state(handle), Some(State::Faulted));
    assert!(matches!(world.platform.restarts.last(), Some((_, Restart::Abort { entries, .. })) if *entries == ENTRIES));
    assert_eq!(world.ask(0, &Request::Reset(handle)), Response::Done);
    assert_eq!(world.state(handle), Some(State::Ready));
}

#[test]
fn a_second_fault_at_the_abort_entry_stops_the_sandbox() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let fault = KernelFault::Exception { ip: u64::from(ENTRIES.abort), vector: 6 };
    world.server.fault(&mut world.platform, index(handle), fault);
    assert_eq!((world.state(handle), world.platform.restarts.len()), (Some(State::Faulted), 1));
    world.server.fault(&mut world.platform, index(handle), fault);
    assert_eq!((world.state(handle), world.platform.restarts.len()), (Some(State::Stopped), 1));
    world.ask(0, &Request::Destroy(handle));
    assert_eq!(world.state(handle), None);
}

#[test]
fn a_fault_of_no_sandbox_is_told_apart() {
    let mut world = World::new();
    assert!(!world.server.fault(&mut world.platform, SandboxIndex::new(3, PLACES).unwrap(), KernelFault::Other));
}

#[test]
fn a_map_that_wraps_or_is_not_aligned_is_refused() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    for (address, pages) in [(u32::MAX - PAGE + 1, 2), (0x40_0001, 1), (0x40_0000, 0), (0x40_0000, 60_000)] {
        let request = Request::Map { handle, address, pages, access: BufferAccess::ReadWrite };
        assert_eq!(world.ask(0, &request), Response::Refused(Errno::Invalid));
    }
}

#[test]
fn a_spare_that_faults_at_the_abort_entry_goes() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    world.ask(0, &Request::Destroy(handle));
    let spare = Handle::new(handle.index(), handle.generation() + 1);
    let fault = KernelFault::Exception { ip: u64::from(ENTRIES.abort), vector: 6 };
    world.server.fault(&mut world.platform, index(handle), fault);
    assert_eq!(world.ask(0, &Request::Reset(spare)), Response::Refused(Errno::BadHandle));
    assert_eq!(world.state(handle), None);
    world.check();
}

#[test]
fn spares_make_room_for_growth_and_for_mappings() {
    let mut world = World::new();
    let (spare, handle) = (world.init(0, 10), world.init(0, 1));
    world.ask(0, &Request::Destroy(spare));
    world.platform.pages_left = 5;
    let buffers = heapless::Vec::from_slice(&[BufferSpec::new(8, BufferAccess::ReadOnly)]).unwrap();
    assert!(matches!(world.ask(0, &Request::Grow { handle, buffers }), Response::Grown { .. }));
    world.check();
}

#[test]
fn pages_that_are_mapped_already_are_refused() {
    let mut world = World::new();
    let handle = world.init(0, 1);
    let map = |address, pages| Request::Map { handle, address, pages, access: BufferAccess::ReadOnly };
    assert_eq!(world.ask(0, &map(0x40_0000, 4)), Response::Done);
    assert_eq!(world.ask(0, &map(0x40_3000, 2)), Response::Refused(Errno::Invalid));
    assert_eq!(world.ask(0, &map(0x40_4000, 2)), Response::Done);
}

/// A step of a random life; handles are chosen among those ever seen, so that stale ones are common.
#[derive(Debug, Clone)]
enum Step {
    Init(u64, u16),
    Destroy(u64, usize),
    Reset(u64, usize),
    Grow(u64, usize, u16),
    Map(u64, usize, u32, u16),
    Fault(u64, u64),
    Bytes(u64, Vec<u8>),
    End(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0u64..2;
    let step = prop_oneof![
        6 => (who.clone(), 1u16..40).prop_map(|(who, pages)| Step::Init(who, pages)),
        4 => (who.clone(), 0usize..64).prop_map(|(who, at)| Step::Destroy(who, at)),
        2 => (who.clone(), 0usize..64).prop_map(|(who, at)| Step::Reset(who, at)),
        2 => (who.clone(), 0usize..64, 0u16..30).prop_map(|(who, at, pages)| Step::Grow(who, at, pages)),
        2 => (who.clone(), 0usize..64, any::<u32>(), 0u16..4).prop_map(|(who, at, to, n)| Step::Map(who, at, to & !4095, n)),
        2 => (0u64..20, prop_oneof![Just(0x20_0010u64), any::<u64>()]).prop_map(|(at, ip)| Step::Fault(at, ip)),
        2 => (who.clone(), proptest::collection::vec(any::<u8>(), 0..100)).prop_map(|(who, bytes)| Step::Bytes(who, bytes)),
        1 => who.prop_map(Step::End),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #[test]
    fn no_sequence_of_events_loses_anything(steps in steps()) {
        let mut world = World::new();
        let mut handles = vec![Handle::new(3, 3)];
        for step in steps {
            let pick = |at: usize| handles[at % handles.len()];
            match step {
                Step::Init(who, pages) => {
                    if let Response::Ready { handle, .. } = world.ask(who, &Request::Init(spec(pages))) {
                        handles.push(handle);
                    }
                }
                Step::Destroy(who, at) => { world.ask(who, &Request::Destroy(pick(at))); }
                Step::Reset(who, at) => { world.ask(who, &Request::Reset(pick(at))); }
                Step::Grow(who, at, pages) => {
                    let buffers = heapless::Vec::from_slice(&[BufferSpec::new(pages, BufferAccess::ReadOnly)]).unwrap();
                    world.ask(who, &Request::Grow { handle: pick(at), buffers });
                }
                Step::Map(who, at, address, pages) => {
                    world.ask(who, &Request::Map { handle: pick(at), address, pages, access: BufferAccess::ReadOnly });
                }
                Step::Fault(at, ip) => if let Some(index) = SandboxIndex::new(at, PLACES) {
                    world.server.fault(&mut world.platform, index, KernelFault::Exception { ip, vector: 13 });
                },
                Step::Bytes(who, bytes) => {
                    let effect = world.server.request(&mut world.platform, client(who), &bytes);
                    if matches!(effect, Effect::Exit(_)) {
                        world.server.add_client(client(who), QUOTA);
                    }
                }
                Step::End(who) => {
                    world.server.end_client(&mut world.platform, client(who));
                    world.server.add_client(client(who), QUOTA);
                    world.ask(who, &Request::Register(ENTRIES));
                }
            }
            world.check();
        }
        for who in 0..2 {
            world.server.end_client(&mut world.platform, client(who));
        }
        prop_assert!(world.platform.living.is_empty() && world.platform.spans.is_empty());
        prop_assert_eq!(world.platform.pages_left, 300);
    }
}

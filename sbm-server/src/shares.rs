// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shares of the CPU: which of the clients of one priority is first, and for how long.
//!
//! The kernel shares the CPU out among threads, of which one client can have thousands, and counts what the root task does
//! for a client as nobody's. So, where there are several clients of one priority, one at a time is *first*: its thread has a
//! higher priority than those of the others, until its quantum is over, and then the client is next that has had least, by its
//! share. Whoever is not first can neither run nor ask for anything while the first one has something to do; what the root
//! task does for the first one falls into its quantum. Time that the first one does not use is the others'. Who wakes from a
//! sleep and has had clearly less than the first one takes its place at once; of what it let go meanwhile it makes up for a
//! quantum at most.
//!
//! ```text
//!   priority first:   the client that is first, the sandboxes that it put forward; the worker, for it
//!   priority usual:   the other clients; all other sandboxes, whoever started them; the worker, for those
//! ```
//!
//! A sandbox is *put forward* when it is set up, and when it is seen to be called; of more than [`MOST_FORWARD`] the one that
//! was put forward first falls back. It is called all the same, by the kernel's slow path. Where a client has its priority
//! to itself, nothing of this happens.

use heapless::Vec;
use sbm_abi::limits::MAX_CLIENTS;
use sbm_system::Priorities;

use crate::{ClientId, Clock, Platform, SandboxIndex, Server, State, table::Client, work::Job};

/// Most sandboxes that a client puts forward: each costs two changes of its thread's priority a quantum.
pub(crate) const MOST_FORWARD: usize = 8;

/// Quanta a second.
const QUANTA_PER_SECOND: u64 = 200;

/// Parts of a tick that are counted, so that the largest share, of a thousand, makes a difference.
const PARTS: u128 = 1000;

impl Clock {
    /// Returns how long a quantum is.
    const fn quantum(self) -> u64 {
        self.per_second / QUANTA_PER_SECOND
    }
}

/// How a client stands among those of its priority.
#[derive(Debug)]
pub(crate) struct Cpu {
    priorities: Priorities,
    /// Whether there are others.
    is_shared: bool,
    /// Whether it is first.
    first: Option<First>,
    /// How much it has had: parts of ticks, divided by its share. Not used up in the life of a machine.
    had: u128,
    /// Whether it had something to do when that was last asked.
    is_awake: bool,
    /// How much whoever had least of those of its priority that were awake has had, at most so far: the same for all of them.
    floor: u128,
    /// The sandboxes that it put forward, in this order.
    forward: Vec<SandboxIndex, MOST_FORWARD>,
}

/// A client is first.
#[derive(Debug, Clone, Copy)]
struct First {
    /// Since when it has not been charged.
    since: u64,
    /// When its quantum is over.
    until: u64,
}

impl Cpu {
    pub(crate) const fn new(priorities: Priorities) -> Self {
        Self { priorities, is_shared: false, first: None, had: 0, is_awake: false, floor: 0, forward: Vec::new() }
    }

    /// Returns the priority of its thread.
    pub(crate) const fn priority(&self) -> u8 {
        if self.first.is_some() { self.priorities.first } else { self.priorities.usual }
    }

    /// Returns how much it has had.
    #[cfg(test)]
    pub(crate) const fn had(&self) -> u128 {
        self.had
    }

    /// Lists the sandboxes that it put forward.
    #[cfg(test)]
    pub(crate) fn forward(&self) -> &[SandboxIndex] {
        &self.forward
    }

    /// Forgets a sandbox, whose thread is gone.
    pub(crate) fn forget(&mut self, index: SandboxIndex) {
        self.forward.retain(|other| *other != index);
    }
}

impl<P: Platform> Client<P> {
    /// Tells whether it may have something to do: it does not sleep, nor wait for another one's end.
    fn wants_cpu(&self) -> bool {
        let waits = match &self.job {
            // Until then nothing is done for it.
            Some(Job::Outlive(_)) => self.waits,
            Some(_) => false,
            None => self.sleeps_until.is_some(),
        };
        !waits || !self.doomed.is_empty()
    }

    /// Returns how much so many ticks are of its share.
    fn by_share(&self, ticks: u64) -> u128 {
        u128::from(ticks) * PARTS / u128::from(self.terms.share.max(1))
    }
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Sees to it that of the clients of each priority one is first, and says until when that holds.
    pub(crate) fn share_out(&mut self, platform: &mut P, clock: Clock) -> Option<u64> {
        // Mostly there is one client, and nobody is first.
        if self.quantum_over.is_none() && self.clients.iter().flatten().take(2).count() < 2 {
            return None;
        }
        let (mut seen, mut next) = (0_u32, None);
        for place in 0..MAX_CLIENTS {
            let Some(client) = self.clients[place].as_ref().filter(|_| seen & 1 << place == 0) else { continue };
            let priorities = client.cpu.priorities;
            let is_peer = |other: &Client<P>| other.cpu.priorities == priorities;
            let peers = (0..MAX_CLIENTS).filter(|other| self.clients[*other].as_ref().is_some_and(is_peer));
            let peers = peers.fold(0, |set, other| set | 1 << other);
            seen |= peers;
            let due = self.share_among(platform, clock, peers);
            next = next.into_iter().chain(due).min();
        }
        next
    }

    /// Lets the next one be first where a client that was has nothing to do any more.
    pub(crate) fn pass_on(&mut self, platform: &mut P, clock: Clock, id: ClientId) {
        let client = self.clients[id.get()].as_ref();
        if client.is_some_and(|client| client.cpu.first.is_some() && !client.wants_cpu()) {
            self.quantum_over = self.share_out(platform, clock);
            self.set_alarm(platform);
        }
    }

    /// Does this for a set of clients, and says when it is to be done again.
    fn share_among(&mut self, platform: &mut P, clock: Clock, peers: u32) -> Option<u64> {
        let is_shared = peers.count_ones() > 1;
        let mut first = None;
        for id in ids(peers) {
            if let Some(client) = &mut self.clients[id.get()] {
                client.cpu.is_shared = is_shared;
                first = client.cpu.first.map(|is_first| (id, is_first)).or(first);
            }
        }
        if !is_shared {
            if let Some((id, _)) = first {
                self.fall_back(platform, id);
            }
            return None;
        }
        if let Some((id, First { since, .. })) = first {
            self.charge(id, since, clock.now);
        }
        let woken = self.wake_up(clock, peers);
        let wants = |id: ClientId| self.clients[id.get()].as_ref().is_some_and(Client::wants_cpu);
        if let Some((id, First { until, .. })) = first
            && clock.now < until
            && wants(id)
            && !ids(woken).any(|woken| self.is_behind(clock, woken, id))
        {
            return Some(until);
        }
        let wanting = ids(peers).filter(|id| wants(*id));
        let wanting = wanting.filter_map(|id| Some((self.clients[id.get()].as_ref()?.cpu.had, id)));
        // Of several that had as little, one that was not first just now.
        let next = wanting.min_by_key(|(had, id)| (*had, first.is_some_and(|(first, _)| first == *id)));
        let next = next.map(|(_, next)| next);
        // Who sleeps pays for the change.
        let payer = first.map(|(id, _)| id).filter(|id| !wants(*id));
        if let Some((id, _)) = first.filter(|(id, _)| next.is_none_or(|next| next != *id)) {
            self.fall_back(platform, id);
        }
        let next = next?;
        self.go_first(platform, clock, next);
        if let Some(payer) = payer {
            let now = platform.now().max(clock.now);
            self.charge(payer, clock.now, now);
            self.charge(next, now, now);
        }
        Some(clock.now.saturating_add(clock.quantum()))
    }

    /// Takes note of who has something to do, and returns the clients that had nothing before. They have had as much as whoever
    /// has had least of those that were awake, be it that these sleep by now, but for a quantum.
    fn wake_up(&mut self, clock: Clock, peers: u32) -> u32 {
        let clients = || ids(peers).filter_map(|id| self.clients[id.get()].as_ref());
        let least = clients().filter(|client| client.cpu.is_awake).map(|client| client.cpu.had).min();
        let floor = clients().map(|client| client.cpu.floor).chain(least).max().unwrap_or(0);
        let mut woken = 0;
        for id in ids(peers) {
            let Some(client) = &mut self.clients[id.get()] else { continue };
            client.cpu.floor = floor;
            let is_awake = client.wants_cpu();
            let was_awake = core::mem::replace(&mut client.cpu.is_awake, is_awake);
            if client.cpu.is_awake && !was_awake {
                let credit = client.by_share(clock.quantum());
                client.cpu.had = client.cpu.had.max(floor.saturating_sub(credit));
                woken |= 1 << id.get();
            }
        }
        woken
    }

    /// Tells whether a client has had less than the first one, by as much as a change is worth.
    fn is_behind(&self, clock: Clock, id: ClientId, first: ClientId) -> bool {
        let (Some(client), Some(first)) = (&self.clients[id.get()], &self.clients[first.get()]) else { return false };
        client.cpu.had.saturating_add(client.by_share(clock.quantum() / 5)) <= first.cpu.had
    }

    /// Charges a client with the time that it was first.
    fn charge(&mut self, id: ClientId, since: u64, now: u64) {
        if let Some(client) = &mut self.clients[id.get()] {
            client.cpu.had = client.cpu.had.saturating_add(client.by_share(now.saturating_sub(since)));
            if let Some(first) = &mut client.cpu.first {
                first.since = now;
            }
        }
    }

    /// Lets a client be first from now on.
    fn go_first(&mut self, platform: &mut P, clock: Clock, id: ClientId) {
        let Some(client) = &mut self.clients[id.get()] else { return };
        let until = clock.now.saturating_add(clock.quantum());
        let was_first = client.cpu.first.replace(First { since: clock.now, until }).is_some();
        let called = platform.calls(&client.objects);
        // It has had the one that it calls set up long ago, or has others in between: it is the last one from now on.
        if let Some(index) = called.and_then(|index| SandboxIndex::new(index as u64, N)) {
            let forward = &mut client.cpu.forward;
            if let Some(at) = forward.iter().position(|other| *other == index) {
                forward[at..].rotate_left(1);
            }
            self.put_forward(platform, id, index);
        }
        if !was_first {
            self.set_priorities(platform, id);
        }
    }

    /// Lets a client be as the others of its priority.
    fn fall_back(&mut self, platform: &mut P, id: ClientId) {
        if let Some(client) = &mut self.clients[id.get()] {
            client.cpu.first = None;
        }
        self.set_priorities(platform, id);
    }

    /// Gives the client's thread and the sandboxes that it put forward the priority that they have now.
    ///
    /// The kernel lets a thread run before others of its new priority, and a quantum is shorter than its time slice: whoever
    /// comes last runs first, and who comes first may not run at all. So the client's own thread is the last, and before it
    /// the sandbox that it calls.
    fn set_priorities(&mut self, platform: &mut P, id: ClientId) {
        let Some(client) = &self.clients[id.get()] else { return };
        let priority = client.cpu.priority();
        for index in &client.cpu.forward {
            if let Some(sandbox) = &self.sandboxes[index.get()].sandbox {
                platform.set_sandbox_priority(&sandbox.objects, priority);
            }
        }
        // One that has ended does not run, and may be gone in part.
        if client.ends.is_none() {
            platform.set_priority(&client.objects, priority);
        }
    }

    /// Has a sandbox keep up with its client, if it is the client's own; where too many do, the first of them no longer.
    pub(crate) fn put_forward(&mut self, platform: &mut P, id: ClientId, index: SandboxIndex) {
        let Some(client) = self.clients[id.get()].as_mut().filter(|client| client.cpu.is_shared) else { return };
        let cpu = &mut client.cpu;
        let sandbox = self.sandboxes[index.get()].sandbox.as_ref();
        let Some(sandbox) = sandbox.filter(|it| it.owner == id && it.state != State::Doomed) else { return };
        if cpu.forward.contains(&index) {
            return;
        }
        let (is_first, usual) = (cpu.first.is_some(), cpu.priorities.usual);
        let oldest = if cpu.forward.is_full() { Some(cpu.forward.remove(0)) } else { None };
        let _ = cpu.forward.push(index);
        if is_first {
            platform.set_sandbox_priority(&sandbox.objects, cpu.priorities.first);
            let oldest = oldest.and_then(|oldest| self.sandboxes[oldest.get()].sandbox.as_ref());
            if let Some(oldest) = oldest {
                platform.set_sandbox_priority(&oldest.objects, usual);
            }
        }
    }
}

/// Lists the clients of a set.
fn ids(set: u32) -> impl Iterator<Item = ClientId> {
    (0..MAX_CLIENTS as u64).filter(move |place| set & 1 << place != 0).filter_map(ClientId::new)
}

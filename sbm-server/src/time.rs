// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time: which call is overdue, who sleeps, and when to look again.
//!
//! Calls do not pass the server. A client says in its [watch words](sbm_abi::watch) when its running call has to be
//! over; the server *looks* at them when the first deadline that it knows of is over, and 20 times a second while there
//! is any, or a mark of a sandbox that was called. Where there is none and nobody sleeps it does not look.
//!
//! What decides is the clock, not the time that a function used: one that waits is as deadly as one that loops. A client
//! that waits in an overdue call gets its answer through its own thread, whatever became of the right to give it.

use sbm_abi::{
    Access, Errno, Fault, FaultKind, Label, Response,
    limits::MAX_CLIENTS,
    watch::{LOOKS_PER_SECOND, MARKS, MOST_LOOKS_PER_SECOND},
};

use sbm_system::ClientSet;

use crate::{Answer, CancelError, ClientId, Effect, NoSandbox, Platform, Server, State, work::Job};

/// Most marks of one client that one look goes through; the next one goes on.
const MOST_MARKS: usize = 32;

/// How often the server looks for a call that is overdue before it has begun: a call is ended a millisecond late at most.
const SOON_PER_SECOND: u64 = 1250;

/// How often it goes through marks of one client, which costs others time: a mark stands for what the kernel has to be asked
/// about.
const MARKS_PER_SECOND: u64 = 250;

/// A value of the time-stamp counter, and how far it goes in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The value.
    pub now: u64,
    /// How far it goes in a second, at least 1.
    pub per_second: u64,
}

impl Clock {
    /// Returns when to look at the latest, if there is anything to look at.
    const fn interval_over(self) -> u64 {
        self.now.saturating_add(self.per_second / LOOKS_PER_SECOND)
    }

    /// Returns when to look for a call that is overdue before it has begun.
    const fn soon(self) -> u64 {
        self.now.saturating_add(self.per_second / SOON_PER_SECOND)
    }

    /// Returns when to go through marks again.
    const fn marks_again(self) -> u64 {
        self.now.saturating_add(self.per_second / MARKS_PER_SECOND)
    }

    /// Says how long a client waits that writes `bytes` of text at `rate` bytes a second, and has paid for its text until
    /// `paid`: text of a second goes at once.
    pub(crate) fn pace(self, paid: u64, bytes: u64, rate: u32) -> Pace {
        let ahead = self.now.saturating_add(self.per_second);
        if paid > ahead {
            return Pace::Early;
        }
        let cost = bytes.saturating_mul(self.per_second) / u64::from(rate.max(1));
        let paid = paid.max(self.now).saturating_add(cost);
        Pace::Until { paid, until: paid.saturating_sub(self.per_second) }
    }

    /// Tells whether a deadline is further away than a budget can be of which the longest has so many milliseconds.
    fn is_beyond(self, deadline: u64, longest_ms: u32) -> bool {
        deadline.saturating_sub(self.now) > u64::from(longest_ms).saturating_mul(self.per_second) / 1000
    }

    /// Puts off a look that would come too soon after this moment, and advances one that would come too late.
    fn within_bounds(self, due: u64) -> u64 {
        due.clamp(self.now.saturating_add(self.per_second / MOST_LOOKS_PER_SECOND), self.interval_over())
    }
}

/// What becomes of a client's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It comes before its time.
    Early,
    /// It is written, and its client waits.
    Until {
        /// Until when it is paid for.
        paid: u64,
        /// When its client goes on.
        until: u64,
    },
}

/// Whether a look has gone through all marks of a client.
enum Marks {
    Done,
    More,
}

/// What a client does.
pub struct Running<'a, P: Platform> {
    /// The client.
    pub client: &'a P::Client,
    /// The sandbox that it calls, if it does, and its index.
    pub called: Option<(usize, &'a P::Sandbox)>,
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Lists what runs: each client, and the sandbox that it calls, with its index.
    pub fn running<'a>(&'a self, platform: &'a P) -> impl Iterator<Item = Running<'a, P>> + 'a {
        self.clients.iter().flatten().map(|client| {
            let called = platform.calls(&client.objects);
            let sandbox = called.and_then(|index| Some((index, self.sandboxes.get(index)?.sandbox.as_ref()?)));
            Running { client: &client.objects, called: sandbox.map(|(index, sandbox)| (index, &sandbox.objects)) }
        })
    }

    /// Ends what is overdue, wakes who has slept enough, stops what runs on, says who is first of the clients of each
    /// priority, and when to look again.
    pub fn look(&mut self, platform: &mut P, clock: Clock) {
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= clock.now);
        // Where a quantum is over there may be nothing else to do.
        if is_due(self.next_look) || !is_due(self.quantum_over) {
            let mut next = None;
            for id in (0..MAX_CLIENTS as u64).filter_map(ClientId::new) {
                for due in [self.wake(platform, id, clock), self.watch(platform, id, clock)].into_iter().flatten() {
                    next = Some(next.unwrap_or(u64::MAX).min(due));
                }
            }
            self.publish_next_look(platform, next.map(|next| clock.within_bounds(next)));
        }
        self.quantum_over = self.share_out(platform, clock);
        self.set_alarm(platform);
    }

    /// Sees to it that the next look comes no later than `due`. To look at once would let a client that asks often have
    /// the server look often.
    pub(crate) fn look_by(&mut self, platform: &mut P, clock: Clock, due: u64) {
        let due = clock.within_bounds(due);
        if self.next_look.is_none_or(|next| due < next) {
            self.publish_next_look(platform, Some(due));
            self.set_alarm(platform);
        }
    }

    /// Sees to it that the next look comes no later than the next look at clients, and than the end of a quantum.
    pub(crate) fn set_alarm(&self, platform: &mut P) {
        platform.look_at(self.next_look.into_iter().chain(self.quantum_over).min());
    }

    fn publish_next_look(&mut self, platform: &mut P, next: Option<u64>) {
        self.next_look = next;
        for client in self.clients.iter().flatten().filter(|client| client.ends.is_none()) {
            platform.publish(&client.objects, next);
        }
    }

    /// Has the server look in time for the deadline that the client has written.
    pub(crate) fn arm(&mut self, platform: &mut P, id: ClientId, clock: Clock) -> Result<Response, NoSandbox> {
        let deadline = platform.deadline(&self.owner(id)?.objects);
        if deadline != 0 {
            self.look_by(platform, clock, deadline);
        }
        let next = self.next_look;
        // It may have written nonsense there.
        platform.publish(&self.owner(id)?.objects, next);
        Ok(Response::Done)
    }

    /// Wakes a client that has slept enough, or says when it will have.
    fn wake(&mut self, platform: &mut P, id: ClientId, clock: Clock) -> Option<u64> {
        let client = self.clients[id.get()].as_mut()?;
        let until = client.sleeps_until?;
        if until > clock.now {
            return Some(until);
        }
        if matches!(client.job, Some(Job::Print { .. })) {
            return Some(clock.soon());
        }
        client.sleeps_until = None;
        platform.answer(&client.objects, Answer::of(&Response::Done));
        None
    }

    /// Ends a client's call if it is overdue, stops those of its sandboxes that run on, and says when to look again.
    fn watch(&mut self, platform: &mut P, id: ClientId, clock: Clock) -> Option<u64> {
        let client = self.clients[id.get()].as_ref().filter(|client| client.ends.is_none())?;
        let deadline = platform.deadline(&client.objects);
        let mut next = (deadline != 0).then_some(deadline);
        // A client that keeps to its longest budget writes no deadline beyond it.
        let beyond = client.terms.budget.longest_ms.is_some_and(|longest| clock.is_beyond(deadline, longest));
        if next.is_some_and(|deadline| deadline <= clock.now || beyond) {
            // Where it belongs to no call, that may be about to begin: it is late already.
            let ended = self.end_call(platform, id, FaultKind::TimedOut).is_ok();
            next = Some(if ended { clock.interval_over() } else { clock.soon() });
        }
        let armed = deadline != 0;
        let from = self.clients[id.get()].as_ref().map_or(0, |client| client.marks_from);
        let marks = if clock.now < from {
            Some(from)
        } else {
            match self.stop_what_runs_on(platform, id, clock, armed) {
                Marks::More => Some(clock.marks_again()),
                Marks::Done => armed.then(|| clock.interval_over()),
            }
        };
        next.into_iter().chain(marks).min()
    }

    /// Ends the call that a client waits in, if it waits in one: the client gets an error, and the sandbox waits again.
    fn end_call(&mut self, platform: &mut P, id: ClientId, kind: FaultKind) -> Result<(), NoSandbox> {
        let client = self.clients[id.get()].as_ref().filter(|client| client.ends.is_none()).ok_or(NoSandbox)?;
        let index = platform.calls(&client.objects).ok_or(NoSandbox)?;
        let sandbox = self.sandboxes.get_mut(index).and_then(|entry| entry.sandbox.as_mut());
        let sandbox = sandbox.filter(|it| it.owner == id && it.state.has_handle()).ok_or(NoSandbox)?;
        let ip = platform.position(&sandbox.objects).unwrap_or(0);
        let fault = Fault { kind, access: Access::None, vector: 0, address: 0, ip };
        // First the client: with that, whatever its sandbox still answers reaches nobody.
        let registers = sandbox.telling(platform, fault);
        let words = [registers.rax, registers.rbx, registers.rcx, 0];
        platform.answer(&client.objects, Answer { label: Label::Aborted as u64, length: 3, words });
        platform.restart(&sandbox.objects, &registers);
        sandbox.state = State::Faulted;
        Ok(())
    }

    /// Stops the marked sandboxes of a client that run though they are not called: they clear what functions left, which a
    /// thread may be about to do anyway, and wait.
    ///
    /// While a call has a deadline (`armed`) marks stay, since it may be about to begin; afterwards each is taken away.
    fn stop_what_runs_on(&mut self, platform: &mut P, id: ClientId, clock: Clock, armed: bool) -> Marks {
        let Some(client) = &mut self.clients[id.get()] else { return Marks::Done };
        // Asked for at the first mark: most looks find none.
        let mut called = None;
        let start = core::mem::take(&mut client.next_mark);
        let (mut from, mut limit) = (start, usize::MAX);
        for _ in 0..MOST_MARKS {
            let mark = match platform.take_mark(&client.objects, from) {
                Some(mark) if mark < limit => mark,
                // This look began there.
                Some(mark) => {
                    platform.set_mark(&client.objects, mark);
                    return Marks::Done;
                }
                None if limit > start => {
                    (from, limit) = (0, start);
                    continue;
                }
                None => return Marks::Done,
            };
            from = mark + 1;
            client.marks_from = clock.marks_again();
            let called = *called.get_or_insert_with(|| platform.calls(&client.objects));
            if armed {
                platform.set_mark(&client.objects, mark);
            }
            for index in (mark..N).step_by(MARKS) {
                let Some(sandbox) = &mut self.sandboxes[index].sandbox else { continue };
                let may_run = sandbox.owner == id && sandbox.state.may_run();
                if may_run && called != Some(index) && !platform.waits(&sandbox.objects, sandbox.entries) {
                    sandbox.restart(platform);
                }
            }
        }
        client.next_mark = from;
        Marks::More
    }

    /// Lets a client sleep: it gets its answer when its time has come.
    pub(crate) fn sleep(
        &mut self,
        platform: &mut P,
        id: ClientId,
        clock: Clock,
        until: u64,
    ) -> Result<Effect, NoSandbox> {
        let client = self.owner(id)?;
        if until <= clock.now {
            return Ok(Effect::Answer(Response::Done));
        }
        client.sleeps_until = Some(until);
        self.look_by(platform, clock, until);
        self.pass_on(platform, clock, id);
        Ok(Effect::Wait)
    }

    /// Ends the running call of the client called `name`.
    pub(crate) fn cancel(&mut self, platform: &mut P, id: ClientId, name: &str) -> Result<Response, CancelError> {
        let may = self.owner(id)?.terms.cancels;
        let target = self.named(may, name)?;
        // Where no call is running there is nothing to end.
        let _ = self.end_call(platform, target, FaultKind::Canceled);
        Ok(Response::Done)
    }

    /// Finds a client by its name among those that another one may do something to. Of others it learns nothing, not even
    /// whether they are there.
    pub(crate) fn named(&self, may: ClientSet, name: &str) -> Result<ClientId, CancelError> {
        let mut ids = (0..MAX_CLIENTS as u64).filter_map(ClientId::new);
        let is_meant = |id: &ClientId| may.has(id.get()) && self.names[id.get()] == Some(name);
        let id = ids.find(is_meant).ok_or(CancelError::NotAllowed)?;
        self.client(id).map(|_| id).ok_or(CancelError::NoClient)
    }
}

impl From<CancelError> for Errno {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NoSandbox => Self::BadHandle,
            CancelError::NotAllowed => Self::Perm,
            CancelError::NoClient => Self::Invalid,
        }
    }
}

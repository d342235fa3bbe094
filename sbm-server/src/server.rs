// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides what each request and each fault means, and has the platform carry it out.

use heapless::Vec;
use sbm_abi::{
    Books, EntryPoints, Errno, Fault, FaultKind, Handle, Pages, Request, Response, decode_request,
    limits::{MAX_CLIENTS, MAX_CONSOLE, PAGE},
};

use sbm_system::{Amounts, OnEnd, Priorities, Terms, Wrong, divide};

use crate::{
    CancelError, Clock, ConsoleError, Free, KernelFault, NoSandbox, Platform, Program, Progress, Quota,
    arena::Arena,
    decode_fault,
    error::Refusal,
    owned::Owned,
    quota::Room,
    shares::Cpu,
    table::{Client, ClientId, Entry, Sandbox, SandboxIndex, State},
    time::Pace,
    work::{Asked, Job},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The client gets this answer.
    Answer(Response),
    /// The client waits; it gets its answer from [`Server::look`] or [`Server::work`].
    Wait,
    /// The client that asked has ended: nobody waits for an answer. [`Server::work`] takes it apart.
    Ended,
}

/// A client that was started.
pub struct Launched<P: Platform> {
    /// What it is called.
    pub name: &'static str,
    /// Where its own pages lie.
    pub program: Program,
    /// What it may do.
    pub terms: Terms,
    /// The kernel's priorities of its threads.
    pub priorities: Priorities,
    /// Its kernel objects.
    pub objects: P::Client,
}

/// What becomes of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It ended a call, or stopped the sandbox.
    Ended,
    /// It was a touch of memory that is there now: the thread goes on once its message is answered.
    GoesOn,
    /// It asked for something of its guarded heap, which was done: the thread goes on behind that.
    Served,
    /// It was a touch of memory that is not there yet: the thread waits, and goes on by itself.
    Waits,
    /// It is no sandbox's; one that is gone cannot fault, so this is a lost message.
    Lost,
}

/// All clients and all sandboxes: `N` of them at most.
pub struct Server<P: Platform, const N: usize> {
    pub(crate) clients: [Option<Client<P>>; MAX_CLIENTS],
    /// What clients are called, also after their end.
    pub(crate) names: [Option<&'static str>; MAX_CLIENTS],
    pub(crate) arenas: [Arena<P::Part>; MAX_CLIENTS],
    pub(crate) sandboxes: [Entry<P>; N],
    /// All that clients can have together.
    pub(crate) there: Amounts,
    /// Whether a client has ended badly and was not started again; where one has ended the run, whether that one did.
    failed: bool,
    /// When the server looks at the clients next, if it does.
    pub(crate) next_look: Option<u64>,
    /// When the first quantum is over of those that are first among others.
    pub(crate) quantum_over: Option<u64>,
    pub(crate) vacant: Vec<SandboxIndex, N>,
    /// Entries below this one have been used; the others need not be listed as vacant.
    pub(crate) used: usize,
    /// Clients for which there is a step to do: a bit each.
    pub(crate) busy: u32,
    /// Clients that wait for memory that is not ready.
    pub(crate) waiting: u32,
    /// The client that the last step was for.
    pub(crate) turn: u32,
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Makes a server without clients.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clients: [const { None }; MAX_CLIENTS],
            names: [None; MAX_CLIENTS],
            arenas: [const { Arena::EMPTY }; MAX_CLIENTS],
            sandboxes: [const { Entry::EMPTY }; N],
            there: Amounts { sandboxes: 0, pages: 0, slots: 0 },
            failed: false,
            next_look: None,
            quantum_over: None,
            vacant: Vec::new(),
            used: 0,
            busy: 0,
            waiting: 0,
            turn: 0,
        }
    }

    /// Adds a client with its kernel objects; one that was there is ended, in one go. It may have nothing before
    /// [`Server::divide`].
    pub fn add_client(&mut self, platform: &mut P, id: ClientId, launched: Launched<P>) {
        let Launched { name, program, terms, priorities, objects } = launched;
        self.end_now(platform, id);
        self.names[id.get()] = Some(name);
        self.arenas[id.get()].open();
        platform.publish(&objects, self.next_look);
        self.clients[id.get()] = Some(Client::new(objects, program, terms, Cpu::new(priorities)));
    }

    /// Divides what is free among the clients as their terms say, so that what is promised to one of them is not another
    /// one's.
    ///
    /// # Errors
    /// [`Wrong`], if more is promised than there is; the place that it names is among the clients that there are.
    pub fn divide(&mut self, free: Free) -> Result<(), Wrong> {
        let sandboxes = u32::try_from(N).unwrap_or(u32::MAX);
        let pages = u32::try_from(free.bytes / u64::from(PAGE)).unwrap_or(u32::MAX);
        self.there = Amounts { sandboxes, pages, slots: free.slots };
        let promises = divide(self.there, self.clients.iter().flatten().map(|client| &client.terms))?;
        for (client, promise) in self.clients.iter_mut().flatten().zip(promises) {
            client.quota = Quota::new(promise, &client.terms);
        }
        Ok(())
    }

    /// Returns how far a client can go.
    pub(crate) fn room(&self, id: ClientId) -> Room {
        let Quota { limit, kept, .. } = self.clients[id.get()].as_ref().map_or(Quota::NONE, |client| client.quota);
        if limit == kept {
            // What is kept is there, whatever others have.
            return Room { limit, left: limit };
        }
        let mut room = Room { limit, left: self.there };
        for (place, other) in self.clients.iter().enumerate() {
            if let Some(other) = other.as_ref().filter(|_| place != id.get()) {
                room.leave(other.used(), other.quota.kept);
            }
        }
        room
    }

    /// Returns the kernel objects of a client.
    pub fn client(&self, id: ClientId) -> Option<&P::Client> {
        self.clients[id.get()].as_ref().map(|client| &client.objects)
    }

    /// Returns what of a client lies where.
    #[must_use]
    pub fn program(&self, id: ClientId) -> Option<&Program> {
        self.clients[id.get()].as_ref().map(|client| &client.program)
    }

    /// Tells whether any client is left.
    pub fn has_clients(&self) -> bool {
        self.clients.iter().any(Option::is_some)
    }

    /// Tells whether all clients that are gone have ended well; where one has ended the run, whether that one did.
    pub fn all_well(&self) -> bool {
        !self.failed
    }

    /// Ends a client, whatever the reason: it does nothing any more. [`Server::work`] takes apart what it had, and does what
    /// its terms say of its end: it may be there again afterwards, from its beginning, or all others gone. `well` is whether
    /// it said so itself.
    pub fn end_client(&mut self, platform: &mut P, id: ClientId, well: bool) {
        if let Some(client) = self.clients[id.get()].as_mut().filter(|client| client.ends.is_none()) {
            platform.stop(&client.objects);
            (client.job, client.waits, client.sleeps_until) = (None, false, None);
            (client.ends, client.ended_well) = (Some(0), well);
            let ends_run = client.terms.on_end == OnEnd::EndRun;
            self.note(id);
            if ends_run {
                self.end_others(platform, id);
            }
        }
    }

    /// Ends all clients but one, whatever their terms say.
    fn end_others(&mut self, platform: &mut P, id: ClientId) {
        for other in (0..MAX_CLIENTS as u64).filter_map(ClientId::new).filter(|other| *other != id) {
            if let Some(client) = &mut self.clients[other.get()] {
                client.terms.on_end = OnEnd::Stop;
            }
            self.end_client(platform, other, true);
            if let Some(client) = &mut self.clients[other.get()] {
                client.ended_well = true;
            }
        }
        self.failed = false;
    }

    /// Does with a client of which nothing but itself is left what its terms say of its end.
    pub(crate) fn finish(&mut self, platform: &mut P, id: ClientId) {
        let Some(client) = self.clients[id.get()].take() else { return };
        let Client { objects, program, terms, cpu, quota, restarts, console_paid, ended_well, .. } = client;
        match terms.on_end {
            OnEnd::Restart(most) if restarts < most => {
                if let Ok(objects) = platform.again(objects, restarts + 1) {
                    let mut client = Client::new(objects, program, terms, cpu);
                    (client.restarts, client.quota) = (restarts + 1, quota);
                    // An end is no way to write more, or to have more of the CPU.
                    client.console_paid = console_paid;
                    client.job = Some(Job::Start);
                    self.clients[id.get()] = Some(client);
                    self.resume(platform);
                    return;
                }
            }
            OnEnd::Stop | OnEnd::Restart(_) | OnEnd::EndRun => platform.end(objects, ended_well),
        }
        self.failed |= !ended_well;
        // Who waits for that end.
        self.resume(platform);
    }

    /// Answers a request of a client, whatever its bytes are.
    pub fn request(&mut self, platform: &mut P, id: ClientId, clock: impl Fn(&P) -> Clock, bytes: &[u8]) -> Effect {
        // It sent on without waiting for the answer, which it gets all the same, or it has ended.
        if self.clients[id.get()].as_ref().is_some_and(|client| client.job.is_some() || client.ends.is_some()) {
            return Effect::Wait;
        }
        let Ok(request) = decode_request(bytes) else { return refuse(Errno::BadMessage) };
        let answer = match request {
            Request::Register(entries) => self.register(id, entries).map_err(Refusal::from),
            Request::Init(spec) => return self.ask(platform, id, Asked::Init(spec)),
            Request::Grow { handle, buffers } => return self.ask(platform, id, Asked::Grow { handle, buffers }),
            Request::Shrink { handle, base } => return self.ask(platform, id, Asked::Shrink { handle, base }),
            Request::Map { handle, address, pages, access } => {
                let pages = Pages { address, count: pages };
                return self.ask(platform, id, Asked::Map { handle, pages, access });
            }
            Request::Destroy(handle) => return self.ask(platform, id, Asked::Destroy(handle)),
            Request::Snapshot(handle) => return self.ask(platform, id, Asked::Snapshot(handle)),
            Request::Usage => return self.ask(platform, id, Asked::Usage),
            Request::Reset(handle) => match self.reset(platform, id, handle) {
                Ok(Progress::Done) => Ok(Response::Done),
                Ok(Progress::More) => return self.wait(id),
                Err(error) => Err(error.into()),
            },
            Request::Console(text) => return self.console(platform, id, clock, text).unwrap_or_else(refuse),
            Request::Arm => {
                let now = clock(platform);
                self.arm(platform, id, now).map_err(Refusal::from)
            }
            Request::Sleep { until } => {
                let now = clock(platform);
                return self.sleep(platform, id, now, until).unwrap_or_else(refuse);
            }
            Request::Cancel(name) => self.cancel(platform, id, name).map_err(Refusal::from),
            Request::Kill(name) => return self.kill(platform, id, name).unwrap_or_else(refuse),
            Request::Exit(status) => {
                self.end_client(platform, id, status == 0);
                return Effect::Ended;
            }
        };
        answer.map_or_else(refuse, Effect::Answer)
    }

    /// Ends the client called `name`, as if it had ended badly by itself.
    fn kill(&mut self, platform: &mut P, id: ClientId, name: &str) -> Result<Effect, CancelError> {
        let may = self.owner(id)?.terms.kills;
        let target = self.named(may, name)?;
        self.end_client(platform, target, false);
        // The end of the other one can be that of the run.
        if self.owner(id)?.ends.is_some() {
            return Ok(Effect::Ended);
        }
        self.begin(id, Job::Outlive(target));
        Ok(self.wait(id))
    }

    /// Ends the call that a sandbox was running: its client gets the fault as an error, and the thread waits again. Only
    /// where the fault is a touch of heap or private statics, or asks for a page of a guarded heap, the thread gets the memory
    /// and goes on.
    pub fn fault(&mut self, platform: &mut P, index: SandboxIndex, fault: KernelFault) -> Handled {
        let message = fault;
        let mut fault = decode_fault(message);
        let has_own = |entry: &Entry<P>| entry.sandbox.as_ref().is_some_and(|it| it.spec.own.is_some());
        if self.sandboxes.get(index.get()).is_some_and(has_own) {
            match self.touch(platform, index, message, fault) {
                Some(Ok(handled)) => {
                    if handled == Handled::Waits {
                        self.note_all();
                    }
                    return handled;
                }
                Some(Err(told)) => fault = told,
                None => {}
            }
        }
        let Some(sandbox) = self.sandboxes.get_mut(index.get()).and_then(|entry| entry.sandbox.as_mut()) else {
            return Handled::Lost;
        };
        // Nobody could reach a spare to reset it.
        match sandbox.state {
            State::Spare if is_stuck(platform, sandbox, fault) => {
                self.remove(platform, index);
                return Handled::Ended;
            }
            State::Faulted if is_stuck(platform, sandbox, fault) => {
                sandbox.state = State::Stopped;
                return Handled::Ended;
            }
            State::Spare => {}
            // It is as good as gone.
            State::Unfinished | State::Doomed => return Handled::Ended,
            State::Ready | State::Faulted | State::Stopped => sandbox.state = State::Faulted,
        }
        sandbox.abort(platform, fault);
        Handled::Ended
    }

    pub(crate) fn owner(&mut self, id: ClientId) -> Result<&mut Client<P>, NoSandbox> {
        self.clients[id.get()].as_mut().ok_or(NoSandbox)
    }

    /// The one way from a handle to a sandbox: occupied, this client's, this generation's, and with it to its client.
    pub(crate) fn owned(&mut self, id: ClientId, handle: Handle) -> Result<Owned<'_, P>, NoSandbox> {
        let index = SandboxIndex::new(u64::from(handle.index()), N).ok_or(NoSandbox)?;
        let entry = &mut self.sandboxes[index.get()];
        let generation = entry.generation;
        let sandbox = entry.sandbox.as_mut().ok_or(NoSandbox)?;
        if sandbox.owner != id || generation != handle.generation() || !sandbox.state.has_handle() {
            return Err(NoSandbox);
        }
        let client = self.clients[id.get()].as_mut().ok_or(NoSandbox)?;
        Ok(Owned { index, client, sandbox, additions: &mut entry.additions, arena: &mut self.arenas[id.get()] })
    }

    fn register(&mut self, id: ClientId, entries: EntryPoints) -> Result<Response, NoSandbox> {
        self.owner(id)?.entries = Some(entries);
        Ok(Response::Done)
    }

    /// Writes a client's text. One that writes more than its quota waits for its answer until the rest of the time that its
    /// text takes has gone; what it sends without waiting is refused.
    fn console(
        &mut self,
        platform: &mut P,
        id: ClientId,
        clock: impl Fn(&P) -> Clock,
        text: &[u8],
    ) -> Result<Effect, ConsoleError> {
        if text.len() > MAX_CONSOLE {
            return Err(ConsoleError::Long { length: text.len(), limit: MAX_CONSOLE });
        }
        let Some(client) = &mut self.clients[id.get()] else { return Ok(Effect::Answer(Response::Done)) };
        let mut waits = false;
        if let Some(rate) = client.terms.quota.console {
            let clock = clock(platform);
            match clock.pace(client.console_paid, text.len() as u64, rate) {
                Pace::Early => return Err(ConsoleError::Early { rate }),
                Pace::Until { paid, until } => {
                    client.console_paid = paid;
                    if until > clock.now {
                        client.sleeps_until = Some(until);
                        waits = true;
                        self.look_by(platform, clock, until);
                        self.pass_on(platform, clock, id);
                    }
                }
            }
        }
        if self.print(id, text) {
            waits = true;
        } else if let Some(client) = &self.clients[id.get()] {
            platform.console(&client.objects, text);
        }
        Ok(if waits { self.wait(id) } else { Effect::Answer(Response::Done) })
    }

    pub(crate) fn usage(&mut self, id: ClientId) -> Result<Response, NoSandbox> {
        let Client { sandboxes, spares, mappings, charge, quota, .. } = self.owner(id)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_SPARES")]
        let spares = spares.len() as u8;
        // There are no more sandboxes, and a few mappings of each.
        let count = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Ok(Response::Usage(Books {
            sandboxes: *sandboxes - u16::from(spares),
            spares,
            mappings: count(*mappings),
            pages: charge.pages,
            slots: charge.slots,
            most_sandboxes: count(quota.limit.sandboxes),
            most_pages: quota.limit.pages,
            most_slots: quota.limit.slots,
        }))
    }
}

impl<P: Platform, const N: usize> Default for Server<P, N> {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn refuse<R: Into<Refusal>>(refusal: R) -> Effect {
    Effect::Answer(match refusal.into() {
        Refusal::Errno(errno) => Response::Refused(errno),
        Refusal::OverQuota(over) => Response::OverQuota(over),
    })
}

/// Tells whether a thread has faulted at the entry point where it was sent to answer a fault: to go on there would go
/// round for ever.
///
/// The message may be forged, and a function may go there by itself, so that the message says as much: what counts is
/// where the kernel holds the thread. A single step or a breakpoint tells what came before: it is not the entry point's own.
fn is_stuck<P: Platform>(platform: &P, sandbox: &Sandbox<P>, fault: Fault) -> bool {
    const TRAPS: [u8; 2] = [1, 3];
    let abort = u64::from(sandbox.entries.abort);
    let trapped = fault.kind == FaultKind::Exception && TRAPS.contains(&fault.vector);
    fault.ip == abort && !trapped && platform.position(&sandbox.objects) == Some(abort)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server needs of the machine: few methods, each with its obligation.

use sbm_abi::{EntryPoints, Registers};

use crate::{ClientId, Plan, SandboxIndex, Share, Table};

/// Memory, slots or address-space ids ran out, or addresses. The operation left nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// Why something was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// As [`Exhausted`].
    Exhausted,
    /// There is memory, but it is not ready: the operation is to be tried again once [`Server::resume`] was told so. It
    /// left nothing behind.
    ///
    /// [`Server::resume`]: crate::Server::resume
    NotReady,
}

impl From<Exhausted> for Shortage {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

/// Whether an operation that is done in steps is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is.
    Done,
    /// There is more to do.
    More,
}

/// What is free on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes of untyped memory.
    pub bytes: u64,
    /// Capability slots.
    pub slots: u32,
}

/// What a client gets that waits in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Label of the message.
    pub label: u64,
    /// How many of the words it has.
    pub length: usize,
    /// Its words.
    pub words: [u64; 4],
}

/// What a new sandbox is called: by its index in messages and in its client's CSpace, by its client for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// The client that it is made for.
    pub client: ClientId,
    /// Its index.
    pub index: SandboxIndex,
}

/// Makes kernel objects of what the server decided, and decides nothing itself. All that it is given has been checked;
/// entry points and contents may be nonsense, which must harm no one but that client's sandboxes.
pub trait Platform {
    /// Pages of a sandbox beside its tables and memory: PML4, PDPT, page directory, endpoint, CNode and thread.
    const FIXED_PAGES: u32;

    /// The kernel objects of a client. Only [`Platform::end`] gives them back.
    type Client;
    /// The kernel objects of a sandbox. Only [`Platform::destroy`] gives them back.
    type Sandbox;
    /// What was added to a sandbox. Only [`Platform::remove`] and [`Platform::destroy`] give it back.
    type Part;

    /// Makes a sandbox as the plan says: memory zeroed, mapped at these addresses with these rights and no others; the
    /// client's code, to read; a thread of the client's usual priority that starts with `registers`; in its CSpace its own
    /// endpoint, to receive, and its fault endpoint, to send; in the client's CSpace the capability to call it.
    ///
    /// Where [`Plan::is_long`], it has none of its pages yet, which [`Platform::fill`] makes, and its thread does not start.
    ///
    /// # Errors
    /// [`Shortage`]; nothing is left of the attempt.
    fn make(
        &mut self,
        client: &mut Self::Client,
        names: Names,
        plan: &Plan<'_>,
        registers: &Registers,
    ) -> Result<Self::Sandbox, Shortage>;

    /// Makes the next [`SLICE`](crate::SLICE) small pages, or the next large one, of a sandbox whose plan is long.
    ///
    /// # Errors
    /// [`Shortage`]; what was made before stays.
    fn fill(
        &mut self,
        client: &Self::Client,
        sandbox: &mut Self::Sandbox,
        plan: &Plan<'_>,
    ) -> Result<Progress, Shortage>;

    /// Makes paging structures of a sandbox that is there.
    ///
    /// # Errors
    /// [`Shortage`]; nothing is left of the attempt.
    fn add_tables(&mut self, sandbox: &Self::Sandbox, tables: &[Table]) -> Result<Self::Part, Shortage>;

    /// Begins to add the pages of the plan, zeroed or filled as [`Run::data`](crate::Run::data) says, to both sides; the paging
    /// structures are there. None is there before [`Platform::extend`].
    ///
    /// # Errors
    /// [`Shortage`]; nothing is left of the attempt.
    fn add_pages(
        &mut self,
        client: &Self::Client,
        sandbox: &Self::Sandbox,
        plan: &Plan<'_>,
    ) -> Result<Self::Part, Shortage>;

    /// Adds the next [`SLICE`](crate::SLICE) small pages of the plan, or its next large one; those of a [loose](Plan::is_loose) one are mapped nowhere.
    ///
    /// # Errors
    /// [`Shortage`]; what was made before stays.
    fn extend(
        &mut self,
        client: &Self::Client,
        sandbox: &Self::Sandbox,
        part: &mut Self::Part,
        plan: &Plan<'_>,
    ) -> Result<Progress, Shortage>;

    /// Maps page `number` of a part whose plan maps none, to read and write, at this address and nowhere else, where nothing
    /// else lies; or nowhere. One that is not made yet is [`Progress::More`] to do.
    ///
    /// # Errors
    /// [`Exhausted`]; the page is mapped nowhere.
    fn place(
        &mut self,
        sandbox: &Self::Sandbox,
        part: &Self::Part,
        number: u32,
        at: Option<u32>,
    ) -> Result<Progress, Exhausted>;

    /// Copies so many small pages of a part, from this one on, to those of another part or the same, whoever has them mapped:
    /// they are there, and are others. Where they are in a large page, they are in one on both sides, at the same place.
    fn copy(&mut self, from: (&Self::Part, u32), to: (&Self::Part, u32), count: u32);

    /// Begins to map frames of the client's own into the sandbox; the paging structures are there. None is mapped before
    /// [`Platform::extend_share`].
    ///
    /// # Errors
    /// [`Shortage`]; nothing is left of the attempt.
    fn share(&mut self, client: &Self::Client, sandbox: &Self::Sandbox, share: &Share) -> Result<Self::Part, Shortage>;

    /// Maps the next [`SLICE`](crate::SLICE) frames.
    ///
    /// # Errors
    /// [`Shortage`]; what was mapped before stays.
    fn extend_share(
        &mut self,
        client: &Self::Client,
        sandbox: &Self::Sandbox,
        part: &mut Self::Part,
        share: &Share,
    ) -> Result<Progress, Shortage>;

    /// Takes [`SLICE`](crate::SLICE) small pages, or a large one, of a part out of a sandbox that lives on: they are mapped nowhere afterwards, on
    /// neither side.
    fn strip(&mut self, part: &mut Self::Part) -> Progress;

    /// Gives back what is left of a part that was stripped.
    fn remove(&mut self, part: Self::Part);

    /// Gives the client a paging structure of its arena, which has those above it, until it is [removed](Platform::remove).
    ///
    /// # Errors
    /// [`Shortage`]; nothing is left of the attempt.
    fn cover(&mut self, client: &Self::Client, table: Table) -> Result<Self::Part, Shortage>;

    /// Gives the sandbox's thread new registers, whatever it is doing, and lets it run. Its memory plays no part, nor do
    /// old registers that `registers` replaces.
    fn restart(&mut self, sandbox: &Self::Sandbox, registers: &Registers);

    /// Lets a sandbox's thread that has faulted try again where it faulted.
    fn go_on(&mut self, sandbox: &Self::Sandbox);

    /// Returns the instruction pointer of the sandbox's thread as the kernel holds it, not as a message tells it.
    fn position(&self, sandbox: &Self::Sandbox) -> Option<u64>;

    /// Returns the stack pointer of the sandbox's thread as the kernel holds it.
    fn stack_pointer(&self, sandbox: &Self::Sandbox) -> Option<u64>;

    /// Tells whether the sandbox's thread waits: it stands at the system call of `entries.wait`, which receives.
    fn waits(&self, sandbox: &Self::Sandbox, entries: EntryPoints) -> bool;

    /// Returns the index of the sandbox that the client's thread calls, or is about to call, as the kernel holds it. It
    /// may be another client's, or nobody's.
    fn calls(&self, client: &Self::Client) -> Option<usize>;

    /// Gives a client that waits in a call its answer, and lets it go on behind the call, whoever holds the right to answer
    /// it and whether its message was received or not.
    fn answer(&mut self, client: &Self::Client, answer: Answer);

    /// Returns the deadline in the client's watch words: its bare word.
    fn deadline(&self, client: &Self::Client) -> u64;

    /// Finds the first of the client's marks from `from` on that is set, and takes it away.
    fn take_mark(&mut self, client: &Self::Client, from: usize) -> Option<usize>;

    /// Sets a mark of the client's.
    fn set_mark(&mut self, client: &Self::Client, mark: usize);

    /// Tells the client when the server looks next: a value of the time-stamp counter.
    fn publish(&mut self, client: &Self::Client, next_look: Option<u64>);

    /// Sees to it that the server looks when the time-stamp counter has reached `next_look`, or not at all.
    fn look_at(&mut self, next_look: Option<u64>);

    /// Sets the priority of the client's thread, one of its [`Priorities`](sbm_system::Priorities).
    fn set_priority(&mut self, client: &Self::Client, priority: u8);

    /// Sets the priority of the sandbox's thread, one of its client's.
    fn set_sandbox_priority(&mut self, sandbox: &Self::Sandbox, priority: u8);

    /// Takes a sandbox apart, with its parts, by a step: the first one ends its thread and its address space.
    fn dismantle<'a>(
        &mut self,
        sandbox: &mut Self::Sandbox,
        parts: impl Iterator<Item = &'a mut Self::Part>,
    ) -> Progress
    where
        Self::Part: 'a;

    /// Ends the sandbox with its parts, as far as [`Platform::dismantle`] has not, and takes back everything, on both sides;
    /// memory is cleared before it is used again.
    fn destroy(&mut self, sandbox: Self::Sandbox, parts: impl Iterator<Item = Self::Part>);

    /// Stops a client's thread for good.
    fn stop(&mut self, client: &Self::Client);

    /// Takes a client apart, whose sandboxes are gone, by a step. Returns nothing where the step takes long and is done by
    /// others: it is to be asked again once [`Server::resume`] was told so.
    ///
    /// [`Server::resume`]: crate::Server::resume
    fn wind_up(&mut self, client: &mut Self::Client) -> Option<Progress>;

    /// Ends the client, whose sandboxes are gone, as far as [`Platform::wind_up`] has not, and takes back everything; what
    /// it has begun on the console ends too. It is told where it has not ended `well`.
    fn end(&mut self, client: Self::Client, well: bool);

    /// Ends the client as [`Platform::end`] does, and begins to start its program anew, in memory that nobody else can have
    /// taken meanwhile. It is the time `number`, from 1. Its thread does not run before [`Platform::prepare`] is done.
    ///
    /// # Errors
    /// [`Exhausted`]; the client has ended.
    fn again(&mut self, client: Self::Client, number: u32) -> Result<Self::Client, Exhausted>;

    /// Goes on with that by a step. In the end the client's thread runs as if for the first time, with its usual priority.
    /// Until then it has no watch words: they are zero, and what is published is lost.
    ///
    /// # Errors
    /// [`Exhausted`]; the client is to be ended.
    fn prepare(&mut self, client: &mut Self::Client) -> Result<Progress, Exhausted>;

    /// Writes a client's text to the console.
    fn console(&mut self, client: &Self::Client, text: &[u8]);

    /// Returns what is free.
    fn free(&self) -> Free;

    /// Returns the time-stamp counter.
    fn now(&self) -> u64;
}

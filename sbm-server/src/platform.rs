// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server needs of the machine: few methods, each with its obligation.

use sbm_abi::{EntryPoints, Registers};

use crate::{ClientId, Plan, SandboxIndex, Share, Table};

/// Memory, slots or address-space ids ran out, or addresses. The operation left nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

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
    pub words: [u64; 3],
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
    /// client's code, to read; a thread of the client's priority that starts with `registers`; in its CSpace its own
    /// endpoint, to receive, and its fault endpoint, to send; in the client's CSpace the capability to call it.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn make(
        &mut self,
        client: &mut Self::Client,
        names: Names,
        plan: &Plan<'_>,
        registers: &Registers,
    ) -> Result<Self::Sandbox, Exhausted>;

    /// Makes paging structures of a sandbox that is there.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn add_tables(&mut self, sandbox: &Self::Sandbox, tables: &[Table]) -> Result<Self::Part, Exhausted>;

    /// Adds the pages of the plan, zeroed, to both sides; the paging structures are there.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn add_pages(
        &mut self,
        client: &Self::Client,
        sandbox: &Self::Sandbox,
        plan: &Plan<'_>,
    ) -> Result<Self::Part, Exhausted>;

    /// Maps frames of the client's own into the sandbox; the paging structures are there.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn share(&mut self, client: &Self::Client, sandbox: &Self::Sandbox, share: &Share)
    -> Result<Self::Part, Exhausted>;

    /// Takes a part out of a sandbox that lives on: it is mapped nowhere afterwards, on neither side.
    fn remove(&mut self, part: Self::Part);

    /// Gives the client the page table of a region of its arena, until it ends.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is left of the attempt.
    fn cover(&mut self, client: &mut Self::Client, region: u16) -> Result<(), Exhausted>;

    /// Gives the sandbox's thread new registers, whatever it is doing, and lets it run. Its memory plays no part, nor do
    /// old registers that `registers` replaces.
    fn restart(&mut self, sandbox: &Self::Sandbox, registers: &Registers);

    /// Returns the instruction pointer of the sandbox's thread as the kernel holds it, not as a message tells it.
    fn position(&self, sandbox: &Self::Sandbox) -> Option<u64>;

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

    /// Ends the sandbox with its parts and takes back everything, on both sides; memory is cleared before it is used again.
    fn destroy(&mut self, sandbox: Self::Sandbox, parts: impl Iterator<Item = Self::Part>);

    /// Ends the client, whose sandboxes are gone, and takes back everything; what it has begun on the console ends too.
    fn end(&mut self, client: Self::Client);

    /// Ends the client as [`Platform::end`] does, and starts its program anew, as if for the first time, in memory that
    /// nobody else can have taken meanwhile. It is the time `number`, from 1.
    ///
    /// # Errors
    /// [`Exhausted`]; the client has ended.
    fn again(&mut self, client: Self::Client, number: u32) -> Result<Self::Client, Exhausted>;

    /// Writes a client's text to the console.
    fn console(&mut self, client: &Self::Client, text: &[u8]);

    /// Returns what is free.
    fn free(&self) -> Free;
}

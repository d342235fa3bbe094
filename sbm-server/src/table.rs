// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the server knows of each client and each sandbox.

use core::ops::Range;

use heapless::Vec;
use sbm_abi::{
    Chunks, EntryPoints, Fault, Handle, Layout, MAX_CHUNKS, Pages, Registers, Restore, Spec, ZONE_CHUNKS, Zone,
    limits::{LARGE_PAGE, MAX_CLIENTS, MAX_CONSOLE, MAX_GROWTHS, MAX_MAPPINGS},
};

use sbm_system::{Amounts, Terms};

use crate::{
    Charge, Plan, Platform, Program, Quota, Table,
    arena::Tables,
    plan::{MAX_TABLES, regions_of},
    shares::Cpu,
    work::Job,
};

/// A client, by its index in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(u8);

impl ClientId {
    /// Names the client with this index, if the table has it.
    #[must_use]
    pub fn new(index: u64) -> Option<Self> {
        u8::try_from(index).ok().filter(|index| usize::from(*index) < MAX_CLIENTS).map(Self)
    }

    /// Returns the index, below [`MAX_CLIENTS`].
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// A sandbox, by its index in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SandboxIndex(u16);

impl SandboxIndex {
    /// Names the sandbox with this index of a table of `length`, if it has it.
    #[must_use]
    pub fn new(index: u64, length: usize) -> Option<Self> {
        u16::try_from(index).ok().filter(|index| usize::from(*index) < length).map(Self)
    }

    /// Returns the index.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn handle(self, generation: u32) -> Handle {
        Handle::new(self.0, generation)
    }
}

/// How a sandbox stands.
///
/// There is no state for a running call: calls do not pass the server, and nothing here depends on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It serves calls.
    Ready,
    /// It was aborted since its last reset. Its thread waits for calls all the same: that the error sticks is the client
    /// library's doing.
    Faulted,
    /// It faulted at its own entry point `abort`: it can only be reset or destroyed.
    Stopped,
    /// It was destroyed and is kept ready for its client.
    Spare,
    /// It does not have all of its pages yet.
    Unfinished,
    /// It is being taken apart.
    Doomed,
}

impl State {
    /// Tells whether a client has a handle of a sandbox that stands so.
    pub(crate) const fn has_handle(self) -> bool {
        matches!(self, Self::Ready | Self::Faulted | Self::Stopped)
    }

    /// Tells whether its thread may run: it was started, and not to be ended.
    pub(crate) const fn may_run(self) -> bool {
        !matches!(self, Self::Unfinished | Self::Doomed)
    }
}

/// Makes `None` of what has it for a field all zeros, so that an empty table takes no room in an image: of all fields it
/// has the most values that mean nothing, which is where the compiler finds one for `None`, and 0 is the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Taken {
    /// It is there.
    Yes = 1,
}

/// Which part holds a paging structure of a sandbox: none where it is the sandbox's own since `sbm_init`.
pub(crate) const OWN: u8 = u8::MAX;

/// Buffers that were added to a sandbox.
#[derive(Debug)]
pub(crate) struct Growth<T> {
    pub(crate) base: u32,
    pub(crate) bits: u8,
    pub(crate) charge: Charge,
    pub(crate) part: T,
}

impl<T> Growth<T> {
    /// Returns the regions of 2 MiB that its span lies in: no other span has any of them, or only this one region is shared.
    fn regions(&self) -> Range<u32> {
        let last = self.base + ((1 << self.bits) - 1);
        self.base / LARGE_PAGE..last / LARGE_PAGE + 1
    }
}

/// Pages of the client's that were mapped into a sandbox.
#[derive(Debug)]
pub(crate) struct Mapping<T> {
    pub(crate) pages: Pages,
    /// Frames that they are.
    pub(crate) frames: u32,
    pub(crate) part: T,
}

/// A chunk of a sandbox's heap or statics, with the ground of statics.
#[derive(Debug)]
pub(crate) struct Chunk<T> {
    pub(crate) number: u8,
    /// Whether all of its pages are there and mapped, so that a thread can clear them: never in a guarded heap.
    pub(crate) is_whole: bool,
    /// Whether it is made of large pages.
    pub(crate) is_large: bool,
    pub(crate) charge: Charge,
    pub(crate) part: T,
}

impl<T> Chunk<T> {
    /// Tells whether a reset leaves it where it is, and the sandbox's thread clears it or puts it back: large ones only where a
    /// snapshot has kept them.
    pub(crate) fn stays(&self, kept: Option<Chunks>) -> bool {
        self.is_whole && (!self.is_large || kept.is_some_and(|kept| kept.has(self.number)))
    }
}

/// Paging structures that were added to a sandbox, all at once.
#[derive(Debug)]
pub(crate) struct Bundle<T> {
    pub(crate) name: u8,
    pub(crate) part: T,
}

/// Most bundles of one sandbox. Spans of an arena are powers of two, so those that share a region are each smaller than
/// it: a bundle of page tables that is in use has a growth or a mapping of its own. And one for each page directory but the
/// first.
pub(crate) const MAX_BUNDLES: usize = MAX_GROWTHS + MAX_MAPPINGS + 3;

/// What a sandbox has for itself beside its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zones {
    /// Its heap, and where the ground of what a snapshot has kept of it begins.
    pub(crate) heap: Option<(Zone, u32)>,
    /// Its private statics, which lie at the client's addresses, and where their ground begins.
    pub(crate) statics: Option<(Zone, u32)>,
    /// Whether of its heap only those pages are mapped that it asks for.
    pub(crate) guarded: bool,
}

impl Zones {
    pub(crate) fn of(layout: &Layout<'_>, statics: Option<Zone>, guarded: bool) -> Self {
        let ground = layout.statics_ground().map(|ground| ground.address);
        Self { heap: layout.heap().map(|heap| (heap, 0)), statics: statics.zip(ground), guarded }
    }

    /// Plans the chunk of heap or statics that has this number, if there is one.
    pub(crate) fn plan_of(self, number: u8) -> Option<Plan<'static>> {
        let Some(number) = number.checked_sub(ZONE_CHUNKS) else {
            let pages = self.heap.and_then(|(heap, _)| heap.chunk(number))?;
            return Some(if self.guarded { Plan::of_loose(pages.count) } else { Plan::of_chunk(pages) });
        };
        let (statics, ground) = self.statics?;
        let pages = statics.chunk(number)?;
        Some(Plan::of_statics(pages, ground + (pages.address - statics.pages().address)))
    }

    #[cold]
    fn restore(self, chunks: Chunks, kept: Chunks) -> Restore {
        // The ground of statics comes with them.
        Restore::new(self.heap, self.statics, chunks, kept.with_statics_of(chunks))
    }
}

/// One sandbox, with its kernel objects.
pub(crate) struct Sandbox<P: Platform> {
    #[expect(dead_code, reason = "what counts is what it never is")]
    pub(crate) taken: Taken,
    pub(crate) owner: ClientId,
    pub(crate) state: State,
    pub(crate) entries: EntryPoints,
    pub(crate) spec: Spec,
    pub(crate) base: u32,
    pub(crate) bits: u8,
    pub(crate) arguments: Pages,
    pub(crate) stack: Pages,
    pub(crate) zones: Zones,
    /// What there is of heap and statics.
    pub(crate) chunks: Chunks,
    /// What was there when its snapshot was taken, if it has one.
    pub(crate) kept: Option<Chunks>,
    /// What is charged to the owner, additions included.
    pub(crate) charge: Charge,
    pub(crate) objects: P::Sandbox,
}

impl<P: Platform> Sandbox<P> {
    /// Lets the thread clear what its functions left, and wait for the next call.
    #[inline]
    pub(crate) fn restart(&self, platform: &mut P) {
        // Mostly there is nothing, and no need to look where it would be.
        let none = self.chunks == Chunks::default();
        let restore =
            if none { Restore::default() } else { self.zones.restore(self.chunks, self.kept.unwrap_or_default()) };
        platform.restart(&self.objects, &Registers::reset(self.entries, self.arguments, self.stack, restore));
    }

    /// Lets the thread go on behind its system call at `ip`.
    #[cold]
    pub(crate) fn go_behind(&self, platform: &mut P, ip: u32) {
        platform.restart(&self.objects, &Registers::behind(ip));
    }

    /// Lets the thread answer the call that `fault` ended, and wait for the next one.
    #[inline]
    pub(crate) fn abort(&self, platform: &mut P, fault: Fault) {
        if self.spec.traced {
            let registers = self.telling(platform, fault);
            platform.restart(&self.objects, &registers);
        } else {
            platform.restart(&self.objects, &Registers::abort(self.entries, self.stack, fault));
        }
    }

    /// Returns the registers that answer a call which `fault` ended, and tell where the stack pointer was if the client wants
    /// to know: to one that prints it, it is worth the time.
    #[cold]
    #[inline(never)]
    pub(crate) fn telling(&self, platform: &P, fault: Fault) -> Registers {
        let mut registers = Registers::abort(self.entries, self.stack, fault);
        if self.spec.traced {
            // What lies above 4 GiB is not in its stack.
            let pointer = platform.stack_pointer(&self.objects).and_then(|pointer| u32::try_from(pointer).ok());
            registers.tell(pointer.unwrap_or(0));
        }
        registers
    }
}

/// What can be added to a sandbox or grows by itself, and the paging structures that say what is there.
///
/// It stays where it is in the table: sandboxes come and go more often than anything is added to them.
pub(crate) struct Additions<P: Platform> {
    /// Paging structures, each with the bundle that holds it.
    pub(crate) tables: Vec<(Table, u8), MAX_TABLES>,
    pub(crate) bundles: Vec<Bundle<P::Part>, MAX_BUNDLES>,
    pub(crate) growths: Vec<Growth<P::Part>, MAX_GROWTHS>,
    pub(crate) mappings: Vec<Mapping<P::Part>, MAX_MAPPINGS>,
    /// Chunks of heap and statics.
    pub(crate) chunks: Vec<Chunk<P::Part>, MAX_CHUNKS>,
}

impl<P: Platform> Additions<P> {
    const NONE: Self =
        Self { tables: Vec::new(), bundles: Vec::new(), growths: Vec::new(), mappings: Vec::new(), chunks: Vec::new() };

    /// Tells whether nothing was added, so that the sandbox is what `sbm_init` makes from its spec, but for its heap.
    pub(crate) fn is_empty(&self) -> bool {
        self.growths.is_empty() && self.mappings.is_empty()
    }

    /// Tells whether a reset leaves all chunks where they are.
    pub(crate) fn stay(&self, kept: Option<Chunks>) -> bool {
        self.chunks.iter().all(|chunk| chunk.stays(kept))
    }

    pub(crate) fn lacks(&self, table: Table) -> bool {
        self.tables.iter().all(|(there, _)| *there != table)
    }

    /// Takes a bundle out that nothing in the sandbox needs any more, with the number of its paging structures.
    pub(crate) fn unused_bundle(&mut self) -> Option<(P::Part, usize)> {
        let is_used = |name: u8| {
            let growths = self.growths.iter().map(Growth::regions);
            let mut regions = growths.chain(self.mappings.iter().map(|mapping| regions_of(mapping.pages)));
            let tables = self.tables.iter().filter(|(_, bundle)| *bundle == name);
            regions.any(|regions| tables.clone().any(|(table, _)| table.covers(&regions)))
        };
        let unused = self.bundles.iter().position(|bundle| !is_used(bundle.name))?;
        let bundle = self.bundles.swap_remove(unused);
        let before = self.tables.len();
        self.tables.retain(|(_, name)| *name != bundle.name);
        Some((bundle.part, before - self.tables.len()))
    }

    /// Lists all parts.
    pub(crate) fn parts(&mut self) -> impl Iterator<Item = &mut P::Part> {
        let growths = self.growths.iter_mut().map(|growth| &mut growth.part);
        let mappings = self.mappings.iter_mut().map(|mapping| &mut mapping.part);
        let chunks = self.chunks.iter_mut().map(|chunk| &mut chunk.part);
        growths.chain(mappings).chain(chunks).chain(self.bundles.iter_mut().map(|bundle| &mut bundle.part))
    }

    /// Takes all parts out, one after the other, and forgets the paging structures.
    pub(crate) fn take_parts(&mut self) -> impl Iterator<Item = P::Part> + '_ {
        let Self { tables, bundles, growths, mappings, chunks } = self;
        tables.clear();
        core::iter::from_fn(move || {
            let growth = growths.pop().map(|growth| growth.part);
            let part = growth.or_else(|| mappings.pop().map(|mapping| mapping.part));
            let part = part.or_else(|| chunks.pop().map(|chunk| chunk.part));
            part.or_else(|| bundles.pop().map(|bundle| bundle.part))
        })
    }
}

/// An entry of the sandbox table. The generation counts what stood here.
pub(crate) struct Entry<P: Platform> {
    pub(crate) generation: u32,
    pub(crate) sandbox: Option<Sandbox<P>>,
    pub(crate) additions: Additions<P>,
}

impl<P: Platform> Entry<P> {
    pub(crate) const EMPTY: Self = Self { generation: 0, sandbox: None, additions: Additions::NONE };

    pub(crate) const fn end_generation(&mut self) {
        self.generation = (self.generation + 1) % Handle::GENERATIONS;
    }
}

/// Most spares of one client.
pub(crate) const MAX_SPARES: usize = 8;

/// Most sandboxes of one client that wait to be taken apart: all spares, and the one that a request is about.
const MAX_DOOMED: usize = 2 * MAX_SPARES;

/// Most sandboxes of one client that wait for pages of their heaps: it calls one, and others can run on.
const MAX_TOUCHING: usize = 8;

/// One client, with its kernel objects.
pub(crate) struct Client<P: Platform> {
    #[expect(dead_code, reason = "what counts is what it never is")]
    pub(crate) taken: Taken,
    pub(crate) objects: P::Client,
    pub(crate) program: Program,
    pub(crate) entries: Option<EntryPoints>,
    /// What it may do.
    pub(crate) terms: Terms,
    /// How it stands among the clients of its priority.
    pub(crate) cpu: Cpu,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// What it may have.
    pub(crate) quota: Quota,
    /// Sandboxes, spares included.
    pub(crate) sandboxes: u16,
    pub(crate) charge: Charge,
    /// Ranges of its own pages that are mapped into its sandboxes.
    pub(crate) mappings: u32,
    pub(crate) spares: Vec<SandboxIndex, MAX_SPARES>,
    /// Until when the time that its text takes is paid for.
    pub(crate) console_paid: u64,
    /// What is left to do for the answer that it waits for.
    pub(crate) job: Option<Job>,
    /// Text that is being written.
    pub(crate) text: Vec<u8, MAX_CONSOLE>,
    /// Whether that, or its end, has to wait for what is done elsewhere.
    pub(crate) waits: bool,
    /// Its sandboxes that are taken apart, the first one first.
    pub(crate) doomed: Vec<SandboxIndex, MAX_DOOMED>,
    /// Its sandboxes whose threads wait for pages of their heaps.
    pub(crate) touching: Vec<SandboxIndex, MAX_TOUCHING>,
    /// From which entry on its sandboxes are looked for, once it has ended.
    pub(crate) ends: Option<usize>,
    /// Whether it said itself that all was well.
    pub(crate) ended_well: bool,
    /// When it is to get the answer that it waits for.
    pub(crate) sleeps_until: Option<u64>,
    /// The mark from which on the next look goes through its marks.
    pub(crate) next_mark: usize,
    /// From when on a look goes through its marks.
    pub(crate) marks_from: u64,
    /// Whether its request is carried out by another step at once: it lacks page tables.
    pub(crate) asks_again: bool,
    /// The paging structures that it has of its arena.
    pub(crate) tables: Tables,
}

impl<P: Platform> Client<P> {
    pub(crate) fn new(objects: P::Client, program: Program, terms: Terms, cpu: Cpu) -> Self {
        Self {
            taken: Taken::Yes,
            objects,
            program,
            entries: None,
            terms,
            cpu,
            restarts: 0,
            quota: Quota::NONE,
            sandboxes: 0,
            charge: Charge::default(),
            mappings: 0,
            spares: Vec::new(),
            console_paid: 0,
            job: None,
            text: Vec::new(),
            waits: false,
            doomed: Vec::new(),
            touching: Vec::new(),
            ends: None,
            ended_well: false,
            sleeps_until: None,
            next_mark: 0,
            marks_from: 0,
            asks_again: false,
            tables: Tables::NONE,
        }
    }

    /// Returns what it has.
    pub(crate) fn used(&self) -> Amounts {
        self.charge.with(self.sandboxes.into())
    }

    /// Notes that a sandbox waits for pages of its heap, if there is room for the note. One note is enough for each, however
    /// many touches a sandbox forges.
    pub(crate) fn note_touch(&mut self, index: SandboxIndex) -> bool {
        self.touching.contains(&index) || self.touching.push(index).is_ok()
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's side of one sandbox: its buffers, its argument page and its endpoint.

use core::num::NonZeroU32;

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Errno, Fault, FaultKind, Handle, Layout, LayoutError, Outcome, Pages, Region, Request,
    Response, SandboxMap, Spec, Zone,
    limits::{
        ARENA_BASE, ARENA_END, CAPTURES_OFFSET, CODE_BASE, HEAP_OFFSET, LARGE_PAGES, MAX_BUFFER_PAGES, MAX_BUFFERS,
        MAX_MAPPING_PAGES, MAX_MAPPINGS, MAX_SPAN, PAGE, PANIC_TEXT_BYTES, PANIC_TEXT_OFFSET, SELF_OFFSET,
        STACK_TOP_OFFSET,
    },
};

use super::{
    buffer::{Buffer, BufferName},
    call::{self, Reply},
    env::env,
    here,
    memory::SharedMemory,
    server,
    text::Text,
    time::{Budget, Paused},
    walked::WalkedHeap,
};
use crate::{
    argument::Arguments,
    error::{Error, Unfit, panic_text},
    inside::entry::Thunk,
    records,
};

/// Most parameters of a function, as in SBM.
pub(crate) const MAX_PARAMETERS: usize = 6;

/// Most bytes of a buffer.
pub(crate) const MAX_BUFFER_BYTES: usize = MAX_BUFFER_PAGES as usize * PAGE as usize;

const MAX_MAPPING_BYTES: usize = MAX_MAPPING_PAGES as usize * PAGE as usize;

/// The client's side of one sandbox.
#[derive(Debug)]
pub struct Instance {
    pub(super) handle: Handle,
    /// Address of the argument page.
    arguments: u32,
    pub(super) stack: Pages,
    /// Where the function's stack pointer was when a call was ended, until that is told; else 0.
    pub(super) stack_pointer: u32,
    pub(super) heap: Option<Pages>,
    /// The heap as its client sees it, if it does.
    walked: Option<WalkedHeap>,
    /// Where stands what a guarded heap notes of its allocations.
    records: Option<NonZeroU32>,
    private_statics: bool,
    /// Whether a snapshot was taken.
    kept: bool,
    /// Buffers of the arguments, by their number in the call: one that the sandbox reads, one that it writes.
    buffers: [[Option<Buffer>; 2]; MAX_PARAMETERS],
    /// Buffers of the set-up: first those that the client asked for by itself, then those that arguments have outgrown.
    others: Vec<Buffer, MAX_BUFFERS>,
    /// How many of them are the client's own.
    own: usize,
    /// What the names of its own buffers carry.
    serial: u64,
    /// The mailboxes, once they are needed: one that the sandbox reads, one that it writes.
    pub(super) mail: [Option<Buffer>; 2],
    /// Most bytes of a coded result.
    pub(super) result_limit: usize,
    /// Most requests of one call, and how many the running one may still make.
    pub(super) request_limit: u32,
    pub(super) requests_left: u32,
    /// Whether the time of handlers counts for the budget.
    pub(super) count_handlers: bool,
    /// Most bytes that one call prints, and what the running one does.
    pub(super) text_limit: usize,
    pub(super) text: Text,
    /// The deadline of a call that has asked for something, if it has one.
    pub(super) paused: Option<Paused>,
    mapped: Vec<(Pages, BufferAccess), MAX_MAPPINGS>,
    /// What arguments of the call that is being staged may write: own buffers from bit 0, mappings from bit 16.
    claimed: u32,
    isolated: bool,
}

/// A buffer to be set up with the sandbox.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Planned {
    /// For the argument at that place of the call.
    Argument(u8),
    /// For coded results and requests.
    Mail,
    /// For what a guarded heap notes.
    Records,
    /// For the client's own use.
    Own,
    /// For the heap.
    Heap,
}

/// What a client says of all calls of a sandbox.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Whether functions run in the sandbox, and not in the client.
    pub(crate) isolated: bool,
    /// Most bytes of a coded result.
    pub(crate) result_limit: usize,
    /// Most requests of one call.
    pub(crate) request_limit: u32,
    /// Whether the time of handlers counts for the budget.
    pub(crate) count_handlers: bool,
    /// Most bytes that one call prints.
    pub(crate) text_limit: usize,
}

/// Says that the argument at a place of the call cannot be staged.
#[cold]
const fn unfit(at: usize, why: Unfit) -> Error {
    Error::Argument { number: at + 1, why }
}

/// Says what is wrong with the shape of a sandbox, as the server would find it.
#[cold]
const fn refusal(error: LayoutError) -> Error {
    match error {
        LayoutError::Span { bytes } => Error::Large { bytes: bytes as usize, limit: MAX_SPAN as usize },
        _ => Error::Server(Errno::Invalid),
    }
}

/// A sandbox that the server has just made, and where it is.
pub(crate) struct Made<'a> {
    handle: Handle,
    layout: Layout<'a>,
    arguments: Pages,
    stack: Pages,
    /// It is one that was used before.
    used: bool,
}

impl<'a> Made<'a> {
    /// `sbm_init`: has the server make the sandbox.
    pub(crate) fn new(spec: &'a Spec) -> Result<Self, Error> {
        let layout = Layout::of_sandbox(spec).map_err(refusal)?;
        let Response::Ready { handle, base, used } = server::request(&Request::Init(spec.clone()))? else {
            return Err(Error::Server(Errno::BadMessage));
        };
        // The server has laid out the same.
        let layout = layout.at(base);
        let (Some(arguments), Some(stack)) = (layout.arguments(), layout.stack()) else {
            return Err(Error::Server(Errno::BadMessage));
        };
        Ok(Self { handle, layout, arguments, stack, used })
    }
}

impl Instance {
    /// Refers to a sandbox; its buffers follow.
    pub(crate) fn new(made: &Made<'_>, serial: u64, terms: &Terms) -> Self {
        let Made { handle, layout, arguments, stack, .. } = made;
        Self {
            handle: *handle,
            arguments: arguments.address,
            stack: *stack,
            stack_pointer: 0,
            heap: layout.heap().map(Zone::pages),
            walked: None,
            records: None,
            private_statics: layout.statics_ground().is_some(),
            kept: false,
            buffers: [const { [const { None }; 2] }; MAX_PARAMETERS],
            others: Vec::new(),
            own: 0,
            serial,
            mail: [const { None }; 2],
            result_limit: terms.result_limit,
            request_limit: terms.request_limit,
            requests_left: 0,
            count_handlers: terms.count_handlers,
            text_limit: terms.text_limit,
            text: Text::NONE,
            paused: None,
            mapped: Vec::new(),
            claimed: 0,
            isolated: terms.isolated,
        }
    }

    /// Takes up the buffers that the sandbox was made with, and what they were planned for.
    pub(crate) fn equip(&mut self, made: &Made<'_>, planned: &[Planned]) {
        let Made { layout, used, .. } = made;
        for ((pages, access), planned) in layout.buffers().zip(planned) {
            let mut buffer = Buffer::new(pages, access, None);
            // What the client alone could write it has zeroed itself (`destroy`); the rest now, with the old thread gone.
            if *used && access == BufferAccess::ReadWrite {
                buffer.wipe();
            }
            match planned {
                Planned::Argument(at) => self.buffers[usize::from(*at)][access as usize] = Some(buffer),
                Planned::Mail => self.mail[access as usize] = Some(buffer),
                Planned::Records => self.records = NonZeroU32::new(pages.address),
                // As many as the spec, which has the same limit.
                Planned::Own => drop(self.others.push(buffer)),
                Planned::Heap => {
                    self.heap = Some(pages);
                    self.walked = Some(WalkedHeap::new(buffer));
                }
            }
        }
        self.own = self.others.len();
        if *used {
            self.clear_arguments();
        }
        self.write_anchors();
    }

    #[inline]
    pub(super) const fn arguments(&self) -> SharedMemory {
        SharedMemory::from_server(Pages { address: self.arguments, count: 1 })
    }

    /// Returns what a guarded heap notes of its allocations.
    pub(super) fn records(&self) -> Option<SharedMemory> {
        let (address, heap) = (self.records?.get(), self.heap?);
        let bytes = records::offset(records::count(heap.count));
        // As many as were asked for: the largest are fewer than a buffer has.
        let count = u32::try_from(bytes.div_ceil(PAGE as usize)).ok()?;
        Some(SharedMemory::from_server(Pages { address, count }))
    }

    fn clear_arguments(&self) {
        self.arguments().zero(0, PAGE as usize);
    }

    /// Writes what the way out of a panic needs, and where the heap is; the sandbox could have overwritten it.
    fn write_anchors(&self) {
        self.arguments().set_word(SELF_OFFSET as usize / 8, u64::from(self.arguments));
        self.arguments().set_word(STACK_TOP_OFFSET as usize / 8, u64::from(self.stack.end()));
        self.write_mailboxes();
        if let Some(heap) = self.heap {
            let mut word = u64::from(heap.address) | u64::from(heap.count) << 32;
            if let Some(records) = self.records() {
                records.zero(0, records.len());
                records.set_word(0, word);
                records.set_word(1, u64::from(env().map().code_end));
                word = (records.address() as u64) << 32;
            }
            self.arguments().set_word(HEAP_OFFSET as usize / 8, word);
        }
    }

    /// Returns the buffer of argument `at`, in place of a smaller one if that does not hold `bytes`.
    #[inline]
    pub(crate) fn buffer(&mut self, at: usize, bytes: usize, access: BufferAccess) -> Result<&mut Buffer, Error> {
        let fits = matches!(&self.buffers[at][access as usize], Some(buffer) if buffer.len() >= bytes);
        if !fits {
            self.replace(at, bytes, access)?;
        }
        self.buffers[at][access as usize].as_mut().ok_or(Error::Server(Errno::Invalid))
    }

    /// Returns the buffer that the sandbox wrote argument `at` to, if the call has one.
    #[inline]
    pub(crate) fn written(&self, at: usize) -> Option<&Buffer> {
        self.buffers[at][BufferAccess::ReadWrite as usize].as_ref()
    }

    /// Gives argument `at` a buffer that holds `bytes`, after its old one went back to where it came from.
    #[cold]
    fn replace(&mut self, at: usize, bytes: usize, access: BufferAccess) -> Result<(), Error> {
        if bytes > MAX_BUFFER_BYTES {
            return Err(unfit(at, Unfit::Buffer { bytes, limit: MAX_BUFFER_BYTES }));
        }
        if let Some(old) = self.buffers[at][access as usize].take() {
            self.give_back(old);
        }
        let buffer = self.spare_or_grow(bytes, access)?;
        self.buffers[at][access as usize] = Some(buffer);
        Ok(())
    }

    /// Gives a buffer back to where it came from.
    pub(super) fn give_back(&mut self, old: Buffer) {
        match old.growth() {
            // Were it refused, it would go with the sandbox.
            Some(base) => drop(server::request(&Request::Shrink { handle: self.handle, base: base.get() })),
            // There is room for all buffers of the set-up.
            None => drop(self.others.push(old)),
        }
    }

    /// Returns a buffer that holds `bytes`: one that was outgrown, or a new one.
    pub(super) fn spare_or_grow(&mut self, bytes: usize, access: BufferAccess) -> Result<Buffer, Error> {
        let fits = |buffer: &Buffer| buffer.access() == access && buffer.len() >= bytes;
        match self.others[self.own..].iter().position(fits) {
            Some(outgrown) => Ok(self.others.swap_remove(self.own + outgrown)),
            None => self.grow(bytes, access),
        }
    }

    fn grow(&mut self, bytes: usize, access: BufferAccess) -> Result<Buffer, Error> {
        // In powers of four, so that a client whose input grows does not ask each time; beyond 4 MiB in eighths of the next power
        // of two and in large pages, since that much more is not spent on a guess.
        let pages = bytes.div_ceil(PAGE as usize).max(1);
        let power = pages.next_power_of_two();
        let pages = if power > 2 * LARGE_PAGES as usize {
            pages.next_multiple_of((power / 8).max(LARGE_PAGES as usize))
        } else if power.trailing_zeros().is_multiple_of(2) {
            power
        } else {
            power * 2
        };
        self.grow_by(u32::try_from(pages).unwrap_or(u32::MAX).min(MAX_BUFFER_PAGES), access)
    }

    fn grow_by(&mut self, pages: u32, access: BufferAccess) -> Result<Buffer, Error> {
        let spec = BufferSpec::new(pages, access);
        let buffers = Vec::from_slice(&[spec]).map_err(|_| Errno::Invalid)?;
        let Response::Grown { base } = server::request(&Request::Grow { handle: self.handle, buffers })? else {
            return Err(Error::Server(Errno::BadMessage));
        };
        let specs = [spec];
        let layout = Layout::of_growth(&specs).map_err(|_| Errno::BadMessage)?.at(base);
        let (pages, _) = layout.buffers().next().ok_or(Errno::BadMessage)?;
        Ok(Buffer::new(pages, access, NonZeroU32::new(base)))
    }

    /// Has `pages` of the client mapped into the sandbox, unless they are. Constants always are, with the code.
    #[inline]
    pub(crate) fn map(&mut self, at: usize, pages: Pages, access: BufferAccess) -> Result<(), Error> {
        let constant = || pages.address >= CODE_BASE && pages.end() <= env().map().code_end;
        if pages.count == 0 || (access == BufferAccess::ReadOnly && constant()) {
            return Ok(());
        }
        let index = match self.mapped.iter().position(|mapped| *mapped == (pages, access)) {
            Some(index) => index,
            None => self.map_anew(at, pages, access)?,
        };
        if access == BufferAccess::ReadWrite { self.claim(at, 16 + index) } else { Ok(()) }
    }

    #[cold]
    fn map_anew(&mut self, at: usize, pages: Pages, access: BufferAccess) -> Result<usize, Error> {
        let why = if pages.count > MAX_MAPPING_PAGES {
            Some(Unfit::Mapping { bytes: pages.bytes() as usize, limit: MAX_MAPPING_BYTES })
        } else if self.private_statics && env().map().region_of(pages.address.into()) == Region::ClientData {
            // The sandbox has its own there.
            Some(Unfit::Overlap)
        } else if self.mapped.iter().any(|(mapped, _)| pages.address < mapped.end() && mapped.address < pages.end()) {
            Some(Unfit::Overlap)
        } else if self.mapped.is_full() {
            Some(Unfit::Mappings { limit: MAX_MAPPINGS })
        } else {
            None
        };
        if let Some(why) = why {
            return Err(unfit(at, why));
        }
        let Pages { address, count } = pages;
        server::request(&Request::Map { handle: self.handle, address, pages: count, access })?;
        // There is room: it was looked for above.
        let _ = self.mapped.push((pages, access));
        Ok(self.mapped.len() - 1)
    }

    /// Returns a buffer of the client's own.
    #[inline]
    pub(crate) fn own(&mut self, name: BufferName) -> Option<&mut Buffer> {
        if name.serial == self.serial { self.others.get_mut(name.index) } else { None }
    }

    /// Returns a buffer of the client's own for argument `at`, which reads it.
    #[inline]
    pub(crate) fn own_read(&mut self, at: usize, name: BufferName) -> Result<&Buffer, Error> {
        self.own(name).map(|buffer| &*buffer).ok_or_else(|| unfit(at, Unfit::Foreign))
    }

    /// Returns a buffer of the client's own for argument `at`, which alone may write it in this call.
    #[inline]
    pub(crate) fn own_write(&mut self, at: usize, name: BufferName) -> Result<&Buffer, Error> {
        self.claim(at, name.index)?;
        self.own_read(at, name)
    }

    /// Takes note that argument `at` may write something, unless an earlier one of the same call may.
    #[inline]
    fn claim(&mut self, at: usize, bit: usize) -> Result<(), Error> {
        let bit = 1 << bit;
        if self.claimed & bit != 0 {
            return Err(unfit(at, Unfit::Twice));
        }
        self.claimed |= bit;
        Ok(())
    }

    /// Returns by which number reports call the sandbox.
    pub(super) const fn number(&self) -> u16 {
        self.handle.index()
    }

    /// Tells whether the sandbox has statics of its own.
    pub(crate) const fn has_private_statics(&self) -> bool {
        self.private_statics
    }

    /// Returns the size of the sandbox's stack.
    pub(crate) const fn stack_bytes(&self) -> u32 {
        self.stack.bytes()
    }

    /// Tells whether functions run in the sandbox, and not in the client.
    pub(crate) const fn is_isolated(&self) -> bool {
        self.isolated
    }

    /// Begins a call.
    #[inline]
    pub(crate) const fn begin(&mut self) {
        self.claimed = 0;
    }

    #[inline]
    pub(crate) fn set_argument(&self, at: usize, [first, second]: [u64; 2]) {
        self.arguments().set_word(2 * at, first);
        self.arguments().set_word(2 * at + 1, second);
    }

    /// Runs the staged call.
    // Always: the whole of a null call is a dozen instructions, and what is returned stays in registers.
    #[inline(always)]
    pub(crate) fn run(&mut self, thunk: Thunk, budget: Budget) -> Reply {
        let block = self.argument_page();
        if budget.is_none() {
            let reply = call::call(self.handle, thunk, block);
            if reply.returned().is_none() {
                self.paused = None;
            }
            return reply;
        }
        budget.begin(self.handle);
        let reply = call::call(self.handle, thunk, block);
        if reply.returned().is_none() && !reply.is_end() {
            self.paused = Some(Paused::now());
        }
        Budget::end();
        reply
    }

    /// Runs the staged call in the client.
    pub(crate) fn run_here(&mut self, thunk: Thunk, arguments: &mut dyn Arguments) -> [u64; 2] {
        self.begin_requests();
        here::run(self, arguments, thunk)
    }

    pub(super) const fn argument_page(&self) -> usize {
        self.arguments as usize
    }

    /// Brings what a closure has captured in place.
    #[inline]
    pub(crate) fn capture<F: Copy>(&self, function: &F) {
        if size_of::<F>() > 0 {
            self.arguments().write_value(CAPTURES_OFFSET as usize, function);
        }
    }

    /// Makes an error of a call that did not run to its end.
    #[cold]
    pub(crate) fn error_of(&self, outcome: Outcome) -> Error {
        match outcome {
            Outcome::Aborted(Fault { kind: FaultKind::TimedOut, ip, .. }) => Error::TimedOut { ip },
            Outcome::Aborted(Fault { kind: FaultKind::Canceled, ip, .. }) => Error::Canceled { ip },
            Outcome::Aborted(fault) => Error::Fault { fault, region: self.region_of(fault.address) },
            Outcome::Panicked(length) => {
                let mut bytes = [0; 256];
                let length = length.min(PANIC_TEXT_BYTES) as usize;
                let bytes = &mut bytes[..length.min(256)];
                self.arguments().read(PANIC_TEXT_OFFSET as usize, bytes);
                Error::Panic(panic_text(bytes))
            }
            Outcome::NoRoom(bytes) => {
                let heap = self.heap.map_or(0, |heap| heap.bytes() as usize);
                Error::NoRoom { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), heap }
            }
            Outcome::Returned(_) | Outcome::Asked(..) | Outcome::Garbled => Error::Garbled,
        }
    }

    fn region_of(&self, address: u64) -> Region {
        // Whoever waits for the error waits for this as well, and most addresses are elsewhere.
        if !(u64::from(ARENA_BASE)..u64::from(ARENA_END)).contains(&address) {
            return env().map().region_of(address);
        }
        let mut buffers = Vec::<_, { 2 * MAX_PARAMETERS + 2 + MAX_BUFFERS }>::new();
        // There is room for all of them.
        for (number, pair) in (1u8..).zip(&self.buffers) {
            for buffer in pair.iter().flatten() {
                let _ = buffers.push((number, buffer.memory().pages()));
            }
        }
        for mailbox in self.mail.iter().flatten() {
            let _ = buffers.push((0, mailbox.memory().pages()));
        }
        // Buffers of the client's own are told by numbers after those of arguments.
        for (number, buffer) in (1 + MAX_PARAMETERS as u8..).zip(&self.others[..self.own]) {
            let _ = buffers.push((number, buffer.memory().pages()));
        }
        let map = SandboxMap {
            arguments: self.arguments().pages(),
            stack: self.stack,
            buffers: &buffers,
            heap: self.heap,
            client: env().map(),
        };
        map.region_of(address)
    }

    pub(crate) fn endpoint_slot(&self) -> u64 {
        call::endpoint_slot(self.handle)
    }

    /// `sbm_destroy`.
    pub(crate) fn destroy(&mut self) {
        // The sandbox could still be writing the rest, which is zeroed when it is used again.
        let all = self.buffers.iter().chain([&self.mail]).flatten().flatten().chain(&self.others);
        all.filter(|buffer| buffer.access() == BufferAccess::ReadOnly).for_each(Buffer::zero_live);
        // It can only be refused when the sandbox is gone, and then nothing is left to do.
        let _ = server::request(&Request::Destroy(self.handle));
    }

    /// Makes the present state of heap and statics what a reset returns to.
    pub(crate) fn snapshot(&mut self) -> Result<(), Error> {
        if self.records.is_some() {
            return Err(Error::Guarded);
        }
        if self.heap.is_none() && !self.private_statics {
            return Err(Error::NothingToKeep);
        }
        if self.kept {
            return Err(Error::Kept);
        }
        // Memory first, so that what is refused has changed nothing.
        let heap = self.heap.filter(|_| self.walked.is_some());
        let ground = heap.map(|heap| self.grow_by(heap.count, BufferAccess::ReadOnly)).transpose()?;
        if let Err(error) = server::request(&Request::Snapshot(self.handle)) {
            ground.into_iter().for_each(|ground| self.give_back(ground));
            return Err(error);
        }
        self.kept = true;
        if let Some((walked, ground)) = self.walked.as_mut().zip(ground) {
            walked.keep(ground);
        }
        Ok(())
    }

    /// Returns what the client can read of the heap that functions build in.
    pub(crate) fn walked(&self) -> Option<SharedMemory> {
        let walked = self.walked.as_ref()?;
        Some(if self.isolated { walked.memory() } else { here::heap() })
    }

    /// Makes the sandbox what it was at first, but for mappings and for what the client wrote to input buffers.
    pub(crate) fn reset(&mut self) -> Result<(), Error> {
        server::request(&Request::Reset(self.handle))?;
        // No function runs in it any more.
        self.clear_arguments();
        self.write_anchors();
        self.buffers.iter_mut().chain([&mut self.mail]).flatten().flatten().for_each(Buffer::wipe);
        for (index, buffer) in self.others.iter_mut().enumerate() {
            // What the client has written for its functions to read stays.
            if index >= self.own || buffer.access() == BufferAccess::ReadWrite {
                buffer.wipe();
            }
        }
        if let Some(walked) = &mut self.walked {
            walked.reset();
        }
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's side of one sandbox: its buffers, its argument page and its endpoint.

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Errno, Handle, Layout, Outcome, Pages, Region, Request, Response, SandboxMap, Spec,
    limits::{
        ARENA_BASE, ARENA_END, CLIENT_SANDBOX_SLOTS, CODE_BASE, MAX_BUFFER_PAGES, MAX_BUFFERS, MAX_MAPPINGS, PAGE,
        PANIC_TEXT_BYTES, PANIC_TEXT_OFFSET, SELF_OFFSET, STACK_TOP_OFFSET,
    },
};

use crate::{Error, arguments::Thunk, entry, error::panic_text, memory::SharedMemory, rt, server};

/// Most parameters of a function, as in SBM.
pub(crate) const MAX_PARAMETERS: usize = 6;

/// One buffer, and which of its bytes may be other than zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    memory: SharedMemory,
    access: BufferAccess,
    live_from: u32,
    live_to: u32,
}

impl Slot {
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.memory.len()
    }

    #[inline]
    pub(crate) const fn address(&self, offset: usize) -> u64 {
        (self.memory.address() + offset) as u64
    }

    pub(crate) const fn memory(&self) -> SharedMemory {
        self.memory
    }

    pub(crate) const fn access(&self) -> BufferAccess {
        self.access
    }

    /// Takes note that all of it may be other than zero.
    pub(crate) fn set_live(&mut self) {
        self.live_from = 0;
        self.live_to = self.memory.pages().bytes();
    }

    /// Copies `bytes` to `offset`; everything else that was written there before becomes zero.
    #[inline]
    pub(crate) fn fill(&mut self, offset: usize, bytes: &[u8]) {
        self.retire(offset, bytes.len());
        self.memory.write(offset, bytes);
    }

    /// Makes everything zero.
    #[inline]
    pub(crate) fn clear(&mut self, offset: usize, length: usize) {
        self.retire(offset, length);
        self.memory.zero(offset, length);
    }

    #[inline]
    pub(crate) fn read(&self, offset: usize, target: &mut [u8]) {
        self.memory.read(offset, target);
    }

    /// Zeroes what is live outside of the range that is going to be, which is nothing for calls of one shape.
    #[inline]
    fn retire(&mut self, offset: usize, length: usize) {
        // Offsets lie within the buffer, whose size has 32 bits.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let (from, to) = (offset as u32, (offset + length) as u32);
        if self.live_from < from || self.live_to > to {
            self.zero_outside(from, to);
        }
        self.live_from = from;
        self.live_to = to;
    }

    #[cold]
    fn zero_outside(&self, from: u32, to: u32) {
        let zero = |from: u32, to: u32| self.memory.zero(from as usize, to.saturating_sub(from) as usize);
        zero(self.live_from, from.min(self.live_to));
        zero(to.max(self.live_from), self.live_to);
    }
}

/// The client's side of one sandbox.
#[derive(Debug)]
pub struct Instance {
    pub(crate) handle: Handle,
    arguments: SharedMemory,
    stack: Pages,
    /// Buffers of the arguments, by their number in the call: one that the sandbox reads, one that it writes.
    slots: [[Option<Slot>; 2]; MAX_PARAMETERS],
    /// Buffers that the client asked for by itself.
    pub(crate) own: Vec<Slot, MAX_BUFFERS>,
    mapped: Vec<(Pages, BufferAccess), MAX_MAPPINGS>,
    /// What arguments of the call that is being staged may write: own buffers from bit 0, mappings from bit 16.
    claimed: u32,
    pub(crate) isolated: bool,
}

/// A buffer to be set up with the sandbox.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Planned {
    /// For argument number `.0`.
    Argument(usize),
    /// For the client's own use.
    Own,
}

impl Instance {
    /// `sbm_init`: has the server make the sandbox.
    pub(crate) fn new(spec: &Spec, planned: &[Planned], isolated: bool) -> Result<Self, Error> {
        let Response::Ready { handle, base, used } = server::request(&Request::Init(spec.clone()))? else {
            return Err(Error::Server(Errno::BadMessage));
        };
        let layout = Layout::of_sandbox(spec).map_err(|_| Errno::Invalid)?.at(base);
        let (Some(arguments), Some(stack)) = (layout.arguments(), layout.stack()) else {
            return Err(Error::Server(Errno::BadMessage));
        };
        let mut instance = Self {
            handle,
            arguments: SharedMemory::from_server(arguments),
            stack,
            slots: [[None; 2]; MAX_PARAMETERS],
            own: Vec::new(),
            mapped: Vec::new(),
            claimed: 0,
            isolated,
        };
        for ((pages, access), planned) in layout.buffers().zip(planned) {
            let memory = SharedMemory::from_server(pages);
            // What the client alone could write it has zeroed itself (`destroy`); the rest now, with the old thread gone.
            if used && access == BufferAccess::ReadWrite {
                memory.zero(0, memory.len());
            }
            let slot = Slot { memory, access, live_from: 0, live_to: 0 };
            match planned {
                Planned::Argument(at) => instance.slots[*at][access as usize] = Some(slot),
                Planned::Own => {
                    // As many as the spec, which has the same limit.
                    let _ = instance.own.push(slot);
                }
            }
        }
        if used {
            instance.arguments.zero(0, instance.arguments.len());
        }
        instance.write_anchors();
        Ok(instance)
    }

    /// Writes what the way out of a panic needs; the sandbox could have overwritten it.
    fn write_anchors(&self) {
        self.arguments.set_word(SELF_OFFSET as usize / 8, u64::from(self.arguments.pages().address));
        self.arguments.set_word(STACK_TOP_OFFSET as usize / 8, u64::from(self.stack.end()));
    }

    /// Returns the buffer of argument `at`, made larger first if it does not hold `bytes`.
    #[inline]
    pub(crate) fn slot(&mut self, at: usize, bytes: usize, access: BufferAccess) -> Result<&mut Slot, Error> {
        let fits = matches!(&self.slots[at][access as usize], Some(slot) if slot.len() >= bytes);
        if !fits {
            self.slots[at][access as usize] = Some(self.grow(bytes, access)?);
        }
        self.slots[at][access as usize].as_mut().ok_or(Error::Server(Errno::Invalid))
    }

    /// Returns the buffer that the sandbox wrote argument `at` to, if the call has one.
    #[inline]
    pub(crate) fn staged(&self, at: usize) -> Option<&Slot> {
        self.slots[at][BufferAccess::ReadWrite as usize].as_ref()
    }

    #[cold]
    fn grow(&mut self, bytes: usize, access: BufferAccess) -> Result<Slot, Error> {
        let needed = bytes.div_ceil(PAGE as usize).max(1);
        if needed > usize::from(MAX_BUFFER_PAGES) {
            return Err(Error::Server(Errno::Invalid));
        }
        // In powers of four, so that a client whose input grows does not ask each time.
        let power = needed.next_power_of_two();
        let pages =
            if power.trailing_zeros().is_multiple_of(2) { power } else { power * 2 }.min(usize::from(MAX_BUFFER_PAGES));
        let spec = BufferSpec::new(u16::try_from(pages).map_err(|_| Errno::Invalid)?, access);
        let buffers = Vec::from_slice(&[spec]).map_err(|_| Errno::Invalid)?;
        let Response::Grown { base } = server::request(&Request::Grow { handle: self.handle, buffers })? else {
            return Err(Error::Server(Errno::BadMessage));
        };
        let specs = [spec];
        let layout = Layout::of_growth(&specs).map_err(|_| Errno::Invalid)?.at(base);
        let (pages, _) = layout.buffers().next().ok_or(Errno::BadMessage)?;
        Ok(Slot { memory: SharedMemory::from_server(pages), access, live_from: 0, live_to: 0 })
    }

    /// Has `pages` of the client mapped into the sandbox, unless they are. Constants always are, with the code.
    #[inline]
    pub(crate) fn map(&mut self, pages: Pages, access: BufferAccess) -> Result<(), Error> {
        let constant = || pages.address >= CODE_BASE && pages.end() <= rt::env().map().code_end;
        if pages.count == 0 || (access == BufferAccess::ReadOnly && constant()) {
            return Ok(());
        }
        let place = match self.mapped.iter().position(|mapped| *mapped == (pages, access)) {
            Some(place) => place,
            None => {
                let (handle, address, pages) = (self.handle, pages.address, pages.count);
                if self.mapped.is_full() {
                    return Err(Error::Server(Errno::Invalid));
                }
                server::request(&Request::Map { handle, address, pages, access })?;
                // There is room: it was looked for above.
                let _ = self.mapped.push((Pages { address, count: pages }, access));
                self.mapped.len() - 1
            }
        };
        if access == BufferAccess::ReadWrite { self.claim(16 + place) } else { Ok(()) }
    }

    /// Returns a buffer of the client's own for an argument, which has to be what the argument takes it for.
    #[inline]
    pub(crate) fn own(&mut self, index: usize, access: BufferAccess) -> Result<Slot, Error> {
        let slot = *self.own.get(index).filter(|slot| slot.access == access).ok_or(Errno::Invalid)?;
        if access == BufferAccess::ReadWrite {
            self.claim(index)?;
        }
        Ok(slot)
    }

    /// Takes note that an argument may write something, unless an earlier one of the same call may.
    fn claim(&mut self, bit: usize) -> Result<(), Error> {
        let bit = 1 << bit;
        if self.claimed & bit != 0 {
            return Err(Error::Server(Errno::Invalid));
        }
        self.claimed |= bit;
        Ok(())
    }

    /// Begins a call.
    #[inline]
    pub(crate) const fn begin(&mut self) {
        self.claimed = 0;
    }

    #[inline]
    pub(crate) fn set_argument(&self, at: usize, [first, second]: [u64; 2]) {
        self.arguments.set_word(2 * at, first);
        self.arguments.set_word(2 * at + 1, second);
    }

    /// Runs the staged call.
    #[inline]
    pub(crate) fn run(&self, thunk: Thunk) -> Outcome {
        let block = self.arguments.address();
        if self.isolated { entry::call(self.handle, thunk, block) } else { entry::call_here(thunk, block) }
    }

    /// Makes an error of a call that did not run to its end.
    #[cold]
    pub(crate) fn error_of(&self, outcome: Outcome) -> Error {
        match outcome {
            Outcome::Aborted(fault) => Error::Fault { fault, region: self.region_of(fault.address) },
            Outcome::Panicked(length) => {
                let mut bytes = [0; 256];
                let length = length.min(PANIC_TEXT_BYTES) as usize;
                let bytes = &mut bytes[..length.min(256)];
                self.arguments.read(PANIC_TEXT_OFFSET as usize, bytes);
                Error::Panic(panic_text(bytes))
            }
            Outcome::Returned(_) | Outcome::Garbled => Error::Garbled,
        }
    }

    fn region_of(&self, address: u64) -> Region {
        // Whoever waits for the error waits for this as well, and most addresses are elsewhere.
        if !(u64::from(ARENA_BASE)..u64::from(ARENA_END)).contains(&address) {
            return rt::env().map().region_of(address);
        }
        let mut buffers = Vec::<_, { 2 * MAX_PARAMETERS + MAX_BUFFERS }>::new();
        // There is room for all of them.
        for (number, slots) in (1u8..).zip(&self.slots) {
            for slot in slots.iter().flatten() {
                let _ = buffers.push((number, slot.memory.pages()));
            }
        }
        // Buffers of the client's own are told by numbers after those of arguments.
        for (number, slot) in (1 + MAX_PARAMETERS as u8..).zip(&self.own) {
            let _ = buffers.push((number, slot.memory.pages()));
        }
        let map = SandboxMap {
            arguments: self.arguments.pages(),
            stack: self.stack,
            buffers: &buffers,
            client: rt::env().map(),
        };
        map.region_of(address)
    }

    pub(crate) fn endpoint_slot(&self) -> u64 {
        CLIENT_SANDBOX_SLOTS + u64::from(self.handle.index())
    }

    /// `sbm_destroy`.
    pub(crate) fn destroy(&mut self) {
        for slot in self.slots.iter().flatten().flatten().chain(&self.own) {
            if slot.access == BufferAccess::ReadOnly {
                slot.memory.zero(slot.live_from as usize, (slot.live_to - slot.live_from) as usize);
            }
        }
        // It can only be refused when the sandbox is gone, and then nothing is left to do.
        let _ = server::request(&Request::Destroy(self.handle));
    }

    pub(crate) fn reset(&mut self) -> Result<(), Error> {
        server::request(&Request::Reset(self.handle))?;
        self.arguments.zero(0, self.arguments.len());
        self.write_anchors();
        for slot in self.slots.iter_mut().flatten().flatten() {
            if slot.access == BufferAccess::ReadWrite {
                // The next use leaves only its own bytes other than zero.
                slot.set_live();
            }
        }
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides what each request and each fault means, and has the platform carry it out.

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, EntryPoints, Errno, Handle, Layout, Pages, Request, Response, Spec, decode_request,
    limits::{MAX_CLIENTS, MAX_CONSOLE, MAX_MAPPING_PAGES, PAGE},
};

use crate::{
    KernelFault, MapError, Platform, Restart, meaning,
    platform::Exhausted,
    table::{Client, ClientId, MAX_SPARES, Place, Quota, Sandbox, SandboxIndex, State},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The client gets this answer.
    Answer(Response),
    /// The client ended itself with this status; its sandboxes are gone already.
    Exit(u8),
}

/// All clients and all sandboxes: `N` of them at most.
#[derive(Debug)]
pub struct Server<S, const N: usize> {
    pub(crate) clients: [Option<Client>; MAX_CLIENTS],
    pub(crate) places: [Place<S>; N],
    vacant: Vec<SandboxIndex, N>,
    /// Places below this one have been used; the others need not be listed as vacant.
    used: usize,
}

impl<S, const N: usize> Server<S, N> {
    /// Makes a server without clients.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clients: [const { None }; MAX_CLIENTS],
            places: [const { Place::EMPTY }; N],
            vacant: Vec::new(),
            used: 0,
        }
    }

    /// Adds a client, or begins it anew: one that was there has been ended before.
    pub fn add_client(&mut self, client: ClientId, quota: Quota) {
        self.clients[client.place()] = Some(Client::new(quota));
    }

    /// Answers a request of `client`, whatever its bytes are.
    pub fn request<P: Platform<Sandbox = S>>(&mut self, platform: &mut P, client: ClientId, bytes: &[u8]) -> Effect {
        let Ok(request) = decode_request(bytes) else { return Effect::Answer(Response::Refused(Errno::BadMessage)) };
        let result = match request {
            Request::Register(entries) => self.register(client, entries),
            Request::Init(spec) => self.init(platform, client, spec),
            Request::Grow { handle, buffers } => self.grow(platform, client, handle, &buffers),
            Request::Shrink { .. } => Err(Errno::Invalid),
            Request::Map { handle, address, pages, access } => {
                self.map(platform, client, handle, Pages { address, count: pages }, access)
            }
            Request::Reset(handle) => self.reset(platform, client, handle),
            Request::Destroy(handle) => self.destroy(platform, client, handle),
            Request::Console(text) => console(platform, client, text),
            Request::Usage => self.usage(platform, client),
            Request::Exit(status) => {
                self.end_client(platform, client);
                return Effect::Exit(status);
            }
        };
        Effect::Answer(result.unwrap_or_else(Response::Refused))
    }

    /// Ends the call that `index` was running: its client gets the fault as an error, and the thread waits again.
    ///
    /// Returns whether the fault belongs to a sandbox; one that is gone cannot fault, so `false` means a lost message.
    pub fn fault<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        index: SandboxIndex,
        fault: KernelFault,
    ) -> bool {
        let Some(sandbox) = self.places.get_mut(index.place()).and_then(|place| place.sandbox.as_mut()) else {
            return false;
        };
        let entries = self.clients[sandbox.owner.place()].as_ref().and_then(|client| client.entries);
        let fault = meaning(fault);
        match entries {
            // Where the entry point itself faults, to go on there would go round for ever. Once it is tried all the same: a
            // sandbox can forge such a message, and its client waits for an answer.
            Some(entries) if fault.ip != u64::from(entries.abort) || sandbox.state == State::Ready => {
                sandbox.state = if sandbox.state == State::Spare { State::Spare } else { State::Faulted };
                let restart = Restart::Abort { entries, stack: sandbox.stack, fault };
                platform.restart(&sandbox.objects, restart);
            }
            // Nobody could reach a spare to reset it.
            Some(_) | None if sandbox.state == State::Spare => self.remove(platform, index),
            Some(_) | None => sandbox.state = State::Stopped,
        }
        true
    }

    /// Ends a client: all its sandboxes go.
    pub fn end_client<P: Platform<Sandbox = S>>(&mut self, platform: &mut P, client: ClientId) {
        for place in 0..self.used {
            if self.places[place].sandbox.as_ref().is_some_and(|sandbox| sandbox.owner == client)
                && let Some(index) = SandboxIndex::new(place as u64, N)
            {
                self.remove(platform, index);
            }
        }
        self.clients[client.place()] = None;
    }

    fn client(&mut self, client: ClientId) -> Result<&mut Client, Errno> {
        self.clients[client.place()].as_mut().ok_or(Errno::Perm)
    }

    /// The one way from a handle to a sandbox: occupied, this client's, this generation's.
    fn owned(&mut self, client: ClientId, handle: Handle) -> Result<(SandboxIndex, &mut Sandbox<S>), Errno> {
        let index = SandboxIndex::new(u64::from(handle.index()), N).ok_or(Errno::BadHandle)?;
        let place = &mut self.places[index.place()];
        let sandbox = place.sandbox.as_mut().ok_or(Errno::BadHandle)?;
        if sandbox.owner != client {
            return Err(Errno::Perm);
        }
        if place.generation != handle.generation() || sandbox.state == State::Spare {
            return Err(Errno::BadHandle);
        }
        Ok((index, sandbox))
    }

    fn register(&mut self, client: ClientId, entries: EntryPoints) -> Result<Response, Errno> {
        self.client(client)?.entries = Some(entries);
        Ok(Response::Done)
    }

    fn init<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        spec: Spec,
    ) -> Result<Response, Errno> {
        if let Some(ready) = self.take_spare(client, &spec) {
            return Ok(ready);
        }
        let layout = Layout::of_sandbox(&spec).map_err(|_| Errno::Invalid)?;
        let entries = self.client(client)?.entries.ok_or(Errno::Invalid)?;
        self.make_room(platform, client, &layout, 1);
        let charge = self.client(client)?.charge_for(&layout, 1)?;
        let index = match self.vacant_place() {
            None if self.drop_all_spares(platform) => self.vacant_place(),
            index => index,
        }
        .ok_or(Errno::TooMany)?;
        let mut made = self.build(platform, client, index, &layout, entries);
        while made.is_err() && self.drop_spare(platform, client) {
            made = self.build(platform, client, index, &layout, entries);
        }
        let (layout, objects) = match made {
            Ok(made) => made,
            Err(Exhausted) => {
                self.put_vacant(index);
                return Err(Errno::NoMemory);
            }
        };
        let base = layout.base();
        let place = &mut self.places[index.place()];
        place.sandbox = Some(Sandbox {
            owner: client,
            state: State::Ready,
            base,
            bits: layout.span_bits(),
            stack: layout.stack().unwrap_or(Pages { address: base, count: 0 }),
            spec,
            charge,
            growths: Vec::new(),
            mappings: Vec::new(),
            objects,
        });
        let handle = index.handle(place.generation);
        let client = self.client(client)?;
        client.sandboxes += 1;
        client.pages += charge;
        Ok(Response::Ready { handle, base, used: false })
    }

    fn build<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        index: SandboxIndex,
        layout: &Layout,
        entries: EntryPoints,
    ) -> Result<(Layout, S), Exhausted> {
        let bits = layout.span_bits();
        let base = platform.reserve(bits)?;
        let layout = layout.clone().at(base);
        match platform.build(client, index, &layout, entries) {
            Ok(objects) => Ok((layout, objects)),
            Err(Exhausted) => {
                platform.release(base, bits);
                Err(Exhausted)
            }
        }
    }

    fn grow<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        handle: Handle,
        buffers: &[BufferSpec],
    ) -> Result<Response, Errno> {
        let layout = Layout::of_growth(buffers).map_err(|_| Errno::Invalid)?;
        if self.owned(client, handle)?.1.growths.is_full() {
            return Err(Errno::Invalid);
        }
        self.make_room(platform, client, &layout, 0);
        let charge = self.client(client)?.charge_for(&layout, 0)?;
        let bits = layout.span_bits();
        let base = loop {
            if let Some(base) = self.try_grow(platform, client, handle, &layout)? {
                break base;
            }
            if !self.drop_spare(platform, client) {
                return Err(Errno::NoMemory);
            }
        };
        let (_, sandbox) = self.owned(client, handle)?;
        // There is room: it was looked for above.
        let _ = sandbox.growths.push((base, bits));
        sandbox.charge += charge;
        self.client(client)?.pages += charge;
        Ok(Response::Grown { base })
    }

    /// Adds buffers if there is memory for them now, and returns where.
    fn try_grow<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        handle: Handle,
        layout: &Layout,
    ) -> Result<Option<u32>, Errno> {
        let bits = layout.span_bits();
        let Ok(base) = platform.reserve(bits) else { return Ok(None) };
        let layout = layout.clone().at(base);
        let (_, sandbox) = self.owned(client, handle)?;
        if platform.grow(client, &mut sandbox.objects, &layout).is_err() {
            platform.release(base, bits);
            return Ok(None);
        }
        Ok(Some(base))
    }

    fn map<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        handle: Handle,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<Response, Errno> {
        let within = pages.address.checked_add(u32::from(pages.count) * PAGE).is_some();
        if !within || !pages.address.is_multiple_of(PAGE) || !(1..=MAX_MAPPING_PAGES).contains(&pages.count) {
            return Err(Errno::Invalid);
        }
        let (_, sandbox) = self.owned(client, handle)?;
        // The kernel would silently put one mapping in the place of another.
        let overlaps = |other: &Pages| pages.address < other.end() && other.address < pages.end();
        if sandbox.mappings.is_full() || sandbox.mappings.iter().any(overlaps) {
            return Err(Errno::Invalid);
        }
        let mut mapped = platform.map(client, &mut sandbox.objects, pages, access);
        while mapped == Err(MapError::Exhausted) && self.drop_spare(platform, client) {
            let (_, sandbox) = self.owned(client, handle)?;
            mapped = platform.map(client, &mut sandbox.objects, pages, access);
        }
        mapped.map_err(|error| match error {
            MapError::Exhausted => Errno::NoMemory,
            MapError::NotTheClients => Errno::Perm,
            MapError::Occupied => Errno::Invalid,
        })?;
        let (_, sandbox) = self.owned(client, handle)?;
        // There is room: it was looked for above.
        let _ = sandbox.mappings.push(pages);
        Ok(Response::Done)
    }

    fn reset<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        handle: Handle,
    ) -> Result<Response, Errno> {
        let entries = self.client(client)?.entries.ok_or(Errno::Invalid)?;
        let (_, sandbox) = self.owned(client, handle)?;
        let restart = Restart::Reset { entries, stack: sandbox.stack };
        platform.restart(&sandbox.objects, restart);
        sandbox.state = State::Ready;
        Ok(Response::Done)
    }

    fn destroy<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        handle: Handle,
    ) -> Result<Response, Errno> {
        let entries = self.client(client)?.entries;
        let (index, sandbox) = self.owned(client, handle)?;
        let keep = sandbox.is_as_made() && sandbox.state != State::Stopped;
        let spares = usize::from(self.client(client)?.quota.spares).min(MAX_SPARES);
        let (true, Some(entries), 1..) = (keep, entries, spares) else {
            self.remove(platform, index);
            return Ok(Response::Done);
        };
        // What was used last is what is going to be wanted next: the oldest spare makes room.
        if self.client(client)?.spares.len() == spares {
            self.drop_spare_of(platform, client);
        }
        let _ = self.client(client)?.spares.push(index);
        let place = &mut self.places[index.place()];
        place.bump();
        if let Some(sandbox) = &mut place.sandbox {
            sandbox.state = State::Spare;
            let restart = Restart::Reset { entries, stack: sandbox.stack };
            platform.restart(&sandbox.objects, restart);
        }
        Ok(Response::Done)
    }

    /// Hands out a spare of exactly this shape, if the client has one.
    fn take_spare(&mut self, client: ClientId, spec: &Spec) -> Option<Response> {
        let owner = self.clients[client.place()].as_mut()?;
        for at in 0..owner.spares.len() {
            let index = owner.spares[at];
            let place = &mut self.places[index.place()];
            let generation = place.generation;
            if let Some(sandbox) = &mut place.sandbox
                && (sandbox.owner, sandbox.state) == (client, State::Spare)
                && sandbox.spec == *spec
            {
                owner.spares.remove(at);
                sandbox.state = State::Ready;
                return Some(Response::Ready { handle: index.handle(generation), base: sandbox.base, used: true });
            }
        }
        None
    }

    /// Gives spares of the client's own back, as long as they are what its quota lacks.
    fn make_room<P: Platform<Sandbox = S>>(
        &mut self,
        platform: &mut P,
        client: ClientId,
        layout: &Layout,
        sandboxes: u16,
    ) {
        let lacks =
            |server: &mut Self| server.client(client).is_ok_and(|owner| owner.charge_for(layout, sandboxes).is_err());
        while lacks(self) && self.drop_spare_of(platform, client) {}
    }

    /// Gives one spare back, for memory: of the client's own first, then of anyone's.
    fn drop_spare<P: Platform<Sandbox = S>>(&mut self, platform: &mut P, client: ClientId) -> bool {
        self.drop_spare_of(platform, client)
            || (0..MAX_CLIENTS as u64).filter_map(ClientId::new).any(|client| self.drop_spare_of(platform, client))
    }

    fn drop_spare_of<P: Platform<Sandbox = S>>(&mut self, platform: &mut P, client: ClientId) -> bool {
        // Taken out of the list here, so that whoever asks until there is none comes to an end.
        let owner = self.clients[client.place()].as_mut().filter(|owner| !owner.spares.is_empty());
        let Some(oldest) = owner.map(|owner| owner.spares.remove(0)) else { return false };
        self.remove(platform, oldest);
        true
    }

    fn drop_all_spares<P: Platform<Sandbox = S>>(&mut self, platform: &mut P) -> bool {
        let mut dropped = false;
        for client in (0..MAX_CLIENTS as u64).filter_map(ClientId::new) {
            while self.drop_spare_of(platform, client) {
                dropped = true;
            }
        }
        dropped
    }

    /// Takes a sandbox out of the table and gives everything back.
    fn remove<P: Platform<Sandbox = S>>(&mut self, platform: &mut P, index: SandboxIndex) {
        let place = &mut self.places[index.place()];
        place.bump();
        let Some(sandbox) = place.sandbox.take() else { return };
        platform.destroy(sandbox.owner, sandbox.objects);
        platform.release(sandbox.base, sandbox.bits);
        for (base, bits) in &sandbox.growths {
            platform.release(*base, *bits);
        }
        if let Some(owner) = &mut self.clients[sandbox.owner.place()] {
            owner.sandboxes -= 1;
            owner.pages -= sandbox.charge;
            if let Some(at) = owner.spares.iter().position(|spare| *spare == index) {
                owner.spares.remove(at);
            }
        }
        self.put_vacant(index);
    }

    fn usage<P: Platform<Sandbox = S>>(&mut self, platform: &P, client: ClientId) -> Result<Response, Errno> {
        let client = self.client(client)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_SPARES")]
        let spares = client.spares.len() as u16;
        let free = platform.free();
        Ok(Response::Usage {
            free_bytes: free.bytes,
            free_slots: free.slots,
            sandboxes: client.sandboxes - spares,
            spares,
        })
    }

    fn vacant_place(&mut self) -> Option<SandboxIndex> {
        self.vacant.pop().or_else(|| {
            let index = SandboxIndex::new(self.used as u64, N)?;
            self.used += 1;
            Some(index)
        })
    }

    fn put_vacant(&mut self, index: SandboxIndex) {
        // As many entries as places: each is vacant at most once.
        let _ = self.vacant.push(index);
    }
}

impl<S, const N: usize> Default for Server<S, N> {
    fn default() -> Self {
        Self::new()
    }
}

fn console<P: Platform>(platform: &mut P, client: ClientId, text: &[u8]) -> Result<Response, Errno> {
    if text.len() > MAX_CONSOLE {
        return Err(Errno::Invalid);
    }
    platform.console(client, text);
    Ok(Response::Done)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any sequence of byte strings, as requests of two clients, and of faults: each request gets an answer, none panics,
//! and in the end nothing is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_abi::{BufferAccess, EntryPoints, Layout, Pages, limits::ARENA_BASE};
use sbm_server::{
    ClientId, Effect, Exhausted, Free, KernelFault, MapError, Platform, Quota, Restart, SandboxIndex, Server,
};

const PLACES: usize = 16;
const QUOTA: Quota = Quota { sandboxes: 8, pages: 4096, spares: 3 };

/// Counts what is out, and fails every few times.
#[derive(Default)]
struct Counting {
    calls: u32,
    sandboxes: i64,
    spans: i64,
}

impl Counting {
    fn may_fail(&mut self) -> Result<(), Exhausted> {
        self.calls += 1;
        if self.calls % 7 == 0 { Err(Exhausted) } else { Ok(()) }
    }
}

impl Platform for Counting {
    type Sandbox = ();

    fn reserve(&mut self, _: u8) -> Result<u32, Exhausted> {
        self.may_fail()?;
        self.spans += 1;
        Ok(ARENA_BASE)
    }
    fn release(&mut self, _: u32, _: u8) {
        self.spans -= 1;
    }
    fn build(&mut self, _: ClientId, _: SandboxIndex, _: &Layout, _: EntryPoints) -> Result<(), Exhausted> {
        self.may_fail()?;
        self.sandboxes += 1;
        Ok(())
    }
    fn grow(&mut self, _: ClientId, (): &mut (), _: &Layout) -> Result<(), Exhausted> {
        self.may_fail()
    }
    fn map(&mut self, _: ClientId, (): &mut (), _: Pages, _: BufferAccess) -> Result<(), MapError> {
        self.may_fail().map_err(|_| MapError::Exhausted)
    }
    fn restart(&mut self, (): &(), _: Restart) {}
    fn destroy(&mut self, _: ClientId, (): ()) {
        self.sandboxes -= 1;
    }
    fn console(&mut self, _: ClientId, _: &[u8]) {}
    fn free(&self) -> Free {
        Free { bytes: 0, slots: 0 }
    }
}

fuzz_target!(|messages: Vec<(u8, Vec<u8>)>| {
    let mut server = Server::<(), PLACES>::new();
    let mut platform = Counting::default();
    let clients = [0, 1].map(|place| ClientId::new(place).expect("two of eight"));
    for client in clients {
        server.add_client(client, QUOTA);
    }
    for (who, bytes) in &messages {
        if who % 5 == 4 {
            if let Some(index) = SandboxIndex::new(u64::from(who / 5), PLACES) {
                server.fault(&mut platform, index, KernelFault::Other);
            }
            continue;
        }
        let client = clients[usize::from(who % 2)];
        match server.request(&mut platform, client, bytes) {
            Effect::Answer(_) => {}
            Effect::Exit(_) => server.add_client(client, QUOTA),
        }
    }
    for client in clients {
        server.end_client(&mut platform, client);
    }
    assert_eq!((platform.sandboxes, platform.spans), (0, 0));
});

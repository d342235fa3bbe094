// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any sequence of byte strings, as requests of two clients, and of faults: each request gets an answer, none panics,
//! and in the end nothing is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_abi::{Pages, Registers, limits::INPUT_BASE};
use sbm_server::{
    ClientId, Effect, Exhausted, Free, KernelFault, Names, Plan, Platform, Program, SandboxIndex, Server, Share, Table,
};

const SANDBOXES: usize = 16;

/// Counts what is out, and fails every few times.
#[derive(Default)]
struct Counting {
    calls: u32,
    clients: i64,
    sandboxes: i64,
    parts: i64,
}

impl Counting {
    fn may_fail(&mut self) -> Result<(), Exhausted> {
        self.calls += 1;
        if self.calls % 7 == 0 { Err(Exhausted) } else { Ok(()) }
    }

    fn part(&mut self) -> Result<(), Exhausted> {
        self.may_fail()?;
        self.parts += 1;
        Ok(())
    }
}

impl Platform for Counting {
    const FIXED_PAGES: u32 = 4;

    type Client = ();
    type Sandbox = ();
    type Part = ();

    fn make(&mut self, (): &mut (), _: Names, _: &Plan<'_>, _: &Registers) -> Result<(), Exhausted> {
        self.may_fail()?;
        self.sandboxes += 1;
        Ok(())
    }
    fn add_tables(&mut self, (): &(), _: &[Table]) -> Result<(), Exhausted> {
        self.part()
    }
    fn add_pages(&mut self, (): &(), (): &(), _: &Plan<'_>) -> Result<(), Exhausted> {
        self.part()
    }
    fn share(&mut self, (): &(), (): &(), _: &Share) -> Result<(), Exhausted> {
        self.part()
    }
    fn remove(&mut self, (): ()) {
        self.parts -= 1;
    }
    fn cover(&mut self, (): &mut (), _: u16) -> Result<(), Exhausted> {
        self.may_fail()
    }
    fn restart(&mut self, (): &(), _: &Registers) {}
    fn position(&self, (): &()) -> Option<u64> {
        Some(u64::from(self.calls))
    }
    fn destroy(&mut self, (): (), parts: impl Iterator<Item = ()>) {
        self.sandboxes -= 1;
        parts.for_each(|()| self.parts -= 1);
    }
    fn end(&mut self, (): ()) {
        self.clients -= 1;
    }
    fn console(&mut self, (): &(), _: &[u8]) {}
    fn free(&self) -> Free {
        Free { bytes: 1 << 22, slots: 1 << 12 }
    }
}

fn start(server: &mut Server<Counting, SANDBOXES>, platform: &mut Counting, client: ClientId) {
    let inputs = [Pages { address: INPUT_BASE, count: 3 }];
    let program = Program::new(&(0x20_0000..0x20_1000), &(0x80_0000..0x80_4000), &inputs).expect("a program");
    platform.clients += 1;
    server.add_client(platform, client, program, ());
    server.divide(platform.free());
}

fuzz_target!(|messages: Vec<(u8, Vec<u8>)>| {
    let mut server = Box::<Server<Counting, SANDBOXES>>::default();
    let mut platform = Counting::default();
    let clients = [0, 1].map(|index| ClientId::new(index).expect("two of eight"));
    for client in clients {
        start(&mut server, &mut platform, client);
    }
    for (who, bytes) in &messages {
        if who % 5 == 4 {
            if let Some(index) = SandboxIndex::new(u64::from(who / 5), SANDBOXES) {
                server.fault(&mut platform, index, KernelFault::Other);
            }
            continue;
        }
        let client = clients[usize::from(who % 2)];
        match server.request(&mut platform, client, bytes) {
            Effect::Answer(_) => {}
            Effect::Ended(_) => start(&mut server, &mut platform, client),
        }
    }
    for client in clients {
        server.end_client(&mut platform, client);
    }
    assert_eq!((platform.clients, platform.sandboxes, platform.parts), (0, 0, 0));
});

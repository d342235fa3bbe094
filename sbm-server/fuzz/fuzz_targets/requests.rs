// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any sequence of byte strings, as requests of two clients of one priority, of faults, of looks, and of steps of what takes
//! long: none panics, and in the end nothing is left. One client may end the other, and each is started again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sbm_abi::{EntryPoints, Pages, Registers, limits::INPUT_BASE};
use sbm_server::{
    Answer, ClientId, Clock, Effect, Exhausted, Free, KernelFault, Launched, Names, Plan, Platform, Program, Progress,
    SandboxIndex, Server, Share, Shortage, Table,
};
use sbm_system::{ClientSet, OnEnd, Priorities, Terms};

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
    fn may_fail(&mut self) -> Result<(), Shortage> {
        self.calls += 1;
        match self.calls % 7 {
            0 => Err(Shortage::Exhausted),
            5 if self.calls % 4 == 0 => Err(Shortage::NotReady),
            _ => Ok(()),
        }
    }

    fn progress(&mut self) -> Progress {
        self.calls += 1;
        if self.calls % 3 == 0 { Progress::More } else { Progress::Done }
    }

    fn part(&mut self) -> Result<(), Shortage> {
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

    fn make(&mut self, (): &mut (), _: Names, _: &Plan<'_>, _: &Registers) -> Result<(), Shortage> {
        self.may_fail()?;
        self.sandboxes += 1;
        Ok(())
    }
    fn fill(&mut self, (): &(), (): &mut (), _: &Plan<'_>) -> Result<Progress, Shortage> {
        self.may_fail().map(|()| self.progress())
    }
    fn extend(&mut self, (): &(), (): &(), (): &mut (), _: &Plan<'_>) -> Result<Progress, Shortage> {
        self.may_fail().map(|()| self.progress())
    }
    fn extend_share(&mut self, (): &(), (): &(), (): &mut (), _: &Share) -> Result<Progress, Shortage> {
        self.may_fail().map(|()| self.progress())
    }
    fn strip(&mut self, (): &mut ()) -> Progress {
        self.progress()
    }
    fn add_tables(&mut self, (): &(), _: &[Table]) -> Result<(), Shortage> {
        self.part()
    }
    fn add_pages(&mut self, (): &(), (): &(), _: &Plan<'_>) -> Result<(), Shortage> {
        self.part()
    }
    fn copy(&mut self, _: (&(), u32), _: (&(), u32), _: u32) {}
    fn share(&mut self, (): &(), (): &(), _: &Share) -> Result<(), Shortage> {
        self.part()
    }
    fn remove(&mut self, (): ()) {
        self.parts -= 1;
    }
    fn cover(&mut self, (): &mut (), _: u16) -> Result<(), Shortage> {
        self.may_fail()
    }
    fn restart(&mut self, (): &(), _: &Registers) {}
    fn go_on(&mut self, (): &()) {}
    fn set_priority(&mut self, (): &(), _: u8) {}
    fn set_sandbox_priority(&mut self, (): &(), _: u8) {}
    fn position(&self, (): &()) -> Option<u64> {
        Some(u64::from(self.calls))
    }
    fn stack_pointer(&self, (): &()) -> Option<u64> {
        Some(u64::from(self.calls) << 20)
    }
    fn waits(&self, (): &(), _: EntryPoints) -> bool {
        self.calls % 2 == 0
    }
    fn calls(&self, (): &()) -> Option<usize> {
        (self.calls % 3 == 0).then_some(self.calls as usize % SANDBOXES)
    }
    fn answer(&mut self, (): &(), _: Answer) {}
    fn deadline(&self, (): &()) -> u64 {
        u64::from(self.calls % 5)
    }
    fn take_mark(&mut self, (): &(), from: usize) -> Option<usize> {
        (from < SANDBOXES).then_some(from)
    }
    fn set_mark(&mut self, (): &(), _: usize) {}
    fn publish(&mut self, (): &(), _: Option<u64>) {}
    fn look_at(&mut self, _: Option<u64>) {}
    fn dismantle<'a>(&mut self, (): &mut (), _: impl Iterator<Item = &'a mut ()>) -> Progress {
        self.progress()
    }
    fn stop(&mut self, (): &()) {}
    fn wind_up(&mut self, (): &mut ()) -> Option<Progress> {
        let progress = self.progress();
        (self.calls % 4 != 0).then_some(progress)
    }
    fn destroy(&mut self, (): (), parts: impl Iterator<Item = ()>) {
        self.sandboxes -= 1;
        parts.for_each(|()| self.parts -= 1);
    }
    fn end(&mut self, (): ()) {
        self.clients -= 1;
    }
    fn again(&mut self, (): (), _: u32) -> Result<(), Exhausted> {
        self.may_fail().map_err(|_| {
            self.clients -= 1;
            Exhausted
        })
    }
    fn prepare(&mut self, (): &mut ()) -> Result<Progress, Exhausted> {
        self.may_fail().map(|()| self.progress()).map_err(|_| Exhausted)
    }
    fn console(&mut self, (): &(), _: &[u8]) {}
    fn free(&self) -> Free {
        Free { bytes: 1 << 22, slots: 1 << 12 }
    }
    fn now(&self) -> u64 {
        u64::from(self.calls)
    }
}

fn start(server: &mut Server<Counting, SANDBOXES>, platform: &mut Counting, client: ClientId) {
    let inputs = [Pages { address: INPUT_BASE, count: 3 }];
    let program = Program::new(&(0x20_0000..0x20_1000), &(0x80_0000..0x80_4000), &inputs).expect("a program");
    platform.clients += 1;
    let (mut terms, name) = (Terms::DEFAULT, ["one", "other"][client.get()]);
    (terms.cancels, terms.kills, terms.on_end) = (ClientSet(0b11), ClientSet(0b11), OnEnd::Restart(1000));
    (terms.quota.console, terms.budget.longest_ms) = (Some(1000), Some(1));
    let priorities = Priorities { usual: 2, first: 3 };
    server.add_client(platform, client, Launched { name, program, terms, priorities, objects: () });
    server.divide(platform.free()).expect("nothing is promised");
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
        let clock = Clock { now: u64::from(platform.calls), per_second: 1000 };
        if who % 5 == 3 {
            match who % 3 {
                0 => server.look(&mut platform, clock),
                1 => server.work(&mut platform),
                _ => server.resume(&mut platform),
            }
            continue;
        }
        let client = clients[usize::from(who % 2)];
        match server.request(&mut platform, client, |_| clock, bytes) {
            Effect::Answer(_) | Effect::Wait | Effect::Ended => {}
        }
        for client in clients {
            if server.client(client).is_none() {
                start(&mut server, &mut platform, client);
            }
        }
    }
    // Each may be started again until it has no life left, or cannot be.
    while server.has_clients() {
        for client in clients {
            server.end_client(&mut platform, client, true);
        }
        server.work(&mut platform);
        server.resume(&mut platform);
    }
    assert_eq!((platform.clients, platform.sandboxes, platform.parts), (0, 0, 0));
});

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The server's platform, made of the machine: each method is one operation on kernel objects.

use core::fmt::Write;

use sbm_abi::{EntryPoints, Registers, limits::CLIENT_SANDBOX_SLOTS};
use sbm_server::{Answer, Exhausted, Free, Names, Plan, Platform, Progress, Share, Shortage, Table};

use crate::{
    client::Client,
    clock,
    machine::Machine,
    part::{self, Part},
    sandbox::{self, Sandbox},
    watch::Watch,
};

impl Platform for Machine {
    const FIXED_PAGES: u32 = sandbox::FIXED_PAGES;

    type Client = Client;
    type Sandbox = Sandbox;
    type Part = Part;

    fn make(
        &mut self,
        client: &mut Client,
        names: Names,
        plan: &Plan<'_>,
        registers: &Registers,
    ) -> Result<Sandbox, Shortage> {
        Sandbox::make(self, client, names, plan, registers)
    }

    fn fill(&mut self, client: &Client, sandbox: &mut Sandbox, plan: &Plan<'_>) -> Result<Progress, Shortage> {
        sandbox.fill(self, client, plan)
    }

    fn add_tables(&mut self, sandbox: &Sandbox, tables: &[Table]) -> Result<Part, Shortage> {
        sandbox.add_tables(self, tables)
    }

    fn add_pages(&mut self, _: &Client, _: &Sandbox, plan: &Plan<'_>) -> Result<Part, Shortage> {
        Part::of_pages(self, plan)
    }

    fn extend(
        &mut self,
        client: &Client,
        sandbox: &Sandbox,
        part: &mut Part,
        plan: &Plan<'_>,
    ) -> Result<Progress, Shortage> {
        sandbox.extend(self, client, part, plan)
    }

    fn place(&mut self, sandbox: &Sandbox, part: &Part, number: u32, at: Option<u32>) -> Result<Progress, Exhausted> {
        sandbox.place(part, number, at).map_err(|_| Exhausted)
    }

    fn copy(&mut self, from: (&Part, u32), to: (&Part, u32), count: u32) {
        part::copy(self, from, to, count);
    }

    fn share(&mut self, _: &Client, _: &Sandbox, share: &Share) -> Result<Part, Shortage> {
        Part::of_copies(self, share)
    }

    fn extend_share(
        &mut self,
        client: &Client,
        sandbox: &Sandbox,
        part: &mut Part,
        share: &Share,
    ) -> Result<Progress, Shortage> {
        sandbox.extend_share(self, client, part, share)
    }

    fn strip(&mut self, part: &mut Part) -> Progress {
        part.strip(self, true)
    }

    fn remove(&mut self, part: Part) {
        part::remove(self, part);
    }

    fn cover(&mut self, client: &Client, table: Table) -> Result<Part, Shortage> {
        client.cover(self, table)
    }

    fn restart(&mut self, sandbox: &Sandbox, registers: &Registers) {
        sandbox.restart(self, registers);
    }

    fn go_on(&mut self, sandbox: &Sandbox) {
        if let Err(error) = sandbox.go_on() {
            self.complain("a thread to go on", error);
        }
    }

    fn position(&self, sandbox: &Sandbox) -> Option<u64> {
        sandbox.position()
    }

    fn stack_pointer(&self, sandbox: &Sandbox) -> Option<u64> {
        sandbox.stack_pointer()
    }

    fn waits(&self, sandbox: &Sandbox, entries: EntryPoints) -> bool {
        sandbox.waits(entries.wait)
    }

    fn calls(&self, client: &Client) -> Option<usize> {
        usize::try_from(client.calls()?.checked_sub(CLIENT_SANDBOX_SLOTS)?).ok()
    }

    fn answer(&mut self, client: &Client, answer: Answer) {
        if let Err(error) = client.answer(answer) {
            self.complain("an answer", error);
        }
    }

    fn deadline(&self, client: &Client) -> u64 {
        client.watch().map_or(0, Watch::deadline)
    }

    fn take_mark(&mut self, client: &Client, from: usize) -> Option<usize> {
        client.watch()?.take_mark(from)
    }

    fn set_mark(&mut self, client: &Client, mark: usize) {
        if let Some(watch) = client.watch() {
            watch.set_mark(mark, true);
        }
    }

    fn publish(&mut self, client: &Client, next_look: Option<u64>) {
        if let Some(watch) = client.watch() {
            watch.set_next_look(next_look.unwrap_or(u64::MAX));
        }
    }

    fn look_at(&mut self, next_look: Option<u64>) {
        self.alarm.set(next_look);
    }

    fn set_priority(&mut self, client: &Client, priority: u8) {
        if let Err(error) = client.set_priority(priority) {
            self.complain("a priority", error);
        }
    }

    fn set_sandbox_priority(&mut self, sandbox: &Sandbox, priority: u8) {
        if let Err(error) = sandbox.set_priority(priority) {
            self.complain("a priority", error);
        }
    }

    fn dismantle<'a>(&mut self, sandbox: &mut Sandbox, parts: impl Iterator<Item = &'a mut Part>) -> Progress {
        sandbox.dismantle(self, parts)
    }

    fn destroy(&mut self, sandbox: Sandbox, parts: impl Iterator<Item = Part>) {
        sandbox.destroy(self, parts);
    }

    fn stop(&mut self, client: &Client) {
        if let Err(error) = client.stop() {
            self.complain("a stop", error);
        }
    }

    fn wind_up(&mut self, client: &mut Client) -> Option<Progress> {
        client.wind_up(self)
    }

    fn end(&mut self, client: Client, well: bool) {
        self.console.forget(client.id());
        let name = client.name();
        client.end(self);
        if !well {
            let _ = writeln!(self.console.writer(), "root-task: {name} has ended badly");
        }
    }

    fn again(&mut self, client: Client, number: u32) -> Result<Client, Exhausted> {
        self.console.forget(client.id());
        let name = client.name();
        let mut out = self.console.writer();
        let again = client.again(self);
        let _ = match &again {
            // Seldom, so that a client that ends again and again does not fill the console.
            Ok(_) if number.is_power_of_two() => {
                writeln!(out, "root-task: {name} has ended and is started again, restart {number}")
            }
            Ok(_) => Ok(()),
            Err(error) => writeln!(out, "root-task: {name} has ended and cannot be started again: {error}"),
        };
        again.map_err(|_| Exhausted)
    }

    fn prepare(&mut self, client: &mut Client) -> Result<Progress, Exhausted> {
        client.prepare(self).map_err(|error| {
            let _ = writeln!(self.console.writer(), "root-task: {} cannot be started again: {error}", client.name());
            Exhausted
        })
    }

    fn console(&mut self, client: &Client, text: &[u8]) {
        self.console.write_of(client.id(), client.name(), text);
    }

    fn free(&self) -> Free {
        Self::free(self)
    }

    fn now(&self) -> u64 {
        clock::ticks()
    }
}

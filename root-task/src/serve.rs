// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop: waits for a message, has the server decide, answers.

use core::fmt::Write;

use sbm_abi::{
    Access, Message, Response, SMALL_MESSAGE,
    limits::{MAX_CLIENTS, MAX_MESSAGE, MAX_SANDBOXES},
};
use sbm_objects::Opening;
use sbm_server::{ClientId, Effect, Handled, KernelFault, Running, Server, decode_fault};
use sel4::{MessageInfo, Word, ipc_buffer};

use crate::{
    badge::{Badge, Signals},
    cspace::Slot,
    machine::Machine,
    turns::Turns,
    worker::{AHEAD, Order, Report},
};

/// Words that travel in registers.
const FAST_WORDS: usize = 4;
type Mrs = [Word; FAST_WORDS];

/// Lets a thread that faulted go on where it was (seL4 manual, 6.2). Whoever forged the fault gets an empty message, or
/// nothing.
const GO_ON: (MessageInfo, Mrs) = (MessageInfo::new(0, 0, 0, 0), [0; FAST_WORDS]);

/// The server, for as many sandboxes as the kernel has address-space ids for.
pub(crate) type SandboxServer = Server<Machine, MAX_SANDBOXES>;

/// What the loop works on.
pub(crate) struct Service {
    pub(crate) server: &'static mut SandboxServer,
    pub(crate) machine: Machine,
    /// How long its turns take, if somebody wants to know.
    pub(crate) turns: Option<Turns>,
}

impl Service {
    /// Serves until the last client has ended, and says whether all ended well.
    pub(crate) fn run(&mut self) -> bool {
        let mut reply: Option<(MessageInfo, Mrs)> = None;
        while self.server.has_clients() {
            if let Some(turns) = &mut self.turns {
                turns.end();
            }
            let endpoint = self.machine.endpoint;
            let (info, badge, mrs) = match reply.take() {
                Some((info, mrs)) => endpoint.reply_recv_with_mrs(info, mrs),
                None => endpoint.recv_with_mrs(),
            };
            if let Some(turns) = &mut self.turns {
                turns.begin();
            }
            match Badge::from_word(badge) {
                Some(Badge::Client(client)) => match self.request(client, info, mrs) {
                    Effect::Answer(response) => reply = Some(message(response)),
                    Effect::Wait => {}
                    Effect::Ended => {
                        if let Some(turns) = &mut self.turns {
                            turns.tell(self.machine.console);
                        }
                    }
                },
                Some(Badge::Sandbox(index)) => {
                    match self.server.fault(&mut self.machine, index, kernel_fault(info, mrs)) {
                        Handled::GoesOn => reply = Some(GO_ON),
                        Handled::Ended | Handled::Served | Handled::Waits | Handled::Lost => {}
                    }
                }
                Some(Badge::ClientFault(client)) => {
                    self.report(client, kernel_fault(info, mrs));
                    self.server.end_client(&mut self.machine, client, false);
                }
                Some(Badge::Signals(signals)) => self.signals(signals),
                Some(Badge::Worker) => {
                    reply = Some(self.work(mrs).message());
                    continue;
                }
                // No such capability was given to anyone.
                None => {}
            }
            if self.server.has_work() || self.server.waits() {
                let priority = self.server.busy_priority();
                self.machine.worker.wake(priority.unwrap_or_default());
            } else if self.machine.memory.has_come_back() {
                self.machine.worker.wake(AHEAD);
            }
        }
        self.server.all_well()
    }

    /// Does a step of what takes long, and says what the worker does next.
    #[cold]
    fn work(&mut self, mrs: Mrs) -> Order {
        if let Some(report) = Report::of(mrs) {
            match report {
                Report::Opened(is_open) => self.machine.memory.opened(is_open),
                Report::Revoked => self.machine.worker.has_revoked(),
            }
            self.server.resume(&mut self.machine);
        }
        self.server.work(&mut self.machine);
        let is_idle = self.machine.worker.is_ahead();
        let memory = &mut self.machine.memory;
        let order = if let Some(untyped) = self.machine.worker.revoking() {
            Order::Revoke(untyped)
        } else if self.server.has_work() && !memory.is_wanted() {
            Order::Step
        } else if !memory.is_wanted() && !is_idle && memory.is_sealed() {
            // Whose work comes next is not to wait until a block is clear that nobody waits for: it is begun when nothing else
            // wants to run, and the worker calls again.
            self.machine.worker.told(Order::Step, None);
            return Order::Step;
        } else {
            match memory.open_next() {
                Opening::Block(block) => Order::Open(Slot(block.value)),
                Opening::Joined => Order::Step,
                Opening::Nothing if memory.give_up() => {
                    self.server.resume(&mut self.machine);
                    Order::Step
                }
                Opening::Nothing => Order::Rest,
            }
        };
        let priority = self.server.busy_priority();
        self.machine.worker.told(order, priority);
        order
    }

    fn request(&mut self, client: ClientId, info: MessageInfo, mrs: Mrs) -> Effect {
        let words = info.length();
        if words <= FAST_WORDS {
            let message = Message::<{ 8 * FAST_WORDS }>::from_words(mrs.into_iter().take(words));
            return self.decide(client, message.bytes());
        }
        let rest = (FAST_WORDS..words).map(|index| ipc_buffer().msg_reg(index));
        let message = Message::<MAX_MESSAGE>::from_words(mrs.into_iter().chain(rest));
        self.decide(client, message.bytes())
    }

    fn decide(&mut self, client: ClientId, bytes: &[u8]) -> Effect {
        self.server.request(&mut self.machine, client, Machine::clock, bytes)
    }

    #[cold]
    fn signals(&mut self, signals: Signals) {
        if signals.has(Signals::TIMER) {
            self.machine.alarm.acknowledge();
            let clock = self.machine.clock();
            self.server.look(&mut self.machine, clock);
        }
        if signals.has(Signals::SERIAL) && self.machine.console.is_asked() {
            self.tell();
        }
    }

    /// Tells the host what runs, in lines that its tool completes with function and line.
    fn tell(&self) {
        let mut out = self.machine.console.writer();
        for Running { client, called } in self.server.running(&self.machine) {
            let (name, program) = (client.name(), client.program());
            let _ = match called {
                Some((index, sandbox)) => {
                    let ip = sandbox.position().unwrap_or(0);
                    writeln!(out, "running: {name} in a call to sandbox {index} program={program} ip={ip:#x}")
                }
                None => {
                    let ip = client.position().unwrap_or(0);
                    writeln!(out, "running: {name} program={program} ip={ip:#x}")
                }
            };
        }
    }

    /// Reports a client's own fault, in one line that the host tool completes with function and line.
    #[cold]
    fn report(&self, client: ClientId, fault: KernelFault) {
        let (Some(objects), Some(program)) = (self.server.client(client), self.server.program(client)) else { return };
        let fault = decode_fault(fault);
        let mut out = self.machine.console.writer();
        let _ = write!(out, "client fault: {}", fault.what());
        if fault.access != Access::None {
            let region = program.map().region_of(fault.address);
            let _ = write!(out, ", {} at {:#x} ({region})", fault.access, fault.address);
        }
        let (name, program) = (objects.name(), objects.program());
        let _ = writeln!(out, " program={program} ip={:#x} client={name}", fault.ip);
    }
}

/// Codes a response in the four registers, which hold every one; one that did not fit would be an empty message.
fn message(response: Response) -> (MessageInfo, Mrs) {
    let mut mrs = [0; FAST_WORDS];
    let mut length = 0;
    if let Ok(message) = Message::<SMALL_MESSAGE>::new(&response) {
        for (mr, word) in mrs.iter_mut().zip(message.words()) {
            *mr = word;
            length += 1;
        }
    }
    (MessageInfo::new(0, 0, 0, length), mrs)
}

pub(crate) fn kernel_fault(info: MessageInfo, mrs: Mrs) -> KernelFault {
    match sel4::Fault::from_message(info, mrs) {
        sel4::Fault::VmFault(fault) => {
            KernelFault::Vm { ip: fault.ip, address: fault.addr, prefetch: fault.is_prefetch, fsr: fault.fsr }
        }
        sel4::Fault::UserException(fault) => KernelFault::Exception { ip: fault.ip, vector: fault.number },
        sel4::Fault::UnknownSyscall(fault) => {
            KernelFault::UnknownSyscall { ip: fault.ip, number: fault.syscall, word: fault.rax }
        }
        sel4::Fault::CapFault(fault) => KernelFault::Capability { ip: fault.ip },
        _ => KernelFault::Other,
    }
}

const _: () = assert!(MAX_CLIENTS <= 1 << 8);

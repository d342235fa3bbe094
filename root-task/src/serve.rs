// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop: waits for a message, has the server decide, answers.

use core::fmt::Write;

use sbm_abi::{
    Fault, Message, Response,
    limits::{MAX_CLIENTS, MAX_MESSAGE, MAX_SANDBOXES},
};
use sbm_server::{ClientId, Effect, KernelFault, SandboxIndex, Server, meaning};
use sel4::{MessageInfo, Word, cap, ipc_buffer};

use crate::{badge::Badge, machine::World, sandbox::Objects};

/// Words that travel in registers.
const FAST_WORDS: usize = 4;
type Mrs = [Word; FAST_WORDS];

/// The server, for as many sandboxes as the kernel has address-space ids for.
pub(crate) type SandboxServer = Server<Objects, MAX_SANDBOXES>;

/// A message to a client in the four registers; every [`Response`] fits.
type Reply = (MessageInfo, Mrs);

/// What the loop works on.
pub(crate) struct Service {
    pub(crate) server: &'static mut SandboxServer,
    pub(crate) world: World,
    pub(crate) endpoint: cap::Endpoint,
}

impl Service {
    /// Serves until the last client has ended, and says whether all ended well.
    pub(crate) fn run(&mut self) -> bool {
        let mut all_well = true;
        let mut reply: Option<Reply> = None;
        while self.world.clients.iter().any(Option::is_some) {
            let (info, badge, mrs) = match reply.take() {
                Some((info, mrs)) => self.endpoint.reply_recv_with_mrs(info, mrs),
                None => self.endpoint.recv_with_mrs(),
            };
            match Badge::from_word(badge) {
                Some(Badge::Client(client)) => match self.request(client, info, mrs) {
                    Effect::Answer(response) => reply = Some(encode(response)),
                    Effect::Exit(status) => {
                        all_well &= status == 0;
                        self.end(client);
                    }
                },
                Some(Badge::Sandbox(index)) => self.sandbox_fault(index, info, mrs),
                Some(Badge::ClientFault(client)) => {
                    self.report(client, meaning(kernel_fault(info, mrs)));
                    all_well = false;
                    self.server.end_client(&mut self.world, client);
                    self.end(client);
                }
                // No such capability was given to anyone.
                None => {}
            }
        }
        all_well
    }

    fn request(&mut self, client: ClientId, info: MessageInfo, mrs: Mrs) -> Effect {
        let words = info.length();
        if words <= FAST_WORDS {
            let message = Message::<{ 8 * FAST_WORDS }>::from_words(mrs.into_iter().take(words));
            return self.server.request(&mut self.world, client, message.bytes());
        }
        let rest = (FAST_WORDS..words).map(|index| ipc_buffer().msg_reg(index));
        let message = Message::<MAX_MESSAGE>::from_words(mrs.into_iter().chain(rest));
        self.server.request(&mut self.world, client, message.bytes())
    }

    fn sandbox_fault(&mut self, index: SandboxIndex, info: MessageInfo, mrs: Mrs) {
        self.server.fault(&mut self.world, index, kernel_fault(info, mrs));
    }

    /// Reports a client's own fault, in one line that the host tool completes with function and line.
    fn report(&self, client: ClientId, fault: Fault) {
        if let Some(client) = &self.world.clients[client.place()] {
            let mut out = self.world.machine.console.writer();
            let (what, name, ip) = (fault.what(), client.name(), fault.ip);
            let _ = writeln!(
                out,
                "client fault: {what}, {} at {:#x} program={name} ip={ip:#x}",
                fault.access, fault.address
            );
        }
    }

    /// Takes back what a client had, after its sandboxes.
    fn end(&mut self, client: ClientId) {
        if let Some(client) = self.world.clients[client.place()].take() {
            client.end(&mut self.world.machine);
        }
    }
}

fn encode(response: Response) -> Reply {
    let mut mrs = [0; FAST_WORDS];
    let mut length = 0;
    // Every response fits; were one not to, its client would get an empty message, which is none.
    if let Ok(message) = Message::<{ 8 * FAST_WORDS }>::new(&response) {
        for (mr, word) in mrs.iter_mut().zip(message.words()) {
            *mr = word;
            length += 1;
        }
    }
    (MessageInfo::new(0, 0, 0, length), mrs)
}

fn kernel_fault(info: MessageInfo, mrs: Mrs) -> KernelFault {
    match sel4::Fault::from_message(info, mrs) {
        sel4::Fault::VmFault(fault) => {
            KernelFault::Vm { ip: fault.ip, address: fault.addr, prefetch: fault.is_prefetch, fsr: fault.fsr }
        }
        sel4::Fault::UserException(fault) => KernelFault::Exception { ip: fault.ip, vector: fault.number },
        sel4::Fault::UnknownSyscall(fault) => KernelFault::UnknownSyscall { ip: fault.ip },
        sel4::Fault::CapFault(fault) => KernelFault::Capability { ip: fault.ip },
        _ => KernelFault::Other,
    }
}

const _: () = assert!(MAX_CLIENTS <= 1 << 8);

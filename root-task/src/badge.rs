// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who a message is from: the badge of the endpoint capability that it came through.
//!
//! Badges are minted by the root task and unforgeable. They fit 28 bits, all that seL4 before 8.0 has.

use sbm_abi::limits::{MAX_CLIENTS, MAX_SANDBOXES};
use sbm_server::{ClientId, SandboxIndex};

/// The sender of a message to the root task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Badge {
    /// A client's request.
    Client(ClientId),
    /// A client's thread has faulted.
    ClientFault(ClientId),
    /// A sandbox's thread has faulted, or says so.
    Sandbox(SandboxIndex),
    /// Interrupts have come.
    Signals(Signals),
    /// The worker asks for work.
    Worker,
}

/// Which interrupts have come: bits of the badges of one notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signals(u64);

impl Signals {
    pub(crate) const TIMER: Self = Self(1);
    pub(crate) const SERIAL: Self = Self(2);

    /// Tells whether `signal` is among them.
    pub(crate) const fn has(self, signal: Self) -> bool {
        self.0 & signal.0 != 0
    }
}

const KIND_BITS: u32 = 2;

impl Badge {
    /// Codes the badge. It is never 0, which stands for no badge.
    pub(crate) const fn to_word(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals(Signals(bits)) => return bits << KIND_BITS,
            // No client has this number.
            Self::Worker => (1, MAX_CLIENTS),
            Self::Client(client) => (1, client.get()),
            Self::ClientFault(client) => (2, client.get()),
            Self::Sandbox(sandbox) => (3, sandbox.get()),
        };
        kind | (index as u64) << KIND_BITS
    }

    /// Decodes a badge, if it is one of ours.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let index = word >> KIND_BITS;
        match word & ((1 << KIND_BITS) - 1) {
            1 if index == MAX_CLIENTS as u64 => Some(Self::Worker),
            1 => ClientId::new(index).map(Self::Client),
            2 => ClientId::new(index).map(Self::ClientFault),
            0 if index != 0 => Some(Self::Signals(Signals(index))),
            3 => SandboxIndex::new(index, MAX_SANDBOXES).map(Self::Sandbox),
            _ => None,
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps and unmaps the pages of a guarded heap as the allocator in its sandbox asks.
//!
//! The message may be forged, and its instruction pointer with it: that moves the sandbox's own thread within what the
//! program can have of code. A page lies at its own address or nowhere, so what a sandbox asks for in any order leaves
//! nothing that its chunks do not hold; what it asks for beyond its heap is the fault that any such system call is.

use sbm_abi::{
    guarded::{NUMBER, PageAsk},
    limits::PAGE,
};

use crate::{KernelFault, Platform, Progress, SandboxIndex, Server, State};

/// What became of a request for a page.
pub(crate) enum Asked {
    /// It was done, and the thread goes on behind it.
    Served,
    /// The chunk of that number does not have the page yet: the thread asks again.
    Lacks { number: u8, address: u32 },
}

impl<P: Platform, const N: usize> Server<P, N> {
    /// Does what a fault message asks of the sandbox's guarded heap, if it can be done now: `None` if it asks for nothing that
    /// the sandbox may have.
    #[inline(never)]
    pub(crate) fn ask_page(&mut self, platform: &mut P, index: SandboxIndex, message: KernelFault) -> Option<Asked> {
        let KernelFault::UnknownSyscall { ip, number: NUMBER, word } = message else { return None };
        let (ip, ask) = (u32::try_from(ip).ok()?, PageAsk::from_word(word)?);
        let entry = self.sandboxes.get(index.get())?;
        let sandbox = entry.sandbox.as_ref()?;
        let (heap, _) = sandbox.zones.heap.filter(|_| sandbox.zones.guarded)?;
        if !matches!(sandbox.state, State::Ready | State::Faulted) {
            return None;
        }
        let number = heap.chunk_at(ask.address.into())?;
        let page = (ask.address - heap.chunk(number)?.address) / PAGE;
        let chunk = entry.additions.chunks.iter().find(|chunk| chunk.number == number);
        let placed = match chunk {
            Some(chunk) => {
                let at = ask.mapped.then_some(ask.address);
                platform.place(&sandbox.objects, &chunk.part, page, at).ok()?
            }
            None => Progress::More,
        };
        match placed {
            Progress::Done => {
                sandbox.go_behind(platform, ip);
                Some(Asked::Served)
            }
            // A page that was never there cannot be given back.
            Progress::More => ask.mapped.then_some(Asked::Lacks { number, address: ask.address }),
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's end of a call: one `seL4_Call`, answered by the sandbox's thread itself.

use sbm_abi::{Asked, Handle, Label, Outcome, limits::CLIENT_SANDBOX_SLOTS};

use crate::{
    inside::entry::{Thunk, copy_stack_address, resume_address},
    kernel::{Endpoint, MessageInfo},
};

/// Returns the slot of the capability to call a sandbox, in this client's CSpace.
pub(super) fn endpoint_slot(handle: Handle) -> u64 {
    CLIENT_SANDBOX_SLOTS + u64::from(handle.index())
}

/// What a sandbox answered, or made up: a label and three words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    label: u64,
    words: [u64; 3],
}

impl Reply {
    pub(super) const fn new(label: u64, words: [u64; 3]) -> Self {
        Self { label, words }
    }

    #[inline]
    pub(super) const fn parts(self) -> (u64, [u64; 3]) {
        (self.label, self.words)
    }

    /// Returns what a function returned, if one did.
    #[inline]
    pub(crate) const fn returned(self) -> Option<[u64; 2]> {
        if self.label == Label::Returned as u64 { Some([self.words[0], self.words[1]]) } else { None }
    }

    /// Returns what a function asks for, if one does: the head of its request and two words.
    #[inline]
    pub(super) const fn asked(self) -> Option<(Asked, [u64; 2])> {
        if self.label != Label::Asked as u64 {
            return None;
        }
        match Asked::from_word(self.words[0]) {
            Some(head) => Some((head, [self.words[1], self.words[2]])),
            None => None,
        }
    }

    /// Tells whether the call is over without a result.
    #[inline]
    pub(super) const fn is_end(self) -> bool {
        self.label != Label::Returned as u64 && self.label != Label::Asked as u64
    }

    /// Returns where the stack pointer was when the call was ended, if that is told: by the server, or by the sandbox where its
    /// function has ended it; else 0.
    pub(super) const fn stack_pointer(self) -> u32 {
        // Of most there is none.
        if !self.is_end() {
            0
        } else if self.label == Label::Aborted as u64 {
            (self.words[0] >> 32) as u32
        } else {
            self.words[1] as u32
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        Outcome::decode(self.label, self.words)
    }
}

/// Calls the sandbox.
#[inline]
pub(super) fn call(handle: Handle, thunk: Thunk, block: usize) -> Reply {
    const CALL: MessageInfo = MessageInfo::new(0, 0, 0, 2);
    let endpoint = Endpoint::from_bits(endpoint_slot(handle));
    let (info, [first, second, third, _]) = endpoint.call_with_mrs(CALL, [thunk as usize as u64, block as u64, 0, 0]);
    Reply { label: info.label(), words: [first, second, third] }
}

/// Has the sandbox's thread copy words of its stack to where a panic has its text. It answers with its frame pointer, and with
/// what its stack pointer is at [`resume_address`] if a function waits there.
#[cold]
pub(super) fn copy_stack(handle: Handle, block: usize, from: u32, words: u32) -> Reply {
    const COPY: MessageInfo = MessageInfo::new(0, 0, 0, 4);
    let endpoint = Endpoint::from_bits(endpoint_slot(handle));
    let message = [copy_stack_address(), block as u64, u64::from(from), u64::from(words)];
    let (info, [first, second, third, _]) = endpoint.call_with_mrs(COPY, message);
    Reply { label: info.label(), words: [first, second, third] }
}

/// Answers a request, which lets the function go on, and waits for what comes next.
#[inline]
pub(super) fn resume(handle: Handle, [first, second]: [u64; 2]) -> Reply {
    const RESUME: MessageInfo = MessageInfo::new(0, 0, 0, 3);
    let endpoint = Endpoint::from_bits(endpoint_slot(handle));
    let (info, [one, two, three, _]) = endpoint.call_with_mrs(RESUME, [resume_address(), first, second, 0]);
    Reply { label: info.label(), words: [one, two, three] }
}

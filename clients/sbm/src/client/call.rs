// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's end of a call: one `seL4_Call`, answered by the sandbox's thread itself.
#![expect(unsafe_code, reason = "a call without isolation goes straight to the thunk")]

use sbm_abi::{Handle, Outcome, limits::CLIENT_SANDBOX_SLOTS};

use crate::{
    inside::entry::{Thunk, Words},
    kernel::{Endpoint, MessageInfo},
};

/// Returns the slot of the capability to call a sandbox, in this client's CSpace.
pub(super) fn endpoint_slot(handle: Handle) -> u64 {
    CLIENT_SANDBOX_SLOTS + u64::from(handle.index())
}

/// Calls the sandbox.
#[inline]
pub(super) fn call(handle: Handle, thunk: Thunk, block: usize) -> Outcome {
    const CALL: MessageInfo = MessageInfo::new(0, 0, 0, 2);
    let endpoint = Endpoint::from_bits(endpoint_slot(handle));
    let (info, [first, second, third, _]) = endpoint.call_with_mrs(CALL, [thunk as usize as u64, block as u64, 0, 0]);
    Outcome::decode(info.label(), [first, second, third])
}

/// Runs the function here, without a sandbox.
pub(super) fn call_here(thunk: Thunk, block: usize) -> Outcome {
    // SAFETY: `block` is this instance's argument page, which was staged for this thunk's arguments by the same call.
    let Words(first, second) = unsafe { thunk(block as *const [u64; 2]) };
    Outcome::Returned([first, second])
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a running function asks its caller for, and results that do not fit two words.
#![expect(unsafe_code, reason = "the mailboxes, which words of the argument page name")]

use sbm_abi::{Asked, CODED, limits::OUTBOX_OFFSET};
use sbm_coding::Encoded;
use serde::Serialize;

use super::{entry, panic::in_sandbox};
use crate::{argument::copied::Payload, client::here};

/// Asks the caller for something, and returns its answer.
pub(crate) fn ask(head: Asked, [first, second]: [u64; 2]) -> [u64; 2] {
    if !in_sandbox() {
        return here::ask(head, [first, second]);
    }
    // SAFETY: in a sandbox, whose thread a call made run this.
    let entry::Words(first, second) = unsafe { entry::ask(head.into_word(), first, second) };
    [first, second]
}

/// Codes a function's result in the outbox, and returns the words that say so.
///
/// # Safety
/// `page` is the argument page of the running call.
#[inline(never)]
pub(super) unsafe fn answer_in_outbox<T: Serialize>(page: *const [u64; 2], value: &T) -> [u64; 2] {
    // SAFETY: by this function's contract.
    [unsafe { write(page, value) }, CODED]
}

/// Writes a value's form to the outbox, and returns its length.
///
/// # Safety
/// `page` is the argument page of the running call.
#[expect(clippy::panic, reason = "in a sandbox it ends the call, and says why")]
pub(crate) unsafe fn write<T: Serialize>(page: *const [u64; 2], value: &T) -> u64 {
    // SAFETY: the page has these words for the outbox; whoever changes them in a sandbox harms itself.
    let mut outbox = unsafe { page.byte_add(OUTBOX_OFFSET as usize).read() };
    // The second time there is room for what the first time told.
    for _ in 0..2 {
        let [address, bytes] = outbox;
        let room = match address {
            0 => &mut [],
            // SAFETY: the client wrote where its buffer is, and how long.
            _ => unsafe { <[u8]>::refer_mut(address as usize, bytes as usize) },
        };
        match sbm_coding::encode(value, room) {
            Ok(Encoded::Fits(length)) => return length as u64,
            Ok(Encoded::Needs(length)) => {
                let head = Asked { of: Asked::OUTBOX, method: 0, coded: false, room: 0 };
                outbox = ask(head, [length as u64, 0]);
            }
            Err(_) => panic!("serde cannot write a value of type {}", core::any::type_name::<T>()),
        }
    }
    panic!("serde writes a value of type {} in two ways", core::any::type_name::<T>())
}

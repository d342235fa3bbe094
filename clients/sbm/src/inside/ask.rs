// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a running function asks its caller for, and results that do not fit two words.
#![expect(unsafe_code, reason = "the mailboxes, which words of the argument page name")]

use sbm_abi::{
    Asked, CODED,
    limits::{INBOX_OFFSET, OUTBOX_OFFSET},
};
use sbm_coding::{Encoded, words};
use serde::Serialize;

use super::{
    entry,
    panic::{self, in_sandbox},
};
use crate::{argument::copied::Payload, client::here, value::Value};

/// Asks the caller for something, and returns its answer.
#[inline]
pub(crate) fn ask(head: Asked, [first, second]: [u64; 2]) -> [u64; 2] {
    if !in_sandbox() {
        return here::ask(head, [first, second]);
    }
    // SAFETY: in a sandbox, whose thread a call made run this.
    let entry::Words(first, second) = unsafe { entry::ask(head.into_word(), first, second) };
    [first, second]
}

/// Makes a request to a service, and returns the answer.
#[inline]
pub(crate) fn request<T: Serialize, R: Value>(of: u8, method: u16, arguments: &T, into: &mut [u8]) -> R {
    let room = u32::try_from(into.len()).unwrap_or(u32::MAX);
    let head = Asked::new(of, method, room);
    let answer = match words::encode(arguments) {
        Some(words) => ask(head, words),
        // SAFETY: the page of the call that this runs in.
        None => ask(head.coded(), [unsafe { write(argument_page(), arguments) }, 0]),
    };
    if !into.is_empty() {
        into.copy_from_slice(inbox(0, into.len()));
    }
    match words::decode(answer) {
        Some(value) => value,
        None => coded_answer(answer, into.len().next_multiple_of(8)),
    }
}

/// Reads an answer that did not fit two words.
#[expect(clippy::panic, reason = "in a sandbox it ends the call, and says why")]
fn coded_answer<R: Value>(answer: [u64; 2], at: usize) -> R {
    if let [length, CODED] = answer
        && let Ok(value) = sbm_coding::read(inbox(at, length as usize))
    {
        return value;
    }
    panic!("serde cannot read a value of type {} back as it wrote it", core::any::type_name::<R>())
}

/// Returns the argument page of the running call.
pub(super) fn argument_page() -> *const [u64; 2] {
    (if in_sandbox() { panic::argument_page() } else { here::argument_page() }) as *const [u64; 2]
}

/// Returns bytes of the inbox, until the next request.
fn inbox<'a>(at: usize, length: usize) -> &'a [u8] {
    // SAFETY: the page has these words for the inbox; whoever changes them in a sandbox harms itself.
    let [address, _] = unsafe { argument_page().byte_add(INBOX_OFFSET as usize).read() };
    // SAFETY: the client, which has just answered, wrote where its buffer is, and put so many bytes there.
    unsafe { <[u8]>::refer(address as usize + at, length) }
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
                outbox = ask(Asked::OUTBOX, [length as u64, 0]);
            }
            Err(_) => panic!("serde cannot write a value of type {}", core::any::type_name::<T>()),
        }
    }
    panic!("serde writes a value of type {} in two ways", core::any::type_name::<T>())
}

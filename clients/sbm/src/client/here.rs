// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls without isolation: the function runs in the client, and its requests are function calls.
#![expect(unsafe_code, reason = "a call without isolation goes straight to the thunk")]

use core::cell::Cell;

use sbm_abi::{Asked, Pages, limits::PAGE};

use super::{env::env, instance::Instance, memory::SharedMemory, request::Answer};
use crate::{
    argument::Arguments,
    inside::entry::{Thunk, Words},
};

/// Who answers the function that runs.
#[derive(Clone, Copy)]
struct Desk {
    instance: *mut Instance,
    arguments: *mut dyn Arguments,
}

struct Running(Cell<Option<Desk>>);

// SAFETY: a client has one thread; sandboxes do not have this page.
unsafe impl Sync for Running {}

static RUNNING: Running = Running(Cell::new(None));

/// Runs the function here, without a sandbox.
pub(super) fn run(instance: &mut Instance, arguments: &mut dyn Arguments, thunk: Thunk) -> [u64; 2] {
    let block = instance.argument_page();
    let arguments: *mut (dyn Arguments + '_) = arguments;
    // SAFETY: only the lifetime changes; the pointer is used while this function runs, and no longer.
    let arguments: *mut dyn Arguments = unsafe { core::mem::transmute(arguments) };
    // A handler may call another one so.
    let outer = RUNNING.0.replace(Some(Desk { instance, arguments }));
    // SAFETY: `block` is this instance's argument page, which was staged for this thunk's arguments by the same call.
    let Words(first, second) = unsafe { thunk(block as *const [u64; 2]) };
    RUNNING.0.set(outer);
    [first, second]
}

/// Tells whether a function runs here, and has no answer to wait for.
pub(crate) fn is_running() -> bool {
    RUNNING.0.get().is_some()
}

/// Answers a request of the function that runs here.
#[cold]
#[expect(clippy::panic, reason = "as everything that goes wrong without isolation, it ends the client")]
pub(crate) fn ask(head: Asked, words: [u64; 2]) -> [u64; 2] {
    // Taken away meanwhile: a handler cannot ask itself.
    let Some(desk) = RUNNING.0.take() else { panic!("a request out of no call") };
    let Desk { instance, arguments } = desk;
    // SAFETY: `run` lent both for the length of the call, uses neither meanwhile, and the call is running.
    let answer = unsafe { (*instance).answer(head, words, &mut *arguments) };
    RUNNING.0.set(Some(desk));
    match answer {
        Ok(Answer(words)) => words,
        Err(error) => panic!("{error}"),
    }
}

/// Returns the argument page of the function that runs here.
#[expect(clippy::panic, reason = "as everything that goes wrong without isolation, it ends the client")]
pub(crate) fn argument_page() -> usize {
    let Some(desk) = RUNNING.0.get() else { panic!("a request out of no call") };
    // SAFETY: `run` lent it for the length of the call, which is running.
    unsafe { (*desk.instance).argument_page() }
}

/// Returns where functions that run here have what they allocate: the client's statics, of which its own heap is a part.
pub(super) fn heap() -> SharedMemory {
    let data = env().map();
    let count = (data.data_end - data.data) / PAGE;
    // SAFETY: they are the program's own, for its life. They are only read, between calls, by instructions of which the
    // compiler knows nothing else.
    unsafe { SharedMemory::new(Pages { address: data.data, count }) }
}

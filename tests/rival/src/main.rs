// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that takes as much of the CPU as it can, in the way that its argument says, until it is ended.
//!
//! Its first life, which begins with the machine, only sleeps: whoever wants its rival ends it, and it begins anew.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why it failed is a line of text, and made once")]

use core::time::Duration;

use harness::{Verdict, Why, check, raw, same, server};
use heapless::Vec;
use sbm::{Env, println};
use sbm_abi::{
    EntryPoints, Handle, Request, Response, Spec,
    limits::{CLIENT_IPC_BUFFER, CLIENT_SANDBOX_SLOTS, MAX_CONSOLE, MAX_SANDBOXES},
    watch::{DEADLINE_OFFSET, MARKS, MARKS_OFFSET},
};
use sel4::{MessageInfo, cap::Endpoint};

sbm::main!(main);

/// Lives that begin before this time are the first ones.
const BEGINNING: Duration = Duration::from_millis(150);

/// Sandboxes of the attacks that need some: so many keep up with their client.
const SOME: usize = 8;

/// What a call or a message to a sandbox is: a function of the C calling convention, and its argument.
const CALL: MessageInfo = MessageInfo::new(0, 0, 0, 2);

fn main(env: &'static Env) -> u8 {
    if sbm::now() < BEGINNING {
        loop {
            let _ = sbm::sleep(Duration::from_secs(3600));
        }
    }
    let done = match env.arguments() {
        ["requests"] => requests(),
        ["lives"] => lives(),
        ["text"] => text(),
        ["faults"] => faults(),
        ["aborts"] => aborts(),
        ["started"] => started(),
        ["looks"] => looks(),
        ["naps"] => naps(),
        ["hoards"] => hoards(),
        other => Err(Why::new(format_args!("there is no attack {other:?}"))),
    };
    if let Err(why) = done {
        println!("rival: {why}");
    }
    1
}

// Functions that run in sandboxes.

extern "C" fn fault(_: u64) {
    raw::undefined();
}

extern "C" fn spin(_: u64) {
    raw::spin();
}

fn init(stack_pages: u16) -> Verdict<Option<Handle>> {
    match server::request(&Request::Init(Spec { stack_pages, ..Spec::default() }))? {
        Response::Ready { handle, .. } => Ok(Some(handle)),
        Response::OverQuota(_) => Ok(None),
        other => Err(Why::new(format_args!("no sandbox: {other:?}"))),
    }
}

fn some() -> Verdict<Vec<Handle, SOME>> {
    let mut handles = Vec::new();
    while !handles.is_full()
        && let Some(handle) = init(2)?
    {
        let _ = handles.push(handle);
    }
    check!(!handles.is_empty(), "there is no room for a sandbox");
    Ok(handles)
}

/// Has a sandbox run a function, and does not wait for it.
fn start(handle: Handle, function: extern "C" fn(u64)) {
    let words = [function as usize as u64, 0, 0, 0];
    Endpoint::from_bits(CLIENT_SANDBOX_SLOTS + u64::from(handle.index())).send_with_mrs(CALL, words);
}

fn raw_spin() -> Verdict {
    raw::spin();
    Ok(())
}

/// Asks for what is answered at once.
fn requests() -> Verdict {
    loop {
        server::request(&Request::Usage)?;
    }
}

/// Has sandboxes made and destroyed, each of another shape than those that are kept ready.
fn lives() -> Verdict {
    loop {
        for stack_pages in 1..=20 {
            let Some(handle) = init(stack_pages)? else { return Err(Why::new(format_args!("no room"))) };
            same!(server::request(&Request::Destroy(handle))?, Response::Done);
        }
    }
}

/// Writes to the console.
fn text() -> Verdict {
    loop {
        server::request(&Request::Console(&[b'x'; MAX_CONSOLE]))?;
    }
}

/// Sleeps for as short as it can, so that it is first again and again, with as many threads as keep up with it.
fn naps() -> Verdict {
    let _sandboxes = some()?;
    loop {
        for micros in [1, 20, 100, 300] {
            for _ in 0..20 {
                sbm::sleep(Duration::from_micros(micros))?;
            }
        }
    }
}

/// Sleeps for long, and then never again.
fn hoards() -> Verdict {
    sbm::sleep(Duration::from_millis(300))?;
    raw_spin()
}

/// Has its sandboxes fault.
fn faults() -> Verdict {
    let handles = some()?;
    loop {
        for handle in &handles {
            server::call_sandbox(handle.index(), CALL, &[fault as extern "C" fn(u64) as usize as u64, 0]);
        }
    }
}

/// Has its sandboxes fault again and again where they are sent to answer a fault, one instruction behind that place.
fn aborts() -> Verdict {
    let entries = sbm::__entry_points();
    let Ok(abort) = u32::try_from(raw::fault_behind as *const () as usize) else {
        return Err(Why::new(format_args!("code lies too high")));
    };
    same!(server::request(&Request::Register(EntryPoints { abort, ..entries }))?, Response::Done);
    for handle in some()? {
        start(handle, fault);
    }
    raw_spin()
}

/// Starts all sandboxes that it can get, and lets them run.
fn started() -> Verdict {
    for _ in 0..MAX_SANDBOXES {
        let Some(handle) = init(2)? else { break };
        start(handle, spin);
    }
    raw_spin()
}

/// Has the server look for overdue calls, and at as many sandboxes as it can have, as often as it can.
fn looks() -> Verdict {
    while init(2)?.is_some() {}
    loop {
        raw::write_word((CLIENT_IPC_BUFFER + DEADLINE_OFFSET) as usize, 1);
        for word in 0..MARKS / 8 {
            raw::write_word((CLIENT_IPC_BUFFER + MARKS_OFFSET) as usize + 8 * word, u64::MAX);
        }
        same!(server::request(&Request::Arm)?, Response::Done);
    }
}

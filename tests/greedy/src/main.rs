// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that takes all that it can get, gives some of it back, and takes it again, until the run ends.
//!
//! It fails, and the run with it, if it is refused in another way than by its quota, or for want of memory.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why it failed is a line of text, and made once")]

use harness::{Random, Verdict, Why, check, same, server::request};
use heapless::Vec;
use sbm::{Env, println};
use sbm_abi::{BufferAccess, BufferSpec, Errno, Handle, Request, Response, Spec, limits::MAX_SANDBOXES};

sbm::main!(main);

/// Rounds of giving back and taking again, between two in which others run.
const ROUNDS: u32 = 8;

fn main(_: &'static Env) -> u8 {
    match run() {
        Ok(()) => 0,
        Err(why) => {
            println!("greedy: {why}");
            1
        }
    }
}

fn run() -> Verdict {
    let mut held = Vec::<Handle, MAX_SANDBOXES>::new();
    let mut random = Random::new(3);
    loop {
        take_all(&mut held)?;
        for _ in 0..ROUNDS {
            check!(!held.is_empty(), "there is nothing left to give back");
            let given = held.swap_remove(random.index(held.len()));
            same!(request(&Request::Destroy(given))?, Response::Done);
            take_all(&mut held)?;
        }
        sel4::r#yield();
    }
}

/// Takes the largest first, so that memory runs out before the number of sandboxes does.
fn take_all(held: &mut Vec<Handle, MAX_SANDBOXES>) -> Verdict {
    [[1024, 1024], [64, 64], [1, 1]].iter().try_for_each(|buffers| take(held, buffers))
}

/// Takes sandboxes with buffers of so many pages until it gets no more.
fn take(held: &mut Vec<Handle, MAX_SANDBOXES>, buffers: &[u32]) -> Verdict {
    let buffers = buffers.iter().map(|pages| BufferSpec::new(*pages, BufferAccess::ReadWrite)).collect();
    let spec = Spec { buffers, ..Spec::default() };
    loop {
        match request(&Request::Init(spec.clone()))? {
            Response::Ready { handle, .. } => check!(held.push(handle).is_ok(), "more than there are"),
            // What is there belongs to others or is kept for them, is in pieces, or addresses have run out.
            Response::OverQuota(_) | Response::Refused(Errno::NoMemory) => return Ok(()),
            other => return Err(Why::new(format_args!("refused by {other:?}"))),
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ends the client that does it: each by an argument, as the host tool's own tests look at the end.

use harness::{Verdict, raw, server::request};
use sbm::{Env, Sbm};
use sbm_abi::{
    BufferAccess, BufferSpec, Layout, Request, Response, Spec,
    limits::{CLIENT_SERVER_SLOT, CODE_BASE},
};
use sel4::cap::Endpoint;

/// Does what an argument asks for, and returns if that has not ended the client.
pub(crate) fn run(env: &Env) -> Verdict {
    for argument in env.arguments() {
        match *argument {
            "receive" => receive(CLIENT_SERVER_SLOT),
            "receive-own" => receive(Sbm::new()?.endpoint_slot()),
            "write-code" => raw::write(CODE_BASE as usize, 0),
            "write-input" => env.inputs().for_each(|input| raw::write(input.bytes.as_ptr() as usize, 0)),
            "read-given-back" => read_given_back()?,
            _ => {}
        }
    }
    Ok(())
}

/// Receives in the place of whoever others send to through this slot.
fn receive(slot: u64) {
    Endpoint::from_bits(slot).recv_with_mrs();
}

/// Reads a buffer that it has given back.
fn read_given_back() -> Verdict {
    let Response::Ready { handle, .. } = request(&Request::Init(Spec::default()))? else { return Ok(()) };
    let specs = [BufferSpec::new(1, BufferAccess::ReadWrite)];
    let grow = Request::Grow { handle, buffers: specs.into_iter().collect() };
    let Response::Grown { base } = request(&grow)? else { return Ok(()) };
    let layout = Layout::of_growth(&specs).map_err(|_| sbm::Error::Server(sbm::Errno::Invalid))?.at(base);
    for (pages, _) in layout.buffers() {
        raw::write(pages.address as usize, 1);
        request(&Request::Shrink { handle, base })?;
        raw::read(pages.address as usize);
    }
    Ok(())
}

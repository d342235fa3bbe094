// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that changes hands, between sandboxes of different shapes and between clients, arrives empty.
//!
//! The neighbour fills and drops sandboxes as well, and looks through what it gets.

use harness::{
    Test, Verdict, Why, check, handed, raw, same,
    server::{call_sandbox, request},
    tests,
};
use sbm_abi::{BufferAccess, BufferSpec, Fault, Handle, Layout, Outcome, Request, Response, Spec};
use sel4::MessageInfo;

use crate::strangers;

pub(crate) const TESTS: &[Test] = tests![
    memory_of_another_shape_arrives_empty,
    memory_of_another_client_arrives_empty,
    buffers_that_were_given_back_are_gone_from_their_sandbox
];

fn memory_of_another_shape_arrives_empty() -> Verdict {
    for round in 0..24 {
        handed::fill_and_drop(round)?;
        handed::look_through(round + 5)?;
    }
    Ok(())
}

fn memory_of_another_client_arrives_empty() -> Verdict {
    if !strangers::present() {
        return Err(Why::skipped(format_args!("no neighbour runs beside this suite")));
    }
    let before = sbm::usage()?.sandboxes;
    for round in 0..60 {
        // It fills and drops its own meanwhile, and finds that what is left of these is empty.
        handed::fill_and_drop(round)?;
        sel4::r#yield();
        handed::look_through(round + 3)?;
        sel4::r#yield();
    }
    check!(sbm::usage()?.sandboxes == before);
    Ok(())
}

extern "C" fn read_at(address: usize) -> u64 {
    raw::read_word(address)
}

/// Reads a word in the sandbox with that handle.
fn read_in(handle: Handle, address: u32) -> Outcome {
    let words = [read_at as extern "C" fn(usize) -> u64 as usize as u64, u64::from(address)];
    let (info, [first, second, third, _]) = call_sandbox(handle.index(), MessageInfo::new(0, 0, 0, 2), &words);
    Outcome::decode(info.label(), [first, second, third])
}

/// The sandbox goes on living, so that its own end does not unmap them.
fn buffers_that_were_given_back_are_gone_from_their_sandbox() -> Verdict {
    let Response::Ready { handle, .. } = request(&Request::Init(Spec::default()))? else {
        return Err(Why::new(format_args!("no sandbox")));
    };
    for access in [BufferAccess::ReadOnly, BufferAccess::ReadWrite] {
        let specs = [BufferSpec::new(2, access), BufferSpec::new(1, access)];
        let grow = Request::Grow { handle, buffers: specs.into_iter().collect() };
        let Response::Grown { base } = request(&grow)? else { return Err(Why::new(format_args!("no growth"))) };
        let layout = Layout::of_growth(&specs).map_err(|_| sbm::Error::Server(sbm::Errno::Invalid))?.at(base);
        for (pages, _) in layout.buffers() {
            raw::write_word(pages.address as usize, 0x91f7);
            let found = read_in(handle, pages.address);
            check!(matches!(found, Outcome::Returned([0x91f7, _])), "{access:?}: {found:?}");
        }
        same!(request(&Request::Shrink { handle, base })?, Response::Done);
        for (pages, _) in layout.buffers() {
            let found = read_in(handle, pages.address);
            let fault = matches!(found, Outcome::Aborted(Fault { address, .. }) if address == u64::from(pages.address));
            check!(fault, "{access:?}: {found:?}");
        }
    }
    same!(request(&Request::Destroy(handle))?, Response::Done);
    Ok(())
}

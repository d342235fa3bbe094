// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the description of a system gives to a client, and keeps for it: each limit is told with its figures.
//!
//! The program `greedy` takes all that it can meanwhile.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString as _},
};
use core::time::Duration;

use harness::{Test, Verdict, Why, check, expect::works, same, server::request, tests};
use heapless::Vec;
use sbm::{Env, Error, OverQuota, Resource, Sbm, Unreadable, copy_in, println};
use sbm_abi::{
    BufferAccess, BufferSpec, Handle, Request, Response, Spec,
    limits::{CLIENT_IPC_BUFFER, CLIENT_STACK_BASE, CLIENT_START_INFO, INPUT_BASE},
};

sbm::main!(main);

const TESTS: &[Test] = tests![
    sandboxes_end_at_their_quota_with_figures,
    mappings_end_at_their_quota_with_figures,
    a_call_has_the_budget_of_the_description_and_no_longer_one,
    every_call_has_a_budget_where_there_is_a_longest_one,
    text_above_its_quota_takes_its_time,
    what_takes_a_heap_is_refused_where_the_client_has_none,
    what_is_kept_is_there_while_another_client_takes_all_that_it_can,
];

/// What the description says.
const SANDBOXES: u16 = 40;
const KEPT: usize = 24;
const MAPPINGS: u32 = 3;
const SLOTS: u32 = 8192;
const CONSOLE: usize = 400;
const DEFAULT: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(400);

// Functions that run in sandboxes.

fn number(text: &[u8]) -> Result<u32, String> {
    let text = core::str::from_utf8(text).map_err(|error| error.to_string())?;
    text.parse().map_err(|error| format!("{text} is none: {error}"))
}

fn several(bytes: &[u8]) -> alloc::vec::Vec<u8> {
    bytes.to_vec()
}

fn fixed(bytes: &[u8]) -> Vec<u8, 300> {
    Vec::from_slice(bytes).unwrap_or_default()
}

fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

fn main(env: &'static Env) -> u8 {
    harness::run(env, &[TESTS])
}

/// This client's main function has no heap; its sandbox has one.
fn what_takes_a_heap_is_refused_where_the_client_has_none() -> Verdict {
    fn refused<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>) -> Verdict {
        check!(matches!(result, Err(Error::Unreadable(Unreadable::NoRoom { .. }))), "{result:?}");
        Ok(sbm.reset()?)
    }
    let mut sbm = Sbm::builder().report(false).heap(1 << 16).build()?;
    let twelve = sbm.call(number, (copy_in(&b"12"[..]),))?.transpose();
    check!(twelve.is_ok_and(|number| number.check(|number| *number == 12).is_ok()), "another number");
    for bytes in [&b"x"[..], b"\xff", b""] {
        let result = sbm.call(number, (copy_in(bytes),));
        refused(&mut sbm, result)?;
    }
    let result = sbm.call(several, (copy_in(&b"x"[..]),));
    refused(&mut sbm, result)?;
    // What is as large as all that it can hold takes none.
    let list = sbm.call(fixed, (copy_in(&b"four"[..]),))?;
    check!(list.check(|list| list.len() == 4).is_ok(), "another list");
    works(&mut sbm)
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

fn init() -> Verdict<Result<Handle, Response>> {
    match request(&Request::Init(Spec::default()))? {
        Response::Ready { handle, .. } => Ok(Ok(handle)),
        other => Ok(Err(other)),
    }
}

fn destroy(handles: &mut Vec<Handle, 64>) -> Verdict {
    while let Some(handle) = handles.pop() {
        same!(request(&Request::Destroy(handle))?, Response::Done);
    }
    Ok(())
}

fn sandboxes_end_at_their_quota_with_figures() -> Verdict {
    let usage = sbm::usage()?;
    same!((usage.most_sandboxes, usage.most_slots), (SANDBOXES, SLOTS));
    let mut handles = Vec::new();
    let refused = loop {
        match init()? {
            Ok(handle) => check!(handles.push(handle).is_ok(), "there is no limit"),
            Err(refused) => break refused,
        }
    };
    let Response::OverQuota(over) = refused else { return Err(Why::new(format_args!("refused by {refused:?}"))) };
    let figures = |used, kept| OverQuota { resource: Resource::Sandboxes, requested: 1, used, limit: 40, kept };
    // The other client may have been first to take what is not kept for this one.
    check!(over == figures(40, false) || (over.kept && over.used >= 24), "{over:?}");
    same!(usize::from(sbm::usage()?.sandboxes), handles.len());
    // The library tells the same.
    let refused = quiet().err();
    check!(refused == Some(Error::Quota(over)), "{refused:?}");
    destroy(&mut handles)?;
    works(&mut quiet()?)
}

fn mappings_end_at_their_quota_with_figures() -> Verdict {
    let mut handles = Vec::new();
    let mut map = |address| {
        let handle = init()?.map_err(|refused| Why::new(format_args!("no sandbox: {refused:?}")))?;
        check!(handles.push(handle).is_ok());
        request(&Request::Map { handle, address, pages: 1, access: BufferAccess::ReadOnly })
    };
    for address in [INPUT_BASE, CLIENT_STACK_BASE, CLIENT_IPC_BUFFER] {
        same!(map(address)?, Response::Done);
    }
    let (resource, requested, used, limit) = (Resource::Mappings, 1, MAPPINGS, MAPPINGS);
    let over = OverQuota { resource, requested, used, limit, kept: false };
    same!(map(CLIENT_START_INFO)?, Response::OverQuota(over));
    same!(u32::from(sbm::usage()?.mappings), MAPPINGS);
    destroy(&mut handles)?;
    same!(sbm::usage()?.mappings, 0);
    Ok(())
}

fn a_call_has_the_budget_of_the_description_and_no_longer_one() -> Verdict {
    let mut sbm = quiet()?;
    let start = sbm::now();
    check!(matches!(sbm.call(spin, ()), Err(Error::TimedOut { .. })));
    check!(sbm::now() - start >= DEFAULT, "{:?}", sbm::now() - start);
    sbm.reset()?;
    let start = sbm::now();
    check!(matches!(sbm.call_within(LONGEST, spin, ()), Err(Error::TimedOut { .. })));
    check!(sbm::now() - start >= LONGEST, "{:?}", sbm::now() - start);
    sbm.reset()?;
    let asked = LONGEST + Duration::from_nanos(1);
    let refused = sbm.call_within(asked, spin, ()).err();
    check!(refused == Some(Error::Budget { asked, limit: LONGEST }), "{refused:?}");
    works(&mut sbm)
}

fn every_call_has_a_budget_where_there_is_a_longest_one() -> Verdict {
    let refused = Sbm::builder().no_budget().build().err();
    check!(refused == Some(Error::Budget { asked: Duration::MAX, limit: LONGEST }), "{refused:?}");
    Ok(())
}

fn text_above_its_quota_takes_its_time() -> Verdict {
    const LINE: &str =
        "ninety-nine characters and the end of the line, of which three seconds' worth are written one by one";
    let start = sbm::now();
    for _ in 0..3 * CONSOLE / (LINE.len() + 1) {
        println!("{LINE}");
    }
    let gone = sbm::now() - start;
    // Of three seconds' worth the first second's goes at once.
    check!(gone >= Duration::from_millis(1900), "it took {gone:?}");
    Ok(())
}

fn what_is_kept_is_there_while_another_client_takes_all_that_it_can() -> Verdict {
    let mut sbm = quiet()?;
    // Until the other one has what there is.
    let mut handles = Vec::<Handle, 64>::new();
    let mut tries = 0;
    while let Response::Ready { .. } = beyond(1024 - tries % 16)? {
        tries += 1;
        check!(tries < 2000, "nobody takes anything");
        sbm::sleep(Duration::from_millis(5))?;
    }
    for round in 0..20 {
        // One is in use, and the spares of earlier tests count as well.
        let spares = usize::from(sbm::usage()?.spares);
        let mut more = KEPT - 1;
        while more > 0 {
            match init()? {
                Ok(handle) => check!(handles.push(handle).is_ok(), "more than there are"),
                Err(refused) => {
                    let have = handles.len();
                    return Err(Why::new(format_args!("round {round}: {have} and {spares} spares, {refused:?}")));
                }
            }
            more -= 1;
            if more.is_multiple_of(8) {
                sbm::sleep(Duration::from_millis(1))?;
            }
        }
        works(&mut sbm)?;
        destroy(&mut handles)?;
    }
    Ok(())
}

/// Asks for more memory than is kept for this client, of another shape than its spares, and gives it back at once.
fn beyond(pages: u32) -> Verdict<Response> {
    let buffers = [BufferSpec::new(pages, BufferAccess::ReadWrite)].into_iter().collect();
    let answer = request(&Request::Init(Spec { buffers, ..Spec::default() }))?;
    if let Response::Ready { handle, .. } = answer {
        same!(request(&Request::Destroy(handle))?, Response::Done);
    }
    Ok(answer)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Until something runs out: the refusal says what, nothing else breaks, and everything comes back.

use harness::{Test, Verdict, Why, check, expect::works, same, server::request, tests};
use sbm::{Errno, Error, Sbm, println};
use sbm_abi::{
    BufferAccess, BufferSpec, Handle, Own, Request, Response, Spec,
    limits::{LARGE_PAGES, MAX_BUFFERS, MAX_GROWTHS, MAX_GUARDED_PAGES, MAX_SANDBOXES, STACK_PAGES},
};
use static_cell::ConstStaticCell;

use crate::stock::loses_nothing;

pub(crate) const TESTS: &[Test] = tests![
    large_sandboxes_until_memory_runs_out_come_back,
    growths_until_memory_runs_out_come_back,
    the_sandbox_with_the_most_page_tables_is_made,
    a_sandbox_grows_as_often_as_the_limit_says_and_no_further,
    small_sandboxes_until_the_table_is_full_come_back,
    what_small_sandboxes_leave_serves_for_large_ones,
];

/// Bytes of a large buffer, and its pages: of so many page tables that a sandbox has room for as many growths as there can be.
const LARGE_BYTES: usize = 4 * 1024 * 1024 - 4096;
const GROWTH_PAGES: u32 = 2 * LARGE_PAGES - 1;
/// More large sandboxes than any machine here has the memory for.
const MOST: usize = 256;

static LARGE: ConstStaticCell<heapless::Vec<Sbm, MOST>> = ConstStaticCell::new(heapless::Vec::new());
static HANDLES: ConstStaticCell<heapless::Vec<Handle, MAX_SANDBOXES>> = ConstStaticCell::new(heapless::Vec::new());

fn large() -> Result<Sbm, Error> {
    Sbm::builder().room_out(1, LARGE_BYTES).room_in(2, LARGE_BYTES).report(false).build()
}

/// Checks that what was there before the end of all memory still works.
fn bystander() -> Result<Sbm, Error> {
    Sbm::builder().room_out(1, 4096).report(false).build()
}

fn large_sandboxes_until_memory_runs_out_come_back() -> Verdict {
    let Some(made) = LARGE.try_take() else { return Err(Why::new(format_args!("runs once only"))) };
    let mut bystander = bystander()?;
    let mut most = 0;
    loses_nothing(|_| {
        let refused = loop {
            match large() {
                Ok(sbm) => check!(made.push(sbm).is_ok(), "memory does not run out"),
                Err(error) => break error,
            }
        };
        check!(matches!(refused.errno(), Errno::Quota | Errno::NoMemory), "refused with {refused}");
        // Again, and again: a refusal changes nothing.
        let before = sbm::usage()?;
        for _ in 0..10 {
            check!(large().is_err(), "memory came from somewhere");
        }
        check!(sbm::usage()? == before, "a refusal changed something");
        works(&mut bystander)?;
        for sbm in made.iter_mut() {
            works(sbm)?;
        }
        check!(made.len() > 10 && made.len() >= most, "only {} large sandboxes", made.len());
        most = made.len();
        made.clear();
        Ok(())
    })?;
    println!("soak: memory for {most} sandboxes of 8 MiB");
    works(&mut bystander)
}

fn growths_until_memory_runs_out_come_back() -> Verdict {
    loses_nothing(|_| {
        let mut handles = heapless::Vec::<Handle, 64>::new();
        let (mut growths, mut refused) = (0, None);
        while refused.is_none() {
            let handle = init(&Spec::default())?.map_err(|errno| Why::new(format_args!("no sandbox: {errno}")))?;
            check!(handles.push(handle).is_ok(), "memory does not run out");
            for _ in 0..4 {
                match grow(handle)? {
                    Ok(()) => growths += 1,
                    Err(errno) => refused = Some(errno),
                }
            }
        }
        check!(matches!(refused, Some(Errno::Quota | Errno::NoMemory)), "refused with {refused:?}");
        check!(growths > 20, "only {growths} growths");
        for handle in handles {
            same!(request(&Request::Destroy(handle))?, Response::Done);
        }
        Ok(())
    })
}

fn the_sandbox_with_the_most_page_tables_is_made() -> Verdict {
    // Each buffer has small pages behind its large one, so that its rest and its guard lie in two regions; and all of a
    // guarded heap can have small ones.
    let buffers = [BufferSpec::new(2 * LARGE_PAGES - 1, BufferAccess::ReadWrite); MAX_BUFFERS];
    let own = Some(Own { heap_pages: MAX_GUARDED_PAGES | Own::GUARDED, statics_pages: 0 });
    let spec = Spec { stack_pages: *STACK_PAGES.end(), buffers: buffers.into_iter().collect(), own, traced: false };
    let handle = init(&spec)?.map_err(|errno| Why::new(format_args!("refused with {errno}")))?;
    same!(request(&Request::Destroy(handle))?, Response::Done);
    Ok(())
}

fn a_sandbox_grows_as_often_as_the_limit_says_and_no_further() -> Verdict {
    let handle = init(&Spec::default())?.map_err(|errno| Why::new(format_args!("no sandbox: {errno}")))?;
    let mut refused = None;
    for growth in 0..MAX_GROWTHS {
        refused = refused.or(grow(handle)?.err().map(|errno| (growth, errno)));
    }
    let further = grow(handle)?;
    same!(request(&Request::Destroy(handle))?, Response::Done);
    same!(refused, None, "refused growth of {GROWTH_PAGES} pages");
    same!(further, Err(Errno::Invalid));
    Ok(())
}

fn init(spec: &Spec) -> Result<Result<Handle, Errno>, Why> {
    match request(&Request::Init(spec.clone()))? {
        Response::Ready { handle, .. } => Ok(Ok(handle)),
        Response::Refused(errno) => Ok(Err(errno)),
        Response::OverQuota(over) => Ok(Err(over.errno())),
        other => Err(Why::new(format_args!("an odd answer: {other:?}"))),
    }
}

fn grow(handle: Handle) -> Result<Result<(), Errno>, Why> {
    let buffers = [BufferSpec::new(GROWTH_PAGES, BufferAccess::ReadWrite)].into_iter().collect();
    match request(&Request::Grow { handle, buffers })? {
        Response::Grown { .. } => Ok(Ok(())),
        Response::Refused(errno) => Ok(Err(errno)),
        Response::OverQuota(over) => Ok(Err(over.errno())),
        other => Err(Why::new(format_args!("an odd answer: {other:?}"))),
    }
}

fn small_sandboxes_until_the_table_is_full_come_back() -> Verdict {
    let Some(handles) = HANDLES.try_take() else { return Err(Why::new(format_args!("runs once only"))) };
    let mut bystander = bystander()?;
    let mut most = None;
    loses_nothing(|_| {
        let refused = loop {
            match init(&Spec::default())? {
                Ok(handle) => check!(handles.push(handle).is_ok(), "there is no limit"),
                Err(errno) => break errno,
            }
        };
        // The client's quota is the whole table; where others have a part of it, the table is full first.
        check!(matches!(refused, Errno::Quota | Errno::TooMany | Errno::NoMemory), "refused with {refused}");
        check!(handles.len() > 3000, "only {} sandboxes, then {refused}", handles.len());
        most = most.max(Some((handles.len(), refused.name())));
        works(&mut bystander)?;
        while let Some(handle) = handles.pop() {
            same!(request(&Request::Destroy(handle))?, Response::Done);
        }
        Ok(())
    })?;
    if let Some((count, refused)) = most {
        println!("soak: {count} sandboxes at once, then {refused}");
    }
    works(&mut bystander)
}

/// Memory in small pieces is joined and cleared again, but for what has a small piece in use in between.
fn what_small_sandboxes_leave_serves_for_large_ones() -> Verdict {
    let mut handles = heapless::Vec::<Handle, 2000>::new();
    while !handles.is_full() {
        let handle = init(&Spec::default())?.map_err(|errno| Why::new(format_args!("no sandbox: {errno}")))?;
        let _ = handles.push(handle);
    }
    for handle in handles {
        same!(request(&Request::Destroy(handle))?, Response::Done);
    }
    let (count, most) = (large_until_memory_runs_out()?, sbm::usage()?.most_bytes);
    let bytes = count as u64 * 2 * u64::from(LARGE_PAGES) * 4096;
    println!("soak: large sandboxes have {bytes} of {most} bytes");
    check!(bytes * 5 >= most * 4, "large sandboxes have {bytes} of {most} bytes");
    Ok(())
}

/// Makes large sandboxes as long as there is room, and returns how many there were.
fn large_until_memory_runs_out() -> Result<usize, Why> {
    let buffers = [BufferSpec::new(LARGE_PAGES, BufferAccess::ReadWrite); 2];
    let spec = Spec { buffers: buffers.into_iter().collect(), ..Spec::default() };
    let mut handles = heapless::Vec::<Handle, MOST>::new();
    while let Ok(handle) = init(&spec)? {
        check!(handles.push(handle).is_ok(), "memory does not run out");
    }
    let count = handles.len();
    for handle in handles {
        same!(request(&Request::Destroy(handle))?, Response::Done);
    }
    Ok(count)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls on a sandbox that is set up: the raw IPC round trip, and what the API adds to it.

use core::hint::black_box;

use sbm::{Env, Error, Sbm, Tainted, copy_in, copy_out, shared, shared_out};
use sel4::{MessageInfo, cap::Endpoint};

use crate::{RUNS, clock::Runs, measure};

/// Answers the call that started it, and then every one after it: a server with nothing around the system call.
fn serve_raw() {
    let endpoint = Endpoint::from_bits(1);
    let answer = MessageInfo::new(0, 0, 0, 2);
    loop {
        let _ = endpoint.reply_recv_with_mrs(answer, [0; 4]);
    }
}

fn null() {}

fn refuse(number: u32) -> Result<u32, u32> {
    Err(number)
}

fn touch(input: &[u8], output: &mut [u8]) -> u32 {
    if let (Some(from), Some(to)) = (input.first(), output.first_mut()) {
        *to = *from;
    }
    0
}

static INPUT: [u8; 256 * 1024] = [7; 256 * 1024];

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    raw(runs)?;
    let mut sbm = Sbm::builder().report(false).build()?;
    measure(runs, "sbm_call_null", RUNS, || sbm.call(null, ()).map(drop))?;
    measure(runs, "sbm_call_error", RUNS, || sbm.call(refuse, (black_box(5u32),)).map(drop))?;
    drop(sbm);
    for (size, name) in [(64, "64"), (1024, "1k"), (16 * 1024, "16k"), (256 * 1024, "256k")] {
        copied(runs, size, name)?;
        mapped(runs, size, name)?;
    }
    Ok(())
}

fn raw(runs: &mut Runs) -> Result<(), Error> {
    // Its function never ends.
    let mut sbm = Sbm::builder().no_budget().report(false).build()?;
    sbm.call(serve_raw, ())?;
    let endpoint = Endpoint::from_bits(sbm.endpoint_slot());
    let message = MessageInfo::new(0, 0, 0, 2);
    measure(runs, "raw_call_reply", RUNS, || {
        let _ = endpoint.call_with_mrs(message, [1, 2, 0, 0]);
        Ok(())
    })
}

/// That much copied in and out, and beside it what two plain copies of the size cost.
fn copied(runs: &mut Runs, size: usize, name: &str) -> Result<(), Error> {
    // One static for all sizes: a client's stack is smaller than the largest.
    let output = OUTPUT.take(size);
    let input = &INPUT[..size];
    let mut sbm = Sbm::builder().report(false).room_in(1, size).room_out(2, size).build()?;
    let count = if size > 64 * 1024 { RUNS / 10 } else { RUNS };
    row(runs, "sbm_call_copy_", name, count, || sbm.call(touch, (copy_in(input), copy_out(&mut *output))).map(drop))?;
    row(runs, "memcpy_twice_", name, count, || {
        black_box(&mut *output).copy_from_slice(black_box(input));
        black_box(&mut *output).copy_from_slice(black_box(input));
        Ok(())
    })
}

/// The same through buffers that are set up once.
fn mapped(runs: &mut Runs, size: usize, name: &str) -> Result<(), Error> {
    let mut builder = Sbm::builder().report(false);
    let input = builder.input(size);
    let output = builder.output(size);
    let mut sbm = builder.build()?;
    sbm.input(input)?.fill(1);
    row(runs, "sbm_call_map_", name, RUNS, || sbm.call(touch, (shared(input, size), shared_out(output))).map(drop))?;
    let first: Option<Tainted<u8>> = sbm.output(output)?.get(0);
    black_box(first);
    Ok(())
}

fn row(
    runs: &mut Runs,
    prefix: &str,
    size: &str,
    count: usize,
    operation: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut name = [0; 32];
    let (head, tail) = name.split_at_mut(prefix.len());
    head.copy_from_slice(prefix.as_bytes());
    tail[..size.len()].copy_from_slice(size.as_bytes());
    let name = core::str::from_utf8(&name[..prefix.len() + size.len()]).unwrap_or("?");
    measure(runs, name, count, operation)
}

/// The output of the largest copy.
struct Output(core::cell::UnsafeCell<[u8; 256 * 1024]>);

#[expect(unsafe_code, reason = "a static that this one thread writes")]
// SAFETY: the program has one thread; sandboxes do not have this page.
unsafe impl Sync for Output {}

static OUTPUT: Output = Output(core::cell::UnsafeCell::new([0; 256 * 1024]));

impl Output {
    #[expect(unsafe_code, clippy::mut_from_ref, reason = "a static that this one thread writes")]
    fn take(&'static self, size: usize) -> &'static mut [u8] {
        // SAFETY: `copied` alone calls this, and is done with one slice before it takes the next.
        unsafe { &mut (&mut *self.0.get())[..size] }
    }
}

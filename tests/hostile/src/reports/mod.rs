// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes wrong in ways that are told in particular words, for the host tool's tests.

mod asking;
mod guarded;
#[path = "where_the_path_is_long/so_that_it_would_take_most_of_the_text/panicking.rs"]
mod panicking;
mod wild;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use sbm::{Env, Error, Sbm, Tainted};

/// An address at which nothing is.
const WILD: usize = 0xdead_b000;

/// A static that no sandbox has.
static TOUCHED: AtomicU64 = AtomicU64::new(7);

/// Does what an argument names, if one does; all but the first and the last end in a sandbox.
pub(crate) fn run(env: &'static Env) -> Result<(), Error> {
    for argument in env.arguments() {
        let result = match *argument {
            "overflow" => Ok(overflow(u64::MAX)),
            "overflow-inside" => Sbm::new()?.call(overflow, (u64::MAX,)).map(Tainted::assume_checked),
            "touch-static" => Sbm::new()?.call(touch, ()).map(Tainted::assume_checked),
            "panic-far" => Sbm::new()?.call(panicking::panic_far, ()).map(Tainted::assume_checked),
            "unwrap-an-error" => Sbm::new()?.call(unwrap_an_error, ("many",)).map(Tainted::assume_checked),
            "call-again" => {
                let mut sbm = Sbm::new()?;
                let first = sbm.call(panicking::panic_far, ());
                let second = sbm.call(touch, ());
                first.and(second).map(Tainted::assume_checked)
            }
            "panic-handler" => asking::without_an_answer(),
            "ask-a-slow-one" => asking::a_slow_one(),
            "ask-too-often" => asking::too_often(),
            "use-up-the-own-heap" => Ok(use_up(1 << 30)),
            "use-up-a-heap-inside" => {
                let mut sbm = Sbm::builder().heap(1 << 14).build()?;
                sbm.call(use_up, (1_usize << 30,)).map(Tainted::assume_checked)
            }
            "copy-wild" => Sbm::new()?.call(wild::copy, (WILD,)).map(Tainted::assume_checked),
            "read-wild" => Sbm::new()?.call(wild::read, (WILD,)).map(Tainted::assume_checked),
            "call-wild" => Sbm::new()?.call(wild::call, (WILD,)).map(Tainted::assume_checked),
            "copy-with-a-forged-stack" => Sbm::new()?.call(wild::copy_with_a_forged_stack, (WILD,)).map(|_| 0),
            "write-behind" => in_guarded_heap(guarded::write_behind),
            "read-freed" => in_guarded_heap(guarded::read_freed),
            "free-twice" => in_guarded_heap(guarded::free_twice),
            "write-behind-the-first" => in_guarded_heap(guarded::write_behind_the_first),
            _ => continue,
        };
        result?;
    }
    Ok(())
}

/// Runs what goes wrong with an allocation of 24 bytes.
fn in_guarded_heap(function: fn(usize) -> u64) -> Result<u64, Error> {
    let mut sbm = Sbm::builder().heap(1 << 20).guarded().build()?;
    sbm.call(function, (24_usize,)).map(Tainted::assume_checked)
}

/// Unwraps an error, whose text takes the panic much of the stack.
#[inline(never)]
#[expect(clippy::unwrap_used, reason = "it is what is told")]
fn unwrap_an_error(number: &str) -> u64 {
    number.parse().unwrap()
}

/// Takes more stack than there is.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    if depth == 0 { 0 } else { overflow(depth - 1) + frame[1] }
}

/// Allocates more than there is, of the client's own heap or a sandbox's.
#[inline(never)]
fn use_up(bytes: usize) -> u64 {
    Vec::<u8>::with_capacity(bytes).capacity() as u64
}

fn touch() -> u64 {
    TOUCHED.fetch_add(1, Ordering::Relaxed)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Four clients that have the root task do what it does, which measures how long its turns are: the arguments `turns:..`.
//!
//! | argument | what the client does until its time has come, when it ends |
//! | --- | --- |
//! | `crowd` | has 4,000 sandboxes made, and then of all else something |
//! | `beside` | works, while what `crowd` had is taken apart |
//! | `again` | nothing; it is started again |
//! | `heir` | takes all memory, when the others have ended; also what they had for good |

use core::{mem, time::Duration};

use alloc::vec;

use sbm::{Env, Error, Sbm, copy_in, now, print, sleep};

/// Begins the argument.
pub(crate) const PREFIX: &str = "turns:";

/// When each of them ends. QEMU's instruction counter is the clock.
const CROWD: Duration = Duration::from_millis(1000);
const AGAIN: Duration = Duration::from_millis(1600);
const BESIDE: Duration = Duration::from_millis(1700);

/// Sandboxes of the crowd.
const SANDBOXES: usize = 4000;

fn null() {}

fn fault() -> u8 {
    // SAFETY: none. It is the sandbox that makes it harmless.
    #[expect(unsafe_code, reason = "a fault")]
    unsafe {
        core::hint::black_box(core::ptr::null::<u8>()).read_volatile()
    }
}

fn spin() {
    #[expect(clippy::empty_loop, reason = "a function that does not end")]
    loop {}
}

pub(crate) fn run(env: &'static Env, part: &str) -> Result<(), Error> {
    match part {
        "crowd" => crowd(env),
        "beside" => beside(),
        "heir" => heir(),
        // A second life begins after its end.
        _ if now() < AGAIN => sleep(AGAIN.saturating_sub(now())),
        _ => sleep(AGAIN),
    }
}

fn crowd(env: &'static Env) -> Result<(), Error> {
    for _ in 0..SANDBOXES {
        let mut sbm = Sbm::builder().report(false).build()?;
        sbm.call(null, ())?;
        mem::forget(sbm);
    }
    let text = env.inputs().next().map_or(&[][..], |file| file.bytes);
    for pages in 1..=24 {
        let mut sbm = Sbm::builder().report(false).stack(4096 * (1 + pages % 4)).heap(1 << 16).build()?;
        drop(sbm.call(fault, ()));
        sbm.reset()?;
        drop(sbm.call_within(Duration::from_micros(100), spin, ()));
        sbm.reset()?;
        // Grows by so many pages.
        let bytes = text.get(..4096 * pages).unwrap_or(text);
        sbm.call(length, (copy_in(bytes),))?;
        print!("{:900}", '.');
    }
    // Nearly as many page tables as there can be, and pages that are made by steps, on both sides and by touch.
    let mut sbm = Sbm::builder().report(false).room_in(1, 40 << 20).heap(64 << 20).build()?;
    sbm.call(null, ())?;
    sbm.call(fill, (1_usize << 18,))?;
    drop(sbm);
    // All spares that there can be, of nearly the size that is taken apart in one go, which a request gives up for nothing.
    for shape in 0..8 {
        drop(Sbm::builder().report(false).room_in(1, (50 + shape) * 4096).build()?);
    }
    drop(Sbm::builder().report(false).room_in(1, 500 << 20).build());
    // Eight buffers whose page tables are all missing.
    let mut sbm = Sbm::builder().report(false);
    for _ in 0..8 {
        sbm.input(1023 * 4096);
    }
    drop(sbm.build()?);
    // Who comes too late would be measured as somebody else.
    let left = CROWD.checked_sub(now()).ok_or(Error::Garbled)?;
    sleep(left)
}

fn fill(bytes: usize) -> u8 {
    vec![1; bytes].last().copied().unwrap_or_default()
}

fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

fn beside() -> Result<(), Error> {
    sleep((CROWD - Duration::from_millis(100)).saturating_sub(now()))?;
    let mut sbm = Sbm::builder().report(false).build()?;
    while now() < BESIDE {
        sbm.call(null, ())?;
    }
    Ok(())
}

fn heir() -> Result<(), Error> {
    sleep(BESIDE.saturating_sub(now()))?;
    let mut made = 0;
    for bytes in [40 << 20, 4 << 20, 1 << 16] {
        while let Ok(sbm) = Sbm::builder().report(false).room_in(1, bytes).build() {
            mem::forget(sbm);
            made += 1;
        }
    }
    if made < 10 { Err(Error::Garbled) } else { Ok(()) }
}

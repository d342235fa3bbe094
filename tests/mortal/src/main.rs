// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that does all that a client can, in an order of its own, until another one ends it.
//!
//! It begins with nothing, or ends by itself at once, which the suite that ends it counts.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "nobody waits for these errors")]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use harness::{Random, raw};
use heapless::Vec;
use sbm::{Env, Error, InputFile, Sbm, Usage, copy_in, copy_inout, print};

sbm::main!(main);

/// Sandboxes that it has at most.
const MOST: usize = 8;

/// Is as the program has it at each beginning.
static LIVES: AtomicU64 = AtomicU64::new(0);

// Functions that run in sandboxes.

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().copied().map(u64::from).sum()
}

fn invert(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
}

fn fault() {
    raw::undefined();
}

fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

fn main(env: &'static Env) -> u8 {
    if env.arguments().contains(&"fault") {
        raw::undefined();
    }
    match sbm::usage() {
        Ok(Usage { sandboxes: 0, spares: 0, mappings: 0, bytes: 0, slots: 0, .. })
            if LIVES.fetch_add(1, Ordering::Relaxed) == 0 => {}
        _ => return 1,
    }
    let mut random = Random::new(u64::try_from(sbm::now().as_nanos()).unwrap_or(1));
    let mut held = Vec::new();
    loop {
        // What has no room, or is over its budget, is what a client meets with.
        let _ = step(env, &mut random, &mut held);
    }
}

fn step(env: &'static Env, random: &mut Random, held: &mut Vec<Sbm, MOST>) -> Result<(), Error> {
    let action = random.below(32);
    if held.is_empty() || (action < 8 && !held.is_full()) {
        let mut builder = Sbm::builder().report(false);
        if action.is_multiple_of(2) {
            builder = builder.room_in(1, random.index(100_000));
            builder.output(1 + random.index(10_000));
        }
        // There is room: it was looked for above.
        let _ = held.push(builder.build()?);
        return Ok(());
    }
    let at = random.index(held.len());
    let Some(sbm) = held.get_mut(at) else { return Ok(()) };
    let mut bytes = [1; 3000];
    let length = 1 + random.index(bytes.len());
    match action {
        0..12 => drop(sbm.call(sum, (copy_in(&bytes[..length]),))?),
        12..16 => drop(sbm.call(invert, (copy_inout(&mut bytes[..length]),))?),
        16..19 => drop(sbm.call(fault, ())),
        19 => drop(sbm.call_within(Duration::from_micros(500), spin, ())),
        // It is ended in this one.
        20 => drop(sbm.call(spin, ())),
        21..24 => sbm.reset()?,
        24 => sbm::sleep(Duration::from_micros(random.below(1000)))?,
        25 if random.below(50) == 0 => print!("m"),
        26..29 => {
            let file = env.inputs().next();
            file.map(|file: InputFile| sbm.call(sum, (file.map(),))).transpose()?;
        }
        _ => drop(held.swap_remove(at)),
    }
    Ok(())
}

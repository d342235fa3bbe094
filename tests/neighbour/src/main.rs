// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that works beside another one, and fails if anything of its own is not as it left it.
//!
//! It holds a few sandboxes for its whole life, each with a buffer that counts its calls, and makes, aborts and drops
//! others in between. It works until it is ended with the run, and with an argument `cycles=N` for so many cycles.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

use harness::{Verdict, check, handed, raw, registers::keep, same};
use sbm::{Env, Error, OutputBuffer, Sbm, Tainted, copy_in, copy_inout, println, shared_out};

sbm::main!(main);

/// Sandboxes that it holds.
const HELD: usize = 8;
/// Cycles after which it says how many there were.
const CYCLES: u64 = 1000;
/// Cycles after which it looks through memory that was another client's.
const HANDED: u64 = 8;
/// What it keeps in registers.
const WORD: u64 = 0x1e19_b0a7;

// Functions that run in sandboxes.

/// Counts a call in the buffer, if all that it holds is what this sandbox wrote there.
fn count(output: &mut [u8], mark: u64) -> Option<u64> {
    let (words, _) = output.as_chunks_mut::<8>();
    let [first, rest @ ..] = words else { return None };
    let calls = u64::from_le_bytes(*first);
    let wanted = if calls == 0 { 0 } else { mark ^ calls };
    if rest.iter().any(|word| u64::from_le_bytes(*word) != wanted) {
        return None;
    }
    *first = (calls + 1).to_le_bytes();
    rest.fill((mark ^ (calls + 1)).to_le_bytes());
    Some(calls + 1)
}

fn invert(bytes: &mut [u8], key: &[u8]) {
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

fn fault() {
    raw::undefined();
}

struct Held {
    sbm: Sbm,
    output: OutputBuffer,
    mark: u64,
    calls: u64,
}

impl Held {
    fn new(mark: u64) -> Result<Self, Error> {
        let mut builder = Sbm::builder().report(false);
        let output = builder.output(256);
        Ok(Self { sbm: builder.build()?, output, mark, calls: 0 })
    }

    fn work(&mut self) -> Verdict {
        self.calls += 1;
        let calls = self.sbm.call(count, (shared_out(self.output), self.mark))?.assume_checked();
        same!(calls, Some(self.calls), "calls of a sandbox that is held");
        let seen = self.sbm.output(self.output)?.get::<[u64; 2]>(0).map(Tainted::assume_checked);
        same!(seen, Some([self.calls, self.mark ^ self.calls]), "the buffer of a sandbox that is held");
        Ok(())
    }
}

fn main(env: &'static Env) -> u8 {
    let asked = env.arguments().iter().find_map(|argument| argument.strip_prefix("cycles="));
    match run(asked.and_then(|number| number.parse().ok())) {
        Ok(cycles) => {
            println!("neighbour: {cycles} cycles undisturbed");
            0
        }
        Err(why) => {
            println!("neighbour: disturbed: {why}");
            1
        }
    }
}

/// Works, and returns for how many cycles.
fn run(asked: Option<u64>) -> Result<u64, harness::Why> {
    let mut held = heapless::Vec::<Held, HELD>::new();
    for mark in (1..).map(|number: u64| number << 32).take(HELD) {
        check!(held.push(Held::new(mark)?).is_ok());
    }
    let mut cycle = 0;
    while asked.is_none_or(|end| cycle < end) {
        for sandbox in &mut held {
            sandbox.work()?;
        }
        match short_lived(cycle) {
            Ok(()) => {}
            Err(Some(error)) => return Err(error.into()),
            Err(None) => return Err(harness::Why::new(format_args!("a sandbox of one cycle misbehaves"))),
        }
        if cycle.is_multiple_of(HANDED) {
            // In numbers of rounds that have nothing in common with the other client's.
            let round = usize::try_from(cycle / HANDED).unwrap_or(0);
            handed::look_through(round)?;
            handed::fill_and_drop(3 * round)?;
        }
        let found = keep(WORD);
        check!(found.is_kept(WORD) && found.has_own_bases(WORD, 0), "registers not its own: {found:x?}");
        cycle += 1;
        if asked.is_none() && cycle.is_multiple_of(CYCLES) {
            println!("neighbour: {cycle} cycles undisturbed, and on");
        }
    }
    Ok(cycle)
}

/// Uses a sandbox for a call, a fault and a call after it; `None` if one did not do what it should.
fn short_lived(cycle: u64) -> Result<(), Option<Error>> {
    let mut sbm = Sbm::builder().report(false).room_out(1, 64).build()?;
    for _ in 0..2 {
        let mut bytes = cycle.to_le_bytes();
        sbm.call(invert, (copy_inout(&mut bytes[..]), copy_in(&[0xff; 8][..])))?.assume_checked();
        if bytes != (!cycle).to_le_bytes() {
            return Err(None);
        }
        if !matches!(sbm.call(fault, ()), Err(Error::Fault { .. })) {
            return Err(None);
        }
        sbm.reset()?;
    }
    Ok(())
}

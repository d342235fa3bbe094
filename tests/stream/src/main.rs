// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adds up the packages in dpkg's list of them, with a pull parser in a sandbox of a few pages.
//!
//! The sandbox has neither the list nor room for it: four pages of stack and no heap. It reads ahead, 4 KiB at a time.
//!
//! | argument | |
//! | --- | --- |
//! | `times=N` | a list that is N times as long, and is nowhere as a whole |
//!
//! The input file is the list, `/var/lib/dpkg/status`.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sbm::{ChunkError, Chunks, Env, Error, Proxy, Reader, Sbm, embedded_io::BufRead, println, serve};
use serde::{Deserialize, Serialize};

sbm::main!(main);

/// Bytes that are asked for at once.
const AHEAD: usize = 4096;

/// Bytes of the sandbox's stack, which the reader lies on.
const STACK: usize = 16 * 1024;

/// What is in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    packages: u64,
    /// In KiB.
    installed: u64,
    bytes: u64,
}

/// A list that is handed out several times, one behind the other.
struct Repeated {
    list: &'static [u8],
    times: u64,
    requests: u64,
}

impl Chunks for Repeated {
    fn length(&self) -> u64 {
        self.list.len() as u64 * self.times
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<u32, ChunkError> {
        self.requests += 1;
        let left = self.length().saturating_sub(at);
        let count = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let (mut at, mut rest) = (at, &mut into[..count]);
        while !rest.is_empty() {
            let start = usize::try_from(at % self.list.len() as u64).map_err(|_| ChunkError)?;
            let piece = rest.len().min(self.list.len() - start);
            let (now, later) = rest.split_at_mut(piece);
            now.copy_from_slice(&self.list[start..start + piece]);
            at += piece as u64;
            rest = later;
        }
        u32::try_from(count).map_err(|_| ChunkError)
    }
}

/// The beginning of a line, as far as it matters.
#[derive(Default)]
struct Start {
    bytes: [u8; 24],
    length: usize,
}

impl Start {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Returns the value of a field, if this is one of that name.
    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.bytes[..self.length].strip_prefix(name)?.strip_prefix(b": ")
    }
}

/// Adds up a list, from any reader.
fn add_up<R: BufRead>(mut list: R) -> Result<Totals, R::Error> {
    let (mut totals, mut line) = (Totals::default(), Start::default());
    loop {
        let piece = list.fill_buf()?;
        if piece.is_empty() {
            return Ok(totals);
        }
        for byte in piece {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            totals.packages += u64::from(line.value(b"Package").is_some());
            let size = line.value(b"Installed-Size").and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
            totals.installed += size.unwrap_or(0);
            line.length = 0;
        }
        let count = piece.len();
        totals.bytes += count as u64;
        list.consume(count);
    }
}

/// Adds up what the caller has: runs in the sandbox.
fn add_up_chunks(chunks: Proxy<dyn Chunks>) -> Result<Totals, ChunkError> {
    add_up(Reader::<AHEAD>::new(chunks))
}

fn main(env: &'static Env) -> u8 {
    let times = env.arguments().iter().find_map(|argument| argument.strip_prefix("times=")?.parse().ok());
    let Some(file) = env.inputs().next().filter(|file| !file.bytes.is_empty()) else {
        println!("{}: no list; hand it in with --input", env.name());
        return 2;
    };
    match run(Repeated { list: file.bytes, times: times.unwrap_or(1), requests: 0 }) {
        Ok(()) => 0,
        Err(error) => {
            println!("{}: {error}", env.name());
            1
        }
    }
}

fn run(mut list: Repeated) -> Result<(), Error> {
    let mut sbm = Sbm::builder().stack(STACK).build()?;
    match sbm.call(add_up_chunks, (serve::<dyn Chunks>(&mut list),))?.assume_checked() {
        Ok(Totals { packages, installed, bytes }) => {
            println!("{packages} packages, {installed} KiB installed, in {bytes} bytes and {} requests", list.requests);
            Ok(())
        }
        Err(ChunkError) => Err(Error::Garbled),
    }
}

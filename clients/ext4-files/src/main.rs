// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists and reads the files of an ext4 image with a parser that runs in a sandbox.
//!
//! ```text
//!   image ──► this program: Blocks ◄──requests── sandbox: windows, ext4-view ──values──► print
//! ```
//!
//! The sandbox does not have the image. It asks for its bytes by a service, 64 KiB at a time, and this program answers
//! with what is there. Whatever the image does to the parser, it does to the sandbox: an error, a panic, a heap that is
//! used up, and a parser that goes round in circles each end the call.
//!
//! | arguments | |
//! | --- | --- |
//! | `ls PATH` | what is in a directory |
//! | `tree` | all files |
//! | `cat PATH` | a file as text |
//! | `sha256 PATH` | its SHA-256 |
//!
//! The input file is the image.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(clippy::result_large_err, reason = "errors hold the text of a panic, and are made once")]

extern crate alloc;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::{fmt, time::Duration};

use sbm::{Env, Proxy, Sbm, Tainted, copy_out, print, println, serve};
use sbm_ext4::{Digest, Disk, Entry, Error, Image, Node, OutOfReach, Windows};

sbm::main!(main, heap = 3 << 19);

/// Bytes of the sandbox's heap, of which it takes what it touches.
const HEAP: usize = 8 << 20;

/// Bytes of its stack.
const STACK: usize = 64 * 1024;

/// Time of the parser's own for a command.
const BUDGET: Duration = Duration::from_secs(5);

/// Bytes of a file that are read at once.
const PIECE: usize = 64 * 1024;

/// The arguments make no sense.
const USAGE: u8 = 2;

/// What the sandbox can ask for.
#[sbm::service]
trait Blocks {
    /// Reads the bytes from `at` on; false if not all of them are there.
    fn read(&mut self, at: u64, into: &mut [u8]) -> bool;
    /// Returns how many bytes there are.
    fn len(&mut self) -> u64;
}

/// The image, on the side of this program.
struct Held(&'static [u8]);

impl Blocks for Held {
    fn read(&mut self, at: u64, into: &mut [u8]) -> bool {
        Disk::read(&mut self.0, at, into).is_ok()
    }

    fn len(&mut self) -> u64 {
        self.0.len() as u64
    }
}

/// The image, on the side of the sandbox.
struct Asked(Proxy<dyn Blocks>);

impl Disk for Asked {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
        if self.0.read(at, into) { Ok(()) } else { Err(OutOfReach) }
    }

    fn len(&mut self) -> u64 {
        self.0.len()
    }
}

/// Opens the image: runs in the sandbox, as do the four functions behind it.
fn open(disk: Proxy<dyn Blocks>) -> Result<Image, Error> {
    Image::open(Windows::new(Asked(disk)))
}

fn list(disk: Proxy<dyn Blocks>, path: &str) -> Result<Vec<Entry>, Error> {
    open(disk)?.list(path.as_bytes())
}

fn tree(disk: Proxy<dyn Blocks>) -> Result<Vec<Node>, Error> {
    open(disk)?.tree()
}

fn sha256(disk: Proxy<dyn Blocks>, path: &str) -> Result<Digest, Error> {
    open(disk)?.sha256(path.as_bytes())
}

fn read(disk: Proxy<dyn Blocks>, path: &str, at: u64, into: &mut [u8]) -> Result<u64, Error> {
    open(disk)?.read(path.as_bytes(), at, into).map(|len| len as u64)
}

/// Why a command came to nothing.
enum Refusal {
    /// The parser says why.
    Image(Error),
    /// The sandbox could not be set up, or its function did not run to its end.
    Sandbox(sbm::Error),
}

impl<E: Into<sbm::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Sandbox(error.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Sandbox(error) => write!(f, "the parser did not finish: {error}"),
        }
    }
}

/// Takes what the parser says: names and numbers are its word, and are printed.
fn said<T>(answer: Tainted<Result<T, Error>>) -> Result<T, Refusal> {
    answer.assume_checked().map_err(Refusal::Image)
}

fn main(env: &'static Env) -> u8 {
    let Some(file) = env.inputs().next() else {
        println!("{}: no image; hand it in with --input", env.name());
        return USAGE;
    };
    match run(&mut Held(file.bytes), env.arguments()) {
        Ok(true) => 0,
        Ok(false) => {
            println!("{}: say ls PATH, tree, cat PATH or sha256 PATH", env.name());
            USAGE
        }
        Err(refusal) => {
            println!("{}: {refusal}", env.name());
            1
        }
    }
}

/// Runs a command; false if it is none.
fn run(disk: &mut Held, command: &[&str]) -> Result<bool, Refusal> {
    let mut sbm = Sbm::builder().heap(HEAP).stack(STACK).budget(BUDGET).build()?;
    match *command {
        ["ls", path] => {
            let entries = said(sbm.call(list, (serve::<dyn Blocks>(disk), path))?)?;
            entries.iter().for_each(|entry| println!("{entry}"));
        }
        ["tree"] => {
            let nodes = said(sbm.call(tree, (serve::<dyn Blocks>(disk),))?)?;
            nodes.iter().for_each(|node| println!("{node}"));
            println!("{} files and directories", nodes.len());
        }
        ["sha256", path] => {
            let digest = said(sbm.call(sha256, (serve::<dyn Blocks>(disk), path))?)?;
            digest.iter().for_each(|byte| print!("{byte:02x}"));
            println!();
        }
        ["cat", path] => cat(&mut sbm, disk, path)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Prints a file, piece by piece.
fn cat(sbm: &mut Sbm, disk: &mut Held, path: &str) -> Result<(), Refusal> {
    let mut at = 0;
    let mut piece = vec![0; PIECE];
    loop {
        let len = said(sbm.call(read, (serve::<dyn Blocks>(disk), path, at, copy_out(&mut piece[..])))?)?;
        let bytes = usize::try_from(len).ok().and_then(|len| piece.get(..len)).ok_or(sbm::Refused)?;
        // A character that begins at the end of the piece belongs to the next one.
        let whole = match core::str::from_utf8(bytes) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
            Ok(_) | Err(_) => bytes.len(),
        };
        let Some(bytes) = bytes.get(..whole).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        print!("{}", String::from_utf8_lossy(bytes));
        at += whole as u64;
    }
}

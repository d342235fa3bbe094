// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader of ext4 images: a tree, and a file of 256 KiB, from an image that the caller has.
//!
//! | row | the parser |
//! | --- | --- |
//! | `.._plain` | is called, and reads where the image lies |
//! | `.._sandboxed` | asks for windows of 64 KiB, and keeps four |
//! | `.._blocks` | asks for each block of 4 KiB |

use core::hint::black_box;

use alloc::vec::Vec;
use sbm::{Error, Proxy, Sbm, Tainted, copy_out, serve};
use sbm_ext4::{Blocks, Disk, Image, Node, OutOfReach, Windows};
use static_cell::ConstStaticCell;

use crate::clock::{Runs, measure, single};

/// Runs of a row.
const RUNS: usize = 100;

/// Bytes of the sandbox's heap, which holds the windows, and of its stack.
const HEAP: usize = 1 << 20;
const STACK: usize = 64 * 1024;

/// The file that is read, and its bytes.
const FILE: &[u8] = b"/var/log/large";
const BYTES: usize = 256 * 1024;

/// What the sandbox can ask for.
#[sbm::service]
trait Device {
    fn read(&mut self, at: u64, into: &mut [u8]) -> bool;
    fn len(&mut self) -> u64;
}

/// The image, on the caller's side, which counts requests.
struct Held {
    image: &'static [u8],
    asked: u64,
}

impl Device for Held {
    fn read(&mut self, at: u64, into: &mut [u8]) -> bool {
        self.asked += 1;
        Disk::read(&mut self.image, at, into).is_ok()
    }

    fn len(&mut self) -> u64 {
        self.asked += 1;
        self.image.len() as u64
    }
}

/// The image, on the sandbox's side.
struct Asked(Proxy<dyn Device>);

impl Disk for Asked {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
        if self.0.read(at, into) { Ok(()) } else { Err(OutOfReach) }
    }

    fn len(&mut self) -> u64 {
        self.0.len()
    }
}

type Tree = Result<Vec<Node>, sbm_ext4::Error>;
type Length = Result<usize, sbm_ext4::Error>;

fn tree(disk: impl Disk + 'static) -> Tree {
    Image::open(disk)?.tree()
}

fn read(disk: impl Disk + 'static, into: &mut [u8]) -> Length {
    Image::open(disk)?.read(FILE, 0, into)
}

// Functions that run in the sandbox.

fn tree_by_windows(disk: Proxy<dyn Device>) -> Tree {
    tree(Windows::new(Asked(disk)))
}

fn tree_by_blocks(disk: Proxy<dyn Device>) -> Tree {
    tree(Blocks(Asked(disk)))
}

fn read_by_windows(disk: Proxy<dyn Device>, into: &mut [u8]) -> Length {
    read(Windows::new(Asked(disk)), into)
}

fn read_by_blocks(disk: Proxy<dyn Device>, into: &mut [u8]) -> Length {
    read(Blocks(Asked(disk)), into)
}

pub(crate) fn run(image: &'static [u8], runs: &mut Runs) -> Result<(), Error> {
    static BUFFER: ConstStaticCell<[u8; BYTES]> = ConstStaticCell::new([0; BYTES]);
    let Some(buffer) = BUFFER.try_take() else { return Ok(()) };

    let listed = tree(image).map_err(|_| Error::Garbled)?;
    measure(runs, "ext4_tree_plain", RUNS, || black_box(tree(black_box(image))).map(drop).map_err(|_| Error::Garbled))?;
    measure(runs, "ext4_read_plain", RUNS, || whole(read(black_box(image), buffer)))?;
    let sum = checksum(buffer);

    let mut sbm = Sbm::builder().report(false).heap(HEAP).stack(STACK).room_out(2, BYTES).build()?;
    let mut held = Held { image, asked: 0 };
    for (way, function) in [("sandboxed", tree_by_windows as fn(_) -> _), ("blocks", tree_by_blocks)] {
        let row = ["ext4_tree_", way];
        let mut last = None;
        operation(runs, row, &mut held, |held| {
            last = Some(sbm.call(function, (serve::<dyn Device>(held),))?);
            Ok(())
        })?;
        if last.is_some_and(|last| last.assume_checked().as_ref() != Ok(&listed)) {
            return Err(Error::Garbled);
        }
    }
    for (way, function) in [("sandboxed", read_by_windows as fn(_, &mut [u8]) -> _), ("blocks", read_by_blocks)] {
        buffer.fill(0);
        let row = ["ext4_read_", way];
        let mut called = false;
        operation(runs, row, &mut held, |held| {
            called = true;
            whole(
                sbm.call(function, (serve::<dyn Device>(held), copy_out(&mut buffer[..])))
                    .map(Tainted::assume_checked)?,
            )
        })?;
        if called && checksum(buffer) != sum {
            return Err(Error::Garbled);
        }
    }
    Ok(())
}

/// Measures an operation, and tells how often it asks.
fn operation(
    runs: &mut Runs,
    row: [&str; 2],
    held: &mut Held,
    mut operation: impl FnMut(&mut Held) -> Result<(), Error>,
) -> Result<(), Error> {
    let name = row.concat();
    measure(runs, &name, RUNS, || {
        held.asked = 0;
        operation(held)
    })?;
    if runs.wants(&name) {
        single(&(name + "_requests"), "requests", held.asked);
    }
    Ok(())
}

/// Takes note that the whole file was read.
fn whole(length: Length) -> Result<(), Error> {
    if length == Ok(BYTES) { Ok(()) } else { Err(Error::Garbled) }
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parsers of real formats in a helper process that asks for what it needs, over two pipes.
//!
//! They are the parsers that run in the sandbox, on the same input. The helper is kept. It has neither the image nor ids, and
//! asks for both: a head of two words there, and what was asked for back. Its result comes in the same way: a tree and
//! profiles in `postcard`'s form, which is read, a file as it is. Of the policy it has a copy, as a sandbox has it mapped.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::pipe::PipeFlags;
use sbm_apparmor::{Caller, NoIds, Profile, unpack};
use sbm_ext4::{Blocks, Disk, Image, Node, OutOfReach, Windows};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::helper::Helper;
use crate::rows::{Row, sample};

const POLICY: &[u8] = include_bytes!("../../../clients/apparmor/testdata/sample.policy");
const IMAGE: &[u8] = include_bytes!("../../../clients/ext4/testdata/sample.img");

/// The file that is read, and its bytes.
const FILE: &[u8] = b"/var/log/large";
const BYTES: usize = 256 * 1024;

/// Runs of a row.
const RUNS: usize = 100;

/// First words of a head that names no place: an id or the length is wanted; a result follows.
const NUMBER: u64 = u64::MAX;
const RESULT: u64 = u64::MAX - 1;

type Policy = Result<Vec<Profile>, sbm_apparmor::Error>;
type Tree = Result<Vec<Node>, sbm_ext4::Error>;

/// Measures the reader of policies in the process itself.
pub(crate) fn native_apparmor() -> Row {
    Row::new("native_apparmor", natively(|| profiles(&mut Counter(0))))
}

/// Measures it in the helper, which asks for each id.
pub(crate) fn apparmor() -> Row {
    let samples = by_helper(
        profiles(&mut Counter(0)),
        |line, bytes| code(&profiles(&mut line.clone()), bytes),
        || {
            let mut next = 0;
            move || {
                next += 1;
                next
            }
        },
        decoded::<Policy>,
    );
    Row::new("apparmor_pipe", samples)
}

/// Measures listing all files of an image in the process itself.
pub(crate) fn native_tree() -> Row {
    Row::new("native_ext4_tree", natively(|| tree(IMAGE)))
}

/// Measures it in the helper, which asks for windows of 64 KiB, and keeps four.
pub(crate) fn tree_by_windows() -> Row {
    let job = |line: &Line, bytes: &mut Vec<u8>| code(&tree(Windows::new(line.clone())), bytes);
    Row::new("ext4_tree_pipe", by_helper(tree(IMAGE), job, length, decoded::<Tree>))
}

/// Measures it in the helper, which asks for each block.
pub(crate) fn tree_by_blocks() -> Row {
    let job = |line: &Line, bytes: &mut Vec<u8>| code(&tree(Blocks(line.clone())), bytes);
    Row::new("ext4_tree_pipe_blocks", by_helper(tree(IMAGE), job, length, decoded::<Tree>))
}

/// Measures reading a file in the process itself.
pub(crate) fn native_read() -> Row {
    let mut bytes = Vec::new();
    Row::new("native_ext4_read", sample(RUNS, BYTES, || Ok(read(IMAGE, &mut bytes))))
}

/// Measures it in the helper, which asks for windows of 64 KiB, and keeps four.
pub(crate) fn read_by_windows() -> Row {
    let job = |line: &Line, bytes: &mut Vec<u8>| {
        read(Windows::new(line.clone()), bytes);
    };
    Row::new("ext4_read_pipe", by_helper(BYTES, job, length, |bytes| Ok(bytes.len())))
}

/// Measures it in the helper, which asks for each block.
pub(crate) fn read_by_blocks() -> Row {
    let job = |line: &Line, bytes: &mut Vec<u8>| {
        read(Blocks(line.clone()), bytes);
    };
    Row::new("ext4_read_pipe_blocks", by_helper(BYTES, job, length, |bytes| Ok(bytes.len())))
}

fn profiles(caller: &mut impl Caller) -> Policy {
    unpack(POLICY, caller)
}

fn tree(disk: impl Disk + 'static) -> Tree {
    Image::open(disk)?.tree()
}

/// Reads the file into memory that is kept, and returns its bytes; nothing of it if that cannot be.
fn read(disk: impl Disk + 'static, bytes: &mut Vec<u8>) -> usize {
    bytes.resize(BYTES, 0);
    let length = Image::open(disk).and_then(|image| image.read(FILE, 0, bytes)).unwrap_or(0);
    bytes.truncate(length);
    length
}

/// Returns what tells the length of the image.
fn length() -> impl FnMut() -> u64 {
    || IMAGE.len() as u64
}

fn code<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    *bytes = postcard::to_allocvec(value).unwrap_or_default();
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    postcard::from_bytes(bytes).map_err(|_| Error::WrongResult)
}

/// Hands out ids from 1 on.
struct Counter(u32);

impl Caller for Counter {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        self.0 += 1;
        Ok(self.0)
    }
}

fn natively<T: PartialEq>(operation: impl Fn() -> T) -> Result<Vec<u64>, Error> {
    sample(RUNS, true, || Ok(std::hint::black_box(operation())).map(|_| true))
}

/// Measures a job in a helper: from the word to begin until its result is here, and was read.
///
/// `numbers` begins to hand out what is asked for by [`NUMBER`].
fn by_helper<T: PartialEq, N: FnMut() -> u64>(
    expected: T,
    job: impl Fn(&Line, &mut Vec<u8>),
    numbers: impl Fn() -> N,
    read: impl Fn(&[u8]) -> Result<T, Error>,
) -> Result<Vec<u64>, Error> {
    let (ours, theirs) = End::pair()?;
    let theirs = Line(Rc::new(theirs));
    let _helper = Helper::start(|| {
        let mut result = Vec::new();
        // Ends when a pipe does.
        while theirs.0.receive(&mut [0]).is_ok() {
            job(&theirs, &mut result);
            if theirs.0.head(RESULT, result.len()).and_then(|()| theirs.0.send(&result)).is_err() {
                break;
            }
        }
    })?;
    let mut result = Vec::new();
    sample(RUNS, expected, || {
        ours.send(&[1])?;
        let mut number = numbers();
        loop {
            let mut head = [0; 16];
            ours.receive(&mut head)?;
            let [first, length] = [0, 8].map(|at| u64::from_le_bytes(core::array::from_fn(|byte| head[at + byte])));
            let length = usize::try_from(length).map_err(|_| Error::WrongResult)?;
            match first {
                NUMBER => ours.send(&number().to_le_bytes())?,
                RESULT => {
                    result.resize(length, 0);
                    ours.receive(&mut result)?;
                    return read(&result);
                }
                at => {
                    let at = usize::try_from(at).map_err(|_| Error::WrongResult)?;
                    let piece = at.checked_add(length).and_then(|end| IMAGE.get(at..end));
                    ours.send(piece.ok_or(Error::WrongResult)?)?;
                }
            }
        }
    })
}

/// One process's ends of two pipes.
#[derive(Debug)]
struct End {
    input: OwnedFd,
    output: OwnedFd,
}

impl End {
    fn pair() -> Result<(Self, Self), Error> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(Error::system("pipe2"));
        let ((to_us, from_them), (to_them, from_us)) = (pipe()?, pipe()?);
        Ok((Self { input: to_us, output: from_us }, Self { input: to_them, output: from_them }))
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = rustix::io::write(&self.output, rest).map_err(Error::system("write"))?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    fn receive(&self, into: &mut [u8]) -> Result<(), Error> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match rustix::io::read(&self.input, rest).map_err(Error::system("read"))? {
                0 => return Err(Error::HelperGone),
                count => filled += count,
            }
        }
        Ok(())
    }

    fn head(&self, first: u64, length: usize) -> Result<(), Error> {
        let words = [first.to_le_bytes(), (length as u64).to_le_bytes()];
        self.send(words.as_flattened())
    }

    fn number(&self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.head(NUMBER, 0)?;
        self.receive(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The helper's ends, for a parser that keeps them.
#[derive(Clone)]
struct Line(Rc<End>);

impl Disk for Line {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
        self.0.head(at, into.len()).and_then(|()| self.0.receive(into)).map_err(|_| OutOfReach)
    }

    fn len(&mut self) -> u64 {
        self.0.number().unwrap_or_default()
    }
}

impl Caller for Line {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        self.0.number().ok().and_then(|id| u32::try_from(id).ok()).ok_or(NoIds)
    }
}

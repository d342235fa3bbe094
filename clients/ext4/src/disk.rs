// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where an image's bytes come from, and in which pieces they are asked for.
//!
//! A request costs a round trip to whoever has the image, so its size matters. The parser asks for 32 KiB at a time;
//! [`Blocks`] cuts that into a request for each block, and [`Windows`] asks for more than is wanted and keeps it.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use ext4_view::Ext4Read;

/// Bytes of a block, if each one is asked for by itself.
pub const BLOCK: usize = 4096;

/// Bytes of a window.
pub const WINDOW: usize = 64 * 1024;

/// Windows that are kept.
const WINDOWS: usize = 4;

/// Something that has the bytes of an image.
pub trait Disk {
    /// Reads the bytes from `at` on.
    ///
    /// # Errors
    /// [`OutOfReach`] if not all of them are there.
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach>;

    /// Returns how many bytes there are.
    fn len(&mut self) -> u64;

    /// Tells whether there are none.
    fn is_empty(&mut self) -> bool {
        self.len() == 0
    }
}

/// The disk does not have these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfReach;

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the disk ends before")
    }
}

impl core::error::Error for OutOfReach {}

impl Disk for &[u8] {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
        let start = usize::try_from(at).map_err(|_| OutOfReach)?;
        let end = start.checked_add(into.len()).ok_or(OutOfReach)?;
        into.copy_from_slice(self.get(start..end).ok_or(OutOfReach)?);
        Ok(())
    }

    fn len(&mut self) -> u64 {
        <[u8]>::len(self) as u64
    }
}

/// Asks for each block by itself.
#[derive(Debug)]
pub struct Blocks<D>(pub D);

impl<D: Disk> Disk for Blocks<D> {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
        let mut at = at;
        for piece in into.chunks_mut(BLOCK) {
            self.0.read(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn len(&mut self) -> u64 {
        self.0.len()
    }
}

/// Asks for windows, which begin at multiples of their size, and keeps those that were used last.
#[derive(Debug)]
pub struct Windows<D> {
    disk: D,
    /// Bytes of the disk.
    len: u64,
    /// Those used last first.
    kept: [Option<Window>; WINDOWS],
}

#[derive(Debug)]
struct Window {
    number: u64,
    bytes: Box<[u8]>,
}

impl<D: Disk> Windows<D> {
    /// Reads from a disk.
    pub fn new(mut disk: D) -> Self {
        let len = disk.len();
        Self { disk, len, kept: [const { None }; WINDOWS] }
    }

    /// Returns a window, which is cut short at the end of the disk.
    fn window(&mut self, number: u64) -> Result<&[u8], OutOfReach> {
        let found = self.kept.iter().position(|kept| kept.as_ref().is_some_and(|window| window.number == number));
        // Where it is new, the place of the one that was not used for longest becomes its own.
        let place = found.unwrap_or(WINDOWS - 1);
        self.kept.get_mut(..=place).ok_or(OutOfReach)?.rotate_right(1);
        let first = self.kept.first_mut().ok_or(OutOfReach)?;
        if found.is_none() {
            let start = number.checked_mul(WINDOW as u64).ok_or(OutOfReach)?;
            let rest = self.len.checked_sub(start).filter(|rest| *rest > 0).ok_or(OutOfReach)?;
            let len = usize::try_from(rest).unwrap_or(WINDOW).min(WINDOW);
            // The memory of the one before serves again if it has the right size.
            let old = first.take().map(|window| window.bytes).filter(|bytes| bytes.len() == len);
            let mut bytes = old.unwrap_or_else(|| vec![0; len].into_boxed_slice());
            self.disk.read(start, &mut bytes)?;
            *first = Some(Window { number, bytes });
        }
        first.as_ref().map(|window| &*window.bytes).ok_or(OutOfReach)
    }
}

impl<D: Disk> Disk for Windows<D> {
    fn read(&mut self, mut at: u64, mut into: &mut [u8]) -> Result<(), OutOfReach> {
        while !into.is_empty() {
            let offset = usize::try_from(at % WINDOW as u64).map_err(|_| OutOfReach)?;
            let window = self.window(at / WINDOW as u64)?.get(offset..).filter(|rest| !rest.is_empty());
            let window = window.ok_or(OutOfReach)?;
            let len = window.len().min(into.len());
            let (piece, rest) = into.split_at_mut(len);
            piece.copy_from_slice(window.get(..len).ok_or(OutOfReach)?);
            at += len as u64;
            into = rest;
        }
        Ok(())
    }

    fn len(&mut self) -> u64 {
        self.len
    }
}

/// A disk as the parser takes it.
pub(crate) struct Reader<D>(pub(crate) D);

impl<D: Disk> Ext4Read for Reader<D> {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync + 'static>> {
        self.0.read(start_byte, dst).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::vec::Vec;

    /// Counts requests, and notes the largest.
    struct Counted<'a>(&'a [u8], Vec<usize>);

    impl Disk for &mut Counted<'_> {
        fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
            self.1.push(into.len());
            self.0.read(at, into)
        }

        fn len(&mut self) -> u64 {
            Disk::len(&mut self.0)
        }
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap_or_default()).collect()
    }

    #[test]
    fn each_way_reads_the_same() {
        let image = bytes(3 * WINDOW + 100);
        let mut windows = Windows::new(&image[..]);
        for (at, len) in [(0, 1), (WINDOW - 3, 6), (5, 3 * WINDOW), (3 * WINDOW + 90, 10), (WINDOW, 0), (9, 4097)] {
            let mut read = [vec![0; len], vec![0; len]];
            let [first, second] = &mut read;
            windows.read(at as u64, first).unwrap();
            Blocks(&image[..]).read(at as u64, second).unwrap();
            assert!(read.iter().all(|read| *read == image[at..at + len]), "{len} bytes at {at}");
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_out_of_reach() {
        let image = bytes(WINDOW + 100);
        let mut windows = Windows::new(&image[..]);
        for (at, len) in [
            (WINDOW as u64 + 99, 2),
            (WINDOW as u64 + 100, 1),
            (2 * WINDOW as u64, 1),
            (u64::MAX, 1),
            (u64::MAX - 1, 9),
        ] {
            assert_eq!(windows.read(at, &mut vec![0; len]), Err(OutOfReach), "{len} bytes at {at}");
        }
        assert_eq!(Windows::new(&[][..]).read(0, &mut [0]), Err(OutOfReach));
    }

    #[test]
    fn a_window_is_asked_for_once_while_it_is_kept() {
        let image = bytes(6 * WINDOW);
        let mut counted = Counted(&image, Vec::new());
        let mut windows = Windows::new(&mut counted);
        let mut touch = |number: usize| windows.read((number * WINDOW) as u64, &mut [0; 10]).unwrap();
        [0, 1, 2, 3, 0, 3, 1, 0].into_iter().for_each(&mut touch);
        // Drops the one that was used least recently, which is 2.
        [4, 0, 1, 3].into_iter().for_each(&mut touch);
        touch(2);
        assert_eq!(counted.1, [WINDOW; 6]);
    }
}

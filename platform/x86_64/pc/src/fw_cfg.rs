// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's fw_cfg device: files named on QEMU's command line
//!
//! Files are read by DMA, a buffer at a time and two port accesses each: a port access for each byte would be a system
//! call for each byte. Source: QEMU, `docs/specs/fw_cfg.rst`. The crate `qemu-fw-cfg` does not fit: it executes `in` and
//! `out` itself, which user level may not.
//!
//! ```text
//!   DmaBuffer   | control block 16 | data ......................................... |
//!               ^ physical address, written to the DMA register; a write of its low half starts the transfer
//! ```
//!
//! All that comes from the device is untrusted: the directory is read up to [`MAX_FILES`] entries, a file up to the
//! length its entry names, into memory that the caller sizes.

use core::fmt;
use core::ops::RangeInclusive;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::Ports;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const DMA_HIGH: u16 = 0x514;
const DMA_LOW: u16 = 0x518;

const KEY_SIGNATURE: u16 = 0;
const KEY_FEATURES: u16 = 1;
const KEY_DIRECTORY: u16 = 0x19;

bitflags::bitflags! {
    /// What the device can do.
    struct Features: u8 {
        const DMA = 1 << 1;
    }

    /// Low half of the control word; the high half is a key, for `SELECT`.
    struct Control: u32 {
        const ERROR = 1 << 0;
        const READ = 1 << 1;
        const SELECT = 1 << 3;
    }
}

/// Most directory entries that are looked at.
pub const MAX_FILES: u32 = 1024;

/// Looks at the control block before a transfer is given up. QEMU transfers within the access that starts it.
const PATIENCE: u32 = 1_000_000;

/// Bytes of the control block: control and length (32 bits each), address (64 bits), all big-endian.
const CONTROL_BLOCK: usize = 16;

const ENTRY: usize = 64;
const NAME: usize = 56;

/// Memory that the device writes to: contiguous, at a known physical address, at least a control block and a directory
/// entry long.
#[derive(Debug)]
pub struct DmaBuffer {
    start: NonNull<u8>,
    physical: u64,
    bytes: usize,
}

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FwCfgError<E> {
    /// A port may not be used.
    Port(E),
    /// The device says that it could not transfer.
    Failed,
    /// The device did not finish.
    Stuck,
    /// The directory is larger than anything QEMU makes.
    TooManyFiles {
        /// Its number of files.
        found: u32,
    },
}

/// A directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    key: u16,
    bytes: u32,
}

/// The device.
pub struct FwCfg<P> {
    ports: P,
    dma: DmaBuffer,
}

/// A file that is being read.
pub struct Reader<'a, P> {
    device: &'a mut FwCfg<P>,
    /// Key of the file, until the device was told.
    key: Option<u16>,
    rest: u32,
}

impl DmaBuffer {
    /// Takes `bytes` bytes of memory, unless they are too few or not aligned to 8.
    ///
    /// # Safety
    /// The memory from `start` on is mapped readable and writable, lies contiguously from physical address `physical`
    /// on, and is used by nothing else as long as the buffer or the [`FwCfg`] it went to exists.
    pub unsafe fn new(start: NonNull<u8>, physical: u64, bytes: usize) -> Option<Self> {
        let aligned = start.cast::<u64>().is_aligned();
        (aligned && bytes >= CONTROL_BLOCK + ENTRY).then_some(Self { start, physical, bytes })
    }

    /// Returns how many bytes one transfer can bring.
    fn capacity(&self) -> usize {
        self.bytes - CONTROL_BLOCK
    }

    /// Writes a control block for a transfer to the data area.
    fn prepare(&mut self, control: u32, length: u32) {
        let address = self.physical + CONTROL_BLOCK as u64;
        let words = (u64::from(control) << 32 | u64::from(length), address);
        let block = self.start.cast::<u64>();
        // SAFETY: the block's 16 bytes are ours (constructor) and aligned. Volatile, since the device reads them.
        unsafe {
            block.write_volatile(words.0.to_be());
            block.add(1).write_volatile(words.1.to_be());
        }
        compiler_fence(Ordering::SeqCst);
    }

    /// Reads the control word, which the device sets to 0 or to an error when it is done.
    fn control(&self) -> u32 {
        // SAFETY: as in `prepare`.
        u32::from_be(unsafe { self.start.cast::<u32>().read_volatile() })
    }

    /// Copies what a finished transfer has brought.
    fn copy_to(&self, into: &mut [u8]) {
        let length = into.len().min(self.capacity());
        compiler_fence(Ordering::SeqCst);
        // SAFETY: `length` bytes after the control block are ours (constructor), and the device is done with them.
        unsafe { self.start.add(CONTROL_BLOCK).copy_to_nonoverlapping(NonNull::from(into).cast(), length) };
    }
}

impl File {
    /// Returns the number of bytes that the device says the file has.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Reads a directory entry: size, key and name, big-endian. Returns the file if it has that name.
    fn parse(entry: &[u8; ENTRY], name: &str) -> Option<Self> {
        let [s0, s1, s2, s3, k0, k1, _, _, found @ ..] = entry;
        let end = found.iter().position(|&byte| byte == 0).unwrap_or(NAME);
        (found.get(..end)? == name.as_bytes())
            .then(|| Self { key: u16::from_be_bytes([*k0, *k1]), bytes: u32::from_be_bytes([*s0, *s1, *s2, *s3]) })
    }
}

impl<P: Ports> FwCfg<P> {
    /// The ports that it uses.
    pub const PORTS: RangeInclusive<u16> = SELECTOR..=DMA_LOW + 3;

    /// Takes the device, if there is one and it can do DMA (QEMU 2.5 and later).
    ///
    /// # Errors
    /// When the ports may not be used.
    pub fn new(mut ports: P, dma: DmaBuffer) -> Result<Option<Self>, P::Error> {
        let signature: [u8; 4] = read_item(&mut ports, KEY_SIGNATURE)?;
        let [features, ..]: [u8; 4] = read_item(&mut ports, KEY_FEATURES)?;
        let usable = &signature == b"QEMU" && Features::from_bits_retain(features).contains(Features::DMA);
        Ok(usable.then_some(Self { ports, dma }))
    }

    /// Finds a file by its name.
    ///
    /// # Errors
    /// When the directory cannot be read. A name that is not in it is no error.
    pub fn find(&mut self, name: &str) -> Result<Option<File>, FwCfgError<P::Error>> {
        let mut count = [0; 4];
        self.transfer(Some(KEY_DIRECTORY), &mut count)?;
        let found = u32::from_be_bytes(count);
        if found > MAX_FILES {
            return Err(FwCfgError::TooManyFiles { found });
        }
        for _ in 0..found {
            let mut entry = [0; ENTRY];
            self.transfer(None, &mut entry)?;
            if let Some(file) = File::parse(&entry, name) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Starts reading a file.
    pub fn open(&mut self, file: &File) -> Reader<'_, P> {
        Reader { device: self, key: Some(file.key), rest: file.bytes }
    }

    /// Fills `into` from the item that is selected, after selecting one if told to.
    fn transfer(&mut self, mut key: Option<u16>, into: &mut [u8]) -> Result<(), FwCfgError<P::Error>> {
        for chunk in into.chunks_mut(self.dma.capacity().min(u32::MAX as usize)) {
            let select = key.take().map_or(0, |key| u32::from(key) << 16 | Control::SELECT.bits());
            self.dma.prepare(select | Control::READ.bits(), chunk.len() as u32);
            self.start().map_err(FwCfgError::Port)?;
            let control = (0..PATIENCE).map(|_| Control::from_bits_retain(self.dma.control()));
            match control.into_iter().find(|control| control.is_empty() || control.contains(Control::ERROR)) {
                Some(control) if control.is_empty() => self.dma.copy_to(chunk),
                Some(_) => return Err(FwCfgError::Failed),
                None => return Err(FwCfgError::Stuck),
            }
        }
        Ok(())
    }

    /// Hands the device the control block's address; the low half starts the transfer.
    fn start(&mut self) -> Result<(), P::Error> {
        self.ports.out32(DMA_HIGH, ((self.dma.physical >> 32) as u32).to_be())?;
        self.ports.out32(DMA_LOW, (self.dma.physical as u32).to_be())
    }
}

impl<P: Ports> Reader<'_, P> {
    /// Reads the next bytes, as many as there are room and file for, and returns how many: 0 at the end of the file.
    ///
    /// # Errors
    /// When the device fails; what `into` holds then is unspecified.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, FwCfgError<P::Error>> {
        let length = into.len().min(self.rest as usize);
        let Some(into) = into.get_mut(..length) else { return Ok(0) };
        self.device.transfer(self.key, into)?;
        if length > 0 {
            self.key = None;
        }
        self.rest -= length as u32;
        Ok(length)
    }
}

/// Reads the start of an item byte by byte.
fn read_item<P: Ports, const N: usize>(ports: &mut P, key: u16) -> Result<[u8; N], P::Error> {
    ports.out16(SELECTOR, key)?;
    let mut item = [0; N];
    for byte in &mut item {
        *byte = ports.in8(DATA)?;
    }
    Ok(item)
}

impl<E: fmt::Display> fmt::Display for FwCfgError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(error) => write!(f, "fw_cfg: port access: {error}"),
            Self::Failed => f.write_str("fw_cfg: transfer failed"),
            Self::Stuck => f.write_str("fw_cfg: transfer does not end"),
            Self::TooManyFiles { found } => write!(f, "fw_cfg: {found} files in the directory"),
        }
    }
}

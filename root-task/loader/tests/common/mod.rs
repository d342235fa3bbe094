// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds small ELF files field by field, also wrong ones
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use sbm_loader::{ElfError, Limits};
use sbm_objects::SizeBits;

pub const R: u32 = 4;
pub const W: u32 = 2;
pub const X: u32 = 1;
pub const LOAD: u32 = 1;

pub const CODE: u64 = 0x20_0000;
pub const DATA: u64 = 0x40_0000;

/// What the root task accepts, with smaller sizes.
pub fn limits() -> Limits {
    Limits {
        window: CODE..0x1000_0000,
        code_frame: SizeBits::of::<21>(),
        data_frame: SizeBits::of::<12>(),
        code_bytes: 0x80_0000,
        data_bytes: 0x1_0000,
    }
}

/// A program header.
#[derive(Clone, Debug)]
pub struct Header {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

impl Header {
    pub fn load(flags: u32, address: u64, file_size: u64, memory_size: u64) -> Self {
        Self { kind: LOAD, flags, offset: 0, address, file_size, memory_size, align: 0x1000 }
    }
}

/// An ELF file.
#[derive(Clone, Debug)]
pub struct Elf {
    pub magic: [u8; 4],
    pub class: u8,
    pub endian: u8,
    pub ident_version: u8,
    pub kind: u16,
    pub machine: u16,
    pub version: u32,
    pub entry: u64,
    pub header_offset: u64,
    pub header_size: u16,
    pub header_count: Option<u16>,
    pub headers: Vec<Header>,
    pub length: usize,
}

impl Elf {
    /// A program that loads: code and constants, data, zeroes.
    pub fn valid() -> Self {
        Self {
            magic: *b"\x7fELF",
            class: 2,
            endian: 1,
            ident_version: 1,
            kind: 2,
            machine: 62,
            version: 1,
            entry: CODE + 0x180,
            header_offset: 64,
            header_size: 56,
            header_count: None,
            headers: vec![
                Header::load(R | X, CODE, 0x200, 0x200),
                Header { offset: 0x200, ..Header::load(R | W, DATA + 0x200, 0x80, 0x3000) },
                Header { kind: 0x6474_e551, ..Header::load(R | W, 0, 0, 0) },
            ],
            length: 0x280,
        }
    }

    /// The same, changed.
    pub fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut elf = Self::valid();
        change(&mut elf);
        elf
    }

    /// The file: header, program headers, and bytes that tell their offset.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.magic);
        out.extend([self.class, self.endian, self.ident_version, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(self.kind.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(self.entry.to_le_bytes());
        out.extend(self.header_offset.to_le_bytes());
        out.extend(0u64.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        let count = self.header_count.unwrap_or(self.headers.len() as u16);
        for half in [64, self.header_size, count, 0, 0, 0] {
            out.extend(half.to_le_bytes());
        }
        for header in &self.headers {
            out.extend(header.kind.to_le_bytes());
            out.extend(header.flags.to_le_bytes());
            let words =
                [header.offset, header.address, header.address, header.file_size, header.memory_size, header.align];
            words.iter().for_each(|word| out.extend(word.to_le_bytes()));
        }
        let filler = (out.len()..self.length).map(|offset| (offset % 251) as u8);
        out.extend(filler);
        out.truncate(self.length);
        out
    }
}

/// The name by which the corpus calls an outcome.
pub fn outcome(result: &Result<(), ElfError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(error) => match error {
            ElfError::NotElf => "not-elf",
            ElfError::Not64Bit => "not-64-bit",
            ElfError::NotLittleEndian => "not-little-endian",
            ElfError::Malformed => "malformed",
            ElfError::NotExecutable { .. } => "not-executable",
            ElfError::WrongMachine { .. } => "wrong-machine",
            ElfError::TooManySegments { .. } => "too-many-segments",
            ElfError::NotStatic { .. } => "not-static",
            ElfError::ThreadLocals { .. } => "thread-locals",
            ElfError::CutShort { .. } => "cut-short",
            ElfError::LargerInFile { .. } => "larger-in-file",
            ElfError::Misaligned { .. } => "misaligned",
            ElfError::AddressWraps { .. } => "address-wraps",
            ElfError::OutsideWindow { .. } => "outside-window",
            ElfError::NotReadable { .. } => "not-readable",
            ElfError::WritableCode { .. } => "writable-code",
            ElfError::Overlap { .. } => "overlap",
            ElfError::SharedFrame { .. } => "shared-frame",
            ElfError::TooLarge { .. } => "too-large",
            ElfError::EntryNotCode { .. } => "entry-not-code",
        },
    }
}

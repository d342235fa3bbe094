// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why an ELF file is not loaded

use core::fmt;

use elf::ParseError;
use sbm_objects::SizeBits;

use crate::part_kind::PartKind;

/// What is wrong with an ELF file. Segments are named by their index in the program header table, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// The file does not start as an ELF file of the current version does.
    NotElf,
    /// It is not a 64-bit file.
    Not64Bit,
    /// It is not a little-endian file.
    NotLittleEndian,
    /// A header or table is cut short, or its entries have the wrong size.
    Malformed,
    /// It is no executable at fixed addresses, but a shared object, a relocatable file, ..
    NotExecutable {
        /// `e_type`.
        found: u16,
    },
    /// It is for another machine than x86-64.
    WrongMachine {
        /// `e_machine`.
        found: u16,
    },
    /// There are more program headers, or more segments to load, than anything here needs.
    TooManySegments {
        /// How many are accepted.
        limit: usize,
    },
    /// It wants a dynamic linker.
    NotStatic {
        /// The segment that says so.
        segment: usize,
    },
    /// It has thread-local variables, for which nothing is set up.
    ThreadLocals {
        /// The segment of their initial values.
        segment: usize,
    },
    /// The segment's bytes are not all in the file.
    CutShort {
        /// The segment.
        segment: usize,
    },
    /// The segment has more bytes in the file than in memory.
    LargerInFile {
        /// The segment.
        segment: usize,
    },
    /// The segment's alignment is no power of two, or its address and file offset differ by it.
    Misaligned {
        /// The segment.
        segment: usize,
    },
    /// The segment ends past the end of the address space.
    AddressWraps {
        /// The segment.
        segment: usize,
    },
    /// The segment lies outside the addresses that programs have.
    OutsideWindow {
        /// The segment.
        segment: usize,
    },
    /// The segment may not be read, which x86-64 has no way to enforce.
    NotReadable {
        /// The segment.
        segment: usize,
    },
    /// The segment is writable and executable.
    WritableCode {
        /// The segment.
        segment: usize,
    },
    /// Two segments claim the same addresses.
    Overlap {
        /// The one that comes first in the table.
        first: usize,
        /// The other one.
        second: usize,
    },
    /// What is writable lies between the other segments, or in the same frame as one of them.
    SharedFrame {
        /// Size of that frame in bytes.
        frame: SizeBits,
    },
    /// One of the two parts takes too much memory.
    TooLarge {
        /// Which part.
        part: PartKind,
        /// Its size in bytes, in whole frames.
        bytes: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// The entry point is in no executable segment.
    EntryNotCode {
        /// The entry point's address.
        entry: u64,
    },
}

impl From<ParseError> for ElfError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::BadMagic(_) | ParseError::UnsupportedVersion(_) => Self::NotElf,
            ParseError::UnsupportedElfClass(_) => Self::Not64Bit,
            ParseError::UnsupportedElfEndianness(_) => Self::NotLittleEndian,
            ParseError::BadOffset(_)
            | ParseError::StringTableMissingNul(_)
            | ParseError::BadEntsize(_)
            | ParseError::UnexpectedSectionType(_)
            | ParseError::UnexpectedSegmentType(_)
            | ParseError::UnexpectedAlignment(_)
            | ParseError::SliceReadError(_)
            | ParseError::IntegerOverflow
            | ParseError::Utf8Error(_)
            | ParseError::TryFromSliceError(_)
            | ParseError::TryFromIntError(_) => Self::Malformed,
        }
    }
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotElf => f.write_str("not an ELF file"),
            Self::Not64Bit => f.write_str("not a 64-bit ELF file"),
            Self::NotLittleEndian => f.write_str("not a little-endian ELF file"),
            Self::Malformed => f.write_str("an ELF header or table is cut short"),
            Self::NotExecutable { found } => write!(f, "not an executable at fixed addresses (ELF type {found})"),
            Self::WrongMachine { found } => write!(f, "not for x86-64 (ELF machine {found})"),
            Self::TooManySegments { limit } => write!(f, "more than {limit} segments"),
            Self::NotStatic { segment } => write!(f, "segment {segment}: dynamic linking is not supported"),
            Self::ThreadLocals { segment } => write!(f, "segment {segment}: thread-local variables are not supported"),
            Self::CutShort { segment } => write!(f, "segment {segment} ends past the end of the file"),
            Self::LargerInFile { segment } => write!(f, "segment {segment} is larger in the file than in memory"),
            Self::Misaligned { segment } => write!(f, "segment {segment} is misaligned"),
            Self::AddressWraps { segment } => write!(f, "segment {segment} ends past the end of the address space"),
            Self::OutsideWindow { segment } => write!(f, "segment {segment} lies outside the addresses of programs"),
            Self::NotReadable { segment } => write!(f, "segment {segment} is not readable"),
            Self::WritableCode { segment } => write!(f, "segment {segment} is writable and executable"),
            Self::Overlap { first, second } => write!(f, "segments {first} and {second} overlap"),
            Self::SharedFrame { frame } => {
                write!(f, "writable data lies among code, or in the same frame of {frame} bytes as code")
            }
            Self::TooLarge { part, bytes, limit } => write!(f, "{part} takes {bytes} bytes, more than {limit}"),
            Self::EntryNotCode { entry } => write!(f, "entry point {entry:#x} is in no executable segment"),
        }
    }
}

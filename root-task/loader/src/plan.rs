// SPDX-License-Identifier: MIT OR Apache-2.0
//! What to map, copy and start for an ELF file
//!
//! A program becomes two parts: *code*, all that is not writable, in frames that sandboxes can share, and *data*, all
//! that is writable. Each is a run of whole frames with nothing of the other among them. A writable segment that is
//! wholly `PT_GNU_RELRO`, as `lld` lays it out, counts as code: precompiled code calls through the table in it, also in
//! a sandbox.
//!
//! ```text
//!   window.start                                                                         window.end
//!   |  [ code part: large frames, read-only ]   [ data part: small frames, read and write ]  |
//!   |  [ piece ][ piece ]....................   [ piece ]zeros...........................    |
//! ```
//!
//! Invariants of a [`LoadPlan`]: parts start and end on frame boundaries inside the window and do not meet; pieces lie
//! inside their part and do not overlap; the entry point is in a piece of the code part that was marked executable.

use core::ops::Range;

use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_RELRO, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;
use elf::{ElfBytes, ParseError};
use heapless::Vec;
use sbm_objects::SizeBits;

use crate::error::ElfError;
use crate::part_kind::PartKind;

/// Most program headers that a file may have.
const MAX_HEADERS: usize = 32;

/// Most segments that a file may have loaded.
const MAX_SEGMENTS: usize = 8;

/// What programs may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The virtual addresses that programs may use.
    pub window: Range<u64>,
    /// Size of the frames that the code part is mapped with.
    pub code_frame: SizeBits,
    /// Size of the frames that the data part is mapped with.
    pub data_frame: SizeBits,
    /// Most bytes in the code part.
    pub code_bytes: u64,
    /// Most bytes in the data part.
    pub data_bytes: u64,
}

/// Bytes of the file and the virtual address that they belong at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Virtual address of the first byte.
    pub address: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// A run of whole frames and what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    range: Range<u64>,
    pieces: Vec<Piece<'a>, MAX_SEGMENTS>,
}

/// All that is needed to start a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadPlan<'a> {
    entry: u64,
    code: Part<'a>,
    data: Part<'a>,
}

impl<'a> LoadPlan<'a> {
    /// Checks an ELF file and plans its loading.
    ///
    /// # Errors
    /// When the file is not a static x86-64 executable, contradicts itself, or exceeds a limit.
    pub fn new(file: &'a [u8], limits: &Limits) -> Result<Self, ElfError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file)?;
        check_header(&elf)?;
        let headers = elf.segments().ok_or(ElfError::Malformed)?;
        if headers.len() > MAX_HEADERS {
            return Err(ElfError::TooManySegments { limit: MAX_HEADERS });
        }
        let fixed = headers
            .iter()
            .find(|header| header.p_type == PT_GNU_RELRO)
            .map_or(0..0, |header| header.p_vaddr..header.p_vaddr.saturating_add(header.p_memsz));
        let mut segments = Vec::<Segment<'a>, MAX_SEGMENTS>::new();
        for (index, header) in headers.iter().enumerate() {
            let Some(segment) = Segment::new(index, &header, &fixed, file, &limits.window)? else { continue };
            if let Some(other) = segments.iter().find(|other| meet(&other.range, &segment.range)) {
                return Err(ElfError::Overlap { first: other.index, second: index });
            }
            segments.push(segment).map_err(|_| ElfError::TooManySegments { limit: MAX_SEGMENTS })?;
        }
        let entry = elf.ehdr.e_entry;
        if !segments.iter().any(|segment| segment.executable && segment.range.contains(&entry)) {
            return Err(ElfError::EntryNotCode { entry });
        }
        let code = Part::new(PartKind::Code, &segments, limits)?;
        let data = Part::new(PartKind::Data, &segments, limits)?;
        if meet(&code.range, &data.range) {
            return Err(ElfError::SharedFrame { frame: limits.code_frame });
        }
        Ok(Self { entry, code, data })
    }

    /// Returns the address of the first instruction.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// Returns the part that is mapped read-only; never empty.
    pub fn code(&self) -> &Part<'a> {
        &self.code
    }

    /// Returns the part that is mapped writable; may be empty.
    pub fn data(&self) -> &Part<'a> {
        &self.data
    }
}

impl<'a> Part<'a> {
    /// Gathers the segments of one kind.
    fn new(kind: PartKind, segments: &[Segment<'a>], limits: &Limits) -> Result<Self, ElfError> {
        let (frame, limit) = match kind {
            PartKind::Code => (limits.code_frame, limits.code_bytes),
            PartKind::Data => (limits.data_frame, limits.data_bytes),
        };
        let mut part = Self { range: 0..0, pieces: Vec::new() };
        for segment in segments.iter().filter(|segment| segment.part == kind) {
            let outside = ElfError::OutsideWindow { segment: segment.index };
            let frames = whole_frames(&segment.range, frame, &limits.window).ok_or(outside)?;
            part.range = if part.range.is_empty() {
                frames
            } else {
                part.range.start.min(frames.start)..part.range.end.max(frames.end)
            };
            let piece = Piece { address: segment.range.start, bytes: segment.bytes };
            part.pieces.push(piece).map_err(|_| ElfError::TooManySegments { limit: MAX_SEGMENTS })?;
        }
        match part.range.end - part.range.start {
            bytes if bytes > limit => Err(ElfError::TooLarge { part: kind, bytes, limit }),
            _ => Ok(part),
        }
    }

    /// Returns the addresses to map, in whole frames.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Returns what comes from the file; everything else in the range is zero.
    pub fn pieces(&self) -> &[Piece<'a>] {
        &self.pieces
    }

    /// Finds what to copy into one frame, mapped at `address`: pairs of an offset in the frame and the bytes there.
    pub fn in_frame(&self, address: u64, size: SizeBits) -> impl Iterator<Item = (usize, &'a [u8])> {
        let frame = address..address.saturating_add(size.size());
        self.pieces.iter().filter_map(move |piece| {
            let start = piece.address.max(frame.start);
            let end = piece.end().min(frame.end);
            let bytes = piece.bytes.get(distance(piece.address, start)?..distance(piece.address, end)?)?;
            (!bytes.is_empty()).then_some((distance(frame.start, start)?, bytes))
        })
    }
}

impl Piece<'_> {
    /// Returns the address after the last byte.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.bytes.len() as u64)
    }
}

/// A program header of a segment that occupies memory, checked by itself.
struct Segment<'a> {
    index: usize,
    range: Range<u64>,
    bytes: &'a [u8],
    part: PartKind,
    executable: bool,
}

impl<'a> Segment<'a> {
    /// Checks one program header; nothing if it asks for no memory. `fixed` is what may be written only by a dynamic
    /// linker, so by nobody here: a segment that lies in it is not writable, whatever its own header says.
    fn new(
        index: usize,
        header: &ProgramHeader,
        fixed: &Range<u64>,
        file: &'a [u8],
        window: &Range<u64>,
    ) -> Result<Option<Self>, ElfError> {
        match header.p_type {
            PT_LOAD => {}
            PT_INTERP | PT_DYNAMIC => return Err(ElfError::NotStatic { segment: index }),
            PT_TLS => return Err(ElfError::ThreadLocals { segment: index }),
            // Notes, unwind tables, the wish for a stack: nothing that a load depends on.
            _ => return Ok(None),
        }
        let ProgramHeader { p_offset, p_vaddr, p_filesz, p_memsz, p_flags, p_align, .. } = *header;
        if p_filesz > p_memsz {
            return Err(ElfError::LargerInFile { segment: index });
        }
        // 0 and 1 both mean: not aligned.
        let align = p_align.max(1);
        if !align.is_power_of_two() || (p_vaddr ^ p_offset) & (align - 1) != 0 {
            return Err(ElfError::Misaligned { segment: index });
        }
        let file_range = distance(0, p_offset).zip(p_offset.checked_add(p_filesz).and_then(|end| distance(0, end)));
        let bytes = file_range.and_then(|(start, end)| file.get(start..end));
        let bytes = bytes.ok_or(ElfError::CutShort { segment: index })?;
        let end = p_vaddr.checked_add(p_memsz).ok_or(ElfError::AddressWraps { segment: index })?;
        if p_memsz == 0 {
            return Ok(None);
        }
        if p_vaddr < window.start || end > window.end {
            return Err(ElfError::OutsideWindow { segment: index });
        }
        if p_flags & PF_R == 0 {
            return Err(ElfError::NotReadable { segment: index });
        }
        let (writable, executable) = (p_flags & PF_W != 0, p_flags & PF_X != 0);
        if writable && executable {
            return Err(ElfError::WritableCode { segment: index });
        }
        let fixed = fixed.start <= p_vaddr && end <= fixed.end;
        let part = if writable && !fixed { PartKind::Data } else { PartKind::Code };
        Ok(Some(Self { index, range: p_vaddr..end, bytes, part, executable }))
    }
}

/// Checks that the file is a program for this machine.
fn check_header(elf: &ElfBytes<'_, LittleEndian>) -> Result<(), ElfError> {
    let header = &elf.ehdr;
    if header.class != Class::ELF64 {
        return Err(ElfError::Not64Bit);
    }
    if header.version != elf::abi::EV_CURRENT.into() {
        return Err(ParseError::UnsupportedVersion((header.version.into(), elf::abi::EV_CURRENT.into())).into());
    }
    if header.e_machine != EM_X86_64 {
        return Err(ElfError::WrongMachine { found: header.e_machine });
    }
    if header.e_type != ET_EXEC {
        return Err(ElfError::NotExecutable { found: header.e_type });
    }
    Ok(())
}

/// Tells whether two ranges have an address in common.
fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Widens a range to frame boundaries, unless it leaves the window by that.
fn whole_frames(range: &Range<u64>, frame: SizeBits, window: &Range<u64>) -> Option<Range<u64>> {
    let mask = frame.size() - 1;
    let (start, end) = (range.start & !mask, range.end.checked_add(mask)? & !mask);
    (start >= window.start && end <= window.end).then_some(start..end)
}

/// Returns how far `to` lies above `from`.
fn distance(from: u64, to: u64) -> Option<usize> {
    usize::try_from(to.checked_sub(from)?).ok()
}

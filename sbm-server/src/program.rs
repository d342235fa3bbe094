// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a client's own pages lie, and what it may do with them.

use core::{fmt, ops::Range};

use heapless::Vec;
use sbm_abi::{
    BufferAccess, ClientMap, MAX_INPUTS, Pages,
    limits::{
        CLIENT_IPC_BUFFER, CLIENT_STACK_BASE, CLIENT_STACK_BYTES, CLIENT_START_INFO, CODE_BASE, INPUT_BASE, INPUT_END,
        LARGE_PAGE, MAX_DATA_PAGES, PAGE, PROGRAM_END,
    },
};

use crate::{
    MapError, Piece, Share, Table,
    plan::{MAX_PIECES, regions_of},
};

/// Runs beside the input files: data, stack, IPC buffer, start information.
const PRIVATE: usize = 4;

/// Most page tables of a client's own pages: input files take one for each region at most, data nine, and the rest one.
const MAX_OWN_TABLES: usize = ((INPUT_END - INPUT_BASE) / LARGE_PAGE) as usize + 10;

/// Pages that a client holds by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Where.
    pub pages: Pages,
    /// Whether they are whole large pages, each of them one frame.
    pub large: bool,
    /// What it may do with them.
    pub access: BufferAccess,
    /// Number of the first frame among all of the client's but its code's, which are numbered through.
    pub frame: u32,
}

impl Holding {
    /// Returns the number of its frames.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        self.pages.frames(self.large)
    }

    /// Returns the address of one of its frames, by its number.
    #[must_use]
    pub const fn address(&self, frame: u32) -> u32 {
        self.pages.frame(self.large, frame - self.frame)
    }
}

/// Why a program has no place in a client's address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramError {
    /// Its parts do not lie where they could be mapped.
    Parts,
    /// There are more input files than a client can have.
    Inputs {
        /// How many there can be.
        limit: usize,
    },
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts => f.write_str(
                "its parts lie outside of a client's address space; link it with the client library's script",
            ),
            Self::Inputs { limit } => write!(f, "it has more than {limit} input files; give fewer"),
        }
    }
}

/// A client's own pages: code, data, stack, IPC buffer, start information, input files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    map: ClientMap,
    code_frames: u8,
    holdings: Vec<Holding, { PRIVATE + 2 * MAX_INPUTS }>,
    tables: Vec<u16, MAX_OWN_TABLES>,
}

impl Program {
    /// Plans a client whose code and data lie in these ranges, with input files as [`Pages::of_input`] has placed them.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn new(code: &Range<u64>, data: &Range<u64>, inputs: &[Pages]) -> Result<Self, ProgramError> {
        const STACK: Pages = Pages { address: CLIENT_STACK_BASE, count: CLIENT_STACK_BYTES / PAGE };
        let (code, data) = (pages_of(code)?, pages_of(data)?);
        let is_there = code.address == CODE_BASE && code.count > 0;
        let fits = code.end().max(data.end()) <= PROGRAM_END && data.count <= MAX_DATA_PAGES.into();
        if !is_there || !fits {
            return Err(ProgramError::Parts);
        }
        let code_frames = u8::try_from(code.bytes().div_ceil(LARGE_PAGE)).map_err(|_| ProgramError::Parts)?;
        let single = |address| Pages { address, count: 1 };
        let private = [
            (data, false, BufferAccess::ReadWrite),
            (STACK, false, BufferAccess::ReadWrite),
            (single(CLIENT_IPC_BUFFER), false, BufferAccess::ReadWrite),
            (single(CLIENT_START_INFO), false, BufferAccess::ReadOnly),
        ];
        let map = ClientMap { code_end: code.end(), data: data.address, data_end: data.end() };
        let mut program = Self { map, code_frames, holdings: Vec::new(), tables: Vec::new() };
        if inputs.len() > MAX_INPUTS {
            return Err(ProgramError::Inputs { limit: MAX_INPUTS });
        }
        let inputs = inputs.iter().flat_map(|pages| {
            let (large, small) = pages.of_large_input();
            [(large, true, BufferAccess::ReadOnly), (small, false, BufferAccess::ReadOnly)]
        });
        let mut frame = 0;
        for (pages, large, access) in private.into_iter().chain(inputs).filter(|(pages, ..)| pages.count > 0) {
            let holding = Holding { pages, large, access, frame };
            program.holdings.push(holding).map_err(|_| ProgramError::Inputs { limit: MAX_INPUTS })?;
            frame += holding.frames();
            for region in regions_of(pages).filter(|_| !large) {
                let region = u16::try_from(region).map_err(|_| ProgramError::Parts)?;
                if !program.tables.contains(&region) {
                    program.tables.push(region).map_err(|_| ProgramError::Parts)?;
                }
            }
        }
        Ok(program)
    }

    /// Returns the number of large frames of code, which lie from [`CODE_BASE`] on, to read.
    #[must_use]
    pub const fn code_frames(&self) -> u8 {
        self.code_frames
    }

    /// Returns what faults are named after.
    #[must_use]
    pub const fn map(&self) -> ClientMap {
        self.map
    }

    /// Returns the pages of the writable data.
    #[must_use]
    pub const fn data(&self) -> Pages {
        Pages { address: self.map.data, count: (self.map.data_end - self.map.data) / PAGE }
    }

    /// Returns the pages, in the order of their frames.
    #[must_use]
    pub fn holdings(&self) -> &[Holding] {
        &self.holdings
    }

    /// Returns the regions of 2 MiB that need a page table.
    #[must_use]
    pub fn tables(&self) -> &[u16] {
        &self.tables
    }

    /// Plans to map `pages` into a sandbox that lacks some paging structures, if the client holds all of them for `access`.
    pub(crate) fn share(
        &self,
        pages: Pages,
        access: BufferAccess,
        lacks: impl Fn(Table) -> bool,
    ) -> Result<Share, MapError> {
        let mut share = Share { tables: Vec::new(), pieces: Vec::new(), access };
        let mut address = pages.address;
        while address < pages.end() {
            let holding = self.holdings.iter().find(|holding| holding.pages.contains(u64::from(address)));
            let may =
                |holding: &&Holding| holding.access == BufferAccess::ReadWrite || access == BufferAccess::ReadOnly;
            let holding = holding.filter(may).ok_or(MapError::NotHeld { address })?;
            let large = holding.large;
            if large && holding.pages.cuts(pages) {
                return Err(MapError::Cut { large: holding.pages });
            }
            let end = pages.end().min(holding.pages.end());
            let piece = Pages { address, count: (end - address) / PAGE };
            let before = Pages { count: (address - holding.pages.address) / PAGE, ..holding.pages };
            let frame = holding.frame + before.frames(large);
            let full = MapError::Full { limit: MAX_PIECES };
            share.pieces.push(Piece { pages: piece, large, frame }).map_err(|_| full)?;
            address = end;
        }
        let is_large = |table: &Table| {
            let lies = |piece: &Piece| piece.large && piece.pages.contains(table.address().into());
            matches!(table, Table::Page(_)) && share.pieces.iter().any(lies)
        };
        for table in Table::of(regions_of(pages)).filter(|table| lacks(*table) && !is_large(table)) {
            share.tables.push(table).map_err(|_| MapError::Exhausted)?;
        }
        Ok(share)
    }
}

/// Takes a range of whole pages below 4 GiB.
fn pages_of(range: &Range<u64>) -> Result<Pages, ProgramError> {
    let bytes = range.end.checked_sub(range.start).ok_or(ProgramError::Parts)?;
    let whole = range.start.is_multiple_of(u64::from(PAGE)) && bytes.is_multiple_of(u64::from(PAGE));
    match (u32::try_from(range.start), u32::try_from(bytes / u64::from(PAGE)), u32::try_from(range.end)) {
        (Ok(address), Ok(count), Ok(_)) if whole => Ok(Pages { address, count }),
        _ => Err(ProgramError::Parts),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CODE: Range<u64> = 0x20_0000..0x60_0000;
    const DATA: Range<u64> = 0x80_0000..0x80_3000;

    fn program() -> Program {
        let first = Pages::of_input(None, 5000).unwrap();
        let second = Pages::of_input(Some(first), 0).unwrap();
        Program::new(&CODE, &DATA, &[first, second]).unwrap()
    }

    fn share(address: u32, count: u32, access: BufferAccess) -> Result<Share, MapError> {
        program().share(Pages { address, count }, access, |_| true)
    }

    #[test]
    fn frames_are_numbered_through_in_the_order_of_holdings() {
        let program = program();
        let mut frame = 0;
        for holding in program.holdings() {
            assert_eq!(holding.frame, frame);
            frame += holding.frames();
        }
        assert_eq!(frame, 3 + 64 + 1 + 1 + 2 + 1);
        assert_eq!(program.code_frames(), 2);
        assert_eq!(program.map(), ClientMap { code_end: 0x60_0000, data: 0x80_0000, data_end: 0x80_3000 });
        assert_eq!(
            program.tables(),
            [0x80_0000 / LARGE_PAGE, CLIENT_STACK_BASE / LARGE_PAGE, INPUT_BASE / LARGE_PAGE]
                .map(|region| u16::try_from(region).unwrap())
        );
    }

    #[test]
    fn what_the_client_may_write_and_what_it_may_only_read() {
        for (address, access) in [
            (0x80_0000, BufferAccess::ReadWrite),
            (CLIENT_STACK_BASE, BufferAccess::ReadWrite),
            (CLIENT_IPC_BUFFER, BufferAccess::ReadWrite),
            (CLIENT_START_INFO, BufferAccess::ReadOnly),
            (INPUT_BASE, BufferAccess::ReadOnly),
        ] {
            assert!(share(address, 1, BufferAccess::ReadOnly).is_ok());
            let write = share(address, 1, BufferAccess::ReadWrite);
            assert_eq!(write.is_ok(), access == BufferAccess::ReadWrite, "{address:#x}");
        }
    }

    #[test]
    fn pages_that_the_client_does_not_hold_are_refused_by_address() {
        for (address, count, missing) in [
            (0, 1, 0),
            (CODE_BASE, 1, CODE_BASE),
            (0x80_2000, 2, 0x80_3000),
            (CLIENT_STACK_BASE - PAGE, 1, CLIENT_STACK_BASE - PAGE),
            (INPUT_BASE, 4, INPUT_BASE + 3 * PAGE),
        ] {
            let refused = share(address, count, BufferAccess::ReadOnly).unwrap_err();
            assert_eq!(refused, MapError::NotHeld { address: missing });
        }
    }

    #[test]
    fn a_share_across_two_inputs_names_the_frames_of_both() {
        let share = share(INPUT_BASE + PAGE, 2, BufferAccess::ReadOnly).unwrap();
        assert_eq!(share.frames(), 2);
        let first = 3 + 64 + 1 + 1;
        let single = |address| Pages { address, count: 1 };
        let piece = |address, frame| Piece { pages: single(address), large: false, frame };
        assert_eq!(share.pieces, [piece(INPUT_BASE + PAGE, first + 1), piece(INPUT_BASE + 2 * PAGE, first + 2)]);
        assert_eq!(share.tables, [Table::Directory(3), Table::Page(1536)]);
    }

    #[test]
    fn a_share_makes_only_the_tables_that_the_sandbox_lacks() {
        let pages = Pages { address: INPUT_BASE, count: 1 };
        let share = program().share(pages, BufferAccess::ReadOnly, |table| table == Table::Page(1536)).unwrap();
        assert_eq!(share.tables, [Table::Page(1536)]);
    }

    #[test]
    fn programs_in_the_wrong_place_are_refused() {
        let backwards = Range { start: 0x80_1000, end: 0x80_0000 };
        for (code, data) in [
            (0x40_0000..0x60_0000, DATA),
            (0x20_0000..0x20_0000, DATA),
            (CODE, 0x80_0000..0x80_0001),
            (CODE, 0x80_0001..0x80_1001),
            (CODE, backwards),
            (CODE, 0xffff_f000..0x1_0000_1000),
            (0x20_0000..0x20_0000 + 0x1000 * 65536, DATA),
        ] {
            assert_eq!(Program::new(&code, &data, &[]), Err(ProgramError::Parts), "{code:?} {data:?}");
        }
        assert!(Program::new(&CODE, &(0..0), &[]).is_ok());
        let inputs = [Pages { address: INPUT_BASE, count: 1 }; MAX_INPUTS + 1];
        assert_eq!(Program::new(&CODE, &DATA, &inputs), Err(ProgramError::Inputs { limit: MAX_INPUTS }));
    }

    #[test]
    fn what_is_wrong_with_a_program_is_told_in_words() {
        extern crate std;
        use std::string::ToString;

        assert!(ProgramError::Parts.to_string().contains("outside of a client's address space"));
        assert!(ProgramError::Inputs { limit: 32 }.to_string().contains("more than 32 input files"));
    }
}

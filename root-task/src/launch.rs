// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients are started from, the first time and again: the description, the archive, input files.

use heapless::Vec;
use sbm_abi::{
    Input, MAX_INPUTS, Pages, StartInfo,
    limits::{CODE_BASE, MAX_CODE_BYTES, MAX_DATA_BYTES, PROGRAM_END},
};
use sbm_loader::{Archive, ArchiveError, ElfError, Limits, LoadPlan};
use sbm_objects::SizeBits;
use sbm_server::{ClientId, Program, ProgramError, Shortage};
use sbm_system::{Priorities, System};
use sel4::Error;

use crate::input::InputFile;

/// The programs, and what an image was made to run if it was: a tar archive, put together by the host tool.
static ARCHIVE: &[u8] = include_bytes!(env!("SBM_ARCHIVE"));

/// What a program may take.
pub(crate) const LIMITS: Limits = Limits {
    window: CODE_BASE as u64..PROGRAM_END as u64,
    code_frame: SizeBits::of::<21>(),
    data_frame: SizeBits::of::<12>(),
    code_bytes: MAX_CODE_BYTES as u64,
    data_bytes: MAX_DATA_BYTES as u64,
};

/// Opens the archive: programs, and what the host would hand over otherwise.
pub(crate) fn archive() -> Result<Archive<'static>, ArchiveError> {
    Archive::new(ARCHIVE)
}

/// Where all clients come from. It does not change once they run.
pub(crate) struct Origin {
    pub(crate) archive: Option<Archive<'static>>,
    /// The description, which adds up.
    pub(crate) system: System<'static>,
    /// Its input files, in its order.
    pub(crate) files: Vec<InputFile, MAX_INPUTS>,
    /// Time-stamp counter when the root task started, and how far it goes in a second.
    pub(crate) boot_ticks: u64,
    pub(crate) ticks_per_second: u64,
}

impl Origin {
    pub(crate) const NOTHING: Self = Self {
        archive: None,
        system: System { inputs: Vec::new(), clients: Vec::new() },
        files: Vec::new(),
        boot_ticks: 0,
        ticks_per_second: 0,
    };
}

/// What to start a client with.
pub(crate) struct Launch {
    pub(crate) id: ClientId,
    pub(crate) client: &'static sbm_system::Client<'static>,
    pub(crate) file: LoadPlan<'static>,
    pub(crate) program: Program,
    pub(crate) priorities: Priorities,
    pub(crate) inputs: Vec<InputFile, MAX_INPUTS>,
    origin: &'static Origin,
}

impl Launch {
    /// Finds all that the client at a place of the description is started with.
    pub(crate) fn new(origin: &'static Origin, id: ClientId) -> Result<Self, LoadError> {
        let client = origin.system.clients.get(id.get()).ok_or(LoadError::Gone)?;
        let program = origin.archive.as_ref().and_then(|archive| archive.find(client.program));
        let file = LoadPlan::new(program.ok_or(LoadError::Gone)?, &LIMITS)?;
        let files = origin.files.iter().enumerate().filter(|(number, _)| client.has_input(*number));
        let inputs: Vec<InputFile, MAX_INPUTS> = files.map(|(_, file)| *file).collect();
        let pages: Vec<Pages, MAX_INPUTS> = inputs.iter().map(|file| file.pages).collect();
        let program = Program::new(&file.code().range(), &file.data().range(), &pages)?;
        let priorities = origin.system.priorities(id.get());
        Ok(Self { id, client, file, program, priorities, inputs, origin })
    }

    /// Returns what the client finds at its start.
    pub(crate) fn start_info(&self) -> StartInfo<'_> {
        let budget = self.client.terms.budget;
        StartInfo {
            name: self.client.name,
            program: self.client.program,
            map: self.program.map(),
            boot_ticks: self.origin.boot_ticks,
            ticks_per_second: self.origin.ticks_per_second,
            default_budget_ticks: u64::from(budget.default_ms).saturating_mul(self.origin.ticks_per_second) / 1000,
            longest_budget_ms: budget.longest_ms,
            arguments: self.client.arguments.clone(),
            inputs: self.inputs.iter().map(InputFile::describe).collect::<Vec<Input<'_>, _>>(),
        }
    }
}

/// Why a program was not started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LoadError {
    /// Memory or slots ran out.
    Exhausted,
    /// The kernel refused a step.
    Kernel(Error),
    /// The start information does not fit its page.
    StartInfo,
    /// The file is no program that can be loaded.
    File(ElfError),
    /// The program has no place in a client's address space.
    Program(ProgramError),
    /// There is no such client or program: the description was looked at before.
    Gone,
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exhausted => f.write_str("memory ran out; give the machine more (--memory)"),
            Self::Kernel(Error::NotEnoughMemory) => f.write_str("its block is too small; report this"),
            Self::Kernel(error) => write!(f, "the kernel refused a step ({error:?}); report this"),
            Self::StartInfo => f.write_str("its arguments or the names of its inputs are too long; shorten them"),
            Self::File(error) => write!(f, "its program cannot be loaded: {error}"),
            Self::Program(error) => write!(f, "{error}"),
            Self::Gone => f.write_str("its program is not there; report this"),
        }
    }
}

macro_rules! from {
    ($($part:ty as $variant:ident),* $(,)?) => {
        $(impl From<$part> for LoadError {
            fn from(part: $part) -> Self { Self::$variant(part) }
        })*
    };
}

from! { Error as Kernel, ElfError as File, ProgramError as Program }

impl From<Shortage> for LoadError {
    fn from(_: Shortage) -> Self {
        Self::Exhausted
    }
}

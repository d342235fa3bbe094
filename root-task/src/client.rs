// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client: a program of the archive in its own address space, capability space and thread.
//!
//! Its code lies in large frames, mapped read-only, which its sandboxes share; everything else of it in one block.

use core::ops::Range;

use heapless::Vec;
use sbm_abi::{
    ClientMap, Input, Layout, Pages, StartInfo,
    limits::{
        ARENA_BASE, ARENA_END, CLIENT_IPC_BUFFER, CLIENT_SERVER_SLOT, CLIENT_STACK_BASE, CLIENT_STACK_BYTES,
        CLIENT_START_INFO, CODE_BASE, INPUT_BASE, INPUT_END, LARGE_PAGE, PAGE, PROGRAM_END,
    },
};
use sbm_loader::{LoadPlan, Part};
use sbm_objects::{SizeBits, Span};
use sbm_server::{ClientId, Exhausted};
use sel4::{
    AbsoluteCPtr, CNodeCapData, CPtr, CapRights, Error, ObjectBlueprint, UserContext, VmAttributes, cap, cap_type,
};

use crate::{
    asid::AsidPool,
    badge::Badge,
    cspace::Slot,
    input::InputFile,
    machine::Machine,
    memory::{Untyped, retype},
};

/// Priority of clients and their sandboxes; the root task runs at the highest.
pub(crate) const PRIORITY: u8 = 100;

/// Slots of a client's CSpace, as a power of two: one for each sandbox of the system, and a few.
const CNODE_BITS: u8 = 13;
/// Slot in a client's CSpace of its fault endpoint.
const FAULT_SLOT: u64 = 2;

const FIRST_REGION: u32 = ARENA_BASE / LARGE_PAGE;
const ARENA_REGIONS: usize = ((ARENA_END - ARENA_BASE) / LARGE_PAGE) as usize;

const VSPACE: u32 = 0;
const PDPT: u32 = 1;
const DIRECTORIES: u32 = 2;
const TCB: u32 = 4;
const CNODE: u32 = 5;
const TABLES: u32 = 6;

/// What a program may take.
pub(crate) const LIMITS: sbm_loader::Limits = sbm_loader::Limits {
    window: CODE_BASE as u64..PROGRAM_END as u64,
    code_frame: SizeBits::of::<21>(),
    data_frame: SizeBits::of::<12>(),
    code_bytes: 8 * LARGE_PAGE as u64,
    data_bytes: LARGE_PAGE as u64,
};

/// Why a program was not started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LoadError {
    /// Memory or slots ran out.
    Exhausted,
    /// The kernel refused a step.
    Kernel(Error),
    /// The start information does not fit its page: too many or too long names.
    StartInfo,
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exhausted => f.write_str("memory ran out; give the machine more (--memory)"),
            Self::Kernel(Error::NotEnoughMemory) => f.write_str("its block is too small; report this"),
            Self::Kernel(error) => write!(f, "the kernel refused a step ({error:?}); report this"),
            Self::StartInfo => f.write_str("its arguments or the names of its inputs are too long; shorten them"),
        }
    }
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<Exhausted> for LoadError {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

/// A run of the client's pages, whose frames lie in slots from `first` on.
#[derive(Debug, Clone, Copy)]
struct Run {
    pages: Pages,
    first: Slot,
    writable: bool,
}

/// A client and its kernel objects.
pub(crate) struct Client {
    name: &'static str,
    map: ClientMap,
    code: Untyped,
    code_slots: Span,
    code_frames: u8,
    block: Untyped,
    slots: Span,
    pool: AsidPool,
    runs: Vec<Run, { 4 + sbm_abi::MAX_INPUTS }>,
    /// Page tables of the arenas, by 2 MiB region.
    tables: [Option<(Untyped, Span)>; ARENA_REGIONS],
}

/// What to start a client with.
pub(crate) struct Launch<'a> {
    pub(crate) id: ClientId,
    pub(crate) name: &'static str,
    pub(crate) plan: &'a LoadPlan<'static>,
    pub(crate) arguments: &'a [&'static str],
    pub(crate) inputs: &'a [InputFile],
    /// Time-stamp counter when the root task started.
    pub(crate) boot_ticks: u64,
}

const fn pages_of(range: &Range<u64>) -> Pages {
    // The loader's window lies below 4 GiB, and its limit below 65,536 pages.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    Pages { address: range.start as u32, count: ((range.end - range.start) / PAGE as u64) as u16 }
}

fn regions_of(pages: Pages) -> Range<u32> {
    pages.address / LARGE_PAGE..pages.end().div_ceil(LARGE_PAGE)
}

impl Client {
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn vspace(&self) -> cap::VSpace {
        Slot(self.slots.first).plus(VSPACE).cap()
    }

    pub(crate) const fn code_frames(&self) -> u8 {
        self.code_frames
    }

    /// Returns the slot of a large frame of the code.
    pub(crate) const fn code_frame(&self, frame: u32) -> Slot {
        Slot(self.code_slots.first).plus(frame)
    }

    /// Returns the path to a slot of the client's own CSpace.
    pub(crate) fn slot(&self, slot: u64) -> AbsoluteCPtr {
        self.at(CNODE).cap::<cap_type::CNode>().absolute_cptr_from_bits_with_depth(slot, CNODE_BITS)
    }

    const fn at(&self, place: u32) -> Slot {
        Slot(self.slots.first).plus(place)
    }

    /// Finds the frame that the client has at `address`, and whether it may write there.
    pub(crate) fn frame_at(&self, address: u32) -> Option<(Slot, bool)> {
        let run = self.runs.iter().find(|run| run.pages.contains(u64::from(address)))?;
        Some((run.first.plus((address - run.pages.address) / PAGE), run.writable))
    }

    /// Makes the page tables that the client needs to share `layout`; they stay until the client ends.
    pub(crate) fn cover(&mut self, machine: &mut Machine, layout: &Layout) -> Result<(), Exhausted> {
        for region in layout.regions() {
            let Some(place) = self.tables.get_mut((region - FIRST_REGION) as usize) else { return Err(Exhausted) };
            if place.is_some() {
                continue;
            }
            let (untyped, slots) = machine.memory.block_and_slots(machine.cspace, u64::from(PAGE), 1)?;
            let slot = Slot(slots.first);
            let vspace = Slot(self.slots.first).plus(VSPACE).cap();
            let made = retype(machine.cspace, untyped.slot(), ObjectBlueprint::PAGE_TABLE, slot, 1).and_then(|()| {
                let table = slot.cap::<cap_type::PageTable>();
                table.page_table_map(vspace, (region * LARGE_PAGE) as usize, VmAttributes::default())
            });
            if made.is_err() {
                machine.memory.free_block(machine.cspace, untyped);
                machine.memory.free_slots(slots);
                return Err(Exhausted);
            }
            *place = Some((untyped, slots));
        }
        Ok(())
    }

    /// Loads and starts a client.
    pub(crate) fn start(machine: &mut Machine, launch: &Launch<'_>) -> Result<Self, LoadError> {
        let code = pages_of(&launch.plan.code().range());
        let data = pages_of(&launch.plan.data().range());
        let code_frames = code.bytes().div_ceil(LARGE_PAGE);
        let inputs: u32 = launch.inputs.iter().map(|input| u32::from(input.pages)).sum();
        let private = private_runs(data);
        let tables = tables_for(data, launch.inputs);
        let frames: u32 = private.iter().map(|(pages, _)| u32::from(pages.count)).sum();
        #[expect(clippy::cast_possible_truncation, reason = "few")]
        let table_count = tables.len() as u32;
        let bytes = u64::from((4 + table_count + frames) * PAGE)
            + (1 << ObjectBlueprint::Tcb.physical_size_bits())
            + (32 << CNODE_BITS);

        let pool = machine.asids.reserve(machine.memory, machine.cspace)?;
        let code_bytes = u64::from(code_frames * LARGE_PAGE);
        let slots = TABLES + table_count + frames + inputs;
        let taken = machine.memory.block_and_slots(machine.cspace, code_bytes, code_frames).and_then(|code| {
            match machine.memory.block_and_slots(machine.cspace, bytes, slots) {
                Ok(rest) => Ok((code, rest)),
                Err(Exhausted) => {
                    machine.memory.free_block(machine.cspace, code.0);
                    machine.memory.free_slots(code.1);
                    Err(Exhausted)
                }
            }
        });
        let ((code_block, code_slots), (block, slots)) = match taken {
            Ok(taken) => taken,
            Err(Exhausted) => {
                machine.asids.release(pool);
                return Err(LoadError::Exhausted);
            }
        };
        let map = ClientMap { code_end: code.end(), data: data.address, data_end: data.end() };
        let mut client = Self {
            name: launch.name,
            map,
            code: code_block,
            code_slots,
            #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
            code_frames: code_frames as u8,
            block,
            slots,
            pool,
            runs: Vec::new(),
            tables: [const { None }; ARENA_REGIONS],
        };
        match client.fill(machine, launch, &tables, &private) {
            Ok(()) => Ok(client),
            Err(error) => {
                client.end(machine);
                Err(error)
            }
        }
    }

    fn fill(
        &mut self,
        machine: &mut Machine,
        launch: &Launch<'_>,
        tables: &[u32],
        private: &[(Pages, bool)],
    ) -> Result<(), LoadError> {
        let (cspace, untyped, vspace) = (machine.cspace, self.block.slot(), self.vspace());
        let attributes = VmAttributes::default();
        // The largest first: objects are aligned to their size, and the block has no room for gaps.
        let cnode_blueprint = ObjectBlueprint::CNode { size_bits: usize::from(CNODE_BITS) };
        retype(cspace, untyped, cnode_blueprint, self.at(CNODE), 1)?;
        retype(cspace, untyped, ObjectBlueprint::VSPACE, self.at(VSPACE), 1)?;
        retype(cspace, untyped, ObjectBlueprint::PDPT, self.at(PDPT), 1)?;
        retype(cspace, untyped, ObjectBlueprint::PAGE_DIRECTORY, self.at(DIRECTORIES), 2)?;
        self.pool.assign(vspace)?;
        self.at(PDPT).cap::<cap_type::PDPT>().pdpt_map(vspace, 0, attributes)?;
        for (place, address) in [(0, 0), (1, INPUT_BASE)] {
            let directory = self.at(DIRECTORIES + place).cap::<cap_type::PageDirectory>();
            directory.page_directory_map(vspace, address as usize, attributes)?;
        }
        let mut next = self.at(TABLES);
        for region in tables {
            retype(cspace, untyped, ObjectBlueprint::PAGE_TABLE, next, 1)?;
            let table = next.cap::<cap_type::PageTable>();
            table.page_table_map(vspace, (region * LARGE_PAGE) as usize, attributes)?;
            next = next.plus(1);
        }
        self.fill_code(machine, launch.plan.code())?;
        for (pages, writable) in private {
            retype(cspace, untyped, ObjectBlueprint::SMALL_PAGE, next, u32::from(pages.count))?;
            let run = Run { pages: *pages, first: next, writable: *writable };
            fill_run(machine, run, launch.plan.data())?;
            if pages.address == CLIENT_START_INFO {
                self.write_start_info(machine, launch, next)?;
            }
            map_run(vspace, run)?;
            self.runs.push(run).map_err(|_| LoadError::StartInfo)?;
            next = next.plus(u32::from(pages.count));
        }
        for input in launch.inputs {
            let run = Run { pages: Pages { address: input.address, count: input.pages }, first: next, writable: false };
            for page in 0..u32::from(input.pages) {
                let frame = cspace.path(input.first.plus(page));
                cspace.path(next.plus(page)).copy(&frame, CapRights::read_only())?;
            }
            map_run(vspace, run)?;
            self.runs.push(run).map_err(|_| LoadError::StartInfo)?;
            next = next.plus(u32::from(input.pages));
        }
        retype(cspace, untyped, ObjectBlueprint::Tcb, self.at(TCB), 1)?;
        self.start_thread(machine, launch)
    }

    fn fill_code(&self, machine: &mut Machine, part: &Part<'_>) -> Result<(), Error> {
        let cspace = machine.cspace;
        let frames = u32::from(self.code_frames);
        retype(cspace, self.code.slot(), ObjectBlueprint::LARGE_PAGE, self.code_frame(0), frames)?;
        for frame in 0..frames {
            let address = CODE_BASE + frame * LARGE_PAGE;
            machine.window.fill_large(self.code_frame(frame), |bytes| {
                copy_pieces(part, u64::from(address), LIMITS.code_frame, bytes);
            })?;
            let page = self.code_frame(frame).cap::<cap_type::LargePage>();
            page.frame_map(self.vspace(), address as usize, CapRights::read_only(), VmAttributes::default())?;
        }
        Ok(())
    }

    fn write_start_info(&self, machine: &mut Machine, launch: &Launch<'_>, frame: Slot) -> Result<(), LoadError> {
        let inputs = launch.inputs.iter().map(InputFile::describe);
        let info = StartInfo {
            name: self.name,
            map: self.map,
            boot_ticks: launch.boot_ticks,
            arguments: launch.arguments.iter().copied().collect(),
            inputs: inputs.collect::<Vec<Input<'_>, _>>(),
        };
        let mut fits = false;
        machine.window.fill_small(frame, |bytes| fits = info.encode(bytes).is_ok())?;
        if fits { Ok(()) } else { Err(LoadError::StartInfo) }
    }

    fn start_thread(&self, machine: &Machine, launch: &Launch<'_>) -> Result<(), LoadError> {
        let endpoint = machine.cspace.path(machine.endpoint);
        let server = Badge::Client(launch.id).to_word();
        self.slot(CLIENT_SERVER_SLOT).mint(&endpoint, CapRights::call(), server)?;
        let fault = Badge::ClientFault(launch.id).to_word();
        self.slot(FAULT_SLOT).mint(&endpoint, CapRights::call(), fault)?;
        let ipc_buffer = self.frame_at(CLIENT_IPC_BUFFER).map(|(slot, _)| (CLIENT_IPC_BUFFER as usize, slot.cap()));
        let thread = self.at(TCB).cap::<cap_type::Tcb>();
        thread.tcb_configure(
            CPtr::from_bits(FAULT_SLOT),
            PRIORITY,
            sel4::init_thread::slot::TCB.cap(),
            self.at(CNODE).cap(),
            CNodeCapData::skip_high_bits(usize::from(CNODE_BITS)),
            self.vspace(),
            ipc_buffer,
        )?;
        let mut context = UserContext::zeroed();
        *context.pc_mut() = launch.plan.entry();
        // As after a call: the entry point is an ordinary function.
        *context.sp_mut() = u64::from(CLIENT_STACK_BASE + CLIENT_STACK_BYTES) - 8;
        *context.flags_mut() = 0x202;
        thread.tcb_write_all_registers(true, &context)?;
        Ok(())
    }

    /// Ends the client, whose sandboxes are gone already, and takes everything back.
    pub(crate) fn end(&self, machine: &mut Machine) {
        for (untyped, slots) in self.tables.iter().flatten() {
            machine.memory.free_block(machine.cspace, *untyped);
            machine.memory.free_slots(*slots);
        }
        let inputs = self.runs.iter().filter(|run| run.pages.address >= INPUT_BASE);
        for run in inputs {
            for page in 0..u32::from(run.pages.count) {
                let _ = machine.cspace.path(run.first.plus(page)).delete();
            }
        }
        machine.memory.free_block(machine.cspace, self.block);
        machine.memory.free_block(machine.cspace, self.code);
        machine.memory.free_slots(self.slots);
        machine.memory.free_slots(self.code_slots);
        machine.asids.release(self.pool);
    }
}

/// The client's own pages, and whether it may write them.
fn private_runs(data: Pages) -> Vec<(Pages, bool), 4> {
    const STACK: Pages = Pages { address: CLIENT_STACK_BASE, count: (CLIENT_STACK_BYTES / PAGE) as u16 };
    let mut runs = Vec::new();
    let all = [
        (data, true),
        (STACK, true),
        (Pages { address: CLIENT_IPC_BUFFER, count: 1 }, true),
        (Pages { address: CLIENT_START_INFO, count: 1 }, false),
    ];
    runs.extend(all.into_iter().filter(|(pages, _)| pages.count > 0));
    runs
}

/// The 2 MiB regions that need a page table from the start.
fn tables_for(data: Pages, inputs: &[InputFile]) -> Vec<u32, 32> {
    let mut tables = Vec::new();
    let runs = [data, Pages { address: CLIENT_STACK_BASE, count: 1 }, Pages { address: CLIENT_START_INFO, count: 1 }];
    let input_end = inputs.last().map_or(INPUT_BASE, |input| input.address + u32::from(input.pages) * PAGE);
    let regions = runs.into_iter().filter(|run| run.count > 0).flat_map(regions_of);
    for region in regions.chain(INPUT_BASE / LARGE_PAGE..input_end.min(INPUT_END).div_ceil(LARGE_PAGE)) {
        if !tables.contains(&region) {
            // More than there is room for shows when the pages are mapped, which then fails.
            let _ = tables.push(region);
        }
    }
    tables
}

fn copy_pieces(part: &Part<'_>, address: u64, size: SizeBits, bytes: &mut [u8]) {
    for (offset, piece) in part.in_frame(address, size) {
        if let Some(target) = bytes.get_mut(offset..offset + piece.len()) {
            target.copy_from_slice(piece);
        }
    }
}

/// Fills what a run has of the program's data.
fn fill_run(machine: &mut Machine, run: Run, data: &Part<'_>) -> Result<(), Error> {
    for page in 0..u32::from(run.pages.count) {
        let address = u64::from(run.pages.address + page * PAGE);
        if data.in_frame(address, LIMITS.data_frame).next().is_some() {
            machine.window.fill_small(run.first.plus(page), |bytes| {
                copy_pieces(data, address, LIMITS.data_frame, bytes);
            })?;
        }
    }
    Ok(())
}

fn map_run(vspace: cap::VSpace, run: Run) -> Result<(), Error> {
    let rights = if run.writable { CapRights::read_write() } else { CapRights::read_only() };
    for page in 0..u32::from(run.pages.count) {
        let frame = run.first.plus(page).cap::<cap_type::SmallPage>();
        frame.frame_map(vspace, (run.pages.address + page * PAGE) as usize, rights, VmAttributes::default())?;
    }
    Ok(())
}

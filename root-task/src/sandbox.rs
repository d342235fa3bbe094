// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel objects of a sandbox: made out of one untyped block, gone with one revoke.
//!
//! ```text
//!   block:  endpoint  CNode  TCB (one page) | PT..  frames (arguments, stack, buffers)  PD  PDPT  PML4
//!   slots:  PML4  PDPT  PD  TCB  CNode  endpoint | code frames, copied | PT.. | frames.. | frames for the client, copied
//! ```
//!
//! Only the copies of the client's own frames (code, and what it maps) are not children of the block and are deleted one
//! by one.

use core::ops::Range;

use heapless::Vec;
use sbm_abi::{
    BufferAccess, EntryPoints, Extent, Layout, Pages, Registers,
    limits::{
        CLIENT_SANDBOX_SLOTS, CODE_BASE, LARGE_PAGE, MAX_GROWTHS, MAX_MAPPINGS, PAGE, SANDBOX_CNODE_BITS,
        SANDBOX_ENDPOINT_SLOT, SANDBOX_FAULT_SLOT,
    },
};
use sbm_objects::Span;
use sbm_server::{Exhausted, MapError, Restart, SandboxIndex};
use sel4::{CNodeCapData, CPtr, CapRights, Error, ObjectBlueprint, UserContext, VmAttributes, cap, cap_type};

use crate::{
    asid::AsidPool,
    badge::Badge,
    client::{Client, PRIORITY},
    cspace::Slot,
    machine::Machine,
    memory::{Untyped, retype},
};

const PML4: u32 = 0;
const PDPT: u32 = 1;
const DIRECTORY: u32 = 2;
const TCB: u32 = 3;
const CNODE: u32 = 4;
const ENDPOINT: u32 = 5;
const CODE: u32 = 6;

/// Most page tables of one sandbox: those of its layout, of growths and of mappings.
const MAX_TABLES: usize = 40;

const GIB_BITS: u32 = 30;

/// What was added to a sandbox: a block with frames or page tables, and slots, the first `copies` of which hold copies
/// of the client's frames.
#[derive(Debug)]
struct Extra {
    untyped: Option<Untyped>,
    slots: Span,
    copies: u16,
}

/// The kernel objects of one sandbox.
#[derive(Debug)]
pub(crate) struct Objects {
    untyped: Untyped,
    slots: Span,
    code_frames: u8,
    arguments: Pages,
    /// Paging structures below the first page directory.
    tables: Tables,
    /// Which pool the address-space id is of.
    pool: AsidPool,
    extras: Vec<Extra, { MAX_GROWTHS + MAX_MAPPINGS }>,
}

type Tables = Vec<Table, MAX_TABLES>;

/// A paging structure, by what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    /// The page directory of a GiB; the first one is part of every sandbox.
    Directory(u8),
    /// The page table of a 2 MiB region.
    Page(u16),
}

impl Table {
    /// Lists what `regions` need, page directories before their page tables.
    #[expect(clippy::cast_possible_truncation, reason = "addresses lie below 4 GiB")]
    fn of(regions: Range<u32>) -> impl Iterator<Item = Self> {
        const PER_GIB: u32 = (1 << GIB_BITS) / LARGE_PAGE;
        let gibs = regions.start / PER_GIB..regions.end.div_ceil(PER_GIB);
        let directories = gibs.filter(|gib| *gib != 0).map(|gib| Self::Directory(gib as u8));
        directories.chain(regions.map(|region| Self::Page(region as u16)))
    }
}

impl Objects {
    /// Counts the paging structures that `regions` lack.
    fn lacks(&self, regions: Range<u32>) -> u32 {
        Table::of(regions).map(|table| u32::from(!self.tables.contains(&table))).sum()
    }

    const fn slot(&self, place: u32) -> Slot {
        Slot(self.slots.first).plus(place)
    }

    fn vspace(&self) -> cap::VSpace {
        self.slot(PML4).cap()
    }

    fn tcb(&self) -> cap::Tcb {
        self.slot(TCB).cap()
    }
}

/// The runs of pages that a layout gives memory to, with what the sandbox may do, and whether the client has them too.
fn runs(layout: &Layout) -> impl Iterator<Item = (Pages, BufferAccess, bool)> + '_ {
    let arguments = layout.arguments().map(|pages| (pages, BufferAccess::ReadWrite, true));
    let stack = layout.stack().map(|pages| (pages, BufferAccess::ReadWrite, false));
    let buffers = layout.buffers().iter().map(|(pages, access)| (*pages, *access, true));
    arguments.into_iter().chain(stack).chain(buffers)
}

fn shared_pages(layout: &Layout) -> u32 {
    runs(layout).filter(|(_, _, shared)| *shared).map(|(pages, _, _)| u32::from(pages.count)).sum()
}

const fn rights(access: BufferAccess) -> CapRights {
    match access {
        BufferAccess::ReadOnly => CapRights::read_only(),
        BufferAccess::ReadWrite => CapRights::read_write(),
    }
}

impl Machine {
    /// Makes the objects of a sandbox and starts its thread.
    pub(crate) fn build_sandbox(
        &mut self,
        client: &mut Client,
        index: SandboxIndex,
        layout: &Layout,
        entries: EntryPoints,
    ) -> Result<Objects, Exhausted> {
        client.cover(self, layout)?;
        #[expect(clippy::cast_possible_truncation, reason = "at most 18")]
        let tables = layout.regions().len() as u32;
        let frames = layout.memory_pages();
        let pool = self.asids.reserve(self.memory, self.cspace)?;
        let slots = CODE + u32::from(client.code_frames()) + tables + frames + shared_pages(layout);
        // Endpoint and CNode lie before the TCB, which is aligned to its size.
        let small = 2 << ObjectBlueprint::Tcb.physical_size_bits();
        let bytes = small + u64::from((3 + tables + frames) * PAGE);
        let taken = self.memory.block_and_slots(self.cspace, bytes, slots);
        let (untyped, slots) = match taken {
            Ok(taken) => taken,
            Err(Exhausted) => {
                self.asids.release(pool);
                return Err(Exhausted);
            }
        };
        let mut objects = Objects {
            untyped,
            slots,
            code_frames: client.code_frames(),
            arguments: layout.arguments().unwrap_or(Pages { address: 0, count: 0 }),
            tables: Tables::new(),
            pool,
            extras: Vec::new(),
        };
        let made =
            self.fill_sandbox(client, index, layout, &mut objects).and_then(|()| start(&objects, entries, layout));
        match made {
            Ok(()) => Ok(objects),
            Err(error) => {
                self.complain("a sandbox", error);
                self.destroy_sandbox(objects);
                Err(Exhausted)
            }
        }
    }

    fn fill_sandbox(
        &mut self,
        client: &Client,
        index: SandboxIndex,
        layout: &Layout,
        objects: &mut Objects,
    ) -> Result<(), Error> {
        let cspace = self.cspace;
        let untyped = objects.untyped.slot();
        // The kernel deletes what was made last first. With the address space gone, the rest needs no unmapping.
        retype(cspace, untyped, ObjectBlueprint::Endpoint, objects.slot(ENDPOINT), 1)?;
        let cnode = ObjectBlueprint::CNode { size_bits: usize::from(SANDBOX_CNODE_BITS) };
        retype(cspace, untyped, cnode, objects.slot(CNODE), 1)?;
        retype(cspace, untyped, ObjectBlueprint::Tcb, objects.slot(TCB), 1)?;
        let first = objects.slot(CODE + u32::from(objects.code_frames));
        let tables = self.make_span(objects, layout, untyped, first)?;
        retype(cspace, untyped, ObjectBlueprint::PAGE_DIRECTORY, objects.slot(DIRECTORY), 1)?;
        retype(cspace, untyped, ObjectBlueprint::PDPT, objects.slot(PDPT), 1)?;
        retype(cspace, untyped, ObjectBlueprint::VSPACE, objects.slot(PML4), 1)?;
        let vspace = objects.vspace();
        objects.pool.assign(vspace)?;
        objects.slot(PDPT).cap::<cap_type::PDPT>().pdpt_map(vspace, 0, VmAttributes::default())?;
        let directory = objects.slot(DIRECTORY).cap::<cap_type::PageDirectory>();
        directory.page_directory_map(vspace, 0, VmAttributes::default())?;
        for frame in 0..u32::from(objects.code_frames) {
            let copy = objects.slot(CODE + frame);
            cspace.path(copy).copy(&cspace.path(client.code_frame(frame)), CapRights::read_only())?;
            let address = CODE_BASE + frame * LARGE_PAGE;
            let page = copy.cap::<cap_type::LargePage>();
            page.frame_map(vspace, address as usize, CapRights::read_only(), VmAttributes::default())?;
        }
        self.map_span(client, layout, objects, &tables, first)?;
        let endpoint = cspace.path(objects.slot(ENDPOINT));
        let cnode = objects.slot(CNODE).cap::<cap_type::CNode>();
        let inside = |slot| cnode.absolute_cptr_from_bits_with_depth(slot, SANDBOX_CNODE_BITS);
        inside(SANDBOX_ENDPOINT_SLOT).copy(&endpoint, CapRights::read_only())?;
        let badge = Badge::Sandbox(index).to_word();
        inside(SANDBOX_FAULT_SLOT).mint(&cspace.path(self.endpoint), CapRights::call(), badge)?;
        client.slot(CLIENT_SANDBOX_SLOTS + index.place() as u64).copy(&endpoint, CapRights::call())?;
        objects.tcb().tcb_configure(
            CPtr::from_bits(SANDBOX_FAULT_SLOT),
            PRIORITY,
            sel4::init_thread::slot::TCB.cap(),
            cnode,
            CNodeCapData::skip_high_bits(usize::from(SANDBOX_CNODE_BITS)),
            vspace,
            None,
        )
    }

    /// Makes the paging structures that `layout` lacks, and its frames, in slots from `first` on. Returns the former.
    fn make_span(&self, objects: &Objects, layout: &Layout, untyped: Slot, first: Slot) -> Result<Tables, Error> {
        let tables = self.make_tables(objects, layout.regions(), untyped, first)?;
        let frames = first.plus(count(&tables));
        retype(self.cspace, untyped, ObjectBlueprint::SMALL_PAGE, frames, layout.memory_pages())?;
        Ok(tables)
    }

    /// Maps what [`make_span`](Self::make_span) made, on both sides. After it in the slots: copies for the client.
    fn map_span(
        &self,
        client: &Client,
        layout: &Layout,
        objects: &mut Objects,
        tables: &Tables,
        first: Slot,
    ) -> Result<(), Error> {
        let cspace = self.cspace;
        let vspace = objects.vspace();
        map_tables(objects, tables, first)?;
        let mut next = first.plus(count(tables));
        let mut copy = next.plus(layout.memory_pages());
        for (pages, access, shared) in runs(layout) {
            for page in 0..u32::from(pages.count) {
                let address = (pages.address + page * PAGE) as usize;
                let frame = next.cap::<cap_type::SmallPage>();
                if shared {
                    cspace.path(copy).copy(&cspace.path(next), CapRights::read_write())?;
                    let theirs = copy.cap::<cap_type::SmallPage>();
                    theirs.frame_map(client.vspace(), address, CapRights::read_write(), VmAttributes::default())?;
                    copy = copy.plus(1);
                }
                frame.frame_map(vspace, address, rights(access), VmAttributes::default())?;
                next = next.plus(1);
            }
        }
        Ok(())
    }

    /// Makes the paging structures that `regions` lack, in slots from `first` on.
    fn make_tables(&self, objects: &Objects, regions: Range<u32>, untyped: Slot, first: Slot) -> Result<Tables, Error> {
        let mut tables = Tables::new();
        for table in Table::of(regions).filter(|table| !objects.tables.contains(table)) {
            let blueprint = match table {
                Table::Directory(_) => ObjectBlueprint::PAGE_DIRECTORY,
                Table::Page(_) => ObjectBlueprint::PAGE_TABLE,
            };
            retype(self.cspace, untyped, blueprint, first.plus(count(&tables)), 1)?;
            tables.push(table).map_err(|_| Error::NotEnoughMemory)?;
        }
        Ok(tables)
    }

    /// Adds the buffers of `layout`.
    pub(crate) fn grow_sandbox(
        &mut self,
        client: &mut Client,
        objects: &mut Objects,
        layout: &Layout,
    ) -> Result<(), Exhausted> {
        client.cover(self, layout)?;
        let pages = objects.lacks(layout.regions()) + layout.memory_pages();
        let extra = self.extra(pages, pages + shared_pages(layout), 0)?;
        let tables = objects.tables.len();
        let first = Slot(extra.slots.first);
        let made = match &extra.untyped {
            Some(untyped) => self
                .make_span(objects, layout, untyped.slot(), first)
                .and_then(|tables| self.map_span(client, layout, objects, &tables, first)),
            None => Ok(()),
        };
        self.settle(objects, extra, tables, made).map_err(|error| {
            self.complain("buffers", error);
            Exhausted
        })
    }

    /// Maps pages of the client's own, at their own address.
    pub(crate) fn map_into_sandbox(
        &mut self,
        client: &Client,
        objects: &mut Objects,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<(), MapError> {
        let addresses = (0..u32::from(pages.count)).map(|page| pages.address + page * PAGE);
        let may = |writable: bool| writable || access == BufferAccess::ReadOnly;
        if !addresses.clone().all(|address| client.frame_at(address).is_some_and(|(_, writable)| may(writable))) {
            return Err(MapError::NotTheClients);
        }
        let regions = pages.address / LARGE_PAGE..(pages.end() - 1) / LARGE_PAGE + 1;
        let lacking = objects.lacks(regions.clone());
        let extra =
            self.extra(lacking, lacking + u32::from(pages.count), pages.count).map_err(|_| MapError::Exhausted)?;
        let tables = objects.tables.len();
        let copies = Slot(extra.slots.first);
        let made = self.map_copies(client, objects, &extra, regions, copies, addresses, rights(access));
        self.settle(objects, extra, tables, made).map_err(|error| match error {
            Error::DeleteFirst => MapError::Occupied,
            _ => MapError::Exhausted,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one operation")]
    fn map_copies(
        &self,
        client: &Client,
        objects: &mut Objects,
        extra: &Extra,
        regions: Range<u32>,
        copies: Slot,
        addresses: impl Iterator<Item = u32>,
        rights: CapRights,
    ) -> Result<(), Error> {
        if let Some(untyped) = &extra.untyped {
            let first = copies.plus(u32::from(extra.copies));
            let tables = self.make_tables(objects, regions, untyped.slot(), first)?;
            map_tables(objects, &tables, first)?;
        }
        let mut copy = copies;
        for address in addresses {
            let (frame, _) = client.frame_at(address).ok_or(Error::InvalidArgument)?;
            self.cspace.path(copy).copy(&self.cspace.path(frame), rights)?;
            let page = copy.cap::<cap_type::SmallPage>();
            page.frame_map(objects.vspace(), address as usize, rights, VmAttributes::default())?;
            copy = copy.plus(1);
        }
        Ok(())
    }

    /// Takes memory and slots for something that is added to a sandbox.
    fn extra(&mut self, pages: u32, slots: u32, copies: u16) -> Result<Extra, Exhausted> {
        if pages == 0 {
            return Ok(Extra { untyped: None, slots: self.memory.slots(slots)?, copies });
        }
        let (untyped, slots) = self.memory.block_and_slots(self.cspace, u64::from(pages) * u64::from(PAGE), slots)?;
        Ok(Extra { untyped: Some(untyped), slots, copies })
    }

    /// Keeps what was added, or takes it all back after an error.
    fn settle(
        &mut self,
        objects: &mut Objects,
        extra: Extra,
        tables: usize,
        made: Result<(), Error>,
    ) -> Result<(), Error> {
        let made = made.and_then(|()| if objects.extras.is_full() { Err(Error::NotEnoughMemory) } else { Ok(()) });
        match made {
            Ok(()) => {
                // There is room: it was looked for above.
                let _ = objects.extras.push(extra);
            }
            Err(_) => {
                objects.tables.truncate(tables);
                self.drop_extra(&extra);
            }
        }
        made
    }

    fn drop_extra(&mut self, extra: &Extra) {
        for copy in 0..u32::from(extra.copies) {
            // A slot that is empty already is no error to the kernel.
            let _ = self.cspace.path(Slot(extra.slots.first).plus(copy)).delete();
        }
        if let Some(untyped) = extra.untyped {
            self.memory.free_block(self.cspace, untyped);
        }
        self.memory.free_slots(extra.slots);
    }

    /// Gives a sandbox's thread new registers and lets it run.
    ///
    pub(crate) fn restart_sandbox(&self, objects: &Objects, restart: Restart) {
        let registers = match restart {
            Restart::Reset { entries, stack } => Registers::reset(entries, objects.arguments, stack),
            Restart::Abort { entries, stack, fault } => Registers::abort(entries, stack, fault),
        };
        if let Err(error) = write_registers(objects.tcb(), &registers) {
            self.complain("a restart", error);
        }
    }

    /// Ends a sandbox and takes everything back.
    pub(crate) fn destroy_sandbox(&mut self, objects: Objects) {
        self.asids.release(objects.pool);
        for frame in 0..u32::from(objects.code_frames) {
            let _ = self.cspace.path(objects.slot(CODE + frame)).delete();
        }
        for extra in &objects.extras {
            self.drop_extra(extra);
        }
        self.memory.free_block(self.cspace, objects.untyped);
        self.memory.free_slots(objects.slots);
    }
}

/// Maps paging structures that were made in slots from `first` on.
fn map_tables(objects: &mut Objects, tables: &Tables, first: Slot) -> Result<(), Error> {
    let vspace = objects.vspace();
    for (place, table) in (0..).zip(tables) {
        let slot = first.plus(place);
        let attributes = VmAttributes::default();
        match *table {
            Table::Directory(gib) => slot.cap::<cap_type::PageDirectory>().page_directory_map(
                vspace,
                usize::from(gib) << GIB_BITS,
                attributes,
            )?,
            Table::Page(region) => slot.cap::<cap_type::PageTable>().page_table_map(
                vspace,
                usize::from(region) * LARGE_PAGE as usize,
                attributes,
            )?,
        }
        objects.tables.push(*table).map_err(|_| Error::NotEnoughMemory)?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "at most MAX_TABLES")]
fn count(tables: &Tables) -> u32 {
    tables.len() as u32
}

/// Starts the thread at its first entry point.
fn start(objects: &Objects, entries: EntryPoints, layout: &Layout) -> Result<(), Error> {
    let stack = layout.stack().unwrap_or(Pages { address: 0, count: 0 });
    write_registers(objects.tcb(), &Registers::start(entries, objects.arguments, stack))
}

/// Gives a thread registers and lets it run.
fn write_registers(tcb: cap::Tcb, registers: &Registers) -> Result<(), Error> {
    let mut context = UserContext::zeroed();
    *context.pc_mut() = registers.rip;
    *context.sp_mut() = registers.rsp;
    *context.flags_mut() = registers.rflags;
    let inner = context.inner_mut();
    (inner.rax, inner.rbx, inner.rcx, inner.rdi) = (registers.rax, registers.rbx, registers.rcx, registers.rdi);
    context.set_tls_base(registers.fs_base);
    let count = match registers.extent {
        Extent::All => UserContext::COUNT_ALL,
        // What comes first in the register set.
        Extent::Fault => 6,
    };
    tcb.tcb_write_registers(true, count, &context)
}

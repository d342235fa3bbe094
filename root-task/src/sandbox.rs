// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel objects of a sandbox: made out of one untyped block, gone with one revoke.
//!
//! ```text
//!   block:  endpoint  CNode  TCB (one page) | tables | frames (arguments, stack, buffers) | PD  PDPT  PML4
//!   slots:  code frames, copied | one for each of the above | frames for the client, copied
//! ```
//!
//! What is added later, a [`Part`], has a block of its own. Only copies of the client's own frames (code, and what it
//! maps) are not made of a block and are deleted one by one.

use sbm_abi::{
    Extent, Registers,
    limits::{
        CLIENT_SANDBOX_SLOTS, CODE_BASE, LARGE_PAGE, PAGE, SANDBOX_CNODE_BITS, SANDBOX_ENDPOINT_SLOT,
        SANDBOX_FAULT_SLOT,
    },
};
use sbm_server::{Exhausted, Names, Plan, Share, Table};
use sel4::{
    CNodeCapData, CPtr, CapRights, Error, ObjectBlueprint, UserContext, VmAttributes, cap,
    cap_type::{LargePage, PageDirectory, PageTable, SmallPage},
    syscall,
};

use crate::{
    asid::Asid,
    badge::Badge,
    client::{Client, rights},
    cspace::path_of,
    machine::Machine,
    memory::{Block, Slots},
    object::{Maker, Row},
};

/// Pages of the objects that every sandbox has. Endpoint and CNode lie before the TCB, which is aligned to its size.
pub(crate) const FIXED_PAGES: u32 = 3 + (2_u32 << ObjectBlueprint::Tcb.physical_size_bits()).div_ceil(PAGE);

/// The kernel objects of one sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    block: Block,
    asid: Asid,
    /// Copies of the client's code frames.
    code: Row,
    vspace: cap::VSpace,
    thread: cap::Tcb,
}

/// What was added to a sandbox.
#[derive(Debug)]
pub(crate) enum Part {
    /// Paging structures.
    Tables(Block),
    /// Pages with their copies for the client: so many of the block's slots.
    Pages(Block, u16),
    /// Copies of the client's frames: so many.
    Copies(Slots, u16),
}

/// Returns how many slots a part has, which are few.
fn count_of(slots: u32) -> Result<u16, Error> {
    u16::try_from(slots).map_err(|_| Error::RangeError)
}

impl Sandbox {
    /// Makes the objects of a sandbox and starts its thread.
    pub(crate) fn make(
        machine: &mut Machine,
        client: &Client,
        names: Names,
        plan: &Plan<'_>,
        registers: &Registers,
    ) -> Result<Self, Exhausted> {
        let asid = machine.asids.reserve(machine.memory)?;
        let (pages, slots) = plan.of_new::<Machine>();
        let block = match machine.memory.block(u64::from(pages) * u64::from(PAGE), slots) {
            Ok(block) => block,
            Err(Exhausted) => {
                machine.asids.release(asid);
                return Err(Exhausted);
            }
        };
        let mut maker = block.maker();
        let made = maker.empty(u32::from(plan.code_frames)).and_then(|code| {
            let made = make_objects(machine, client, names, plan, &asid, &mut maker, code);
            if made.is_err() {
                delete(code);
            }
            made.map(|(vspace, thread)| (code, vspace, thread))
        });
        match made {
            Ok((code, vspace, thread)) => {
                let sandbox = Self { block, asid, code, vspace, thread };
                sandbox.restart(machine, registers);
                Ok(sandbox)
            }
            Err(error) => {
                machine.complain("a sandbox", error);
                machine.memory.free(block);
                machine.asids.release(asid);
                Err(Exhausted)
            }
        }
    }

    /// Makes paging structures.
    pub(crate) fn add_tables(&self, machine: &mut Machine, tables: &[Table]) -> Result<Part, Exhausted> {
        let count = u32::try_from(tables.len()).map_err(|_| Exhausted)?;
        let block = machine.memory.block(u64::from(count) * u64::from(PAGE), count)?;
        let mut maker = block.maker();
        let made = make_tables(&mut maker, tables).and_then(|made| map_tables(self.vspace, tables, made));
        match made {
            Ok(()) => Ok(Part::Tables(block)),
            Err(error) => {
                machine.complain("page tables", error);
                machine.memory.free(block);
                Err(Exhausted)
            }
        }
    }

    /// Adds pages to both sides.
    pub(crate) fn add_pages(&self, machine: &mut Machine, client: &Client, plan: &Plan<'_>) -> Result<Part, Exhausted> {
        let (pages, slots) = plan.of_pages();
        let block = machine.memory.block(u64::from(pages) * u64::from(PAGE), slots)?;
        let mut maker = block.maker();
        let made = maker.objects::<SmallPage>(plan.frames()).and_then(|frames| {
            let copies = maker.empty(plan.shared_frames())?;
            let count = count_of(slots)?;
            let mapped = map_runs(client, self.vspace, plan, frames, copies);
            Ok((count, mapped))
        });
        match made {
            Ok((count, Ok(()))) => Ok(Part::Pages(block, count)),
            Ok((count, Err(error))) => {
                machine.complain("buffers", error);
                remove(machine, Part::Pages(block, count));
                Err(Exhausted)
            }
            Err(error) => {
                machine.complain("buffers", error);
                machine.memory.free(block);
                Err(Exhausted)
            }
        }
    }

    /// Maps frames of the client's own.
    pub(crate) fn share(&self, machine: &mut Machine, client: &Client, share: &Share) -> Result<Part, Exhausted> {
        let count = count_of(share.pages()).map_err(|_| Exhausted)?;
        let slots = machine.memory.slots(share.pages())?;
        match map_copies(client, self.vspace, share, Row::new(slots.first(), share.pages())) {
            Ok(()) => Ok(Part::Copies(slots, count)),
            Err(error) => {
                machine.complain("a mapping", error);
                remove(machine, Part::Copies(slots, count));
                Err(Exhausted)
            }
        }
    }

    /// Gives the thread new registers and lets it run.
    pub(crate) fn restart(&self, machine: &Machine, registers: &Registers) {
        let mut context = UserContext::zeroed();
        *context.pc_mut() = registers.rip;
        *context.sp_mut() = registers.rsp;
        *context.flags_mut() = registers.rflags;
        let inner = context.inner_mut();
        (inner.rax, inner.rbx, inner.rcx, inner.rdx) = (registers.rax, registers.rbx, registers.rcx, registers.rdx);
        (inner.rsi, inner.rdi) = (registers.rsi, registers.rdi);
        context.set_tls_base(registers.fs_base);
        let count = match registers.extent {
            Extent::All => UserContext::COUNT_ALL,
            Extent::Fault => UserContext::COUNT_RCX,
        };
        if let Err(error) = self.thread.tcb_write_registers(true, count, &context) {
            machine.complain("a restart", error);
        }
    }

    /// Returns the thread's instruction pointer.
    pub(crate) fn position(&self) -> Option<u64> {
        self.thread.tcb_read_registers(false, UserContext::COUNT_FLAGS).ok().map(|context| context.pc())
    }

    /// Tells whether the thread stands at the system call at `wait`, with registers that make it receive: it is not running,
    /// or will not in a moment.
    pub(crate) fn waits(&self, wait: u32) -> bool {
        let Ok(context) = self.thread.tcb_read_registers(false, UserContext::COUNT_RDI) else { return false };
        let registers = context.inner();
        let receives = [syscall::RECV, syscall::REPLY_RECV].contains(&registers.rdx.cast_signed());
        receives && registers.rip == u64::from(wait) && registers.rdi == SANDBOX_ENDPOINT_SLOT
    }

    /// Ends the sandbox and takes everything back. With the address space gone, its parts need no unmapping there.
    pub(crate) fn destroy(self, machine: &mut Machine, parts: impl Iterator<Item = Part>) {
        delete(self.code);
        machine.memory.free(self.block);
        for part in parts {
            take_back(machine, part);
        }
        machine.asids.release(self.asid);
    }
}

/// Takes a part out of a sandbox that lives on.
///
/// All that it has mapped is unmapped first: kernels up to 7 unmap a frame only when its last capability goes, and one
/// frame has two here.
pub(crate) fn remove(machine: &mut Machine, part: Part) {
    let row = match &part {
        Part::Tables(_) => Row::EMPTY,
        Part::Pages(block, count) => Row::new(block.first_slot(), u32::from(*count)),
        Part::Copies(slots, count) => Row::new(slots.first(), u32::from(*count)),
    };
    for frame in row.iter() {
        // One that is not mapped, or a slot that is empty, is no error that matters.
        let _ = frame.cap::<SmallPage>().frame_unmap();
    }
    take_back(machine, part);
}

fn take_back(machine: &mut Machine, part: Part) {
    match part {
        Part::Tables(block) | Part::Pages(block, _) => machine.memory.free(block),
        Part::Copies(slots, count) => {
            delete(Row::new(slots.first(), u32::from(count)));
            machine.memory.free_slots(slots);
        }
    }
}

/// Deletes copies; a slot that is empty already is no error to the kernel.
fn delete(copies: Row) {
    for copy in copies.iter() {
        let _ = copy.path().delete();
    }
}

/// Makes all objects of a sandbox, and returns its address space and its thread.
///
/// The kernel deletes what was made last first. With the address space gone, the rest needs no unmapping.
fn make_objects(
    machine: &Machine,
    client: &Client,
    names: Names,
    plan: &Plan<'_>,
    asid: &Asid,
    maker: &mut Maker,
    code: Row,
) -> Result<(cap::VSpace, cap::Tcb), Error> {
    let endpoint: cap::Endpoint = maker.object()?;
    let cnode = maker.cnode(SANDBOX_CNODE_BITS)?;
    let thread: cap::Tcb = maker.object()?;
    let tables = make_tables(maker, &plan.tables)?;
    let frames = maker.objects::<SmallPage>(plan.frames())?;
    let vspace = make_address_space(maker, asid)?;
    let copies = maker.empty(plan.shared_frames())?;
    map_tables(vspace, &plan.tables, tables)?;
    map_code(client, vspace, code)?;
    map_runs(client, vspace, plan, frames, copies)?;
    give_capabilities(machine, client, names, endpoint, cnode)?;
    thread.tcb_configure(
        CPtr::from_bits(SANDBOX_FAULT_SLOT),
        client.priority(),
        sel4::init_thread::slot::TCB.cap(),
        cnode,
        CNodeCapData::skip_high_bits(usize::from(SANDBOX_CNODE_BITS)),
        vspace,
        None,
    )?;
    Ok((vspace, thread))
}

/// Makes the address space down to its first page directory.
fn make_address_space(maker: &mut Maker, asid: &Asid) -> Result<cap::VSpace, Error> {
    let attributes = VmAttributes::default();
    let directory: cap::PageDirectory = maker.object()?;
    let pdpt: cap::PDPT = maker.object()?;
    let vspace = maker.object()?;
    asid.assign(vspace)?;
    pdpt.pdpt_map(vspace, 0, attributes)?;
    directory.page_directory_map(vspace, 0, attributes)?;
    Ok(vspace)
}

fn make_tables(maker: &mut Maker, tables: &[Table]) -> Result<Row, Error> {
    // All take a page, so that the row is one whatever they are.
    let mut row = maker.empty(0)?;
    for table in tables {
        row = row.with(match table {
            Table::Directory(_) => maker.objects::<PageDirectory>(1)?,
            Table::Page(_) => maker.objects::<PageTable>(1)?,
        });
    }
    Ok(row)
}

fn map_tables(vspace: cap::VSpace, tables: &[Table], row: Row) -> Result<(), Error> {
    let attributes = VmAttributes::default();
    for (table, slot) in tables.iter().zip(row.iter()) {
        let address = table.address() as usize;
        match table {
            Table::Directory(_) => slot.cap::<PageDirectory>().page_directory_map(vspace, address, attributes)?,
            Table::Page(_) => slot.cap::<PageTable>().page_table_map(vspace, address, attributes)?,
        }
    }
    Ok(())
}

/// Maps copies of the client's code, to read.
fn map_code(client: &Client, vspace: cap::VSpace, copies: Row) -> Result<(), Error> {
    let addresses = (CODE_BASE as usize..).step_by(LARGE_PAGE as usize);
    for ((copy, frame), address) in copies.iter().zip(client.code().iter()).zip(addresses) {
        copy.path().copy(&frame.path(), CapRights::read_only())?;
        copy.cap::<LargePage>().frame_map(vspace, address, CapRights::read_only(), VmAttributes::default())?;
    }
    Ok(())
}

/// Maps new frames on both sides.
fn map_runs(client: &Client, vspace: cap::VSpace, plan: &Plan<'_>, frames: Row, copies: Row) -> Result<(), Error> {
    let attributes = VmAttributes::default();
    let (mut frames, mut copies) = (frames.iter(), copies.iter());
    for run in plan.runs() {
        for page in 0..u32::from(run.pages.count) {
            let address = (run.pages.address + page * PAGE) as usize;
            let frame = frames.next().ok_or(Error::RangeError)?;
            if let Some(access) = run.client {
                let copy = copies.next().ok_or(Error::RangeError)?;
                copy.path().copy(&frame.path(), CapRights::read_write())?;
                copy.cap::<SmallPage>().frame_map(client.vspace(), address, rights(access), attributes)?;
            }
            frame.cap::<SmallPage>().frame_map(vspace, address, rights(run.sandbox), attributes)?;
        }
    }
    Ok(())
}

/// Maps copies of the client's own frames.
fn map_copies(client: &Client, vspace: cap::VSpace, share: &Share, copies: Row) -> Result<(), Error> {
    let mut copies = copies.iter();
    let rights = rights(share.access);
    for (pages, first) in &share.pieces {
        for page in 0..u32::from(pages.count) {
            let (copy, frame) = (copies.next().ok_or(Error::RangeError)?, client.frames().slot(first + page));
            copy.path().copy(&frame.path(), rights)?;
            let address = (pages.address + page * PAGE) as usize;
            copy.cap::<SmallPage>().frame_map(vspace, address, rights, VmAttributes::default())?;
        }
    }
    Ok(())
}

/// Fills the sandbox's CSpace, and gives the client the capability to call it.
fn give_capabilities(
    machine: &Machine,
    client: &Client,
    names: Names,
    endpoint: cap::Endpoint,
    cnode: cap::CNode,
) -> Result<(), Error> {
    let inside = |slot| cnode.absolute_cptr_from_bits_with_depth(slot, SANDBOX_CNODE_BITS);
    let badge = Badge::Sandbox(names.index).to_word();
    inside(SANDBOX_ENDPOINT_SLOT).copy(&path_of(endpoint), CapRights::read_only())?;
    inside(SANDBOX_FAULT_SLOT).mint(&path_of(machine.endpoint), CapRights::call(), badge)?;
    client.slot(CLIENT_SANDBOX_SLOTS + names.index.get() as u64).copy(&path_of(endpoint), CapRights::call())
}

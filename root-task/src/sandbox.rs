// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel objects of a sandbox: made out of one untyped block, gone with one revoke.
//!
//! ```text
//!   block:  endpoint  CNode  TCB (one page) | tables | frames (arguments, stack, buffers) | PD  PDPT  PML4
//!   slots:  code frames, copied | one for each of the above | frames for the client, copied
//! ```
//!
//! What is added later, a [`Part`], has blocks of its own, and so do the pages of a sandbox that has many: blocks of few
//! pages, so that making one and taking it back is a short step. Only copies of the client's own frames (code, and what it
//! maps) are not made of a block and are deleted one by one.

use sbm_abi::{
    Extent, Registers,
    limits::{
        CLIENT_SANDBOX_SLOTS, CODE_BASE, LARGE_PAGE, PAGE, SANDBOX_CNODE_BITS, SANDBOX_ENDPOINT_SLOT,
        SANDBOX_FAULT_SLOT,
    },
};
use sbm_server::{Exhausted, Names, Plan, Progress, SLICE, Share, Shortage, Table};
use sel4::{
    CNodeCapData, CPtr, CapRights, Error, ObjectBlueprint, UserContext, VmAttributes, cap,
    cap_type::{LargePage, PageDirectory, PageTable, SmallPage},
    syscall,
};

use crate::{
    asid::Asid,
    badge::Badge,
    client::Client,
    cspace::path_of,
    machine::Machine,
    memory::Block,
    object::{Maker, Row},
    part::{NewPages, Part, map_copies, map_page, remove, strip_copies},
};

/// Pages of the objects that every sandbox has. Endpoint and CNode lie before the TCB, which is aligned to its size.
pub(crate) const FIXED_PAGES: u32 = 3 + (2_u32 << ObjectBlueprint::Tcb.physical_size_bits()).div_ceil(PAGE);

/// The kernel objects of one sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    block: Block,
    /// What of its pages is not in the block.
    pages: NewPages,
    asid: Asid,
    /// Copies of the client's code frames.
    code: Row,
    vspace: cap::VSpace,
    thread: cap::Tcb,
    /// Thread and address space are gone.
    is_ended: bool,
}

impl Sandbox {
    /// Makes the objects of a sandbox and starts its thread, unless its plan is long.
    pub(crate) fn make(
        machine: &mut Machine,
        client: &Client,
        names: Names,
        plan: &Plan<'_>,
        registers: &Registers,
    ) -> Result<Self, Shortage> {
        let asid = machine.asids.reserve(machine.memory)?;
        let (pages, slots) = plan.of_new::<Machine>();
        let block = match machine.memory.block(u64::from(pages) * u64::from(PAGE), slots) {
            Ok(block) => block,
            Err(shortage) => {
                machine.asids.release(asid);
                return Err(shortage);
            }
        };
        let mut maker = block.maker();
        let made = maker.empty(u32::from(plan.code_frames)).and_then(|code| {
            let made = make_objects(machine, client, names, plan, &asid, &mut maker, code);
            if made.is_err() {
                delete(code);
            }
            made.map(|(vspace, thread, pages)| (code, vspace, thread, pages))
        });
        match made {
            Ok((code, vspace, thread, pages)) => {
                let sandbox = Self { block, pages, asid, code, vspace, thread, is_ended: false };
                if !plan.is_long() {
                    sandbox.restart(machine, registers);
                }
                Ok(sandbox)
            }
            Err(error) => {
                machine.complain("a sandbox", error);
                machine.memory.free(block);
                machine.asids.release(asid);
                Err(Shortage::Exhausted)
            }
        }
    }

    /// Makes the next pages of a long plan.
    pub(crate) fn fill(
        &mut self,
        machine: &mut Machine,
        client: &Client,
        plan: &Plan<'_>,
    ) -> Result<Progress, Shortage> {
        self.pages.extend(machine, client, self.vspace, plan)
    }

    /// Makes paging structures.
    pub(crate) fn add_tables(&self, machine: &mut Machine, tables: &[Table]) -> Result<Part, Shortage> {
        add_tables(machine, self.vspace, tables)
    }

    /// Adds the next pages of a plan, or maps the next of the client's frames, which `part` has room for.
    pub(crate) fn extend(
        &self,
        machine: &mut Machine,
        client: &Client,
        part: &mut Part,
        plan: &Plan<'_>,
    ) -> Result<Progress, Shortage> {
        match part {
            Part::Pages(slots, pages) => pages.with(slots, |pages| pages.extend(machine, client, self.vspace, plan)),
            Part::Tables(_) | Part::Copies(..) => Err(Shortage::Exhausted),
        }
    }

    /// Maps a page of a part at an address and nowhere else, or nowhere. What the sandbox asks for can be refused by the kernel,
    /// and is no failure of ours.
    pub(crate) fn place(&self, part: &Part, number: u32, at: Option<u32>) -> Result<Progress, Error> {
        let Some(frame) = part.frame(number) else { return Ok(Progress::More) };
        let frame = frame.slot.cap::<SmallPage>();
        // One that is not mapped is no error that matters, as in `NewPages::strip`.
        let _ = frame.frame_unmap();
        if let Some(address) = at {
            frame.frame_map(self.vspace, address as usize, CapRights::read_write(), VmAttributes::default())?;
        }
        Ok(Progress::Done)
    }

    /// Maps the next of the client's own frames.
    pub(crate) fn extend_share(
        &self,
        machine: &Machine,
        client: &Client,
        part: &mut Part,
        share: &Share,
    ) -> Result<Progress, Shortage> {
        let Part::Copies(slots, made) = part else { return Err(Shortage::Exhausted) };
        let row = Row::new(slots.first(), share.frames());
        let from = *made;
        *made = share.frames().min(from + SLICE);
        match map_copies(client, self.vspace, share, row, from..*made) {
            Ok(()) => Ok(if *made < share.frames() { Progress::More } else { Progress::Done }),
            Err(error) => {
                machine.complain("a mapping", error);
                strip_copies(row.slot(0), from..*made, true);
                *made = from;
                Err(Shortage::Exhausted)
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
        (inner.rsi, inner.rdi, inner.r12, inner.r13) = (registers.rsi, registers.rdi, registers.r12, registers.r13);
        context.set_tls_base(registers.fs_base);
        let count = match registers.extent {
            Extent::All => UserContext::COUNT_ALL,
            Extent::Fault => UserContext::COUNT_RCX,
        };
        if let Err(error) = self.thread.tcb_write_registers(true, count, &context) {
            machine.complain("a restart", error);
        }
    }

    /// Lets the thread, which has faulted, try again.
    pub(crate) fn go_on(&self) -> Result<(), Error> {
        self.thread.tcb_resume()
    }

    /// Sets the thread's priority.
    pub(crate) fn set_priority(&self, priority: u8) -> Result<(), Error> {
        self.thread.tcb_set_priority(sel4::init_thread::slot::TCB.cap(), priority)
    }

    /// Returns the thread's instruction pointer.
    pub(crate) fn position(&self) -> Option<u64> {
        self.thread.tcb_read_registers(false, UserContext::COUNT_FLAGS).ok().map(|context| context.pc())
    }

    /// Returns the thread's stack pointer.
    pub(crate) fn stack_pointer(&self) -> Option<u64> {
        self.thread.tcb_read_registers(false, UserContext::COUNT_FLAGS).ok().map(|context| context.sp())
    }

    /// Tells whether the thread stands at the system call at `wait`, with registers that make it receive: it is not running,
    /// or will not in a moment.
    pub(crate) fn waits(&self, wait: u32) -> bool {
        let Ok(context) = self.thread.tcb_read_registers(false, UserContext::COUNT_RDI) else { return false };
        let registers = context.inner();
        let receives = [syscall::RECV, syscall::REPLY_RECV].contains(&registers.rdx.cast_signed());
        receives && registers.rip == u64::from(wait) && registers.rdi == SANDBOX_ENDPOINT_SLOT
    }

    /// Takes the sandbox and its parts apart by a step. With the address space gone, nothing needs to be unmapped there.
    pub(crate) fn dismantle<'a>(
        &mut self,
        machine: &mut Machine,
        parts: impl Iterator<Item = &'a mut Part>,
    ) -> Progress {
        if !self.is_ended {
            self.is_ended = true;
            delete(self.code);
            // As in `Memory::free`, which does it again.
            let _ = machine.memory.clear(&self.block);
            return Progress::More;
        }
        if self.pages.made > 0 {
            self.pages.strip(machine, false);
            return Progress::More;
        }
        for part in parts {
            if part.has_pages() {
                part.strip(machine, false);
                return Progress::More;
            }
        }
        Progress::Done
    }

    /// Ends the sandbox and takes back what is left of it.
    pub(crate) fn destroy(mut self, machine: &mut Machine, parts: impl Iterator<Item = Part>) {
        if !self.is_ended {
            delete(self.code);
        }
        machine.memory.free(self.block);
        while self.pages.strip(machine, false) == Progress::More {}
        for mut part in parts {
            while part.strip(machine, false) == Progress::More {}
            remove(machine, part);
        }
        machine.asids.release(self.asid);
    }
}

/// Makes paging structures of an address space.
pub(crate) fn add_tables(machine: &mut Machine, vspace: cap::VSpace, tables: &[Table]) -> Result<Part, Shortage> {
    let count = u32::try_from(tables.len()).map_err(|_| Exhausted)?;
    let block = machine.memory.block(u64::from(count) * u64::from(PAGE), count)?;
    let mut maker = block.maker();
    let made = make_tables(&mut maker, tables).and_then(|made| map_tables(vspace, tables, made));
    match made {
        Ok(()) => Ok(Part::Tables(block)),
        Err(error) => {
            machine.complain("page tables", error);
            machine.memory.free(block);
            Err(Shortage::Exhausted)
        }
    }
}

/// Deletes copies; a slot that is empty already is no error to the kernel.
fn delete(copies: Row) {
    for copy in copies.iter() {
        let _ = copy.path().delete();
    }
}

/// Makes all objects of a sandbox but the pages of a long plan, and returns its address space, its thread, and these.
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
) -> Result<(cap::VSpace, cap::Tcb, NewPages), Error> {
    let endpoint: cap::Endpoint = maker.object()?;
    let cnode = maker.cnode(SANDBOX_CNODE_BITS)?;
    let thread: cap::Tcb = maker.object()?;
    let tables = make_tables(maker, &plan.tables)?;
    let is_long = plan.is_long();
    let frames = if is_long { maker.empty(plan.frames()) } else { maker.objects::<SmallPage>(plan.frames()) }?;
    let vspace = make_address_space(maker, asid)?;
    let copies = maker.empty(if is_long { plan.frames() } else { plan.shared_frames() })?;
    map_tables(vspace, &plan.tables, tables)?;
    map_code(client, vspace, code)?;
    if !is_long {
        map_all(client, vspace, plan, frames, copies)?;
    }
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
    Ok((vspace, thread, NewPages::new(frames.slot(0), copies.slot(0), plan)))
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

/// Maps all frames of a plan that is not long on both sides; the copies follow each other.
fn map_all(client: &Client, vspace: cap::VSpace, plan: &Plan<'_>, frames: Row, copies: Row) -> Result<(), Error> {
    let (mut frames, mut copies) = (frames.iter(), copies.iter());
    for run in plan.all_runs() {
        for page in 0..run.pages.count {
            let frame = frames.next().ok_or(Error::RangeError)?;
            let copy = if run.client.is_some() { copies.next() } else { None };
            map_page(client, vspace, &run, page, frame, copy)?;
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

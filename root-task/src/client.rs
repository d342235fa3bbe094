// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client: a program of the archive in its own address space, capability space and thread.
//!
//! Its code lies in large frames, mapped read-only, which its sandboxes share; everything else of it in one block. Where
//! its pages lie and what it may do with them is the server's decision ([`Program`]).

use sbm_abi::{
    BufferAccess,
    limits::{
        CLIENT_IPC_BUFFER, CLIENT_SERVER_SLOT, CLIENT_STACK_BASE, CLIENT_STACK_BYTES, CLIENT_START_INFO, CODE_BASE,
        INPUT_BASE, LARGE_PAGE, PAGE,
    },
};
use sbm_loader::Part as Segment;
use sbm_objects::SizeBits;
use sbm_server::{Answer, ClientId, Holding, Program, Progress, SLICE, Shortage, Table};
use sel4::{
    AbsoluteCPtr, CNodeCapData, CPtr, CapRights, Error, MessageInfo, ObjectBlueprint, UserContext, VmAttributes, cap,
    cap_type::{LargePage, PageDirectory, PageTable, SmallPage},
    syscall,
};

use crate::{
    asid::Asid,
    badge::Badge,
    cspace::{Slot, path_of},
    launch::{LIMITS, Launch, LoadError},
    machine::Machine,
    memory::Block,
    object::{Maker, Row},
    part::Part,
    sandbox::add_tables,
    watch::Watch,
};

/// Slots of a client's CSpace, as a power of two: one for each sandbox of the system, and a few.
const CNODE_BITS: u8 = 13;
/// Slot in a client's CSpace of its fault endpoint.
const FAULT_SLOT: u64 = 2;

/// A client's kernel objects.
pub(crate) struct Client {
    /// What it was started with, and is again.
    launch: Launch,
    code: Block,
    block: Block,
    asid: Asid,
    objects: Objects,
}

/// What lies in the blocks.
struct Objects {
    vspace: cap::VSpace,
    cnode: cap::CNode,
    thread: cap::Tcb,
    /// The watch words, once it runs.
    watch: Option<Watch>,
    /// The root task's copy of the page that has the watch words.
    watched: Slot,
    /// Large frames of the code.
    code: Row,
    /// All frames but the code's, numbered as the program's holdings are; the last of them copies of the input files'.
    frames: Row,
    /// Those that are copies.
    inputs: Row,
    /// Page tables, but for those of the arena, and how many of them there are.
    tables: Row,
    tabled: u32,
    /// How many of these frames there are.
    made: u32,
}

impl Client {
    pub(crate) const fn id(&self) -> ClientId {
        self.launch.id
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.launch.client.name
    }

    /// Returns the name of its program.
    pub(crate) const fn program(&self) -> &'static str {
        self.launch.client.program
    }

    /// Returns the usual priority of its threads.
    pub(crate) const fn priority(&self) -> u8 {
        self.launch.priorities.usual
    }

    /// Sets the priority of its own thread.
    pub(crate) fn set_priority(&self, priority: u8) -> Result<(), Error> {
        self.objects.thread.tcb_set_priority(sel4::init_thread::slot::TCB.cap(), priority)
    }

    pub(crate) const fn vspace(&self) -> cap::VSpace {
        self.objects.vspace
    }

    /// Returns the large frames of the code.
    pub(crate) const fn code(&self) -> Row {
        self.objects.code
    }

    /// Returns all frames but the code's, numbered as the program's holdings are.
    pub(crate) const fn frames(&self) -> Row {
        self.objects.frames
    }

    /// Returns the path to a slot of the client's own CSpace.
    pub(crate) fn slot(&self, slot: u64) -> AbsoluteCPtr {
        self.objects.slot(slot)
    }

    /// Returns the watch words, if it runs.
    pub(crate) const fn watch(&self) -> Option<&Watch> {
        self.objects.watch.as_ref()
    }

    /// Returns the instruction pointer of the client's thread.
    pub(crate) fn position(&self) -> Option<u64> {
        self.objects.thread.tcb_read_registers(false, UserContext::COUNT_FLAGS).ok().map(|context| context.pc())
    }

    /// Returns the slot that the client's thread calls, or is about to call.
    pub(crate) fn calls(&self) -> Option<u64> {
        let context = self.objects.thread.tcb_read_registers(false, UserContext::COUNT_RDI).ok()?;
        let registers = context.inner();
        let is_call =
            registers.rdx.cast_signed() == syscall::CALL && is_syscall(self.launch.file.code(), registers.rip);
        is_call.then_some(registers.rdi)
    }

    /// Lets the thread, which waits in a call, go on behind it with this answer.
    pub(crate) fn answer(&self, answer: Answer) -> Result<(), Error> {
        let thread = self.objects.thread;
        let mut context = thread.tcb_read_registers(false, UserContext::COUNT_R15)?;
        let registers = context.inner_mut();
        registers.rip += SYSCALL.len() as u64;
        registers.rdi = 0;
        registers.rsi = MessageInfo::new(answer.label, 0, 0, answer.length).into_word();
        [registers.r10, registers.r8, registers.r9, registers.r15] = answer.words;
        thread.tcb_write_registers(true, UserContext::COUNT_R15, &context)
    }

    /// Fills a frame, which is zero, as the program's data at that address is at its start.
    pub(crate) fn fill_data(&self, machine: &mut Machine, frame: Slot, address: u32) -> Result<(), Error> {
        fill_data(self.launch.file.data(), machine, frame, u64::from(address))
    }

    /// Makes a paging structure of the arena.
    pub(crate) fn cover(&self, machine: &mut Machine, table: Table) -> Result<Part, Shortage> {
        add_tables(machine, self.vspace(), &[table])
    }

    /// Loads and starts a client.
    pub(crate) fn start(machine: &mut Machine, launch: Launch) -> Result<Self, LoadError> {
        let program = &launch.program;
        let code_frames = u32::from(program.code_frames());
        let asid = machine.asids.reserve(machine.memory)?;
        let code = match machine.memory.block(u64::from(code_frames * LARGE_PAGE), code_frames) {
            Ok(block) => block,
            Err(error) => {
                machine.asids.release(asid);
                return Err(error.into());
            }
        };
        let (bytes, slots) = size(program);
        let block = match machine.memory.block(bytes, slots) {
            Ok(block) => block,
            Err(error) => {
                machine.memory.free(code);
                machine.asids.release(asid);
                return Err(error.into());
            }
        };
        let made = make_code(machine, &code, &launch)
            .and_then(|frames| Objects::make(machine, &asid, frames, &block, &launch));
        match made {
            Ok(objects) => Ok(Self { launch, code, block, asid, objects }),
            Err(error) => {
                machine.memory.free(block);
                machine.memory.free(code);
                machine.asids.release(asid);
                Err(error)
            }
        }
    }

    /// Stops the thread.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        self.objects.thread.tcb_suspend()
    }

    /// Takes the client apart by a step. The last one is long, since the kernel looks at each slot of a CNode, and is the
    /// worker's.
    pub(crate) fn wind_up(&mut self, machine: &mut Machine) -> Option<Progress> {
        for _ in 0..SLICE / 2 {
            if let Some(copy) = self.objects.inputs.take_last() {
                let _ = copy.path().delete();
            } else {
                // Kernels up to 7 unmap a frame only when its last capability goes.
                let _ = self.objects.watched.cap::<SmallPage>().frame_unmap();
                return machine.worker.revoke(self.block.untyped()).then_some(Progress::Done);
            }
        }
        Some(Progress::More)
    }

    /// Ends the client, whose sandboxes are gone already, and takes everything back.
    pub(crate) fn end(mut self, machine: &mut Machine) {
        self.leave();
        self.give_back(machine);
    }

    /// Ends the client, whose sandboxes are gone already, and begins to start its program anew in the same memory, which
    /// nobody else can have taken meanwhile. Where that fails, the client has ended.
    pub(crate) fn again(mut self, machine: &mut Machine) -> Result<Self, LoadError> {
        self.leave();
        let made = self.make_anew(machine);
        match made {
            Ok(objects) => {
                self.objects = objects;
                Ok(self)
            }
            Err(error) => {
                self.give_back(machine);
                Err(error)
            }
        }
    }

    fn make_anew(&self, machine: &mut Machine) -> Result<Objects, LoadError> {
        let code = self.objects.code;
        // Nobody could write it, so it is as it was filled.
        for frame in code.iter() {
            frame.cap::<LargePage>().frame_unmap()?;
        }
        machine.memory.clear(&self.block)?;
        Objects::begin(&self.asid, code, &self.block, &self.launch)
    }

    /// Goes on to start its program anew, by a step.
    pub(crate) fn prepare(&mut self, machine: &mut Machine) -> Result<Progress, LoadError> {
        self.objects.go_on(machine, &self.block, &self.launch)
    }

    /// Takes back what does not lie in the client's own blocks.
    fn leave(&mut self) {
        // Kernels up to 7 unmap a frame only when its last capability goes.
        let _ = self.objects.watched.cap::<SmallPage>().frame_unmap();
        for copy in self.objects.inputs.iter() {
            let _ = copy.path().delete();
        }
    }

    fn give_back(self, machine: &mut Machine) {
        machine.memory.free(self.block);
        machine.memory.free(self.code);
        machine.asids.release(self.asid);
    }
}

/// Makes the frames of the code, and fills them.
fn make_code(machine: &mut Machine, code: &Block, launch: &Launch) -> Result<Row, LoadError> {
    let frames = code.maker().objects::<LargePage>(u32::from(launch.program.code_frames()))?;
    for (frame, address) in frames.iter().zip((CODE_BASE..).step_by(LARGE_PAGE as usize)) {
        machine.window.fill_large(frame, |bytes| {
            copy_pieces(launch.file.code(), u64::from(address), LIMITS.code_frame, bytes);
        })?;
    }
    Ok(frames)
}

/// Returns the bytes and slots of everything but the code.
fn size(program: &Program) -> (u64, u32) {
    let frames: u32 = program.holdings().iter().map(Holding::frames).sum();
    let own: u32 = program.holdings().iter().filter(|holding| !is_input(holding)).map(Holding::frames).sum();
    #[expect(clippy::cast_possible_truncation, reason = "few")]
    let tables = program.tables().len() as u32;
    let cnode = ObjectBlueprint::CNode { size_bits: usize::from(CNODE_BITS) };
    let bytes = (1 << cnode.physical_size_bits())
        + u64::from((4 + tables + own) * PAGE)
        + (1 << ObjectBlueprint::Tcb.physical_size_bits());
    (bytes, 7 + tables + frames)
}

/// Tells whether pages are an input file's, whose frames are there already.
const fn is_input(holding: &Holding) -> bool {
    holding.pages.address >= INPUT_BASE
}

impl Objects {
    /// Makes, fills and starts everything.
    fn make(machine: &mut Machine, asid: &Asid, code: Row, block: &Block, launch: &Launch) -> Result<Self, LoadError> {
        let mut objects = Self::begin(asid, code, block, launch)?;
        loop {
            match objects.go_on(machine, block, launch) {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => return Ok(objects),
                Err(error) => {
                    let _ = objects.watched.cap::<SmallPage>().frame_unmap();
                    for copy in objects.inputs.iter() {
                        let _ = copy.path().delete();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Makes everything but page tables and the small frames.
    fn begin(asid: &Asid, code: Row, block: &Block, launch: &Launch) -> Result<Self, LoadError> {
        let program = &launch.program;
        let mut maker = block.maker();
        // The largest first: objects are aligned to their size, and the block has no room for gaps but one behind a thread,
        // which no sum of pages fills.
        let cnode = maker.cnode(CNODE_BITS)?;
        let vspace = make_address_space(&mut maker, asid)?;
        let thread: cap::Tcb = maker.object()?;
        let watched = maker.empty(1)?.slot(0);
        #[expect(clippy::cast_possible_truncation, reason = "few")]
        let tables = maker.empty(program.tables().len() as u32)?;
        let own = program.holdings().iter().filter(|holding| !is_input(holding));
        let own = maker.empty(own.map(Holding::frames).sum())?;
        let inputs = maker.empty(launch.inputs.iter().map(|input| input.frames.count()).sum())?;
        for (frame, address) in code.iter().zip((CODE_BASE as usize..).step_by(LARGE_PAGE as usize)) {
            frame.cap::<LargePage>().frame_map(vspace, address, CapRights::read_only(), VmAttributes::default())?;
        }
        let frames = own.with(inputs);
        Ok(Self { vspace, cnode, thread, watch: None, watched, code, frames, inputs, tables, tabled: 0, made: 0 })
    }

    /// Makes the next page tables, or makes, fills and maps the next small frames; with the last of them the thread starts.
    fn go_on(&mut self, machine: &mut Machine, block: &Block, launch: &Launch) -> Result<Progress, LoadError> {
        if self.tabled < self.tables.count() {
            self.add_tables(block, &launch.program)?;
            return Ok(Progress::More);
        }
        let all = self.frames.count();
        let own = all - self.inputs.count();
        let (from, until) = (self.made, all.min(self.made + SLICE / 2));
        if from < own {
            let count = own.min(until) - from;
            block.maker_at(self.frames.slot(from), count).objects::<SmallPage>(count)?;
        }
        for holding in launch.program.holdings() {
            let end = holding.frame + holding.frames();
            for number in holding.frame.max(from)..end.min(until) {
                let address = holding.address(number);
                let frame = self.frames.slot(number);
                match number.checked_sub(own) {
                    None => fill(machine, launch, frame, address)?,
                    Some(number) => {
                        let theirs = input_frame(launch, number).ok_or(LoadError::Gone)?;
                        frame.path().copy(&theirs.path(), CapRights::read_only())?;
                    }
                }
                let attributes = VmAttributes::default();
                frame.cap::<SmallPage>().frame_map(
                    self.vspace,
                    address as usize,
                    rights(holding.access),
                    attributes,
                )?;
            }
        }
        self.made = until;
        if until < all {
            return Ok(Progress::More);
        }
        self.watch = Some(watch(machine, launch, self.frames, self.watched)?);
        self.start_thread(machine, launch)?;
        Ok(Progress::Done)
    }

    fn add_tables(&mut self, block: &Block, program: &Program) -> Result<(), Error> {
        let count = (self.tables.count() - self.tabled).min(SLICE / 2);
        let made = block.maker_at(self.tables.slot(self.tabled), count).objects::<PageTable>(count)?;
        for (table, region) in made.iter().zip(program.tables().iter().skip(self.tabled as usize)) {
            let address = usize::from(*region) * LARGE_PAGE as usize;
            table.cap::<PageTable>().page_table_map(self.vspace, address, VmAttributes::default())?;
        }
        self.tabled += count;
        Ok(())
    }

    fn slot(&self, slot: u64) -> AbsoluteCPtr {
        self.cnode.absolute_cptr_from_bits_with_depth(slot, CNODE_BITS)
    }

    fn start_thread(&self, machine: &Machine, launch: &Launch) -> Result<(), Error> {
        let endpoint = path_of(machine.endpoint);
        let server = Badge::Client(launch.id).to_word();
        self.slot(CLIENT_SERVER_SLOT).mint(&endpoint, CapRights::call(), server)?;
        let fault = Badge::ClientFault(launch.id).to_word();
        self.slot(FAULT_SLOT).mint(&endpoint, CapRights::call(), fault)?;
        let is_buffer = |holding: &&Holding| holding.pages.address == CLIENT_IPC_BUFFER;
        let buffer = launch.program.holdings().iter().find(is_buffer);
        let buffer = buffer.map(|holding| self.frames.slot(holding.frame).cap());
        self.thread.tcb_configure(
            CPtr::from_bits(FAULT_SLOT),
            launch.priorities.usual,
            sel4::init_thread::slot::TCB.cap(),
            self.cnode,
            CNodeCapData::skip_high_bits(usize::from(CNODE_BITS)),
            self.vspace,
            buffer.map(|frame| (CLIENT_IPC_BUFFER as usize, frame)),
        )?;
        let mut context = UserContext::zeroed();
        *context.pc_mut() = launch.file.entry();
        // As after a call: the entry point is an ordinary function.
        *context.sp_mut() = u64::from(CLIENT_STACK_BASE + CLIENT_STACK_BYTES) - 8;
        *context.flags_mut() = sbm_abi::FLAGS;
        self.thread.tcb_write_all_registers(true, &context)
    }
}

/// Fills a frame: with data, or with what a client is started with.
fn fill(machine: &mut Machine, launch: &Launch, frame: Slot, address: u32) -> Result<(), LoadError> {
    if address == CLIENT_START_INFO {
        let mut fits = false;
        machine.window.fill_small(frame, |bytes| fits = launch.start_info().encode(bytes).is_ok())?;
        return if fits { Ok(()) } else { Err(LoadError::StartInfo) };
    }
    Ok(fill_data(launch.file.data(), machine, frame, u64::from(address))?)
}

/// Finds a frame of the input files, of which all follow each other.
fn input_frame(launch: &Launch, mut number: u32) -> Option<Slot> {
    for input in &launch.inputs {
        let count = input.frames.count();
        if number < count {
            return Some(input.frames.slot(number));
        }
        number -= count;
    }
    None
}

/// Makes the address space, without page tables.
fn make_address_space(maker: &mut Maker, asid: &Asid) -> Result<cap::VSpace, Error> {
    let attributes = VmAttributes::default();
    let vspace = maker.object()?;
    let pdpt: cap::PDPT = maker.object()?;
    let directories = maker.objects::<PageDirectory>(2)?;
    asid.assign(vspace)?;
    pdpt.pdpt_map(vspace, 0, attributes)?;
    for (directory, address) in directories.iter().zip([0, INPUT_BASE as usize]) {
        directory.cap::<PageDirectory>().page_directory_map(vspace, address, attributes)?;
    }
    Ok(vspace)
}

/// Maps the page that has the watch words for the root task, through a copy in slot `copy`.
fn watch(machine: &Machine, launch: &Launch, frames: Row, copy: Slot) -> Result<Watch, Error> {
    let is_buffer = |holding: &&Holding| holding.pages.address == CLIENT_IPC_BUFFER;
    let buffer = launch.program.holdings().iter().find(is_buffer).ok_or(Error::RangeError)?;
    copy.path().copy(&frames.slot(buffer.frame).path(), CapRights::read_write())?;
    let page = machine.window.share(launch.id.get(), copy.cap())?;
    // SAFETY: it is mapped there until `frame_unmap`, with which the client ends, and nothing else is there.
    Ok(unsafe { Watch::new(page) })
}

/// The instruction that enters the kernel.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Tells whether that instruction stands at `address` of a program's code.
fn is_syscall(code: &Segment<'_>, address: u64) -> bool {
    let size = LIMITS.code_frame.size();
    let at = usize::try_from(address % size).unwrap_or(usize::MAX);
    code.in_frame(address - address % size, LIMITS.code_frame).any(|(offset, piece)| {
        let piece = at.checked_sub(offset).and_then(|start| piece.get(start..));
        piece.is_some_and(|piece| piece.starts_with(&SYSCALL))
    })
}

/// Fills a frame, which is zero, with what a program has at that address.
fn fill_data(data: &Segment<'static>, machine: &mut Machine, frame: Slot, address: u64) -> Result<(), Error> {
    if data.in_frame(address, LIMITS.data_frame).next().is_none() {
        return Ok(());
    }
    machine.window.fill_small(frame, |bytes| copy_pieces(data, address, LIMITS.data_frame, bytes))
}

fn copy_pieces(part: &Segment<'_>, address: u64, size: SizeBits, bytes: &mut [u8]) {
    for (offset, piece) in part.in_frame(address, size) {
        if let Some(target) = bytes.get_mut(offset..offset + piece.len()) {
            target.copy_from_slice(piece);
        }
    }
}

/// Returns the kernel's form of rights to pages.
pub(crate) const fn rights(access: BufferAccess) -> CapRights {
    match access {
        BufferAccess::ReadOnly => CapRights::read_only(),
        BufferAccess::ReadWrite => CapRights::read_write(),
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread of the root task at the clients' priority: what takes long is done in its time, in short steps.
//!
//! The loop runs at the highest priority, so whatever it does keeps everyone else waiting. It therefore does no more in
//! one go than a short step, and this thread calls it for the next one: while clients run, they and the worker take turns as
//! threads of one priority do, and a message of a client is handled between two steps. The thread decides nothing.
//!
//! One thing it does by itself, in which the kernel lets other threads run if their priority is higher or their time has
//! come: it ends what was made of a block of memory, and has the kernel clear it. So large blocks are opened, with nothing
//! else to do ahead of need, at the lowest priority; and so ends what a client consists of, with its large CNode.

use sbm_abi::{FLAGS, limits::PAGE};
use sbm_system::IDLE_PRIORITY;
use sel4::{
    CNodeCapData, CPtr, Error, IpcBuffer, MessageInfo, ObjectBlueprint, UserContext, Word, cap,
    cap_type::{SmallPage, Untyped},
    init_thread::slot::{CNODE, TCB, VSPACE},
};

use crate::{
    badge::Badge,
    cspace::{self, SLOT_BITS, Slot, path_of},
    memory::Memory,
    window::Window,
};

const STACK_PAGES: u32 = 2;

/// Priority of what is done ahead of need.
pub(crate) const AHEAD: u8 = IDLE_PRIORITY;

/// What the worker is told to do, in the first word of an answer.
const REST: Word = 0;
const STEP: Word = 1;
const OPEN: Word = 2;
const REVOKE: Word = 3;

/// What the worker says, in the first word of its message.
const NEXT: Word = 0;
const OPENED: Word = 1;
const REFUSED: Word = 2;
const REVOKED: Word = 3;

/// What the worker is to do next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// To wait until there is work.
    Rest,
    /// To call again.
    Step,
    /// To have the kernel clear the memory in this slot, of which nothing is in use.
    Open(Slot),
    /// To end all that was made of the memory in this slot, and to have the kernel clear it.
    Revoke(Slot),
}

impl Order {
    /// Codes the order as an answer.
    pub(crate) fn message(self) -> (MessageInfo, [Word; 4]) {
        let words = match self {
            Self::Rest => [REST, 0, 0, 0],
            Self::Step => [STEP, 0, 0, 0],
            Self::Open(untyped) => [OPEN, Word::from(untyped.0), 0, 0],
            Self::Revoke(untyped) => [REVOKE, Word::from(untyped.0), 0, 0],
        };
        (MessageInfo::new(0, 0, 0, words.len()), words)
    }
}

/// What the worker has done by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Report {
    /// It opened a block, if the kernel did.
    Opened(bool),
    /// It ended what was made of a block.
    Revoked,
}

impl Report {
    /// Reads the worker's message.
    pub(crate) const fn of([word, ..]: [Word; 4]) -> Option<Self> {
        match word {
            OPENED => Some(Self::Opened(true)),
            REFUSED => Some(Self::Opened(false)),
            REVOKED => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// The thread, as the loop knows it.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: cap::Tcb,
    bell: cap::Notification,
    priority: u8,
    rests: bool,
    /// Memory of which all is to end, and of which all has ended.
    revoking: Option<Slot>,
    revoked: Option<Slot>,
}

impl Worker {
    /// Makes the thread, which calls for its first order once all else waits.
    pub(crate) fn start(memory: &mut Memory, window: &mut Window, endpoint: cap::Endpoint) -> Result<Self, Error> {
        let pages = STACK_PAGES + 1;
        let bytes = u64::from(pages * PAGE) + (2 << ObjectBlueprint::Tcb.physical_size_bits());
        let block = memory.block(bytes, pages + 4).map_err(|_| Error::NotEnoughMemory)?;
        let mut maker = block.maker();
        let frames = maker.objects::<SmallPage>(pages)?;
        let thread: cap::Tcb = maker.object()?;
        let bell: cap::Notification = maker.object()?;
        let calls = maker.empty(1)?.slot(0);
        let empty = maker.empty(1)?.slot(0);
        calls.path().mint(&path_of(endpoint), sel4::CapRights::call(), Badge::Worker.to_word())?;
        let stack = window.keep(frames)? as usize;
        let buffer = stack + (STACK_PAGES * PAGE) as usize;
        let frame = frames.slot(STACK_PAGES).cap();
        let guard = CNodeCapData::skip(64 - SLOT_BITS);
        thread.tcb_configure(CPtr::NULL, AHEAD, TCB.cap(), CNODE.cap(), guard, VSPACE.cap(), Some((buffer, frame)))?;
        let mut context = UserContext::zeroed();
        *context.pc_mut() = work as extern "C" fn(u64, u64, usize, usize) -> ! as usize as u64;
        // As after a call: the entry point is an ordinary function.
        *context.sp_mut() = buffer as u64 - 8;
        *context.flags_mut() = FLAGS;
        let registers = context.inner_mut();
        (registers.rdi, registers.rsi) = (calls.cap::<sel4::cap_type::Endpoint>().bits(), bell.bits());
        (registers.rdx, registers.rcx) = (buffer as u64, u64::from(empty.0));
        thread.tcb_disable_fpu()?;
        thread.tcb_write_all_registers(true, &context)?;
        Ok(Self { thread, bell, priority: AHEAD, rests: false, revoking: None, revoked: None })
    }

    /// Has the worker end all that was made of a block of memory, and clear it, and tells whether it has.
    pub(crate) fn revoke(&mut self, untyped: Slot) -> bool {
        if self.revoked == Some(untyped) {
            self.revoked = None;
            return true;
        }
        self.revoking.get_or_insert(untyped);
        false
    }

    /// Returns the memory of which all is to end.
    pub(crate) const fn revoking(&self) -> Option<Slot> {
        self.revoking
    }

    /// Notes that all of it has ended.
    pub(crate) fn has_revoked(&mut self) {
        self.revoked = self.revoking.take();
    }

    /// Has the worker call for its next order, in its turn among the clients of this priority.
    pub(crate) fn wake(&mut self, priority: u8) {
        self.set_priority(priority);
        if core::mem::take(&mut self.rests) {
            self.bell.signal();
        }
    }

    /// Notes what the worker is told to do, and the priority of those who wait for it, if anyone does.
    pub(crate) fn told(&mut self, order: Order, priority: Option<u8>) {
        self.rests = matches!(order, Order::Rest);
        self.set_priority(priority.unwrap_or(AHEAD));
    }

    /// Tells whether it runs when nothing else wants to.
    pub(crate) const fn is_ahead(&self) -> bool {
        self.priority == AHEAD
    }

    fn set_priority(&mut self, priority: u8) {
        if self.priority != priority {
            self.priority = priority;
            // The kernel has no reason to refuse; the work would be done in other turns.
            let _ = self.thread.tcb_set_priority(TCB.cap(), priority);
        }
    }
}

/// Calls for orders, and carries them out. The slot `empty` is this thread's own.
extern "C" fn work(endpoint: u64, bell: u64, buffer: usize, empty: usize) -> ! {
    let endpoint = cap::Endpoint::from_bits(endpoint);
    let bell = cap::Notification::from_bits(bell);
    // SAFETY: this thread's buffer, mapped for good and known to nobody else.
    let buffer = unsafe { IpcBuffer::of_thread(buffer as *mut _) };
    let mut report = NEXT;
    loop {
        let (_, [order, untyped, ..]) = endpoint.call_with_mrs(MessageInfo::new(0, 0, 0, 1), [report, 0, 0, 0]);
        report = NEXT;
        match order {
            REST => drop(bell.wait()),
            OPEN | REVOKE => {
                let memory = Slot(untyped as u32);
                let _ = memory.path().revoke_through(buffer);
                // The kernel clears what was used when the first object is made.
                let (blueprint, target) = (ObjectBlueprint::Endpoint, cspace::target());
                let untyped = memory.cap::<Untyped>();
                let cleared = untyped.untyped_retype_through(buffer, &blueprint, &target, empty, 1);
                let _ = memory.path().revoke_through(buffer);
                report = match order {
                    // The loop does it itself, later, where the kernel refuses.
                    REVOKE => REVOKED,
                    _ if cleared.is_ok() => OPENED,
                    _ => REFUSED,
                };
            }
            _ => {}
        }
    }
}

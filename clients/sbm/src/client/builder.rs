// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Builder`: what a sandbox is to have, before it is set up.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Own, Pages, Spec,
    limits::{HEAP_PAGES, MAX_BUFFERS, MAX_GUARDED_PAGES, PAGE, STACK_PAGES},
};

use super::{
    buffer::BufferName,
    env::env,
    instance::{Instance, MAX_BUFFER_BYTES, MAX_PARAMETERS, Made, Planned, Terms},
    log,
    sandbox::Sbm,
    time::Budget,
};
use crate::{
    argument::shared::{InputBuffer, OutputBuffer},
    error::{Error, Unfit},
    records,
};

/// Most bytes of a coded result, unless its client says otherwise.
const RESULT_LIMIT: usize = 1 << 20;

/// Most bytes that one call prints, unless its client says otherwise.
const TEXT_LIMIT: usize = 16 * 1024;

/// Most requests of one call, unless its client says otherwise.
const REQUEST_LIMIT: u32 = 100_000;

/// How a function is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// In its own address space and thread.
    #[default]
    Strong,
    /// Not at all: it runs in the client, on the same buffers (of pages mapped writable, on a copy). A fault in it ends
    /// the client, and a call has no budget. For trying things out.
    None,
}

/// What is said of a call's budget.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// Nothing: the system's description has one.
    Standard,
    Of(Duration),
    None,
}

/// A sandbox that is going to be set up.
#[derive(Debug)]
#[must_use = "nothing is set up before `build`"]
pub struct Builder {
    stack: usize,
    heap: usize,
    walked: bool,
    guarded: bool,
    private_statics: bool,
    buffers: Vec<BufferSpec, MAX_BUFFERS>,
    planned: Vec<Planned, MAX_BUFFERS>,
    /// What the names of its own buffers carry; 0 while there is none.
    serial: u64,
    /// The first thing that does not fit, and the number of its argument.
    unfit: Option<(usize, Unfit)>,
    isolation: Isolation,
    report: bool,
    budget: Wanted,
    result_limit: usize,
    request_limit: u32,
    count_handlers: bool,
    text_limit: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        let stack = usize::from(Spec::default().stack_pages) * PAGE as usize;
        Self {
            stack,
            heap: 0,
            walked: false,
            guarded: false,
            private_statics: false,
            buffers: Vec::new(),
            planned: Vec::new(),
            serial: 0,
            unfit: None,
            isolation: Isolation::Strong,
            report: true,
            budget: Wanted::Standard,
            result_limit: RESULT_LIMIT,
            request_limit: REQUEST_LIMIT,
            count_handlers: false,
            text_limit: TEXT_LIMIT,
        }
    }

    /// Sets how long a call may take: more than zero, at most [`LONGEST_BUDGET`](crate::LONGEST_BUDGET); five seconds unless
    /// told otherwise. It is the clock that counts, so time that others use counts as well.
    ///
    /// A sandbox with a budget runs only while it is called: one that goes on after its answer is stopped within a twentieth
    /// of a second, sooner where the budget is shorter. Of more than 32 that were called, each look takes 32, in turn.
    /// Its registers and its stack are then those of a new one; its buffers and mapped pages stay as they are.
    pub const fn budget(mut self, budget: Duration) -> Self {
        self.budget = Wanted::Of(budget);
        self
    }

    /// Leaves calls without a budget: a function that does not answer blocks its client until another client ends the call, and
    /// one that goes on after its answer runs until the sandbox is reset or dropped.
    pub const fn no_budget(mut self) -> Self {
        self.budget = Wanted::None;
        self
    }

    /// Sets the size of the stack, in bytes; whole pages.
    pub const fn stack(mut self, bytes: usize) -> Self {
        self.stack = bytes;
        self
    }

    /// Gives the sandbox a heap of at least `bytes`, rounded up to a power of two from 16 KiB on: the crate `alloc` works in
    /// it. Without one, or with 0 bytes, an allocation ends the call
    /// with [`Error::NoRoom`], unless the function allows for it, and so does one for which there is no room.
    ///
    /// It takes memory as it is used, in chunks, from its start on, and keeps what it took. Where there is none left the call
    /// ends with an [`Error::Fault`] that says so. Calls that end well leave the heap as it is; a [`reset`](Sbm::reset) clears
    /// what was taken.
    pub const fn heap(mut self, bytes: usize) -> Self {
        self.heap = bytes;
        self
    }

    /// Lets the client read the heap where it lies, by [`Sbm::walk`]: what functions have built there need not be written into
    /// a result. The heap has whole pages then, and all of its memory from the set-up on; it counts as one of the sandbox's
    /// buffers, and a [`reset`](Sbm::reset) clears it as a whole.
    pub const fn walked(mut self) -> Self {
        self.walked = true;
        self
    }

    /// Guards the [heap](Builder::heap), to find a bug: each allocation lies at the end of pages of its own, a page that is not
    /// mapped behind it, and what is freed is not mapped any more. So one byte too many, a use after free or a second free is an
    /// [`Error::Fault`], and its report says which allocation it was about, of how many bytes, where it was made, and where
    /// freed.
    ///
    /// Where an alignment is more than a byte, the size is rounded up to it before the end is noticed. An allocation takes one
    /// page of the heap and one for its guard at least, so a heap of a mebibyte holds 128 of them; what was freed is used again
    /// when all the rest has been. It is slow, by some thousand instructions for each page that is allocated or freed. A reset
    /// takes all memory of the heap out. A [`snapshot`](Sbm::snapshot) is refused, and so is a heap that is
    /// [`walked`](Builder::walked) as well. With [`Isolation::None`] the function
    /// uses the client's own heap, which nothing guards.
    pub const fn guarded(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// Gives the sandbox statics of its own, at the same addresses: the program's writable data as it is at its start,
    /// whatever the client has made of its own since. The function reads and writes them as it likes; nobody else sees it, and a
    /// [`reset`](Sbm::reset) makes them what they were.
    ///
    /// They take memory as they are touched, twice: once to use and once to reset. Statics with
    /// [interior pages](crate::SharedPage) cannot be mapped into such a sandbox. Without this a touch of a static that can be
    /// written is a fault.
    pub const fn private_statics(mut self) -> Self {
        self.private_statics = true;
        self
    }

    /// Sets up room for `bytes` of [`copy_in`](crate::copy_in) in argument `number`, counted from 1.
    pub fn room_in(mut self, number: usize, bytes: usize) -> Self {
        self.room(number, bytes, BufferAccess::ReadOnly);
        self
    }

    /// Sets up room for `bytes` of [`copy_out`](crate::copy_out) or [`copy_inout`](crate::copy_inout) in argument
    /// `number`, counted from 1.
    pub fn room_out(mut self, number: usize, bytes: usize) -> Self {
        self.room(number, bytes, BufferAccess::ReadWrite);
        self
    }

    /// Sets up room for results of `bytes` that do not fit two words. Without it there is room for them from the first that
    /// needs it on.
    pub fn room_result(mut self, bytes: usize) -> Self {
        self.plan(Planned::Mail, 0, bytes, BufferAccess::ReadOnly);
        self.plan(Planned::Mail, 0, bytes, BufferAccess::ReadWrite);
        self
    }

    /// Sets how many bytes one call may print, each line counted with 32 more; 16 KiB unless told otherwise. What is beyond
    /// is dropped, and a line says so; with a limit of 0 nothing is printed at all.
    pub const fn text_limit(mut self, bytes: usize) -> Self {
        self.text_limit = bytes;
        self
    }

    /// Lets the time that handlers take count for the budget of the call. Without it only the function's own does.
    pub const fn count_handlers(mut self) -> Self {
        self.count_handlers = true;
        self
    }

    /// Sets how long a result may be, in `postcard`'s form, and how much memory it may take once it is decoded; and
    /// how many bytes a request may send, or ask for. A MiB unless told otherwise, and 512 MiB at most. A longer one ends its
    /// call with [`Error::Long`] or [`Error::Unreadable`], and so does one for which the client's heap has no room.
    pub const fn result_limit(mut self, bytes: usize) -> Self {
        self.result_limit = bytes;
        self
    }

    /// Sets how many requests one call may make; 100,000 unless told otherwise. One more ends the call with
    /// [`Error::Requests`].
    pub const fn request_limit(mut self, requests: u32) -> Self {
        self.request_limit = requests;
        self
    }

    /// Sets up an input buffer of at least `bytes`.
    pub fn input(&mut self, bytes: usize) -> InputBuffer {
        InputBuffer(self.own(bytes, BufferAccess::ReadOnly))
    }

    /// Sets up an output buffer of at least `bytes`.
    pub fn output(&mut self, bytes: usize) -> OutputBuffer {
        OutputBuffer(self.own(bytes, BufferAccess::ReadWrite))
    }

    /// Chooses how functions are kept apart.
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Chooses whether aborted calls are reported on the console; they are, unless told otherwise.
    pub const fn report(mut self, report: bool) -> Self {
        self.report = report;
        self
    }

    /// Sets up the sandbox: `sbm_init`.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::Stack`], [`Error::Heap`], [`Error::Large`]: out of limits. [`Error::Guarded`],
    /// [`Error::NoHeap`]: two words that do not go together, or one without the other. [`Error::Quota`], [`Error::Server`]: over
    /// the quota, or out of memory.
    pub fn build(mut self) -> Result<Sbm, Error> {
        if self.guarded || self.walked {
            check_heap(&self)?;
        }
        let most = if self.guarded { MAX_GUARDED_PAGES } else { *HEAP_PAGES.end() };
        let heap_pages = if self.walked { self.plan_walked()? } else { heap_pages(self.heap, most)? };
        let guarded = self.guarded && heap_pages > 0;
        if guarded {
            let bytes = records::offset(records::count(heap_pages));
            self.plan(Planned::Records, 0, bytes, BufferAccess::ReadWrite);
        }
        if let Some((number, why)) = self.unfit {
            return Err(Error::Argument { number, why });
        }
        let budget = match self.budget {
            Wanted::Standard => Budget::standard(),
            Wanted::Of(budget) => Budget::of(budget)?,
            Wanted::None => Budget::none()?,
        };
        let pages = u16::try_from(self.stack.div_ceil(PAGE as usize)).ok().filter(|pages| STACK_PAGES.contains(pages));
        let Some(stack_pages) = pages else {
            let limit = usize::from(*STACK_PAGES.end()) * PAGE as usize;
            return Err(Error::Stack { bytes: self.stack, limit });
        };
        let data = env().map();
        #[expect(clippy::cast_possible_truncation, reason = "a program has at most MAX_DATA_PAGES")]
        let statics_pages = if self.private_statics { ((data.data_end - data.data) / PAGE) as u16 } else { 0 };
        let own = Own { heap_pages: heap_pages | if guarded { Own::GUARDED } else { 0 }, statics_pages };
        let spec = Spec {
            stack_pages,
            buffers: self.buffers,
            own: (own != Own::default()).then_some(own),
            traced: self.report,
        };
        let terms = Terms {
            isolated: self.isolation == Isolation::Strong,
            result_limit: self.result_limit.min(MAX_BUFFER_BYTES),
            request_limit: self.request_limit,
            count_handlers: self.count_handlers,
            text_limit: self.text_limit,
        };
        let made = Made::new(&spec)?;
        let instance = Instance::new(&made, self.serial, &terms);
        // Filled in where it stays: moving it takes as long as a call.
        let mut sbm = Sbm { instance, error: None, report: self.report, budget };
        sbm.instance.equip(&made, &self.planned);
        if let Some(page) = log::wanted()
            && terms.isolated
            && !self.private_statics
        {
            sbm.instance.map(0, Pages { address: page, count: 1 }, BufferAccess::ReadOnly)?;
        }
        Ok(sbm)
    }

    fn room(&mut self, number: usize, bytes: usize, access: BufferAccess) {
        match u8::try_from(number.wrapping_sub(1)) {
            Ok(at) if number <= MAX_PARAMETERS => self.plan(Planned::Argument(at), number, bytes, access),
            Ok(_) | Err(_) => self.unfit = Some((number, Unfit::Number { limit: MAX_PARAMETERS })),
        }
    }

    /// Plans a heap that the client can read, and returns the pages of another one: none.
    fn plan_walked(&mut self) -> Result<u32, Error> {
        let bytes = self.heap;
        if bytes > MAX_BUFFER_BYTES {
            return Err(Error::Heap { bytes, limit: MAX_BUFFER_BYTES });
        }
        if bytes > 0 {
            let fewest = *HEAP_PAGES.start() as usize * PAGE as usize;
            self.plan(Planned::Heap, 0, bytes.max(fewest), BufferAccess::ReadWrite);
        }
        Ok(0)
    }

    fn own(&mut self, bytes: usize, access: BufferAccess) -> BufferName {
        // Not used up in the life of a client.
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        if self.serial == 0 {
            self.serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        }
        let index = self.planned.iter().filter(|planned| matches!(planned, Planned::Own)).count();
        self.plan(Planned::Own, MAX_PARAMETERS + 1 + index, bytes, access);
        BufferName { index, serial: self.serial }
    }

    fn plan(&mut self, planned: Planned, number: usize, bytes: usize, access: BufferAccess) {
        if bytes > MAX_BUFFER_BYTES {
            self.unfit = Some((number, Unfit::Buffer { bytes, limit: MAX_BUFFER_BYTES }));
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it was compared with the most there are")]
        let pages = bytes.div_ceil(PAGE as usize).max(1) as u32;
        // One is planned for each.
        let pushed = self.buffers.push(BufferSpec::new(pages, access)).is_ok() && self.planned.push(planned).is_ok();
        if !pushed {
            self.unfit = Some((number, Unfit::Buffers { limit: MAX_BUFFERS }));
        }
    }
}

/// Checks what is said of a heap.
#[cold]
const fn check_heap(builder: &Builder) -> Result<(), Error> {
    match builder {
        Builder { heap: 0, .. } => Err(Error::NoHeap),
        Builder { guarded: true, walked: true, .. } => Err(Error::Guarded),
        Builder { .. } => Ok(()),
    }
}

/// Returns how many pages a heap of at least `bytes` has, which may have this many.
fn heap_pages(bytes: usize, most: u32) -> Result<u32, Error> {
    let limit = most as usize * PAGE as usize;
    if bytes == 0 {
        return Ok(0);
    }
    if bytes > limit {
        return Err(Error::Heap { bytes, limit });
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was compared with the most there are")]
    let pages = bytes.div_ceil(PAGE as usize) as u32;
    Ok(pages.max(*HEAP_PAGES.start()).next_power_of_two())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Sbm`: one sandbox, to call functions in.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Fault, Own, Pages, Region, Spec,
    limits::{HEAP_PAGES, MAX_BUFFERS, PAGE, STACK_PAGES},
};
use sbm_coding::words;

use super::{
    buffer::BufferName,
    call::Reply,
    console::write_line,
    env::env,
    instance::{Instance, MAX_BUFFER_BYTES, MAX_PARAMETERS, Made, Planned, Terms},
    log,
    time::Budget,
    trace::Trace,
};
use crate::{
    argument::{
        Arguments,
        shared::{InputBuffer, OutputBuffer, OutputView},
    },
    error::{Error, Unfit},
    inside::{
        entry::Thunk,
        function::{Function, thunk},
    },
    records,
    tainted::Tainted,
    value::Value,
    walk::{Walk, WalkError},
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

/// A sandbox: `struct sbm`. Dropping it is `sbm_destroy`.
#[derive(Debug)]
pub struct Sbm {
    instance: Instance,
    error: Option<Error>,
    report: bool,
    budget: Budget,
}

impl Sbm {
    /// Sets up a sandbox with a stack of 8 KiB and no buffers: they are added at the first call that needs them.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Begins a sandbox that is set up with all that its calls will need.
    pub fn builder() -> Builder {
        let stack = usize::from(Spec::default().stack_pages) * PAGE as usize;
        Builder {
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

    /// Calls `function` in the sandbox: `sbm_call`.
    ///
    /// Nothing is copied out of a call that is aborted, and the error sticks: until [`Sbm::reset`] all further calls
    /// return it without running.
    ///
    /// Between two calls that ended well nothing is cleared but what arguments replace. A function can find what earlier
    /// ones left on the stack, in registers (those of floating-point arithmetic and its rounding mode among them), in the
    /// argument page, around its own arguments in buffers that they could write, and in buffers and mapped pages that its
    /// own call does not name. A call that must find none of it is one after a [`reset`](Sbm::reset).
    ///
    /// A call that takes longer than the sandbox's [budget](Builder::budget) is aborted with [`Error::TimedOut`], whatever
    /// the function does.
    ///
    /// # Errors
    /// [`Error`] if the function did not run to its end, if it cannot take an argument, or if memory for one was refused.
    /// What the function itself returns, error or not, is in the value.
    #[inline]
    pub fn call<F, A>(&mut self, function: F, arguments: A) -> Result<Tainted<F::Output>, Error>
    where
        A: Arguments,
        F: Function<A>,
    {
        self.call_with(self.budget, function, arguments)
    }

    /// Calls `function` in the sandbox, with a budget of its own.
    ///
    /// # Errors
    /// As [`Sbm::call`], and [`Error::Budget`] for a budget of zero or above [`LONGEST_BUDGET`](crate::LONGEST_BUDGET).
    pub fn call_within<F, A>(
        &mut self,
        budget: Duration,
        function: F,
        arguments: A,
    ) -> Result<Tainted<F::Output>, Error>
    where
        A: Arguments,
        F: Function<A>,
    {
        self.call_with(Budget::of(budget)?, function, arguments)
    }

    #[inline]
    fn call_with<F, A>(&mut self, budget: Budget, function: F, mut arguments: A) -> Result<Tainted<F::Output>, Error>
    where
        A: Arguments,
        F: Function<A>,
    {
        if let Some(error) = &self.error {
            return Err(self.refuse(error));
        }
        self.instance.begin();
        arguments.stage(&mut self.instance)?;
        self.instance.capture(&function);
        let thunk = thunk::<A, F>();
        if !self.instance.is_isolated() {
            return self.call_here(thunk, arguments);
        }
        let reply = self.instance.run(thunk, budget);
        if let Some(words) = reply.returned()
            && let Some(value) = words::decode(words)
        {
            arguments.finish(&self.instance);
            return Ok(Tainted::new(value));
        }
        let (label, [first, second, third]) = reply.parts();
        self.go_on(label, first, second, third, arguments)
    }

    /// Runs a staged call without a sandbox.
    #[cold]
    fn call_here<R: Value, A: Arguments>(&mut self, thunk: Thunk, mut arguments: A) -> Result<Tainted<R>, Error> {
        let words = self.instance.run_here(thunk, &mut arguments);
        self.end(Ok(words), arguments)
    }

    /// Goes on with a call that asks for something, returned more than two words, or was aborted.
    // By parts, which stay in registers where a call does not come here.
    #[inline(never)]
    fn go_on<R: Value, A: Arguments>(
        &mut self,
        label: u64,
        first: u64,
        second: u64,
        third: u64,
        mut arguments: A,
    ) -> Result<Tainted<R>, Error> {
        let reply = Reply::new(label, [first, second, third]);
        if reply.is_end() {
            // Whoever waits for a fault waits for everything that comes before it is told.
            return Err(self.abort_by(reply));
        }
        let words = self.instance.attend(reply, &mut arguments);
        self.end(words, arguments)
    }

    /// Ends a call, however it went.
    fn end<R: Value, A: Arguments>(
        &mut self,
        words: Result<[u64; 2], Error>,
        mut arguments: A,
    ) -> Result<Tainted<R>, Error> {
        self.instance.end_text();
        match words.and_then(|words| self.instance.result(words)) {
            Ok(value) => {
                arguments.finish(&self.instance);
                Ok(Tainted::new(value))
            }
            Err(error) => Err(self.abort(error)),
        }
    }

    /// Answers a call of a sandbox that was aborted and not reset.
    #[cold]
    fn refuse(&self, error: &Error) -> Error {
        if self.report {
            write_line(format_args!("sandbox of {}: not called, it waits for a reset since: {error}", env().name()));
        }
        error.clone()
    }

    #[cold]
    fn abort_by(&mut self, reply: Reply) -> Error {
        if self.report {
            self.instance.stack_pointer = reply.stack_pointer();
        }
        self.abort(self.instance.error_of(reply.outcome()))
    }

    #[inline]
    fn abort(&mut self, error: Error) -> Error {
        if self.report {
            let trace = self.instance.trace(self.budget);
            report(&error, &self.instance, &trace);
        }
        self.error = Some(error.clone());
        error
    }

    /// Returns why the last call was aborted, if it was: `sbm_error`. `None` if the function ran to its end, whatever
    /// it returned.
    #[must_use]
    pub const fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Puts the sandbox back to its first state, whatever it is doing, after an error and at any other time.
    ///
    /// It is then as good as a new one: its registers are set anew, its private statics are what the program starts with, its
    /// stack and its heap are zero, and so are the argument page, the buffers of arguments and those of
    /// [`Builder::output`]. After a [`snapshot`](Sbm::snapshot), heap and statics are what they were then. What remains is the
    /// client's: what it wrote to buffers of [`Builder::input`], the pages that were mapped and what is in them, and the sizes
    /// that buffers have grown to.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub fn reset(&mut self) -> Result<(), Error> {
        self.instance.reset()?;
        self.error = None;
        Ok(())
    }

    /// Makes the present state of heap and private statics what a [`reset`](Sbm::reset) returns to: after a first call that
    /// was expensive, so that what it has made need not be made again. Nothing else of the sandbox is kept, and a sandbox
    /// has one snapshot.
    ///
    /// Its cost goes with what there is of both. What the function has left there is kept, also where it was hostile.
    ///
    /// # Errors
    /// The error that sticks, if one does. [`Error::Guarded`]. [`Error::Server`], and nothing has changed: there is a snapshot already, or the
    /// sandbox has as many other additions as it can have (EINVAL); there is no memory (ENOMEM). [`Error::Quota`].
    pub fn snapshot(&mut self) -> Result<(), Error> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None => self.instance.snapshot(),
        }
    }

    /// Begins a walk of so many steps through what functions have built in the sandbox's heap: a [`Far`](crate::Far) that one
    /// has returned is followed to what it names, and so are those that stand there. Each step copies one value, slice or text
    /// out; where the steps are used up the walk ends with an error, so that nothing built inside can be without end.
    ///
    /// Where functions run without [isolation](Isolation::None), they allocate from the client's heap, and any of its statics
    /// can be walked.
    ///
    /// # Errors
    /// The error that sticks, if one does. [`WalkError::NoHeap`] where the sandbox has no heap or its
    /// client cannot read it: see [`Builder::walked`].
    pub fn walk(&self, steps: u32) -> Result<Walk<'_>, Error> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let memory = self.instance.walked().ok_or(WalkError::NoHeap)?;
        Ok(Walk::new(memory, steps))
    }

    /// Returns the slot, in this client's CSpace, of the capability to call the sandbox: for measurements and tests of
    /// the system itself.
    #[must_use]
    pub fn endpoint_slot(&self) -> u64 {
        self.instance.endpoint_slot()
    }

    /// Returns the bytes of an input buffer, to be filled between calls.
    ///
    /// # Errors
    /// [`Unfit::Foreign`] if the buffer is another sandbox's.
    pub fn input(&mut self, buffer: InputBuffer) -> Result<&mut [u8], Error> {
        let own = self.instance.own(buffer.0).ok_or(foreign(buffer.0))?;
        Ok(own.bytes_mut())
    }

    /// Returns a view of an output buffer, to be read between calls.
    ///
    /// # Errors
    /// [`Unfit::Foreign`] if the buffer is another sandbox's.
    pub fn output(&mut self, buffer: OutputBuffer) -> Result<OutputView<'_>, Error> {
        let own = self.instance.own(buffer.0).ok_or(foreign(buffer.0))?;
        Ok(OutputView::new(own.memory()))
    }
}

/// Returns how many pages a heap of at least `bytes` has.
fn heap_pages(bytes: usize) -> Result<u16, Error> {
    const LIMIT: usize = *HEAP_PAGES.end() as usize * PAGE as usize;
    if bytes == 0 {
        return Ok(0);
    }
    if bytes > LIMIT {
        return Err(Error::Heap { bytes, limit: LIMIT });
    }
    #[expect(clippy::cast_possible_truncation, reason = "it was compared with the most there are")]
    let pages = bytes.div_ceil(PAGE as usize) as u16;
    Ok(pages.max(*HEAP_PAGES.start()).next_power_of_two())
}

const fn foreign(name: BufferName) -> Error {
    Error::Argument { number: MAX_PARAMETERS + 1 + name.index, why: Unfit::Foreign }
}

/// Reports a call that was aborted, in one line that the host tool completes with function and line.
fn report(error: &Error, instance: &Instance, trace: &Trace) {
    let (name, program) = (env().name(), env().program());
    match error {
        Error::Fault { fault: Fault { ip, .. }, region: Region::StackGuard } => {
            let size = instance.stack_bytes() / 1024;
            write_line(format_args!(
                "sandbox fault: {error}: its stack of {size} KiB is full, see Builder::stack program={program} ip={ip:#x}{trace}"
            ));
        }
        Error::Fault { fault: Fault { ip, .. }, region: Region::ClientData } if !instance.has_private_statics() => {
            write_line(format_args!(
                "sandbox fault: {error}: see Builder::private_statics program={program} ip={ip:#x}{trace}"
            ));
        }
        Error::Fault { fault, .. } if let Some(allocation) = instance.allocation(fault) => {
            let ip = fault.ip;
            write_line(format_args!("sandbox fault: {error}: {allocation} program={program} ip={ip:#x}{trace}"));
            instance.tell(&allocation);
        }
        Error::Fault { fault: Fault { ip, .. }, .. } | Error::TimedOut { ip } | Error::Canceled { ip } => {
            write_line(format_args!("sandbox fault: {error} program={program} ip={ip:#x}{trace}"));
        }
        _ => write_line(format_args!("sandbox of {name}: {error}")),
    }
}

impl Drop for Sbm {
    fn drop(&mut self) {
        self.instance.destroy();
    }
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
    /// how many bytes a request may send, or ask for. A mebibyte unless told otherwise, and 48 at most. A longer one ends its
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
    /// [`Error::Argument`], [`Error::Stack`], [`Error::Heap`], [`Error::Large`]: out of limits. [`Error::Server`]: over the quota, or out of memory.
    pub fn build(mut self) -> Result<Sbm, Error> {
        if self.guarded && self.walked {
            return Err(Error::Guarded);
        }
        let heap_pages = if self.walked { self.plan_walked()? } else { heap_pages(self.heap)? };
        let guarded = self.guarded && heap_pages > 0;
        if guarded {
            let bytes = records::offset(records::count(heap_pages.into()));
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
    fn plan_walked(&mut self) -> Result<u16, Error> {
        let bytes = self.heap;
        if bytes > MAX_BUFFER_BYTES {
            return Err(Error::Heap { bytes, limit: MAX_BUFFER_BYTES });
        }
        if bytes > 0 {
            let fewest = usize::from(*HEAP_PAGES.start()) * PAGE as usize;
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
        let pages = bytes.div_ceil(PAGE as usize).max(1) as u16;
        // One is planned for each.
        let pushed = self.buffers.push(BufferSpec::new(pages, access)).is_ok() && self.planned.push(planned).is_ok();
        if !pushed {
            self.unfit = Some((number, Unfit::Buffers { limit: MAX_BUFFERS }));
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Sbm`: one sandbox, to call functions in.

use heapless::Vec;
use sbm_abi::{
    BufferAccess, BufferSpec, Errno, Outcome, Spec,
    limits::{MAX_BUFFER_PAGES, MAX_BUFFERS, PAGE},
};

use crate::{
    Arguments, Error, Function, InputBuffer, OutputBuffer, OutputView, Tainted, Value,
    arguments::thunk,
    buffer,
    instance::{Instance, MAX_PARAMETERS, Planned},
    rt,
};

/// How a function is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// In its own address space and thread.
    #[default]
    Strong,
    /// Not at all: it runs in the client, on the same buffers. A fault in it ends the client. For trying things out.
    None,
}

/// A sandbox: `struct sbm`. Dropping it is `sbm_destroy`.
#[derive(Debug)]
pub struct Sbm {
    instance: Instance,
    error: Option<Error>,
    report: bool,
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
        Builder { spec: Spec::default(), planned: Vec::new(), error: None, isolation: Isolation::Strong, report: true }
    }

    /// Calls `function` in the sandbox: `sbm_call`.
    ///
    /// Nothing is copied out of a call that is aborted, and the error sticks: until [`Sbm::reset`] all further calls
    /// return it without running.
    ///
    /// # Errors
    /// [`Error`] if the function did not run to its end, or if memory for an argument was refused. What the function
    /// itself returns, error or not, is in the value.
    #[inline]
    pub fn call<F, A>(&mut self, function: F, mut arguments: A) -> Result<Tainted<F::Output>, Error>
    where
        A: Arguments,
        F: Function<A>,
    {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.instance.begin();
        arguments.stage(&mut self.instance)?;
        let outcome = self.instance.run(thunk::<A, F>(function));
        if let Outcome::Returned(words) = outcome
            && let Some(value) = F::Output::from_words(words)
        {
            arguments.finish(&self.instance);
            return Ok(Tainted::new(value));
        }
        Err(self.abort(outcome))
    }

    #[cold]
    fn abort(&mut self, outcome: Outcome) -> Error {
        let error = self.instance.error_of(outcome);
        if self.report {
            rt::report(&error);
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

    /// Puts the sandbox back to its first state after an error: registers and stack.
    ///
    /// # Errors
    /// [`Error::Server`].
    pub fn reset(&mut self) -> Result<(), Error> {
        self.instance.reset()?;
        self.error = None;
        Ok(())
    }

    /// Returns the slot, in this client's CSpace, of the capability to call the sandbox: for measurements and tests of
    /// the system itself.
    #[must_use]
    pub fn endpoint_slot(&self) -> u64 {
        self.instance.endpoint_slot()
    }

    /// Returns the bytes of an input buffer, to be filled between calls. Of another sandbox's buffer: none.
    pub fn input(&mut self, buffer: InputBuffer) -> &mut [u8] {
        self.instance.own.get_mut(buffer.0).map_or(&mut [], buffer::bytes)
    }

    /// Returns a view of an output buffer, to be read between calls.
    ///
    /// # Errors
    /// [`Errno::Invalid`] if the buffer is another sandbox's.
    pub fn output(&mut self, buffer: OutputBuffer) -> Result<OutputView<'_>, Error> {
        let slot = self.instance.own.get(buffer.0).ok_or(Errno::Invalid)?;
        Ok(OutputView::new(slot.memory()))
    }
}

impl Drop for Sbm {
    fn drop(&mut self) {
        self.instance.destroy();
    }
}

/// A sandbox that is going to be set up.
#[derive(Debug)]
#[must_use = "nothing is set up before `build`"]
pub struct Builder {
    spec: Spec,
    planned: Vec<Planned, MAX_BUFFERS>,
    error: Option<Errno>,
    isolation: Isolation,
    report: bool,
}

impl Builder {
    /// Sets the size of the stack, in bytes; whole pages.
    pub fn stack(mut self, bytes: usize) -> Self {
        match u16::try_from(bytes.div_ceil(PAGE as usize)) {
            Ok(pages) => self.spec.stack_pages = pages,
            Err(_) => self.error = Some(Errno::Invalid),
        }
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
    /// [`Error::Server`]: out of limits, over the quota, or out of memory.
    pub fn build(self) -> Result<Sbm, Error> {
        if let Some(errno) = self.error {
            return Err(Error::Server(errno));
        }
        let instance = Instance::new(&self.spec, &self.planned, self.isolation == Isolation::Strong)?;
        Ok(Sbm { instance, error: None, report: self.report })
    }

    fn room(&mut self, number: usize, bytes: usize, access: BufferAccess) {
        if (1..=MAX_PARAMETERS).contains(&number) {
            self.plan(Planned::Argument(number - 1), bytes, access);
        } else {
            self.error = Some(Errno::Invalid);
        }
    }

    fn own(&mut self, bytes: usize, access: BufferAccess) -> usize {
        let index = self.planned.iter().filter(|planned| matches!(planned, Planned::Own)).count();
        self.plan(Planned::Own, bytes, access);
        index
    }

    fn plan(&mut self, planned: Planned, bytes: usize, access: BufferAccess) {
        let pages = bytes.div_ceil(PAGE as usize).max(1);
        let spec = u16::try_from(pages).ok().filter(|pages| *pages <= MAX_BUFFER_PAGES);
        match spec.map(|pages| BufferSpec::new(pages, access)) {
            Some(spec) if self.spec.buffers.push(spec).is_ok() => {
                // As many as buffers.
                let _ = self.planned.push(planned);
            }
            Some(_) | None => self.error = Some(Errno::Invalid),
        }
    }
}

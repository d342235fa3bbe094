// SPDX-License-Identifier: MIT OR Apache-2.0
//! `Sbm`: one sandbox, to call functions in.

use core::time::Duration;

use sbm_abi::{Fault, Region};
use sbm_coding::words;

use super::{
    buffer::BufferName,
    builder::Builder,
    call::Reply,
    console::write_line,
    env::env,
    instance::{Instance, MAX_PARAMETERS},
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
        entry::{Thunk, leave_address, resume_address},
        function::{Function, Takes, thunk},
    },
    tainted::Tainted,
    value::Value,
    walk::{Walk, WalkError},
};

/// A sandbox: `struct sbm`. Dropping it is `sbm_destroy`.
#[derive(Debug)]
pub struct Sbm {
    pub(super) instance: Instance,
    pub(super) error: Option<Error>,
    pub(super) report: bool,
    pub(super) budget: Budget,
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
        Builder::new()
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
        // The compiler quotes the line of a bound that a call does not meet, and with it what to do.
        F: Copy,          // captures only what is `Copy`: pass the rest by `copy_in(&x[..])` or `value(&x)`
        F: 'static,       // captures no reference: copy what it refers to, or pass that by `copy_in` or `value`
        F: Takes<A>,      // a slice takes `copy_in(&array[..])`; a `u64` takes `7_u64`, since `7` is an `i32`
        F::Output: Value, // derive `serde::Serialize` and `serde::Deserialize` on each type in it
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
        F: Copy,          // captures only what is `Copy`: pass the rest by `copy_in(&x[..])` or `value(&x)`
        F: 'static,       // captures no reference: copy what it refers to, or pass that by `copy_in` or `value`
        F: Takes<A>,      // a slice takes `copy_in(&array[..])`; a `u64` takes `7_u64`, since `7` is an `i32`
        F::Output: Value, // derive `serde::Serialize` and `serde::Deserialize` on each type in it
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
            let (number, name) = (self.instance.number(), env().name());
            write_line(format_args!("sandbox {number} of {name}: not called, it waits for a reset since: {error}"));
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
            self.tell(&error);
        }
        self.error = Some(error.clone());
        error
    }

    #[cold]
    #[inline(never)]
    fn tell(&mut self, error: &Error) {
        let trace = self.instance.trace(self.budget, error.is_of_one_that_waits());
        report(error, &self.instance, &trace);
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
    /// The error that sticks, if one does. [`Error::Guarded`], [`Error::NothingToKeep`], [`Error::Kept`]. [`Error::Server`], and
    /// nothing has changed: the sandbox has as many additions as it can have (EINVAL); there is no memory (ENOMEM).
    /// [`Error::Quota`].
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
    /// Where functions run without [isolation](crate::Isolation::None), they allocate from the client's heap, and any of its statics
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

const fn foreign(name: BufferName) -> Error {
    Error::Argument { number: MAX_PARAMETERS + 1 + name.index, why: Unfit::Foreign }
}

/// Reports a call that was aborted, in one line that the host tool completes with function and line.
fn report(error: &Error, instance: &Instance, trace: &Trace) {
    let (number, name, program) = (instance.number(), env().name(), env().program());
    let ip = match error {
        Error::Fault { fault: Fault { ip, .. }, .. } | Error::TimedOut { ip } | Error::Canceled { ip } => *ip,
        Error::Panic(_) | Error::NoRoom { .. } => leave_address(),
        error if error.is_of_one_that_waits() => resume_address(),
        _ => return write_line(format_args!("sandbox {number} of {name}: {error}")),
    };
    let at = format_args!("program={program} sandbox={number} ip={ip:#x}{trace}");
    match error {
        Error::Fault { region: Region::StackGuard, .. } => {
            let size = instance.stack_bytes() / 1024;
            let full = format_args!("its stack of {size} KiB is full, see Builder::stack");
            write_line(format_args!("sandbox fault: {error}: {full} {at}"));
        }
        Error::Fault { region: Region::ClientData, .. } if !instance.has_private_statics() => {
            write_line(format_args!("sandbox fault: {error}: see Builder::private_statics {at}"));
        }
        Error::Fault { fault, .. } if let Some(allocation) = instance.allocation(fault) => {
            write_line(format_args!("sandbox fault: {error}: {allocation} {at}"));
            instance.tell(&allocation);
        }
        Error::Panic(_) | Error::NoRoom { .. } => write_line(format_args!("sandbox {number} of {name}: {error} {at}")),
        _ => write_line(format_args!("sandbox fault: {error} {at}")),
    }
}

impl Drop for Sbm {
    fn drop(&mut self) {
        self.instance.destroy();
    }
}

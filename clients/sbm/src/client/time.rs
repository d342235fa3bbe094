// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time: a clock, sleep, and the watch words by which the server knows of a running call.
#![expect(unsafe_code, reason = "the watch words, and the time-stamp counter")]

use core::{fmt, time::Duration};

use sbm_abi::{
    Handle, Request,
    limits::{CLIENT_IPC_BUFFER, MAX_BUDGET_MS},
    watch::{DEADLINE_OFFSET, MARKS, MARKS_OFFSET, NEXT_LOOK_OFFSET},
};

use super::{env::env, server};
use crate::error::Error;

const NANOS: u128 = 1_000_000_000;

const DEADLINE: *mut u64 = (CLIENT_IPC_BUFFER + DEADLINE_OFFSET) as usize as *mut u64;
const NEXT_LOOK: *const u64 = (CLIENT_IPC_BUFFER + NEXT_LOOK_OFFSET) as usize as *const u64;
const FIRST_MARK: *mut u8 = (CLIENT_IPC_BUFFER + MARKS_OFFSET) as usize as *mut u8;

/// Most time that a call can be given, where the system's description does not say less: an hour.
pub const LONGEST_BUDGET: Duration = Duration::from_millis(MAX_BUDGET_MS);

/// Most time for what a report tells beside the error: copying a few words.
const BRIEF: Duration = Duration::from_millis(50);

/// Reads the time-stamp counter.
#[inline]
pub(super) fn ticks() -> u64 {
    // SAFETY: every x86-64 CPU has it, and the kernel leaves it to user mode.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns the time since the root task started. It never goes back, and knows nothing of the time of day.
///
/// Its unit is the nanosecond; how far the CPU's counter goes in one was measured at start, to about one in a thousand.
#[must_use]
pub fn now() -> Duration {
    let gone = u128::from(ticks().saturating_sub(env().boot_ticks()));
    let nanos = gone * NANOS / u128::from(env().ticks_per_second().max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Waits for at least `duration`, without using the CPU.
///
/// # Errors
/// [`Error::Server`].
pub fn sleep(duration: Duration) -> Result<(), Error> {
    let until = ticks().saturating_add(ticks_of(duration));
    server::request(&Request::Sleep { until }).map(drop)
}

/// Ends the running call of the client called `name` with an error, if it is in one. The client goes on with
/// [`Error::Canceled`].
///
/// # Errors
/// [`Error::Server`]: this client may not do so to one of that name (EPERM), or it has ended (EINVAL).
pub fn cancel(name: &str) -> Result<(), Error> {
    server::cancel(name).map(drop)
}

/// Ends the client called `name`, with all that it has; what follows is as the system's description says of its end.
///
/// # Errors
/// [`Error::Server`]: this client may not do so to one of that name (EPERM), or it has ended (EINVAL).
pub fn kill(name: &str) -> Result<(), Error> {
    server::kill(name).map(drop)
}

fn ticks_of(duration: Duration) -> u64 {
    let ticks = duration.as_nanos().saturating_mul(u128::from(env().ticks_per_second())) / NANOS;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// How long a call may take, in ticks of the time-stamp counter; 0 for no limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget(u64);

impl Budget {
    /// Leaves calls without a limit.
    pub(crate) const NONE: Self = Self(0);

    /// Leaves calls without a limit, where the system's description has none.
    pub(crate) fn none() -> Result<Self, Error> {
        let limited = env().longest_budget().map(|limit| Error::Budget { asked: Duration::MAX, limit });
        limited.map_or(Ok(Self::NONE), Err)
    }

    /// Limits calls as far as the system's description says where nobody else does.
    pub(crate) fn standard() -> Self {
        Self(env().default_budget_ticks().max(1))
    }

    /// Limits calls to `duration`.
    pub(crate) fn of(duration: Duration) -> Result<Self, Error> {
        let limit = env().longest_budget().unwrap_or(LONGEST_BUDGET);
        if duration.is_zero() || duration > limit {
            return Err(Error::Budget { asked: duration, limit });
        }
        Ok(Self(ticks_of(duration).max(1)))
    }

    /// Returns the same, but no more than is worth waiting for what is only told.
    pub(super) fn brief(self) -> Self {
        let brief = ticks_of(BRIEF).max(1);
        Self(if self.is_none() { brief } else { self.0.min(brief) })
    }

    #[inline]
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Tells the server that a call begins. There is none around it: a client's thread waits while its function runs, and
    /// one that runs in the client itself has no budget.
    ///
    /// Every store comes before the load, so that either the server has seen them when it looked last, or it says when it
    /// looks next.
    #[inline]
    pub(crate) fn begin(self, handle: Handle) {
        announce(ticks().saturating_add(self.0), handle);
    }

    /// Tells the server that the call is over.
    #[inline]
    pub(crate) fn end() {
        // SAFETY: as in `announce`.
        unsafe { DEADLINE.write_volatile(0) }
    }
}

/// Tells the server the deadline of a call that begins, or goes on.
#[inline]
fn announce(deadline: u64, handle: Handle) {
    let mark = FIRST_MARK.wrapping_add(usize::from(handle.index()) % MARKS);
    // SAFETY: the page of the IPC buffer is mapped, readable and writable, for the program's whole life; what lies at
    // these addresses of it is used here alone, and aligned.
    let next_look = unsafe {
        DEADLINE.write_volatile(deadline);
        mark.write_volatile(1);
        NEXT_LOOK.read_volatile()
    };
    if deadline < next_look {
        arm();
    }
}

/// The deadline of a call that has asked for something, and since when it waits for the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paused {
    deadline: u64,
    since: u64,
}

impl Paused {
    /// Takes note of the running call's deadline.
    pub(super) fn now() -> Self {
        // SAFETY: as in `announce`.
        Self { deadline: unsafe { DEADLINE.read_volatile() }, since: ticks() }
    }

    /// Tells whether the deadline is over.
    pub(super) fn is_over(self) -> bool {
        self.deadline <= ticks()
    }

    /// Puts the deadline off by the time that the handler took.
    #[inline]
    pub(super) fn put_off(&mut self) {
        // A deadline as late as the counter goes stays so.
        self.deadline = self.deadline.saturating_add(ticks().wrapping_sub(self.since));
    }

    /// Tells the server that the call goes on.
    #[inline]
    pub(super) fn resume(self, handle: Handle) {
        announce(self.deadline, handle);
    }

    /// Takes note that the call has asked for something more.
    #[inline]
    pub(super) fn pause(&mut self) {
        self.since = ticks();
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ticks", self.0)
    }
}

/// Has the server look in time. It cannot refuse.
#[cold]
fn arm() {
    let _ = server::request(&Request::Arm);
}

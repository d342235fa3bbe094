// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold of a call that was aborted.

use sbm::{Access, Errno, Error, Fault, FaultKind, Region, Sbm, Unfit};

use crate::{Verdict, Why, check, same};

/// A fault that must have happened, all of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// What happened, where.
    pub fault: Fault,
    /// What lies there.
    pub region: Region,
}

/// Expects a page fault by the function of [`raw`](crate::raw) at `ip`.
#[must_use]
pub const fn page(access: Access, address: u64, ip: u64, region: Region) -> Expected {
    Expected { fault: Fault { kind: FaultKind::Page, access, vector: 0, address, ip }, region }
}

/// Expects an exception of the processor at `ip`.
#[must_use]
pub const fn exception(vector: u8, ip: u64) -> Expected {
    let fault = Fault { kind: FaultKind::Exception, access: Access::None, vector, address: 0, ip };
    Expected { fault, region: Region::NotMapped }
}

/// Checks that a call was aborted by exactly this fault, that the error sticks as -EFAULT, and that its caller goes on
/// and can use the sandbox after a reset.
///
/// # Errors
/// The test's failure.
pub fn aborted<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>, expected: Expected) -> Verdict {
    let error = match result {
        Ok(value) => return Err(Why::new(format_args!("the call returned {value:x?}"))),
        Err(error) => error,
    };
    match &error {
        Error::Fault { fault, region } => {
            same!(*fault, expected.fault);
            same!(*region, expected.region);
        }
        other => return Err(Why::new(format_args!("another error: {other}"))),
    }
    stuck(sbm, &error)
}

/// Checks that a call faulted, in whatever way, and the rest as [`aborted`] does; returns the fault.
///
/// # Errors
/// The test's failure.
pub fn fault<T: core::fmt::Debug>(sbm: &mut Sbm, result: Result<T, Error>) -> Result<Fault, Why> {
    match result {
        Err(Error::Fault { fault, region }) => {
            stuck(sbm, &Error::Fault { fault, region })?;
            Ok(fault)
        }
        other => Err(Why::new(format_args!("no fault but {other:x?}"))),
    }
}

/// Checks that an error of a call is -EFAULT and sticks, and that a reset ends it.
///
/// # Errors
/// The test's failure.
pub fn stuck(sbm: &mut Sbm, error: &Error) -> Verdict {
    same!(error.errno().code(), -14);
    stuck_as(sbm, error, Errno::Fault)
}

/// Checks that an error of a call has that number and sticks, and that a reset ends it.
///
/// # Errors
/// The test's failure.
pub fn stuck_as(sbm: &mut Sbm, error: &Error, errno: Errno) -> Verdict {
    same!(error.errno(), errno);
    check!(sbm.error() == Some(error), "the error does not stick");
    match sbm.call(witness, ()) {
        Err(again) => check!(again == *error, "another error sticks: {again}"),
        Ok(_) => return Err(Why::new(format_args!("a call runs after an error"))),
    }
    sbm.reset()?;
    works(sbm)
}

/// Checks that the library refused an argument, by its number, or a buffer.
///
/// # Errors
/// The test's failure.
pub fn refused<T>(result: Result<T, Error>, number: usize, why: Unfit) -> Verdict {
    let Err(error) = result else {
        return Err(Why::new(format_args!("not refused, with argument {number} that {why}")));
    };
    same!(error, Error::Argument { number, why });
    same!(error.errno(), Errno::Invalid);
    Ok(())
}

/// Checks that a sandbox serves calls.
///
/// # Errors
/// The test's failure.
pub fn works(sbm: &mut Sbm) -> Verdict {
    let value = sbm.call(witness, ())?.assume_checked();
    same!(value, WITNESS);
    check!(sbm.error().is_none(), "an error sticks to a call that ran to its end");
    Ok(())
}

const WITNESS: u64 = 0x600d_600d_600d_600d;

/// Runs in a sandbox, to show that it does.
fn witness() -> u64 {
    WITNESS
}

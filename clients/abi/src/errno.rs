// SPDX-License-Identifier: MIT OR Apache-2.0
//! SBM's error numbers, with Linux's values.
//!
//! On the wire an error is its positive number, one byte; SBM's functions return it negated.

use serde::{Deserialize, Serialize};

/// Error of the sbm API, with Linux's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Errno {
    /// A page is not the caller's, or the caller has fewer rights to it than asked; or it may not do that to the client it names.
    Perm = 1,
    /// The handle is not of a sandbox of the caller's, or of one that does not exist any more.
    BadHandle = 9,
    /// Memory, capability slots, paging structures or address space ran out.
    NoMemory = 12,
    /// The function was aborted: CPU fault, stray system call, or panic.
    Fault = 14,
    /// An argument is outside its limits.
    Invalid = 22,
    /// All sandboxes of the system are in use.
    TooMany = 23,
    /// The message is not a request.
    BadMessage = 74,
    /// The call was over its time budget.
    TimedOut = 110,
    /// The caller's share is used up.
    Quota = 122,
    /// The call was ended by another client.
    Canceled = 125,
}

impl Errno {
    /// Every error, for tables and tests.
    pub const ALL: [Self; 10] = [
        Self::Perm,
        Self::BadHandle,
        Self::NoMemory,
        Self::Fault,
        Self::Invalid,
        Self::TooMany,
        Self::BadMessage,
        Self::TimedOut,
        Self::Quota,
        Self::Canceled,
    ];

    /// Returns Linux's name of the error, as in `errno(3)`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Perm => "EPERM",
            Self::BadHandle => "EBADF",
            Self::NoMemory => "ENOMEM",
            Self::Fault => "EFAULT",
            Self::Invalid => "EINVAL",
            Self::TooMany => "ENFILE",
            Self::BadMessage => "EBADMSG",
            Self::TimedOut => "ETIMEDOUT",
            Self::Quota => "EDQUOT",
            Self::Canceled => "ECANCELED",
        }
    }

    /// Returns the value in SBM's convention: the negated error number.
    #[must_use]
    pub const fn code(self) -> i32 {
        -(self as u8 as i32)
    }
}

impl From<Errno> for u8 {
    fn from(errno: Errno) -> Self {
        errno as Self
    }
}

/// The number is no error's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoErrno(pub u8);

impl core::fmt::Display for NoErrno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} is no error number of the sbm API", self.0)
    }
}

impl TryFrom<u8> for Errno {
    type Error = NoErrno;

    fn try_from(number: u8) -> Result<Self, NoErrno> {
        Self::ALL.into_iter().find(|errno| *errno as u8 == number).ok_or(NoErrno(number))
    }
}

impl core::fmt::Display for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_the_error_they_were() {
        for errno in Errno::ALL {
            assert_eq!(Errno::try_from(errno as u8), Ok(errno));
        }
    }

    #[test]
    fn numbers_that_are_no_error_are_refused() {
        assert_eq!(Errno::try_from(0), Err(NoErrno(0)));
        assert_eq!(Errno::try_from(255), Err(NoErrno(255)));
    }

    #[test]
    fn the_wire_carries_the_number() {
        for errno in Errno::ALL {
            let mut bytes = [0; 8];
            let length = postcard::to_slice(&errno, &mut bytes).map_or(0, |bytes| bytes.len());
            assert_eq!(bytes[..length], [errno as u8]);
        }
    }

    #[test]
    fn codes_are_negated_numbers() {
        assert_eq!(Errno::Fault.code(), -14);
        assert_eq!((Errno::NoMemory.code(), Errno::Invalid.code()), (-12, -22));
    }

    #[test]
    fn each_error_has_a_name_of_its_own() {
        for errno in Errno::ALL {
            assert!(errno.name().starts_with('E'));
            assert_eq!(Errno::ALL.iter().filter(|other| other.name() == errno.name()).count(), 1);
        }
    }

    #[test]
    fn errors_are_told_in_words() {
        extern crate std;
        use std::string::ToString;

        assert_eq!(Errno::NoMemory.to_string(), "ENOMEM");
        assert_eq!(NoErrno(3).to_string(), "3 is no error number of the sbm API");
    }
}

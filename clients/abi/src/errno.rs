// SPDX-License-Identifier: MIT OR Apache-2.0
//! SBM's error numbers, with Linux's values.
//!
//! On the wire an error is its positive number; SBM's functions return it negated.

use serde::{Deserialize, Serialize};

/// Error of the sbm API, with Linux's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Errno {
    /// The handle is not the caller's.
    Perm = 1,
    /// The handle's sandbox does not exist any more.
    BadHandle = 9,
    /// Memory, capability slots or address space ran out; nothing was changed.
    NoMemory = 12,
    /// The function was aborted: CPU fault, stray system call, or panic.
    Fault = 14,
    /// An argument is outside its limits.
    Invalid = 22,
    /// All sandboxes of the system are in use.
    TooMany = 23,
    /// The message is not a request.
    BadMessage = 74,
    /// The caller's quota is used up.
    Quota = 122,
}

impl Errno {
    /// Every error, for tables and tests.
    pub const ALL: [Self; 8] = [
        Self::Perm,
        Self::BadHandle,
        Self::NoMemory,
        Self::Fault,
        Self::Invalid,
        Self::TooMany,
        Self::BadMessage,
        Self::Quota,
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
            Self::Quota => "EDQUOT",
        }
    }

    /// Returns the value in SBM's convention: the negated error number.
    #[must_use]
    pub const fn code(self) -> i32 {
        -(self as u8 as i32)
    }

    /// Returns the error with number `number`, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|errno| *errno as u8 == number)
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
            assert_eq!(Errno::from_number(errno as u8), Some(errno));
        }
    }

    #[test]
    fn numbers_that_are_no_error_are_refused() {
        assert_eq!(Errno::from_number(0), None);
        assert_eq!(Errno::from_number(255), None);
    }
}

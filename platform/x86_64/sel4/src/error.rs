// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel answers to an invocation that it refuses.

use core::fmt;

use crate::{Word, sys};

/// The result of an invocation.
pub type Result<T> = core::result::Result<T, Error>;

macro_rules! errors {
    ($( $(#[$doc:meta])* $name:ident = $sys:ident ),* $(,)?) => {
        /// An error of an invocation: `seL4_Error` (manual, section "Errors" and appendix "Error Codes").
        #[derive(Debug, Copy, Clone, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Error {
            $( $(#[$doc])* $name = sys::$sys as u8, )*
            /// The label is none of `seL4_Error`: the capability is no kernel object but an endpoint, and whoever
            /// received the message there has answered.
            NotFromKernel = u8::MAX,
        }

        impl Error {
            /// Reads the label of an answer that is not `seL4_NoError`.
            #[cold]
            const fn from_label(label: Word) -> Self {
                $(
                    if label == sys::$sys as Word {
                        return Self::$name;
                    }
                )*
                Self::NotFromKernel
            }
        }
    };
}

errors! {
    /// An argument has a value that the invocation does not take.
    InvalidArgument = seL4_InvalidArgument,
    /// A capability is missing, or of the wrong type.
    InvalidCapability = seL4_InvalidCapability,
    /// The operation is not permitted on this capability, or in this state.
    IllegalOperation = seL4_IllegalOperation,
    /// An argument is out of range.
    RangeError = seL4_RangeError,
    /// An argument has the wrong alignment.
    AlignmentError = seL4_AlignmentError,
    /// A capability or an intermediate table could not be found.
    FailedLookup = seL4_FailedLookup,
    /// The message has fewer words or capabilities than the invocation needs.
    TruncatedMessage = seL4_TruncatedMessage,
    /// The destination slot, or address, is in use.
    DeleteFirst = seL4_DeleteFirst,
    /// The capability has children that must be revoked first.
    RevokeFirst = seL4_RevokeFirst,
    /// The untyped memory has too little left.
    NotEnoughMemory = seL4_NotEnoughMemory,
}

/// Turns what `sel4-sys` returns into a [`Result`].
#[inline]
pub(crate) fn wrap<T>(raw: core::result::Result<T, Word>) -> Result<T> {
    raw.map_err(Error::from_label)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::InvalidArgument => "invalid argument",
            Self::InvalidCapability => "invalid capability",
            Self::IllegalOperation => "illegal operation",
            Self::RangeError => "argument out of range",
            Self::AlignmentError => "wrong alignment",
            Self::FailedLookup => "lookup failed",
            Self::TruncatedMessage => "message too short",
            Self::DeleteFirst => "destination in use",
            Self::RevokeFirst => "capability has children",
            Self::NotEnoughMemory => "not enough untyped memory",
            Self::NotFromKernel => "answer is not the kernel's",
        };
        f.write_str(text)
    }
}

impl core::error::Error for Error {}

// The kernel knows no error that `Error` does not.
const _: () = assert!(sys::seL4_NumErrors as u8 == Error::NotEnoughMemory as u8 + 1);

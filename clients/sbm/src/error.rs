// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a sandbox could not be set up, or a call did not run to its end.

use core::fmt;

use heapless::String;
use sbm_abi::{Errno, Fault, Region};

/// Most bytes kept of the text of a panic.
const PANIC_TEXT: usize = 104;

/// Text of a panic, as the sandbox left it: location and message, cut and with bytes that are not text replaced.
pub type PanicText = String<PANIC_TEXT>;

/// Why sandbox mode could not be set up, or was aborted. An error that the function itself returned is none of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The CPU or the kernel stopped the function.
    Fault {
        /// What happened, where.
        fault: Fault,
        /// What lies at the address that was touched.
        region: Region,
    },
    /// The function panicked.
    Panic(PanicText),
    /// What the sandbox answered is not a result of the function: code in it forged an answer.
    Garbled,
    /// The server refused to set something up.
    Server(Errno),
}

impl Error {
    /// Returns SBM's error: what `sbm_error` would tell.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self {
            Self::Fault { .. } | Self::Panic(_) | Self::Garbled => Errno::Fault,
            Self::Server(errno) => *errno,
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Server(errno)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault { fault, region } => {
                write!(f, "{}", fault.what())?;
                if fault.access != sbm_abi::Access::None {
                    write!(f, ", {} at {:#x} ({region})", fault.access, fault.address)?;
                }
                Ok(())
            }
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::Garbled => f.write_str("the sandbox forged its answer"),
            Self::Server(errno) => f.write_str(match errno {
                Errno::Perm => "not this client's sandbox (EPERM)",
                Errno::BadHandle => "the sandbox is gone (EBADF)",
                Errno::NoMemory => "out of memory, slots or address space (ENOMEM)",
                Errno::Fault => "aborted (EFAULT)",
                Errno::Invalid => "an argument is outside its limits (EINVAL)",
                Errno::TooMany => "all sandboxes of the system are in use (ENFILE)",
                Errno::BadMessage => "the server did not understand the request (EBADMSG)",
                Errno::Quota => "this client's quota is used up (EDQUOT)",
            }),
        }
    }
}

/// Makes text of what a sandbox wrote: what is not printable ASCII or UTF-8 becomes `?`.
pub(crate) fn panic_text(bytes: &[u8]) -> PanicText {
    let mut text = PanicText::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars().chain((!chunk.invalid().is_empty()).then_some('?')) {
            let shown = if character.is_control() { '?' } else { character };
            if text.push(shown).is_err() {
                return text;
            }
        }
    }
    text
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a sandbox could not be set up, or a call did not run to its end.

use core::{fmt, time::Duration};

use heapless::String;
use sbm_abi::{Errno, Fault, FaultKind, OverQuota, Region};
use sbm_coding::Unreadable;

use crate::{
    client::time::LONGEST_BUDGET, heap::missed, inside::entry::resume_address, tainted::Refused, walk::WalkError,
};

/// What says how long calls can be at most, where that is less than an hour.
const LONGEST_MS: &str = "`longest-ms` in the description of the system";

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
    /// The call was over its time budget; where the time went.
    TimedOut {
        /// Instruction pointer of the function when the call was ended.
        ip: u64,
    },
    /// Another client ended the call, as it may.
    Canceled {
        /// Instruction pointer of the function when the call was ended.
        ip: u64,
    },
    /// The function panicked.
    Panic(PanicText),
    /// The sandbox's heap had no room for an allocation, which the function did not allow for.
    NoRoom {
        /// Bytes that it asked for.
        bytes: usize,
        /// Bytes of the heap; 0 if it has none.
        heap: usize,
    },
    /// What the sandbox answered is not a result of the function: code in it forged an answer.
    Garbled,
    /// What the sandbox answered in place of the function's result cannot be read.
    Unreadable(Unreadable),
    /// The function's result, or the arguments of one of its requests, are longer than the sandbox may send.
    Long {
        /// Bytes that they take.
        bytes: usize,
        /// Most that they may: see [`Builder::result_limit`](crate::Builder::result_limit).
        limit: usize,
    },
    /// The function asked for what there is not.
    Request,
    /// The function asked more often than it may.
    Requests {
        /// How often it may, in one call: see [`Builder::request_limit`](crate::Builder::request_limit).
        limit: u32,
    },
    /// The server refused to set something up.
    Server(Errno),
    /// The server refused what this client has no room for: of what, and how much of it there is.
    Quota(OverQuota),
    /// The library refused an argument, or a buffer, and asked the server for nothing.
    Argument {
        /// Its number in the call, from 1; of a buffer of the client's own, the numbers after those of arguments.
        number: usize,
        /// What does not fit.
        why: Unfit,
    },
    /// The library refused the size of a heap.
    Heap {
        /// Bytes that were asked for.
        bytes: usize,
        /// Most that there can be.
        limit: usize,
    },
    /// The library refused a sandbox whose buffers, heap and statics are each within limits, but not all together.
    Large {
        /// Bytes that they take in all, with the pages between them.
        bytes: usize,
        /// Most that one sandbox is set up with; buffers can be added later.
        limit: usize,
    },
    /// The library refused a snapshot of a guarded heap, or one that is walked as well.
    Guarded,
    /// The library refused to guard a heap, or to have one walked, in a sandbox that is to have none.
    NoHeap,
    /// The library refused a snapshot of a sandbox that has neither heap nor statics of its own.
    NothingToKeep,
    /// The library refused a second snapshot of a sandbox.
    Kept,
    /// The library refused the size of a stack.
    Stack {
        /// Bytes that were asked for.
        bytes: usize,
        /// Most that there can be; the least is a page.
        limit: usize,
    },
    /// The library refused a time budget: zero, more than there can be, or calls without one where each has to have one.
    Budget {
        /// What was asked for; [`Duration::MAX`] for calls without.
        asked: Duration,
        /// The longest that there can be.
        limit: Duration,
    },
    /// A value from the sandbox did not pass its check. No call ends so: it is there for `?`.
    Refused(Refused),
    /// A walk through a sandbox's heap did not go on. No call ends so.
    Walk(WalkError),
}

/// Why a call cannot take an argument, or a sandbox a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It takes more bytes than a buffer holds.
    Buffer {
        /// Bytes that it takes.
        bytes: usize,
        /// Most that a buffer holds.
        limit: usize,
    },
    /// More buffers were asked for than a sandbox is set up with.
    Buffers {
        /// Most that there can be.
        limit: usize,
    },
    /// It takes more bytes than are mapped at once.
    Mapping {
        /// Bytes that it takes, in whole pages.
        bytes: usize,
        /// Most that are mapped at once.
        limit: usize,
    },
    /// As many ranges of pages are mapped into the sandbox as can be.
    Mappings {
        /// Most that there can be.
        limit: usize,
    },
    /// Some of its pages are mapped already, by another range or for another access.
    Overlap,
    /// It names a buffer of another sandbox.
    Foreign,
    /// An earlier argument of the same call may write the same.
    Twice,
    /// Its type has no form that serde can write and read again.
    NotEncodable,
    /// No function has an argument of that number.
    Number {
        /// The highest.
        limit: usize,
    },
}

impl Error {
    /// Returns SBM's error: what `sbm_error` would tell.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self {
            Self::Fault { fault: Fault { kind: FaultKind::NoMemory, .. }, .. } | Self::NoRoom { .. } => Errno::NoMemory,
            Self::Fault { fault: Fault { kind: FaultKind::OverQuota, .. }, .. } => Errno::Quota,
            Self::Fault { .. }
            | Self::Panic(_)
            | Self::Garbled
            | Self::Unreadable(_)
            | Self::Long { .. }
            | Self::Request
            | Self::Requests { .. } => Errno::Fault,
            Self::TimedOut { .. } => Errno::TimedOut,
            Self::Canceled { .. } => Errno::Canceled,
            Self::Server(errno) => *errno,
            Self::Quota(over) => over.errno(),
            Self::Argument { .. }
            | Self::Stack { .. }
            | Self::Heap { .. }
            | Self::Large { .. }
            | Self::Guarded
            | Self::NoHeap
            | Self::NothingToKeep
            | Self::Kept
            | Self::Budget { .. } => Errno::Invalid,
            Self::Walk(WalkError::NoHeap) => Errno::Invalid,
            Self::Refused(_) | Self::Walk(_) => Errno::BadMessage,
        }
    }
}

impl Error {
    /// Tells whether the call has ended while its function waits for what it has asked for.
    pub(crate) fn is_of_one_that_waits(&self) -> bool {
        match self {
            Self::TimedOut { ip } => *ip == resume_address(),
            Self::Request | Self::Requests { .. } => true,
            _ => false,
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Server(errno)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<WalkError> for Error {
    fn from(error: WalkError) -> Self {
        Self::Walk(error)
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
            Self::TimedOut { .. } => f.write_str("over its time budget"),
            Self::Canceled { .. } => f.write_str("ended by another client"),
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::NoRoom { bytes, heap: 0 } => {
                write!(f, "no heap to allocate {} bytes from; `Builder::heap` adds one", Grouped(*bytes))
            }
            Self::NoRoom { bytes, heap } => {
                write!(f, "no room for {} bytes in a heap of {}", Grouped(*bytes), Grouped(*heap))
            }
            Self::Garbled => f.write_str("the sandbox forged its answer"),
            Self::Unreadable(Unreadable::NoRoom { bytes }) => match missed() {
                [_, 0] => f.write_str("what the sandbox answered is kept in a heap; see `heap` of sbm::main!"),
                [_, heap] => {
                    let (bytes, heap) = (Grouped(*bytes), Grouped(heap));
                    write!(f, "what the sandbox answered does not fit this client's heap of {heap} bytes, ")?;
                    write!(f, "which lacks room for {bytes} in one piece; see `heap` of sbm::main!")
                }
            },
            Self::Unreadable(why) => write!(f, "what the sandbox answered {why}"),
            Self::Long { bytes, limit } => {
                let (bytes, limit) = (Grouped(*bytes), Grouped(*limit));
                write!(f, "a result of {bytes} bytes; this sandbox may send {limit} (`Builder::result_limit`)")
            }
            Self::Request => f.write_str("the function asked for what there is not"),
            Self::Requests { limit } => {
                write!(f, "the function asked more than {limit} times (`Builder::request_limit`)")
            }
            Self::Server(errno) => f.write_str(match errno {
                Errno::Perm => "not this client's pages, or not what this client may do to another (EPERM)",
                Errno::BadHandle => "this client has no such sandbox (EBADF)",
                Errno::NoMemory => "out of memory, slots or address space (ENOMEM)",
                Errno::Fault => "aborted (EFAULT)",
                Errno::Invalid => "the server found a request outside its limits (EINVAL)",
                Errno::TooMany => "all sandboxes of the system are in use (ENFILE)",
                Errno::BadMessage => "the server did not understand the request (EBADMSG)",
                Errno::TimedOut => "over its time budget (ETIMEDOUT)",
                Errno::Quota => "this client's share is used up (EDQUOT)",
                Errno::Canceled => "ended by another client (ECANCELED)",
            }),
            Self::Quota(over) => write!(f, "no room in this client's quota: {over} ({})", over.errno().name()),
            Self::Argument { number, why } => write!(f, "argument {number} {why}"),
            Self::Heap { bytes, limit } => {
                write!(f, "a heap of {} bytes; it has at most {}", Grouped(*bytes), Grouped(*limit))
            }
            Self::Large { bytes, limit } => {
                let (bytes, limit) = (Grouped(*bytes), Grouped(*limit));
                write!(f, "a sandbox of {bytes} bytes of buffers, heap and statics; it is set up with at most {limit}")
            }
            Self::Guarded => f.write_str("a guarded heap has no snapshot, and is not walked"),
            Self::NoHeap => f.write_str(
                "`guarded` and `walked` are about a heap, and this sandbox is to have none: name its size, by `Builder::heap`",
            ),
            Self::NothingToKeep => f.write_str(
                "a snapshot keeps heap and statics, and this sandbox has neither: see `Builder::heap` and \
                 `Builder::private_statics`",
            ),
            Self::Kept => {
                f.write_str("this sandbox has its snapshot, and no second one: set another sandbox up for another state")
            }
            Self::Stack { bytes, limit } => {
                write!(f, "a stack of {} bytes; it has one page to {}", Grouped(*bytes), Grouped(*limit))
            }
            Self::Budget { asked: Duration::MAX, limit } => {
                write!(f, "calls without a time budget; each has one, of at most {limit:?} ({LONGEST_MS})")
            }
            Self::Budget { asked, limit } => {
                write!(f, "a time budget of {asked:?}; it is above zero and at most {limit:?}")?;
                if *limit < LONGEST_BUDGET { write!(f, " ({LONGEST_MS})") } else { Ok(()) }
            }
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::Walk(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffer { bytes, limit } => {
                write!(f, "takes {} bytes; a buffer holds at most {}", Grouped(*bytes), Grouped(*limit))
            }
            Self::Buffers { limit } => write!(f, "needs a buffer; a sandbox is set up with at most {limit}"),
            Self::Mapping { bytes, limit } => {
                write!(f, "takes {} bytes; at most {} are mapped at once", Grouped(*bytes), Grouped(*limit))
            }
            Self::Mappings { limit } => write!(f, "needs a mapping; a sandbox has at most {limit}"),
            Self::Overlap => f.write_str("has pages that are mapped already, by another range or for another access"),
            Self::Foreign => f.write_str("names a buffer of another sandbox"),
            Self::Twice => f.write_str("names what an earlier argument may write"),
            Self::NotEncodable => f.write_str("has no form that serde can write"),
            Self::Number { limit } => write!(f, "is none; a function has at most {limit}"),
        }
    }
}

/// A number with its digits in groups of three.
pub(crate) struct Grouped(pub(crate) usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            below @ ..1000 => write!(f, "{below}"),
            number => write!(f, "{},{:03}", Self(number / 1000), number % 1000),
        }
    }
}

/// Makes text of what a sandbox wrote: what is not printable ASCII or UTF-8 becomes `?`.
pub(crate) fn panic_text(bytes: &[u8]) -> PanicText {
    let mut text = PanicText::new();
    for character in characters(bytes) {
        if text.push(shown(character)).is_err() {
            return text;
        }
    }
    text
}

/// Returns the characters of what a sandbox wrote: what is no UTF-8 becomes `?`.
pub(crate) fn characters(bytes: &[u8]) -> impl Iterator<Item = char> + '_ {
    let question_mark = |invalid: &[u8]| (!invalid.is_empty()).then_some('?');
    bytes.utf8_chunks().flat_map(move |chunk| chunk.valid().chars().chain(question_mark(chunk.invalid())))
}

/// Returns what is shown of a character that a sandbox wrote.
pub(crate) fn shown(character: char) -> char {
    if character.is_control() { '?' } else { character }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_refused_is_told_with_who_says_so() {
        let limit = Duration::from_secs(2);
        let told = |error: Error| std::format!("{error}");
        assert_eq!(
            told(Error::Budget { asked: Duration::from_secs(10), limit }),
            "a time budget of 10s; it is above zero and at most 2s (`longest-ms` in the description of the system)"
        );
        assert_eq!(
            told(Error::Budget { asked: Duration::MAX, limit }),
            "calls without a time budget; each has one, of at most 2s (`longest-ms` in the description of the system)"
        );
        let asked = Duration::ZERO;
        assert_eq!(
            told(Error::Budget { asked, limit: LONGEST_BUDGET }),
            "a time budget of 0ns; it is above zero and at most 3600s"
        );
    }
}

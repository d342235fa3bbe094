// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bytes between the parser and its caller.
//!
//! [`Writer`] fills a buffer with them inside the sandbox, [`Records`] reads them outside. There are no pointers in them,
//! only plain numbers: lengths, offsets into the input, and kinds as raw values. The reader takes nothing for granted;
//! whatever the bytes are, it yields entries that are sound or a [`Corrupt`].
//!
//! # Layout
//! Little-endian; no alignment of the buffer is needed. First the header, `HEADER_LEN` bytes:
//!
//! | at | size | |
//! | --- | --- | --- |
//! | 0 | 4 | `MAGIC` |
//! | 4 | 4 | bytes used, the header included |
//! | 8 | 8 | 0, or the error as [`ParseError::to_raw`](crate::ParseError::to_raw) |
//! | 16 | 28 | [`Summary`](crate::Summary), seven 4-byte numbers in the order of its fields |
//! | 44 | 4 | 0 |
//!
//! Then the records one after another. Each starts with its kind (1 byte) and has its whole size in bytes at 4 (4 bytes),
//! which is a multiple of 4; the padding is zero. A key, kind 1:
//!
//! | at | size | |
//! | --- | --- | --- |
//! | 1 | 1 | [`Role`](crate::Role) |
//! | 2 | 1 | 1 if there is a secret key, else 0 |
//! | 3 | 1 | [`KeyVersion`](crate::KeyVersion) |
//! | 8 | 4 | creation time |
//! | 12 | 4 | offset of the packet in the input |
//! | 16 | 1 | [`Algorithm`](crate::Algorithm) |
//! | 17 | 1 | [`Curve`](crate::Curve) |
//! | 18 | 2 | bits |
//! | 20 | 1 | length of the OID |
//! | 21 | 3 | 0 |
//! | 24 | 8 | key id |
//! | 32 | 32 | fingerprint, zeros behind it |
//! | 64 | .. | OID |
//!
//! A user id, kind 2, and a user attribute, kind 3 (which has no bytes behind its length):
//!
//! | at | size | |
//! | --- | --- | --- |
//! | 1 | 3 | 0 |
//! | 8 | 4 | offset of the packet in the input |
//! | 12 | 4 | length of the user id or attribute |
//! | 16 | .. | user id |

mod reader;
mod writer;

use core::fmt;

pub use reader::{Entries, Entry, Records};
pub use writer::Writer;

/// Size of the header in bytes.
pub const HEADER_LEN: usize = 48;

/// First four bytes of the header.
pub const MAGIC: [u8; 4] = *b"SBPK";

/// Size of a key's record in bytes, its OID left out.
const KEY_LEN: usize = 64;

/// Size of a user id's record in bytes, its text left out.
const USER_ID_LEN: usize = 16;

const KIND_KEY: u8 = 1;
const KIND_USER_ID: u8 = 2;
const KIND_USER_ATTRIBUTE: u8 = 3;

/// Returns an output size that is enough for every input of `input_len` bytes.
///
/// The worst inputs are keys of 8 bytes and user ids of 2 bytes, with records of 64 and 16. Real keyrings are mostly
/// signatures and need less than a tenth of their size.
pub const fn capacity_bound(input_len: usize) -> usize {
    input_len.saturating_mul(8).saturating_add(HEADER_LEN)
}

/// Rounds up to the records' granularity.
const fn padded(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(4)
}

/// What is wrong with a buffer of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// The buffer has no room for a header.
    TooShort {
        /// Its size in bytes.
        len: usize,
    },
    /// The header does not start with [`MAGIC`].
    Magic,
    /// The used part is shorter than the header or longer than the buffer.
    Used {
        /// Bytes used, as the header claims.
        claimed: u32,
    },
    /// The header's error is none that there is, or its reserved part is not zero.
    Status,
    /// A record is cut short.
    Cut {
        /// Where the record starts in the buffer.
        offset: usize,
    },
    /// A record is of no known kind.
    Kind {
        /// Where the record starts in the buffer.
        offset: usize,
        /// The kind that it claims.
        claimed: u8,
    },
    /// A record's size does not follow from its contents or leaves the buffer.
    Size {
        /// Where the record starts in the buffer.
        offset: usize,
        /// The size that it claims.
        claimed: u32,
    },
    /// A field of a record has a value that it cannot have.
    Field {
        /// Where the record starts in the buffer.
        offset: usize,
    },
    /// A record that belongs to a primary key stands before the first one.
    Order {
        /// Where the record starts in the buffer.
        offset: usize,
    },
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { len } => write!(f, "{len} bytes hold no record header"),
            Self::Magic => f.write_str("no record header"),
            Self::Used { claimed } => write!(f, "record header claims {claimed} bytes"),
            Self::Status => f.write_str("record header with an impossible status"),
            Self::Cut { offset } => write!(f, "record at {offset} is cut short"),
            Self::Kind { offset, claimed } => write!(f, "record at {offset} claims to be of kind {claimed}"),
            Self::Size { offset, claimed } => write!(f, "record at {offset} claims to have {claimed} bytes"),
            Self::Field { offset } => write!(f, "record at {offset} has an impossible field"),
            Self::Order { offset } => write!(f, "record at {offset} belongs to no primary key"),
        }
    }
}

impl core::error::Error for Corrupt {}

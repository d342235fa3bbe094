// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why requests are refused: one enum for each operation, and what the wire makes of it.

use sbm_abi::{Errno, LayoutError, OverQuota, Pages};

use crate::{Exhausted, Shortage};

/// The handle is not of a sandbox of the client's: never was, or not any more.
///
/// Which of the two is not told: it would say what other clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSandbox;

/// Why `sbm_init` was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitError {
    /// The client has registered no entry points.
    NotRegistered,
    /// The shape is outside its limits.
    Layout(LayoutError),
    /// The client's quota has no room.
    Quota(OverQuota),
    /// All sandboxes of the system are in use.
    AllInUse {
        /// How many there can be.
        limit: usize,
    },
    /// Something ran out.
    Exhausted,
    /// It is tried again: something is about to be there.
    NotYet,
}

/// Why buffers were not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrowError {
    /// No such sandbox.
    NoSandbox,
    /// The shape is outside its limits.
    Layout(LayoutError),
    /// As many growths as there can be are there.
    Full {
        /// How many there can be.
        limit: usize,
    },
    /// The client's quota has no room.
    Quota(OverQuota),
    /// Something ran out.
    Exhausted,
    /// It is tried again: something is about to be there.
    NotYet,
}

/// Why buffers were not given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShrinkError {
    /// No such sandbox.
    NoSandbox,
    /// No growth of the sandbox lies there.
    NoGrowth {
        /// Where.
        base: u32,
    },
}

/// Why a client's own pages were not mapped into a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// No such sandbox.
    NoSandbox,
    /// The range is not of whole pages, is empty, is too long, or wraps.
    Range {
        /// Address that was named.
        address: u32,
        /// Number of pages.
        pages: u32,
    },
    /// As many mappings as there can be are there, or the range is in more pieces than one can have.
    Full {
        /// How many there can be.
        limit: usize,
    },
    /// A part of it is mapped already.
    Overlaps {
        /// The mapping that is there.
        other: Pages,
    },
    /// The client does not hold all of the pages, or not with these rights.
    NotHeld {
        /// The first address that it does not.
        address: u32,
    },
    /// It has a part of a large page, which is mapped as a whole.
    Cut {
        /// The large pages that are there.
        large: Pages,
    },
    /// The client's quota has no room.
    Quota(OverQuota),
    /// Something ran out.
    Exhausted,
    /// It is tried again: something is about to be there.
    NotYet,
}

/// Why another client's call was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelError {
    /// The client is not there.
    NoSandbox,
    /// Among the clients that it may do so to none is called so.
    NotAllowed,
    /// The one that is called so has ended.
    NoClient,
}

/// Why no snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotError {
    /// No such sandbox.
    NoSandbox,
    /// Its heap is guarded: a reset leaves nothing of one.
    Guarded,
    /// It has one already.
    Taken,
    /// It has as many growths as it can have, of which the ground of its heap is one.
    Full {
        /// How many these are.
        limit: usize,
    },
    /// The client's quota has no room.
    Quota(OverQuota),
    /// Something ran out.
    Exhausted,
    /// It is tried again: something is about to be there.
    NotYet,
}

/// Why text was not written to the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleError {
    /// It is too long.
    Long {
        /// Bytes that were sent.
        length: usize,
        /// Most bytes of one request.
        limit: usize,
    },
    /// The client has not waited for the answer to the one before, which took its quota.
    Early {
        /// Bytes a second that it may write.
        rate: u32,
    },
}

macro_rules! from {
    ($($part:ident => $($error:ident)*),* $(,)?) => {
        $($(impl From<$part> for $error {
            fn from(_: $part) -> Self { Self::$part }
        })*)*
    };
    ($($part:ident as $variant:ident => $($error:ident)*),* $(,)?) => {
        $($(impl From<$part> for $error {
            fn from(part: $part) -> Self { Self::$variant(part) }
        })*)*
    };
}

from! { NoSandbox => GrowError ShrinkError MapError CancelError SnapshotError }
from! { Exhausted => InitError GrowError MapError SnapshotError }
from! { OverQuota as Quota => InitError GrowError MapError SnapshotError, LayoutError as Layout => InitError GrowError }

/// What a client is told of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An error number.
    Errno(Errno),
    /// What it has no room for.
    OverQuota(OverQuota),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

macro_rules! refusals {
    ($($error:ident)*) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self { Self::Errno(error.into()) }
        })*
    };
    ($($error:ident with figures,)*) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                if let $error::Quota(over) = error { Self::OverQuota(over) } else { Self::Errno(error.into()) }
            }
        })*
    };
}

refusals! { NoSandbox ShrinkError CancelError ConsoleError }
refusals! { InitError with figures, GrowError with figures, MapError with figures, SnapshotError with figures, }
macro_rules! stops {
    ($($error:ident)*) => {
        $(impl From<Shortage> for $error {
            fn from(shortage: Shortage) -> Self {
                match shortage {
                    Shortage::Exhausted => Self::Exhausted,
                    Shortage::NotReady => Self::NotYet,
                }
            }
        }

        impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                if error == $error::NotYet { Self::NotYet } else { Self::Refused(error.into()) }
            }
        })*
    };
}

stops! { InitError GrowError MapError SnapshotError }

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// It is tried again.
    NotYet,
}

impl From<NoSandbox> for Stop {
    fn from(error: NoSandbox) -> Self {
        Self::Refused(error.into())
    }
}

impl From<ShrinkError> for Stop {
    fn from(error: ShrinkError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<NoSandbox> for Errno {
    fn from(_: NoSandbox) -> Self {
        Self::BadHandle
    }
}

impl From<InitError> for Errno {
    fn from(error: InitError) -> Self {
        match error {
            InitError::NotRegistered | InitError::Layout(_) => Self::Invalid,
            InitError::Quota(over) => over.errno(),
            InitError::AllInUse { .. } => Self::TooMany,
            InitError::Exhausted | InitError::NotYet => Self::NoMemory,
        }
    }
}

impl From<GrowError> for Errno {
    fn from(error: GrowError) -> Self {
        match error {
            GrowError::NoSandbox => Self::BadHandle,
            GrowError::Layout(_) | GrowError::Full { .. } => Self::Invalid,
            GrowError::Quota(over) => over.errno(),
            GrowError::Exhausted | GrowError::NotYet => Self::NoMemory,
        }
    }
}

impl From<ShrinkError> for Errno {
    fn from(error: ShrinkError) -> Self {
        match error {
            ShrinkError::NoSandbox => Self::BadHandle,
            ShrinkError::NoGrowth { .. } => Self::Invalid,
        }
    }
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::NoSandbox => Self::BadHandle,
            MapError::Range { .. } | MapError::Full { .. } | MapError::Overlaps { .. } | MapError::Cut { .. } => {
                Self::Invalid
            }
            MapError::NotHeld { .. } => Self::Perm,
            MapError::Quota(over) => over.errno(),
            MapError::Exhausted | MapError::NotYet => Self::NoMemory,
        }
    }
}

impl From<SnapshotError> for Errno {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::NoSandbox => Self::BadHandle,
            SnapshotError::Guarded | SnapshotError::Taken | SnapshotError::Full { .. } => Self::Invalid,
            SnapshotError::Quota(over) => over.errno(),
            SnapshotError::Exhausted | SnapshotError::NotYet => Self::NoMemory,
        }
    }
}

impl From<ConsoleError> for Errno {
    fn from(error: ConsoleError) -> Self {
        match error {
            ConsoleError::Long { .. } => Self::Invalid,
            ConsoleError::Early { .. } => Self::Quota,
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What ended a call: the kind of fault, where, and the three words that carry it.

use core::fmt;

/// What ended a call. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FaultKind {
    /// A page fault (#PF): the address is not mapped, or not for this access.
    Page = 1,
    /// A CPU exception other than #PF; its vector is in [`Fault::vector`].
    Exception = 2,
    /// A system call that the sandbox has no right to, or that the kernel does not know.
    SystemCall = 3,
    /// A capability that is not there was used in a system call.
    Capability = 4,
    /// A message on the fault endpoint that the kernel did not send: the sandbox forged it.
    Forged = 5,
    /// No fault: the call was over its time budget.
    TimedOut = 6,
    /// No fault: another client ended the call.
    Canceled = 7,
    /// A page of the heap was touched for which there is no memory.
    NoMemory = 8,
    /// A page of the heap was touched for which the client's share has no room.
    OverQuota = 9,
}

/// How memory was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Access {
    /// Not a memory access, or not known.
    None = 0,
    /// Read.
    Read = 1,
    /// Write.
    Write = 2,
    /// Instruction fetch.
    Execute = 3,
}

/// A fault, as the server tells it to the client.
///
/// A client reads it out of a reply that its sandbox could have forged: it is a report, not evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// How memory was touched.
    pub access: Access,
    /// CPU exception vector (Intel SDM volume 3, table 7-1); 0 where [`Self::kind`] is not an exception.
    pub vector: u8,
    /// Address that was touched; 0 where there is none. A non-canonical access (#GP) has none on x86-64.
    pub address: u64,
    /// Instruction pointer.
    pub ip: u64,
}

impl Fault {
    /// Codes the fault in three words: kind, access and vector; address; instruction pointer.
    #[must_use]
    pub const fn words(self) -> [u64; 3] {
        [self.kind as u64 | (self.access as u64) << 8 | (self.vector as u64) << 16, self.address, self.ip]
    }

    /// Decodes three words, if they are a fault. The upper half of the first one is not about it.
    #[must_use]
    pub fn from_words([what, address, ip]: [u64; 3]) -> Option<Self> {
        let [kind, access, vector, 0, ..] = what.to_le_bytes() else { return None };
        let kind = match kind {
            1 => FaultKind::Page,
            2 => FaultKind::Exception,
            3 => FaultKind::SystemCall,
            4 => FaultKind::Capability,
            5 => FaultKind::Forged,
            6 => FaultKind::TimedOut,
            7 => FaultKind::Canceled,
            8 => FaultKind::NoMemory,
            9 => FaultKind::OverQuota,
            _ => return None,
        };
        let access = match access {
            0 => Access::None,
            1 => Access::Read,
            2 => Access::Write,
            3 => Access::Execute,
            _ => return None,
        };
        Some(Self { kind, access, vector, address, ip })
    }

    /// Returns the kind in words, with the mnemonic of Intel's manual where there is one.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self.kind {
            FaultKind::Page => "page fault",
            FaultKind::SystemCall => "system call",
            FaultKind::Capability => "capability fault",
            FaultKind::Forged => "forged fault message",
            FaultKind::TimedOut => "over its time budget",
            FaultKind::Canceled => "ended by another client",
            FaultKind::NoMemory => "out of memory",
            FaultKind::OverQuota => "over its client's share of memory",
            FaultKind::Exception => match self.vector {
                0 => "divide error (#DE)",
                1 => "debug exception (#DB)",
                3 => "breakpoint (#BP)",
                4 => "overflow (#OF)",
                6 => "invalid opcode (#UD)",
                13 => "general protection (#GP)",
                16 => "x87 error (#MF)",
                17 => "alignment check (#AC)",
                19 => "SIMD error (#XM)",
                _ => "CPU exception",
            },
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_words_are_a_fault_or_none(what: u64, address: u64, ip: u64) {
            if let Some(fault) = Fault::from_words([what, address, ip]) {
                prop_assert_eq!(fault.words(), [what & 0xffff_ffff, address, ip]);
            }
        }
    }

    #[test]
    fn a_fault_comes_back_as_it_was() {
        let fault = Fault { kind: FaultKind::Page, access: Access::Write, vector: 0, address: 0x1234, ip: 0x20_0000 };
        assert_eq!(Fault::from_words(fault.words()), Some(fault));
    }

    #[test]
    fn each_kind_and_access_has_its_number_and_no_other_number_is_one() {
        use Access::{Execute, None as NoAccess, Read, Write};
        use FaultKind::{Canceled, Capability, Exception, Forged, NoMemory, OverQuota, Page, SystemCall, TimedOut};
        let first = [(1, Page), (2, Exception), (3, SystemCall), (4, Capability), (5, Forged)];
        for (number, kind) in first.into_iter().chain([(6, TimedOut), (7, Canceled), (8, NoMemory), (9, OverQuota)]) {
            for (code, access) in [(0, NoAccess), (1, Read), (2, Write), (3, Execute)] {
                let fault = Fault { kind, access, vector: 0xfe, address: 7, ip: 8 };
                let words = [number | code << 8 | 0xfe << 16, 7, 8];
                assert_eq!((fault.words(), Fault::from_words(words)), (words, Some(fault)));
            }
        }
        for what in [0, 10, 1 | 4 << 8, 1 | 1 << 24, 1 | 1 << 31] {
            assert_eq!(Fault::from_words([what, 0, 0]), None, "{what:#x}");
        }
    }

    #[test]
    fn faults_and_accesses_are_told_in_words() {
        extern crate std;
        use std::string::ToString;

        let of = |kind, vector| Fault { kind, access: Access::None, vector, address: 0, ip: 0 }.what();
        assert_eq!(of(FaultKind::Page, 0), "page fault");
        assert_eq!(of(FaultKind::SystemCall, 0), "system call");
        assert_eq!(of(FaultKind::Capability, 0), "capability fault");
        assert_eq!(of(FaultKind::Forged, 0), "forged fault message");
        assert_eq!(of(FaultKind::TimedOut, 0), "over its time budget");
        assert_eq!(of(FaultKind::Canceled, 0), "ended by another client");
        assert_eq!(of(FaultKind::NoMemory, 0), "out of memory");
        assert_eq!(of(FaultKind::OverQuota, 0), "over its client's share of memory");
        for (vector, mnemonic) in [
            (0, "#DE"),
            (1, "#DB"),
            (3, "#BP"),
            (4, "#OF"),
            (6, "#UD"),
            (13, "#GP"),
            (16, "#MF"),
            (17, "#AC"),
            (19, "#XM"),
        ] {
            assert!(of(FaultKind::Exception, vector).contains(mnemonic), "{vector}");
        }
        assert_eq!(of(FaultKind::Exception, 2), "CPU exception");
        let accesses = [Access::None, Access::Read, Access::Write, Access::Execute];
        assert_eq!(accesses.map(|access| access.to_string()), ["none", "read", "write", "execute"]);
    }
}

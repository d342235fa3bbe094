// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a fault message means: from the kernel's words to the sbm API's.

use sbm_abi::{Access, Fault, FaultKind};

/// A message that arrived on a sandbox's fault endpoint (seL4 manual, 6.2).
///
/// The sandbox holds the same endpoint, so the message may be its own work. It is reported as it came: the sandbox can
/// only misreport itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFault {
    /// A page fault.
    Vm {
        /// Instruction pointer.
        ip: u64,
        /// Address.
        address: u64,
        /// Whether an instruction was fetched.
        prefetch: bool,
        /// Page-fault error code (Intel SDM volume 3, 4.7).
        fsr: u64,
    },
    /// Another CPU exception.
    Exception {
        /// Instruction pointer.
        ip: u64,
        /// Vector.
        vector: u64,
    },
    /// A system call that the kernel does not know.
    UnknownSyscall {
        /// Instruction pointer.
        ip: u64,
        /// The call's number.
        number: u64,
        /// What stood in `rax`.
        word: u64,
    },
    /// A system call on a capability that is not there.
    Capability {
        /// Instruction pointer.
        ip: u64,
    },
    /// None of these: the kernel does not send it.
    Other,
}

/// The write bit of a page-fault error code.
const FSR_WRITE: u64 = 1 << 1;

/// Says what a fault message means for the call that it ends.
#[must_use]
pub fn decode_fault(fault: KernelFault) -> Fault {
    let none = Fault { kind: FaultKind::Forged, access: Access::None, vector: 0, address: 0, ip: 0 };
    match fault {
        KernelFault::Vm { ip, address, prefetch, fsr } => {
            // Without execute-disable the error code never says "fetch"; a fetch faults at its own address.
            let access = if fsr & FSR_WRITE != 0 {
                Access::Write
            } else if prefetch || address == ip {
                Access::Execute
            } else {
                Access::Read
            };
            Fault { kind: FaultKind::Page, access, vector: 0, address, ip }
        }
        KernelFault::Exception { ip, vector } => {
            let vector = u8::try_from(vector).unwrap_or(u8::MAX);
            Fault { kind: FaultKind::Exception, vector, ip, ..none }
        }
        KernelFault::UnknownSyscall { ip, .. } => Fault { kind: FaultKind::SystemCall, ip, ..none },
        KernelFault::Capability { ip } => Fault { kind: FaultKind::Capability, ip, ..none },
        KernelFault::Other => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_bit_tells_a_write_from_a_read() {
        let at = |fsr| decode_fault(KernelFault::Vm { ip: 1, address: 2, prefetch: false, fsr }).access;
        assert_eq!(at(0b110), Access::Write);
        assert_eq!(at(0b100), Access::Read);
    }

    #[test]
    fn a_fault_at_the_instruction_pointer_is_a_fetch() {
        let fault = decode_fault(KernelFault::Vm { ip: 7, address: 7, prefetch: false, fsr: 4 });
        assert_eq!(fault.access, Access::Execute);
    }

    #[test]
    fn an_instruction_that_writes_to_itself_is_no_fetch() {
        let fault = decode_fault(KernelFault::Vm { ip: 7, address: 7, prefetch: true, fsr: 6 });
        assert_eq!(fault.access, Access::Write);
    }

    #[test]
    fn a_vector_that_no_cpu_has_does_not_wrap() {
        assert_eq!(decode_fault(KernelFault::Exception { ip: 0, vector: 0x10d }).vector, 255);
    }

    #[test]
    fn each_message_has_its_kind_and_tells_where() {
        let of = |kind, access, vector, address| Fault { kind, access, vector, address, ip: 7 };
        for (message, fault) in [
            (KernelFault::Vm { ip: 7, address: 8, prefetch: true, fsr: 4 }, of(FaultKind::Page, Access::Execute, 0, 8)),
            (KernelFault::Exception { ip: 7, vector: 6 }, of(FaultKind::Exception, Access::None, 6, 0)),
            (KernelFault::UnknownSyscall { ip: 7, number: 1, word: 2 }, of(FaultKind::SystemCall, Access::None, 0, 0)),
            (KernelFault::Capability { ip: 7 }, of(FaultKind::Capability, Access::None, 0, 0)),
        ] {
            assert_eq!(decode_fault(message), fault);
        }
    }

    #[test]
    fn what_the_kernel_does_not_send_is_forged() {
        assert_eq!(decode_fault(KernelFault::Other).kind, FaultKind::Forged);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages that the kernel sends for a thread that faulted (manual, chapter "Faults").

use crate::{MessageInfo, Mrs, Word, ipc_buffer, sys};

/// A fault, as its message describes it.
///
/// It is only as true as its sender: whoever can send on the fault endpoint can write such a message, so the badge says
/// whose fault it is, not the message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An access to memory that is not mapped, or not with these rights.
    VmFault(VmFault),
    /// Any other exception of the processor.
    UserException(UserException),
    /// A system call that the kernel does not know.
    UnknownSyscall(UnknownSyscall),
    /// A system call on a capability that cannot be looked up.
    CapFault(CapFault),
    /// A message with a label that is none of these, and so no fault that this kernel sends.
    Unknown {
        /// The label.
        label: Word,
    },
}

/// An access to memory that is not mapped, or not with these rights.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VmFault {
    /// Instruction pointer.
    pub ip: Word,
    /// Address of the access; its low [`ADDR_BITS`](Self::ADDR_BITS) bits.
    pub addr: Word,
    /// Whether an instruction was to be read there. Where the processor does not tell (it does with execute-disable or
    /// SMEP switched on, so not under the oldest kernels), a read at [`ip`](Self::ip) itself is taken for one.
    pub is_prefetch: bool,
    /// Fault status: the low 5 bits of the page fault's error code.
    pub fsr: Word,
}

impl VmFault {
    fn new(ip: Word, addr: Word, is_prefetch: bool, fsr: Word) -> Self {
        let at_ip = (addr ^ ip) & (Word::MAX >> (Word::BITS - Self::ADDR_BITS)) == 0;
        Self { ip, addr, is_prefetch: is_prefetch || at_ip && fsr & Self::FSR_WRITE == 0, fsr }
    }

    /// Number of bits of [`addr`](Self::addr) that the kernel reports: 32 before seL4 8.0, 64 since.
    pub const ADDR_BITS: u32 = crate::version::VM_FAULT_ADDR_BITS;
    /// Bit of [`fsr`](Self::fsr): the access was a write (Intel SDM 3A, section 4.7).
    const FSR_WRITE: Word = 1 << 1;
}

/// An exception of the processor other than a page fault.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UserException {
    /// Instruction pointer.
    pub ip: Word,
    /// Stack pointer.
    pub sp: Word,
    /// Flags.
    pub flags: Word,
    /// Vector: 0 is a division by zero, 6 an unknown instruction, 13 a general protection fault.
    pub number: Word,
    /// Error code that the processor gives with some vectors.
    pub code: Word,
}

/// A system call that the kernel does not know.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UnknownSyscall {
    /// Address of the `syscall` instruction.
    pub ip: Word,
    /// Stack pointer.
    pub sp: Word,
    /// Flags.
    pub flags: Word,
    /// Number of the call: `rdx`, as a signed number.
    pub syscall: Word,
    /// First argument of the C ABI's kernel convention and of seL4's: `rdi`.
    pub rdi: Word,
    /// Second argument: `rsi`.
    pub rsi: Word,
    /// `rax`, where other systems pass the number.
    pub rax: Word,
}

/// A system call on a capability that cannot be looked up.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CapFault {
    /// Address of the `syscall` instruction.
    pub ip: Word,
    /// The capability pointer.
    pub addr: Word,
    /// Whether the call was to receive.
    pub in_recv_phase: bool,
    /// Kind of failure: `seL4_LookupFailureType`.
    pub lookup_failure_type: Word,
}

impl Fault {
    /// Reads a fault message of which the first words came in registers. The others are in the IPC buffer.
    ///
    /// Whoever holds the fault endpoint can send a message with the label of a fault and fewer words than it has. What
    /// would be read in their place is left from other messages, so such a message is none of the kernel's:
    /// [`Unknown`](Self::Unknown).
    pub fn from_message(info: MessageInfo, mrs: Mrs) -> Self {
        let buffer = ipc_buffer();
        let word = |index| mrs.get(index).copied().unwrap_or_else(|| buffer.msg_reg(index));
        let label = info.label();
        let words = |last: usize| info.length() > last;
        const VM_FAULT: Word = sys::seL4_Fault_VMFault as Word;
        const USER_EXCEPTION: Word = sys::seL4_Fault_UserException as Word;
        const UNKNOWN_SYSCALL: Word = sys::seL4_Fault_UnknownSyscall as Word;
        const CAP_FAULT: Word = sys::seL4_Fault_CapFault as Word;
        match label {
            VM_FAULT if words(sys::seL4_VMFault_FSR as usize) => Self::VmFault(VmFault::new(
                word(sys::seL4_VMFault_IP as usize),
                word(sys::seL4_VMFault_Addr as usize),
                word(sys::seL4_VMFault_PrefetchFault as usize) != 0,
                word(sys::seL4_VMFault_FSR as usize),
            )),
            USER_EXCEPTION if words(sys::seL4_UserException_Code as usize) => Self::UserException(UserException {
                ip: word(sys::seL4_UserException_FaultIP as usize),
                sp: word(sys::seL4_UserException_SP as usize),
                flags: word(sys::seL4_UserException_FLAGS as usize),
                number: word(sys::seL4_UserException_Number as usize),
                code: word(sys::seL4_UserException_Code as usize),
            }),
            UNKNOWN_SYSCALL if words(sys::seL4_UnknownSyscall_Syscall as usize) => {
                Self::UnknownSyscall(UnknownSyscall {
                    ip: word(sys::seL4_UnknownSyscall_FaultIP as usize),
                    sp: word(sys::seL4_UnknownSyscall_SP as usize),
                    flags: word(sys::seL4_UnknownSyscall_FLAGS as usize),
                    syscall: word(sys::seL4_UnknownSyscall_Syscall as usize),
                    rdi: word(sys::seL4_UnknownSyscall_RDI as usize),
                    rsi: word(sys::seL4_UnknownSyscall_RSI as usize),
                    rax: word(sys::seL4_UnknownSyscall_RAX as usize),
                })
            }
            CAP_FAULT if words(sys::seL4_CapFault_LookupFailureType as usize) => Self::CapFault(CapFault {
                ip: word(sys::seL4_CapFault_IP as usize),
                addr: word(sys::seL4_CapFault_Addr as usize),
                in_recv_phase: word(sys::seL4_CapFault_InRecvPhase as usize) != 0,
                lookup_failure_type: word(sys::seL4_CapFault_LookupFailureType as usize),
            }),
            label => Self::Unknown { label },
        }
    }
}

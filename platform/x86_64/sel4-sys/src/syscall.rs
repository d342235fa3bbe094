// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls, as x86-64 makes them on a kernel without MCS.
//!
//! The convention is that of libsel4's `syscalls_syscall.h`: `rdx` holds the number, `rdi` the capability and then the
//! badge, `rsi` the message's head, `r10`, `r8`, `r9` and `r15` its first words. `rcx` and `r11` are lost, as `syscall`
//! demands, and `rsp` comes back as 0, so a register that is not used otherwise keeps it. Everything else is preserved.
//!
//! The kernel never touches the caller's stack, but it reads and writes the IPC buffer and, by what the message makes it
//! do, any memory: the blocks are `nostack`, and not `nomem`.

#![allow(clippy::unnecessary_cast, reason = "the types of C's enumerations are the kernel's choice")]

use core::arch::asm;

use crate::{IpcBufferPtr, bf, seL4_CPtr, seL4_Word};

/// Number of message words that travel in registers.
pub const NUM_FAST_MESSAGE_REGISTERS: usize = 4;

/// The message words that travel in registers: `r10`, `r8`, `r9` and `r15`.
pub type Mrs = [seL4_Word; NUM_FAST_MESSAGE_REGISTERS];

/// Number of the call `seL4_Call`.
pub const CALL: i64 = crate::seL4_SysCall as i64;
/// Number of the call `seL4_ReplyRecv`.
pub const REPLY_RECV: i64 = crate::seL4_SysReplyRecv as i64;
/// Number of the call `seL4_Send`.
pub const SEND: i64 = crate::seL4_SysSend as i64;
/// Number of the call `seL4_NBSend`.
pub const NB_SEND: i64 = crate::seL4_SysNBSend as i64;
/// Number of the call `seL4_Recv`.
pub const RECV: i64 = crate::seL4_SysRecv as i64;
/// Number of the call `seL4_NBRecv`.
pub const NB_RECV: i64 = crate::seL4_SysNBRecv as i64;
/// Number of the call `seL4_Reply`.
pub const REPLY: i64 = crate::seL4_SysReply as i64;
/// Number of the call `seL4_Yield`.
pub const YIELD: i64 = crate::seL4_SysYield as i64;
/// Number of the call `seL4_DebugPutChar`, on kernels that have it.
#[cfg(sel4_debug_put_char)]
pub const DEBUG_PUT_CHAR: Option<i64> = Some(crate::seL4_SysDebugPutChar as i64);
/// Number of the call `seL4_DebugPutChar`, on kernels that have it.
#[cfg(not(sel4_debug_put_char))]
pub const DEBUG_PUT_CHAR: Option<i64> = None;

/// Sends a message: `Send`, `NBSend`.
#[inline]
pub fn send(number: i64, dest: seL4_CPtr, info: seL4_Word, mrs: Mrs) {
    // SAFETY: the registers are those of the convention above.
    unsafe {
        asm!(
            "mov r14, rsp",
            "syscall",
            "mov rsp, r14",
            in("rdx") number,
            in("rdi") dest,
            in("rsi") info,
            in("r10") mrs[0],
            in("r8") mrs[1],
            in("r9") mrs[2],
            in("r15") mrs[3],
            lateout("rcx") _,
            lateout("r11") _,
            out("r14") _,
            options(nostack),
        );
    }
}

/// Sends a message without words: a signal, or a call of the debug interface.
#[inline]
pub fn send_null(number: i64, dest: seL4_CPtr, info: seL4_Word) {
    // SAFETY: the registers are those of the convention above.
    unsafe {
        asm!(
            "mov r14, rsp",
            "syscall",
            "mov rsp, r14",
            in("rdx") number,
            inlateout("rdi") dest => _,
            inlateout("rsi") info => _,
            lateout("r10") _,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r15") _,
            lateout("rcx") _,
            lateout("r11") _,
            out("r14") _,
            options(nostack),
        );
    }
}

/// Receives a message, and returns its head, badge and first words: `Recv`, `NBRecv`.
#[inline]
pub fn recv(number: i64, src: seL4_CPtr) -> (seL4_Word, seL4_Word, Mrs) {
    let (info, badge, mr0, mr1, mr2, mr3);
    // SAFETY: the registers are those of the convention above.
    unsafe {
        asm!(
            "mov r14, rsp",
            "syscall",
            "mov rsp, r14",
            in("rdx") number,
            inlateout("rdi") src => badge,
            lateout("rsi") info,
            lateout("r10") mr0,
            lateout("r8") mr1,
            lateout("r9") mr2,
            lateout("r15") mr3,
            lateout("rcx") _,
            lateout("r11") _,
            out("r14") _,
            options(nostack),
        );
    }
    (info, badge, [mr0, mr1, mr2, mr3])
}

/// Sends a message, then receives one, and returns its head, badge and first words: `Call`, `ReplyRecv`.
#[inline]
pub fn send_recv(number: i64, dest: seL4_CPtr, info: seL4_Word, mrs: Mrs) -> (seL4_Word, seL4_Word, Mrs) {
    let [mut mr0, mut mr1, mut mr2, mut mr3] = mrs;
    let (badge, out_info);
    // SAFETY: the registers are those of the convention above.
    unsafe {
        asm!(
            "mov r14, rsp",
            "syscall",
            "mov rsp, r14",
            in("rdx") number,
            inlateout("rdi") dest => badge,
            inlateout("rsi") info => out_info,
            inlateout("r10") mr0,
            inlateout("r8") mr1,
            inlateout("r9") mr2,
            inlateout("r15") mr3,
            lateout("rcx") _,
            lateout("r11") _,
            out("r14") _,
            options(nostack),
        );
    }
    (out_info, badge, [mr0, mr1, mr2, mr3])
}

/// Makes a call without arguments: `Yield`.
#[inline]
pub fn null(number: i64) {
    // SAFETY: the registers are those of the convention above.
    unsafe {
        asm!(
            "mov r14, rsp",
            "syscall",
            "mov rsp, r14",
            in("rdx") number,
            lateout("rcx") _,
            lateout("r11") _,
            out("r14") _,
            options(nostack),
        );
    }
}

/// Makes an invocation: calls `service` with the label, capabilities and words beyond `mrs` set in `ipc` already.
///
/// # Errors
/// The label of the answer, where it is not `seL4_NoError`; the answer's words are then in `ipc`, as with libsel4.
#[inline]
pub(crate) fn invoke(
    ipc: IpcBufferPtr,
    service: seL4_CPtr,
    label: seL4_Word,
    caps: seL4_Word,
    length: seL4_Word,
    mrs: Mrs,
) -> Result<Mrs, seL4_Word> {
    let info = bf::seL4_MessageInfo::label.put(label)
        | bf::seL4_MessageInfo::extraCaps.put(caps)
        | bf::seL4_MessageInfo::length.put(length);
    let (info, _, mrs) = send_recv(CALL, service, info, mrs);
    let label = bf::seL4_MessageInfo::label.get(info);
    if label == crate::seL4_NoError as seL4_Word { Ok(mrs) } else { Err(failed(ipc, label, mrs)) }
}

#[cold]
fn failed(ipc: IpcBufferPtr, label: seL4_Word, mrs: Mrs) -> seL4_Word {
    for (index, word) in mrs.into_iter().enumerate() {
        ipc.set_msg(index, word);
    }
    label
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sending and receiving messages (manual, chapter "Message Passing (IPC)").
//!
//! The forms `*_with_mrs` of libsel4 keep the first four words in registers, and are what the fastpath takes. Words
//! beyond the fourth are in the [IPC buffer](crate::IpcBuffer).

use crate::{Cap, CapType, MessageInfo, Word, cap, sys, sys::syscall::Mrs};

/// Number of words of the longest message.
pub const NUM_MESSAGE_REGISTERS: usize = sys::seL4_MsgMaxLength as usize;

/// The badge of the capability that a message came through, 0 if it has none.
pub type Badge = Word;

/// Number of bits of a badge. On a kernel older than 8.0 they are 28, and minting a wider one is refused.
pub const BADGE_BITS: u32 = crate::version::BADGE_BITS;

impl<T: CapType> Cap<T> {
    /// Sends, with the first four words from `mrs`: `seL4_SendWithMRs`.
    #[inline]
    pub fn send_with_mrs(self, info: MessageInfo, mrs: Mrs) {
        sys::syscall::send(sys::syscall::SEND, self.bits(), info.into_word(), mrs);
    }

    /// Sends if someone is waiting, with the first four words from `mrs`: `seL4_NBSendWithMRs`.
    #[inline]
    pub fn nb_send_with_mrs(self, info: MessageInfo, mrs: Mrs) {
        sys::syscall::send(sys::syscall::NB_SEND, self.bits(), info.into_word(), mrs);
    }

    /// Waits for a message, and returns its first four words: `seL4_RecvWithMRs`.
    ///
    /// Words beyond the length of the message are what this thread itself had in the registers.
    #[inline]
    pub fn recv_with_mrs(self) -> (MessageInfo, Badge, Mrs) {
        let (info, badge, mrs) = sys::syscall::recv(sys::syscall::RECV, self.bits());
        (MessageInfo::from_word(info), badge, mrs)
    }

    /// Calls with the first four words from `mrs`, and returns those of the answer: `seL4_CallWithMRs`.
    #[inline]
    pub fn call_with_mrs(self, info: MessageInfo, mrs: Mrs) -> (MessageInfo, Mrs) {
        let (info, _, mrs) = sys::syscall::send_recv(sys::syscall::CALL, self.bits(), info.into_word(), mrs);
        (MessageInfo::from_word(info), mrs)
    }

    /// Answers with the first four words from `mrs`, and returns those of the next message: `seL4_ReplyRecvWithMRs`.
    #[inline]
    pub fn reply_recv_with_mrs(self, info: MessageInfo, mrs: Mrs) -> (MessageInfo, Badge, Mrs) {
        let (info, badge, mrs) = sys::syscall::send_recv(sys::syscall::REPLY_RECV, self.bits(), info.into_word(), mrs);
        (MessageInfo::from_word(info), badge, mrs)
    }
}

impl cap::Notification {
    /// Signals: `seL4_Signal`. The bits of the capability's badge are added to the notification's word.
    #[inline]
    pub fn signal(self) {
        sys::syscall::send_null(sys::syscall::SEND, self.bits(), MessageInfo::new(0, 0, 0, 0).into_word());
    }

    /// Waits for a signal, and returns the word: `seL4_Wait`.
    #[inline]
    pub fn wait(self) -> Badge {
        sys::syscall::recv(sys::syscall::RECV, self.bits()).1
    }

    /// Returns the word, 0 if there was no signal: `seL4_Poll`.
    #[inline]
    pub fn poll(self) -> Badge {
        sys::syscall::recv(sys::syscall::NB_RECV, self.bits()).1
    }
}

/// Gives up the rest of the time slice: `seL4_Yield`.
#[inline]
pub fn r#yield() {
    sys::syscall::null(sys::syscall::YIELD);
}

/// Prints a byte on the kernel's console: `seL4_DebugPutChar`. Does nothing on a kernel built without printing.
#[inline]
pub fn debug_put_char(byte: u8) {
    if let Some(number) = sys::syscall::DEBUG_PUT_CHAR {
        sys::syscall::send_null(number, Word::from(byte), 0);
    }
}

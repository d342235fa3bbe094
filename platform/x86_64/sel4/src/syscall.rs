// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers of the system calls, for programs that make them in assembler.
//!
//! `rdx` holds the number, as a signed word; `rdi` the capability, then the badge; `rsi` the message's head
//! ([`MessageInfo::into_word`](crate::MessageInfo::into_word)); `r10`, `r8`, `r9`, `r15` its first words. `rcx` and `r11`
//! are lost, and `rsp` comes back as 0.

pub use sel4_sys::syscall::{CALL, NB_RECV, NB_SEND, RECV, REPLY, REPLY_RECV, SEND, YIELD};

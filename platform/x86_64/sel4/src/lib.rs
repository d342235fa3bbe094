// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed seL4 capabilities, messages and boot information.
//!
//! The names are rust-sel4's, so whoever knows that crate reads this one. What is different here:
//!
//! - one architecture, x86-64, without MCS; kernels from 5.0.0 on, with the differences evened out in one private
//!   module, `version`;
//! - one thread a program: the [IPC buffer](ipc_buffer()) is found through a static, and capabilities carry no invocation
//!   context;
//! - messages have the forms of which the first four words touch no memory, [`Cap::call_with_mrs`] and its like;
//! - nothing panics.
//!
//! | want | see |
//! | --- | --- |
//! | a capability | [`Cap`], [`cap`], [`CPtr`] |
//! | a slot, and moving capabilities | [`AbsoluteCPtr`] |
//! | an object | [`cap::Untyped::untyped_retype`], [`ObjectBlueprint`] |
//! | a thread | [`cap::Tcb`], [`UserContext`] |
//! | an address space | [`Cap::frame_map`], [`cap::PageTable::page_table_map`] |
//! | a message | [`Cap::call_with_mrs`], [`MessageInfo`], [`IpcBuffer`], [`Fault`] |
//! | what there is at boot | [`BootInfoPtr`], [`init_thread::slot`] |

#![no_std]

mod bootinfo;
mod capability;
mod cptr;
mod error;
mod fault;
pub mod init_thread;
mod invocations;
mod ipc_buffer;
mod message_info;
mod messages;
mod object;
mod path;
mod rights;
pub mod syscall;
mod user_context;
mod version;

pub use sel4_sys as sys;

pub use bootinfo::{BootInfo, BootInfoPtr, UntypedDesc};
pub use capability::{Cap, CapType, CapTypeForFrameObject, cap, cap_type};
pub use cptr::{CPtr, CPtrBits};
pub use error::{Error, Result};
pub use fault::{CapFault, Fault, UnknownSyscall, UserException, VmFault};
pub use invocations::{IRQ_VECTORS, MAX_RETYPE_OBJECTS, Trigger, USER_TOP, VmAttributes};
pub use ipc_buffer::{IpcBuffer, ipc_buffer, set_ipc_buffer};
pub use message_info::MessageInfo;
pub use messages::{BADGE_BITS, Badge, NUM_MESSAGE_REGISTERS, debug_put_char, r#yield};
pub use object::{FrameObjectType, ObjectBlueprint, ObjectBlueprintX86};
pub use path::AbsoluteCPtr;
pub use rights::{CNodeCapData, CapRights};
pub use sys::{NUM_FAST_MESSAGE_REGISTERS, syscall::Mrs};
pub use user_context::{HAS_XSAVE, UserContext};

/// A word of the machine: `seL4_Word`.
pub type Word = sys::seL4_Word;

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs between the kernels that this crate speaks to.
//!
//! Everything that depends on the kernel's version is in this file, chosen by what the kernel's own headers and
//! interface files contain (`sel4-sys` looks, and tells by `cfg`), never by a version number. `docs/kernel-versions.md`
//! lists the differences.

use crate::{
    Word,
    object::{FrameObjectType, ObjectBlueprint},
    sys::{self, IpcBufferPtr, seL4_CPtr},
};

/// What an invocation returns from `sel4-sys`: the label of the error.
type Raw<T> = Result<T, Word>;

/// Whether the kernel knows the right grant-reply.
pub(crate) const HAS_GRANT_REPLY: bool = cfg!(sel4_grant_reply);

/// Number of bits of a badge.
#[cfg(sel4_tagged_cap_data)]
pub(crate) const BADGE_BITS: u32 = sys::bf::Badge::Badge.width();
/// Number of bits of a badge.
#[cfg(not(sel4_tagged_cap_data))]
pub(crate) const BADGE_BITS: u32 = Word::BITS;

/// Number of bits of a page fault's address. No header tells: the kernels that cut it (before 8.0) are those that tag
/// capability data.
pub(crate) const VM_FAULT_ADDR_BITS: u32 = if cfg!(sel4_tagged_cap_data) { u32::BITS } else { Word::BITS };

/// Bits of an address that each of the four levels of tables resolves: a table is a page of words.
const TABLE_BITS: usize = ObjectBlueprint::PAGE_TABLE.physical_size_bits() - size_of::<Word>().ilog2() as usize;

/// End of the addresses of user programs: the lower half but its last page, whence a system call would return to an
/// address that the processor does not take.
pub(crate) const USER_TOP: usize =
    (1 << (FrameObjectType::SmallPage.bits() + 4 * TABLE_BITS - 1)) - FrameObjectType::SmallPage.bytes();

const _: () = assert!(FrameObjectType::LargePage.bits() == FrameObjectType::SmallPage.bits() + TABLE_BITS);

#[cfg(sel4_user_top)]
const _: () = assert!(USER_TOP as Word == sys::seL4_UserTop as Word);

/// Encodes the right grant-reply.
#[cfg(sel4_grant_reply)]
pub(crate) const fn grant_reply_right(can: bool) -> Word {
    sys::bf::seL4_CapRights::capAllowGrantReply.put(can as Word)
}

/// Encodes the right grant-reply, which this kernel does not know.
#[cfg(not(sel4_grant_reply))]
pub(crate) const fn grant_reply_right(_can: bool) -> Word {
    0
}

/// Encodes the guard of a CNode.
#[cfg(sel4_tagged_cap_data)]
pub(crate) const fn cnode_cap_data(guard: Word, guard_size: u8) -> Word {
    sys::bf::Guard::CapDataType.put(sys::seL4_CapData_Guard as Word)
        | sys::bf::Guard::GuardBits.put(guard)
        | sys::bf::Guard::GuardSize.put(guard_size as Word)
}

/// Encodes the guard of a CNode.
#[cfg(not(sel4_tagged_cap_data))]
pub(crate) const fn cnode_cap_data(guard: Word, guard_size: u8) -> Word {
    sys::bf::seL4_CNode_CapData::guard.put(guard) | sys::bf::seL4_CNode_CapData::guardSize.put(guard_size as Word)
}

/// What a thread is configured with, in the words that the invocation takes.
pub(crate) struct ThreadConfig {
    pub(crate) fault_ep: seL4_CPtr,
    pub(crate) priority: u8,
    pub(crate) authority: seL4_CPtr,
    pub(crate) cspace: seL4_CPtr,
    pub(crate) cspace_data: Word,
    pub(crate) vspace: seL4_CPtr,
    pub(crate) buffer: Word,
    pub(crate) buffer_frame: seL4_CPtr,
}

/// Configures a thread, priority included.
#[cfg(sel4_configure_priority)]
#[inline]
pub(crate) fn tcb_configure(ipc: IpcBufferPtr, tcb: seL4_CPtr, config: &ThreadConfig) -> Raw<()> {
    // This kernel takes the authority from the caller.
    let _ = config.authority;
    sys::seL4_TCB_Configure(
        ipc,
        tcb,
        config.fault_ep,
        sys::bf::seL4_PrioProps::prio.put(Word::from(config.priority)),
        config.cspace,
        config.cspace_data,
        config.vspace,
        0,
        config.buffer,
        config.buffer_frame,
    )
}

/// Configures a thread, then sets its priority.
#[cfg(not(sel4_configure_priority))]
#[inline]
pub(crate) fn tcb_configure(ipc: IpcBufferPtr, tcb: seL4_CPtr, config: &ThreadConfig) -> Raw<()> {
    sys::seL4_TCB_Configure(
        ipc,
        tcb,
        config.fault_ep,
        config.cspace,
        config.cspace_data,
        config.vspace,
        0,
        config.buffer,
        config.buffer_frame,
    )?;
    sys::seL4_TCB_SetPriority(ipc, tcb, config.authority, Word::from(config.priority))
}

/// Sets a thread's priority.
#[cfg(sel4_configure_priority)]
#[inline]
pub(crate) fn tcb_set_priority(ipc: IpcBufferPtr, tcb: seL4_CPtr, _authority: seL4_CPtr, priority: u8) -> Raw<()> {
    // This kernel takes the authority from the caller.
    sys::seL4_TCB_SetPriority(ipc, tcb, Word::from(priority))
}

/// Sets a thread's priority.
#[cfg(not(sel4_configure_priority))]
#[inline]
pub(crate) fn tcb_set_priority(ipc: IpcBufferPtr, tcb: seL4_CPtr, authority: seL4_CPtr, priority: u8) -> Raw<()> {
    sys::seL4_TCB_SetPriority(ipc, tcb, authority, Word::from(priority))
}

/// Tells the kernel that a thread does not use the FPU.
#[cfg(sel4_tcb_flags)]
#[inline]
pub(crate) fn tcb_disable_fpu(ipc: IpcBufferPtr, tcb: seL4_CPtr) -> Raw<()> {
    sys::seL4_TCB_SetFlags(ipc, tcb, 0, sys::seL4_TCBFlag_fpuDisabled as Word).map(|_| ())
}

/// Does nothing: this kernel switches the FPU lazily.
#[cfg(not(sel4_tcb_flags))]
#[inline]
pub(crate) fn tcb_disable_fpu(_ipc: IpcBufferPtr, _tcb: seL4_CPtr) -> Raw<()> {
    Ok(())
}

/// Sets the base of `fs`.
#[cfg(sel4_fs_base)]
pub(crate) const fn set_tls_base(context: &mut sys::seL4_UserContext, address: Word) {
    context.fs_base = address;
}

/// Sets the base of `fs`.
#[cfg(not(sel4_fs_base))]
pub(crate) const fn set_tls_base(context: &mut sys::seL4_UserContext, address: Word) {
    context.tls_base = address;
}

/// Registers that are all 0.
// SAFETY: the structure consists of integers (asserted in `user_context.rs`), for which 0 is a value.
pub(crate) const ZERO_CONTEXT: sys::seL4_UserContext = unsafe { core::mem::zeroed() };

/// Takes a range of I/O ports, into the slot at `index` of the CNode `root`.
#[cfg(sel4_io_port_control)]
pub(crate) fn io_ports(
    ipc: IpcBufferPtr,
    (first, last): (u16, u16),
    (root, index, depth): (seL4_CPtr, Word, Word),
) -> Raw<()> {
    let control = sys::seL4_CapIOPortControl as seL4_CPtr;
    sys::seL4_X86_IOPortControl_Issue(ipc, control, Word::from(first), Word::from(last), root, index, depth)
}

/// Takes a range of I/O ports, into the slot at `index` of the CNode `root`: mints the capability to all ports. The
/// badge of such a mint is the first port in bits 16 to 31 and the last in bits 0 to 15 (manual, section "I/O Ports");
/// it has no rights that could be taken away.
#[cfg(not(sel4_io_port_control))]
pub(crate) fn io_ports(
    ipc: IpcBufferPtr,
    (first, last): (u16, u16),
    (root, index, depth): (seL4_CPtr, Word, Word),
) -> Raw<()> {
    let initial = sys::seL4_CapInitThreadCNode as seL4_CPtr;
    let all_ports = sys::seL4_CapIOPort as seL4_CPtr;
    let range = Word::from(first) << u16::BITS | Word::from(last);
    sys::seL4_CNode_Mint(ipc, root, index, depth, initial, all_ports, Word::from(Word::BITS), 0, range)
}

/// Whether the kernel saves registers of the FPU by XSAVE.
pub(crate) const HAS_XSAVE: bool = cfg!(sel4_xsave);

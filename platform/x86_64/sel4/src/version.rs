// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs between the kernels that this crate speaks to.
//!
//! Everything that depends on the kernel's version is in this file, chosen by what the kernel's own headers and
//! interface files contain (`sel4-sys` looks, and tells by `cfg`), never by a version number. `docs/kernel-versions.md`
//! lists the differences.

use crate::{
    AbsoluteCPtr, CNodeCapData, CPtr, CapRights, FrameObjectType, IpcBuffer, TranslationTableObjectType, VmAttributes,
    Word, cap, sys,
};

/// What an invocation returns from `sel4-sys`: the label of the error.
type Raw<T> = Result<T, Word>;

/// Whether the kernel knows the right grant-reply.
pub(crate) const HAS_GRANT_REPLY: bool = cfg!(sel4_grant_reply);

/// Whether the kernel saves the registers of the FPU by `xsave`.
pub(crate) const HAS_XSAVE: bool = cfg!(sel4_xsave);

/// Number of bits of a badge.
#[cfg(sel4_tagged_cap_data)]
pub(crate) const BADGE_BITS: u32 = sys::bf::Badge::Badge.width();
/// Number of bits of a badge.
#[cfg(not(sel4_tagged_cap_data))]
pub(crate) const BADGE_BITS: u32 = Word::BITS;

/// Number of bits of a page fault's address. No header tells: the kernels that cut it (before 8.0) are those that tag
/// capability data.
pub(crate) const VM_FAULT_ADDR_BITS: u32 = if cfg!(sel4_tagged_cap_data) { u32::BITS } else { Word::BITS };

/// End of the addresses of user programs: the lower half but its last page, whence a system call would return to an
/// address that the processor does not take.
pub(crate) const USER_TOP: usize =
    (1 << (TranslationTableObjectType::PML4.span_bits() - 1)) - FrameObjectType::GRANULE.bytes();

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

/// What a thread is configured with.
pub(crate) struct ThreadConfig {
    pub(crate) fault_ep: CPtr,
    pub(crate) priority: u8,
    pub(crate) authority: cap::Tcb,
    pub(crate) cspace: cap::CNode,
    pub(crate) cspace_data: CNodeCapData,
    pub(crate) vspace: cap::VSpace,
    pub(crate) buffer: Word,
    pub(crate) buffer_frame: cap::SmallPage,
}

/// Configures a thread, priority included.
#[cfg(sel4_configure_priority)]
#[inline]
pub(crate) fn tcb_configure(ipc: IpcBuffer, tcb: cap::Tcb, config: &ThreadConfig) -> Raw<()> {
    // This kernel takes the authority from the caller.
    let _ = config.authority;
    sys::seL4_TCB_Configure(
        ipc.into_sys(),
        tcb.bits(),
        config.fault_ep.bits(),
        sys::bf::seL4_PrioProps::prio.put(Word::from(config.priority)),
        config.cspace.bits(),
        config.cspace_data.into_word(),
        config.vspace.bits(),
        0,
        config.buffer,
        config.buffer_frame.bits(),
    )
}

/// Configures a thread, then sets its priority.
#[cfg(not(sel4_configure_priority))]
#[inline]
pub(crate) fn tcb_configure(ipc: IpcBuffer, tcb: cap::Tcb, config: &ThreadConfig) -> Raw<()> {
    sys::seL4_TCB_Configure(
        ipc.into_sys(),
        tcb.bits(),
        config.fault_ep.bits(),
        config.cspace.bits(),
        config.cspace_data.into_word(),
        config.vspace.bits(),
        0,
        config.buffer,
        config.buffer_frame.bits(),
    )?;
    tcb_set_priority(ipc, tcb, config.authority, config.priority)
}

/// Sets the priority of a thread.
#[cfg(sel4_priority_authority)]
#[inline]
pub(crate) fn tcb_set_priority(ipc: IpcBuffer, tcb: cap::Tcb, authority: cap::Tcb, priority: u8) -> Raw<()> {
    sys::seL4_TCB_SetPriority(ipc.into_sys(), tcb.bits(), authority.bits(), Word::from(priority))
}

/// Sets the priority of a thread; this kernel takes the authority from the caller.
#[cfg(not(sel4_priority_authority))]
#[inline]
pub(crate) fn tcb_set_priority(ipc: IpcBuffer, tcb: cap::Tcb, _authority: cap::Tcb, priority: u8) -> Raw<()> {
    sys::seL4_TCB_SetPriority(ipc.into_sys(), tcb.bits(), Word::from(priority))
}

/// Sets the maximum controlled priority of a thread.
#[cfg(sel4_priority_authority)]
#[inline]
pub(crate) fn tcb_set_mc_priority(ipc: IpcBuffer, tcb: cap::Tcb, authority: cap::Tcb, mcp: u8) -> Raw<()> {
    sys::seL4_TCB_SetMCPriority(ipc.into_sys(), tcb.bits(), authority.bits(), Word::from(mcp))
}

/// Sets the maximum controlled priority of a thread; this kernel takes the authority from the caller.
#[cfg(not(sel4_priority_authority))]
#[inline]
pub(crate) fn tcb_set_mc_priority(ipc: IpcBuffer, tcb: cap::Tcb, _authority: cap::Tcb, mcp: u8) -> Raw<()> {
    sys::seL4_TCB_SetMCPriority(ipc.into_sys(), tcb.bits(), Word::from(mcp))
}

/// Tells the kernel that a thread does not use the FPU.
#[cfg(sel4_tcb_flags)]
#[inline]
pub(crate) fn tcb_disable_fpu(ipc: IpcBuffer, tcb: cap::Tcb) -> Raw<()> {
    sys::seL4_TCB_SetFlags(ipc.into_sys(), tcb.bits(), 0, sys::seL4_TCBFlag_fpuDisabled as Word).map(|_| ())
}

/// Does nothing: this kernel switches the FPU lazily.
#[cfg(not(sel4_tcb_flags))]
#[inline]
pub(crate) fn tcb_disable_fpu(_ipc: IpcBuffer, _tcb: cap::Tcb) -> Raw<()> {
    Ok(())
}

/// Changes the rights of a mapped frame; this kernel knows where it is mapped.
#[cfg(sel4_page_remap)]
#[inline]
pub(crate) fn frame_remap(
    ipc: IpcBuffer,
    frame: CPtr,
    vspace: cap::VSpace,
    _vaddr: usize,
    rights: CapRights,
    attrs: VmAttributes,
) -> Raw<()> {
    sys::seL4_X86_Page_Remap(ipc.into_sys(), frame.bits(), vspace.bits(), rights.into_word(), attrs.into_word())
}

/// Changes the rights of a mapped frame: maps it again.
#[cfg(not(sel4_page_remap))]
#[inline]
pub(crate) fn frame_remap(
    ipc: IpcBuffer,
    frame: CPtr,
    vspace: cap::VSpace,
    vaddr: usize,
    rights: CapRights,
    attrs: VmAttributes,
) -> Raw<()> {
    sys::seL4_X86_Page_Map(
        ipc.into_sys(),
        frame.bits(),
        vspace.bits(),
        vaddr as Word,
        rights.into_word(),
        attrs.into_word(),
    )
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

/// Takes a range of I/O ports.
#[cfg(sel4_io_port_control)]
pub(crate) fn io_ports(first: u16, last: u16, dst: &AbsoluteCPtr) -> crate::Result<()> {
    crate::invocations::wrap(sys::seL4_X86_IOPortControl_Issue(
        crate::ipc_buffer().into_sys(),
        sys::seL4_CapIOPortControl as sys::seL4_CPtr,
        Word::from(first),
        Word::from(last),
        dst.root().bits(),
        dst.path().bits(),
        Word::from(dst.path().depth()),
    ))
}

/// Takes a range of I/O ports: mints the capability to all of them. The badge of such a mint is the first port in bits
/// 16 to 31 and the last in bits 0 to 15 (manual, section "I/O Ports").
#[cfg(not(sel4_io_port_control))]
pub(crate) fn io_ports(first: u16, last: u16, dst: &AbsoluteCPtr) -> crate::Result<()> {
    let all_ports = crate::init_thread::Slot::<crate::cap_type::IOPort>::from_index(sys::seL4_CapIOPort as usize);
    let range = Word::from(first) << u16::BITS | Word::from(last);
    dst.mint_word(&all_ports.absolute(), CapRights::all(), range)
}

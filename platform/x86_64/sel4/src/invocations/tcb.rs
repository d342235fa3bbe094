// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads (manual, chapter "Threads and Execution").

use crate::{CNodeCapData, CPtr, Result, UserContext, Word, cap, error::wrap, ipc_buffer, sys, version};

impl cap::Tcb {
    /// Gives the thread its CSpace, address space, fault endpoint, IPC buffer and priority: `seL4_TCB_Configure`, with
    /// `seL4_TCB_SetPriority` on kernels where the first does not take a priority (9.0 and later).
    ///
    /// `fault_ep` is looked up in `cspace_root` when the thread faults, and needs the rights
    /// [`CapRights::call`](crate::CapRights::call). `authority` is a thread whose maximum controlled priority is at
    /// least `priority`; kernels before 9.0 take the calling thread instead. `ipc_buffer` is where the thread sees its
    /// buffer, a multiple of the buffer's size, and the frame there; without one, its messages have four words at most.
    ///
    /// # Errors
    /// [`RangeError`](crate::Error::RangeError) for a priority above the authority's;
    /// [`IllegalOperation`](crate::Error::IllegalOperation) for capabilities of the wrong kind, a device frame, or an
    /// address space without an ASID.
    #[expect(clippy::too_many_arguments, reason = "the kernel's own list, shared with rust-sel4")]
    #[inline]
    pub fn tcb_configure(
        self,
        fault_ep: CPtr,
        priority: u8,
        authority: cap::Tcb,
        cspace_root: cap::CNode,
        cspace_root_data: CNodeCapData,
        vspace_root: cap::VSpace,
        ipc_buffer: Option<(usize, cap::SmallPage)>,
    ) -> Result<()> {
        let (buffer, buffer_frame) = ipc_buffer.unwrap_or((0, cap::SmallPage::from_cptr(CPtr::NULL)));
        let config = version::ThreadConfig {
            fault_ep: fault_ep.bits(),
            priority,
            authority: authority.bits(),
            cspace: cspace_root.bits(),
            cspace_data: cspace_root_data.into_word(),
            vspace: vspace_root.bits(),
            buffer: buffer as Word,
            buffer_frame: buffer_frame.bits(),
        };
        wrap(version::tcb_configure(crate::ipc_buffer().into_sys(), self.bits(), &config))
    }

    /// Gives the thread another fault endpoint, CSpace and address space: `seL4_TCB_SetSpace`.
    ///
    /// # Errors
    /// As [`tcb_configure`](Self::tcb_configure).
    #[inline]
    pub fn tcb_set_space(
        self,
        fault_ep: CPtr,
        cspace_root: cap::CNode,
        cspace_root_data: CNodeCapData,
        vspace_root: cap::VSpace,
    ) -> Result<()> {
        self.invoke(|ipc, cptr| {
            sys::seL4_TCB_SetSpace(
                ipc,
                cptr,
                fault_ep.bits(),
                cspace_root.bits(),
                cspace_root_data.into_word(),
                vspace_root.bits(),
                0,
            )
        })
    }

    /// Sets the thread's priority: `seL4_TCB_SetPriority`. `authority` is as in [`tcb_configure`](Self::tcb_configure).
    ///
    /// # Errors
    /// [`RangeError`](crate::Error::RangeError) for a priority above the authority's.
    #[inline]
    pub fn tcb_set_priority(self, authority: cap::Tcb, priority: u8) -> Result<()> {
        wrap(version::tcb_set_priority(ipc_buffer().into_sys(), self.bits(), authority.bits(), priority))
    }

    /// Tells the kernel that the thread does not use the FPU: `seL4_TCB_SetFlags`. Kernels before 14.0 switch the FPU
    /// only when it is used; there this does nothing.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where this is no thread.
    #[inline]
    pub fn tcb_disable_fpu(self) -> Result<()> {
        wrap(version::tcb_disable_fpu(ipc_buffer().into_sys(), self.bits()))
    }

    /// Reads the first `count` registers of a thread: `seL4_TCB_ReadRegisters`. The others are 0.
    ///
    /// # Errors
    /// [`IllegalOperation`](crate::Error::IllegalOperation) for the calling thread itself.
    #[inline]
    pub fn tcb_read_registers(self, suspend: bool, count: usize) -> Result<UserContext> {
        let mut context = UserContext::zeroed();
        self.invoke(|ipc, cptr| {
            sys::seL4_TCB_ReadRegisters(ipc, cptr, Word::from(suspend), 0, count as Word, context.inner_mut())
        })?;
        Ok(context)
    }

    /// Writes the first `count` registers of a thread, and resumes it if `resume`: `seL4_TCB_WriteRegisters`.
    ///
    /// Only these words travel. The kernel clears bits of the flags that a user may not set.
    ///
    /// # Errors
    /// [`IllegalOperation`](crate::Error::IllegalOperation) for the calling thread itself.
    #[inline]
    pub fn tcb_write_registers(self, resume: bool, count: usize, context: &UserContext) -> Result<()> {
        self.invoke(|ipc, cptr| {
            sys::seL4_TCB_WriteRegisters(ipc, cptr, Word::from(resume), 0, count as Word, context.inner())
        })
    }

    /// Writes all registers of a thread, and resumes it if `resume`.
    ///
    /// # Errors
    /// As [`tcb_write_registers`](Self::tcb_write_registers).
    #[inline]
    pub fn tcb_write_all_registers(self, resume: bool, context: &UserContext) -> Result<()> {
        self.tcb_write_registers(resume, UserContext::COUNT_ALL, context)
    }

    /// Lets the thread run: `seL4_TCB_Resume`.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where this is no thread.
    #[inline]
    pub fn tcb_resume(self) -> Result<()> {
        self.invoke(sys::seL4_TCB_Resume)
    }

    /// Stops the thread: `seL4_TCB_Suspend`. A message that it was sending or waiting for is taken back.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where this is no thread.
    #[inline]
    pub fn tcb_suspend(self) -> Result<()> {
        self.invoke(sys::seL4_TCB_Suspend)
    }

    /// Lets the thread receive signals of `notification` while it waits for messages: `seL4_TCB_BindNotification`.
    ///
    /// # Errors
    /// [`IllegalOperation`](crate::Error::IllegalOperation) where either is bound already.
    #[inline]
    pub fn tcb_bind_notification(self, notification: cap::Notification) -> Result<()> {
        self.invoke(|ipc, cptr| sys::seL4_TCB_BindNotification(ipc, cptr, notification.bits()))
    }
}

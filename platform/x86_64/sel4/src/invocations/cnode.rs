// SPDX-License-Identifier: MIT OR Apache-2.0
//! Moving capabilities between slots (manual, section "CNode Methods").

use crate::{AbsoluteCPtr, BADGE_BITS, Badge, CapRights, Error, IpcBuffer, Result, Word, error::wrap, ipc_buffer, sys};

impl AbsoluteCPtr {
    #[inline]
    fn invoke<R>(
        &self,
        invocation: impl FnOnce(sys::IpcBufferPtr, sys::seL4_CPtr, Word, Word) -> core::result::Result<R, Word>,
    ) -> Result<R> {
        let (root, index, depth) = self.words();
        wrap(invocation(ipc_buffer().into_sys(), root, index, depth))
    }

    /// Copies the capability in `src` into this slot, with at most `rights`: `seL4_CNode_Copy`.
    ///
    /// # Errors
    /// [`DeleteFirst`](Error::DeleteFirst) where this slot is in use, [`FailedLookup`](Error::FailedLookup) where `src`
    /// is empty or either does not exist.
    #[inline]
    pub fn copy(&self, src: &AbsoluteCPtr, rights: CapRights) -> Result<()> {
        let (src_root, src_index, src_depth) = src.words();
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Copy(ipc, root, index, depth, src_root, src_index, src_depth, rights.into_word())
        })
    }

    /// Copies the capability in `src` into this slot, with at most `rights` and a badge: `seL4_CNode_Mint`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy). [`IllegalOperation`](Error::IllegalOperation) where the capability has a badge already;
    /// [`RangeError`](Error::RangeError) where the badge is wider than [`BADGE_BITS`].
    #[inline]
    pub fn mint(&self, src: &AbsoluteCPtr, rights: CapRights, badge: Badge) -> Result<()> {
        if BADGE_BITS < Word::BITS && badge >> (BADGE_BITS % Word::BITS) != 0 {
            return Err(Error::RangeError);
        }
        let (src_root, src_index, src_depth) = src.words();
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Mint(ipc, root, index, depth, src_root, src_index, src_depth, rights.into_word(), badge)
        })
    }

    /// Moves the capability in `src` into this slot: `seL4_CNode_Move`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    #[inline]
    pub fn move_(&self, src: &AbsoluteCPtr) -> Result<()> {
        let (src_root, src_index, src_depth) = src.words();
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Move(ipc, root, index, depth, src_root, src_index, src_depth)
        })
    }

    /// Deletes the capability in this slot; an empty slot is no error: `seL4_CNode_Delete`.
    ///
    /// The object goes with its last capability.
    ///
    /// # Errors
    /// [`FailedLookup`](Error::FailedLookup) where the slot does not exist.
    #[inline]
    pub fn delete(&self) -> Result<()> {
        self.invoke(sys::seL4_CNode_Delete)
    }

    /// Deletes every capability that was made from the one in this slot: `seL4_CNode_Revoke`.
    ///
    /// # Errors
    /// [`FailedLookup`](Error::FailedLookup) where the slot does not exist.
    #[inline]
    pub fn revoke(&self) -> Result<()> {
        self.revoke_through(ipc_buffer())
    }

    /// Does the same as [`revoke`](Self::revoke) with the IPC buffer of another thread than the program's first one.
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn revoke_through(&self, ipc: IpcBuffer) -> Result<()> {
        let (root, index, depth) = self.words();
        wrap(sys::seL4_CNode_Revoke(ipc.into_sys(), root, index, depth))
    }
}

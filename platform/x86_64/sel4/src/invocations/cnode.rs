// SPDX-License-Identifier: MIT OR Apache-2.0
//! Moving capabilities between slots (manual, section "CNode Methods").

use crate::{AbsoluteCPtr, BADGE_BITS, CNodeCapData, CapRights, Error, Result, Word, sys, syscalls::Badge};

impl AbsoluteCPtr {
    #[inline]
    fn invoke<R>(
        &self,
        invocation: impl FnOnce(sys::IpcBufferPtr, sys::seL4_CPtr, Word, Word) -> core::result::Result<R, Word>,
    ) -> Result<R> {
        super::wrap(invocation(
            crate::ipc_buffer().into_sys(),
            self.root().bits(),
            self.path().bits(),
            Word::from(self.path().depth()),
        ))
    }

    /// Copies the capability in `src` into this slot, with at most `rights`: `seL4_CNode_Copy`.
    ///
    /// # Errors
    /// [`DeleteFirst`](Error::DeleteFirst) where this slot is in use, [`FailedLookup`](Error::FailedLookup) where `src`
    /// is empty or either does not exist.
    #[inline]
    pub fn copy(&self, src: &AbsoluteCPtr, rights: CapRights) -> Result<()> {
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Copy(
                ipc,
                root,
                index,
                depth,
                src.root().bits(),
                src.path().bits(),
                Word::from(src.path().depth()),
                rights.into_word(),
            )
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
        self.mint_word(src, rights, badge)
    }

    /// Copies the CNode capability in `src` into this slot, with a guard: `seL4_CNode_Mint`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    #[inline]
    pub fn mint_cnode(&self, src: &AbsoluteCPtr, rights: CapRights, data: CNodeCapData) -> Result<()> {
        self.mint_word(src, rights, data.into_word())
    }

    /// Mints with a word that is a badge, a guard, or whatever the kind of capability makes of it.
    #[inline]
    pub(crate) fn mint_word(&self, src: &AbsoluteCPtr, rights: CapRights, word: Word) -> Result<()> {
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Mint(
                ipc,
                root,
                index,
                depth,
                src.root().bits(),
                src.path().bits(),
                Word::from(src.path().depth()),
                rights.into_word(),
                word,
            )
        })
    }

    /// Moves the capability in `src` into this slot: `seL4_CNode_Move`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    #[inline]
    pub fn move_(&self, src: &AbsoluteCPtr) -> Result<()> {
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Move(
                ipc,
                root,
                index,
                depth,
                src.root().bits(),
                src.path().bits(),
                Word::from(src.path().depth()),
            )
        })
    }

    /// Moves the CNode capability in `src` into this slot, with a guard: `seL4_CNode_Mutate`.
    ///
    /// # Errors
    /// As [`copy`](Self::copy).
    #[inline]
    pub fn mutate(&self, src: &AbsoluteCPtr, data: CNodeCapData) -> Result<()> {
        self.invoke(|ipc, root, index, depth| {
            sys::seL4_CNode_Mutate(
                ipc,
                root,
                index,
                depth,
                src.root().bits(),
                src.path().bits(),
                Word::from(src.path().depth()),
                data.into_word(),
            )
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
        self.invoke(sys::seL4_CNode_Revoke)
    }

    /// Takes back messages that wait to be sent with the badge of the endpoint capability in this slot:
    /// `seL4_CNode_CancelBadgedSends`.
    ///
    /// # Errors
    /// [`IllegalOperation`](Error::IllegalOperation) where the slot holds no endpoint with all rights.
    #[inline]
    pub fn cancel_badged_sends(&self) -> Result<()> {
        self.invoke(sys::seL4_CNode_CancelBadgedSends)
    }

    /// Moves the reply capability of the last caller into this slot: `seL4_CNode_SaveCaller`.
    ///
    /// # Errors
    /// [`DeleteFirst`](Error::DeleteFirst) where the slot is in use.
    #[inline]
    pub fn save_caller(&self) -> Result<()> {
        self.invoke(sys::seL4_CNode_SaveCaller)
    }
}

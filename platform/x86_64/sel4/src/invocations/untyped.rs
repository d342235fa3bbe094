// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making objects of untyped memory.

use crate::{AbsoluteCPtr, IpcBuffer, ObjectBlueprint, Result, Word, cap, error::wrap, ipc_buffer, sys};

/// Number of objects that one retype makes at most.
pub const MAX_RETYPE_OBJECTS: usize = sys::seL4_UntypedRetypeMaxObjects as usize;

impl cap::Untyped {
    /// Makes `num_objects` objects, with capabilities in the slots of the CNode `dst` from `dst_offset` on:
    /// `seL4_Untyped_Retype`.
    ///
    /// `dst` is the CNode itself: [`absolute_cptr_for_self`](cap::CNode::absolute_cptr_for_self), or a path to the slot
    /// that holds it.
    ///
    /// # Errors
    /// [`NotEnoughMemory`](crate::Error::NotEnoughMemory) where the memory has too little left;
    /// [`DeleteFirst`](crate::Error::DeleteFirst) where a slot is in use; [`RangeError`](crate::Error::RangeError)
    /// beyond [`MAX_RETYPE_OBJECTS`] or the CNode's end.
    #[inline]
    pub fn untyped_retype(
        self,
        blueprint: &ObjectBlueprint,
        dst: &AbsoluteCPtr,
        dst_offset: usize,
        num_objects: usize,
    ) -> Result<()> {
        self.untyped_retype_through(ipc_buffer(), blueprint, dst, dst_offset, num_objects)
    }

    /// Does the same as [`untyped_retype`](Self::untyped_retype) with the IPC buffer of another thread than the program's
    /// first one.
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn untyped_retype_through(
        self,
        ipc: IpcBuffer,
        blueprint: &ObjectBlueprint,
        dst: &AbsoluteCPtr,
        dst_offset: usize,
        num_objects: usize,
    ) -> Result<()> {
        let (root, index, depth) = dst.words();
        wrap(sys::seL4_Untyped_Retype(
            ipc.into_sys(),
            self.bits(),
            blueprint.object_type(),
            blueprint.api_size_bits().unwrap_or(0) as Word,
            root,
            index,
            depth,
            dst_offset as Word,
            num_objects as Word,
        ))
    }
}

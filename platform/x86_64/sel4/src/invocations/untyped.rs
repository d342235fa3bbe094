// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making objects of untyped memory.

use crate::{AbsoluteCPtr, ObjectBlueprint, Result, Word, cap, sys};

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
        let (root, index, depth) = dst.words();
        self.invoke(|ipc, cptr| {
            sys::seL4_Untyped_Retype(
                ipc,
                cptr,
                blueprint.object_type(),
                blueprint.api_size_bits().unwrap_or(0) as Word,
                root,
                index,
                depth,
                dst_offset as Word,
                num_objects as Word,
            )
        })
    }
}

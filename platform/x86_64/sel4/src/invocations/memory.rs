// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address spaces (manual, chapter "Address Spaces and Virtual Memory").

use crate::{
    AbsoluteCPtr, Cap, CapRights, CapTypeForFrameObject, Error, FrameObjectType, Result, Word, cap, sys, version,
};

/// End of the addresses that can be mapped: `seL4_UserTop`.
///
/// Kernels before 11.0 take higher ones, so this crate refuses them on every kernel.
pub const USER_TOP: usize = version::USER_TOP;

/// Refuses addresses of which `bytes` do not lie below [`USER_TOP`].
#[inline]
const fn check(vaddr: usize, bytes: usize) -> Result<()> {
    if vaddr > USER_TOP - bytes { Err(Error::InvalidArgument) } else { Ok(()) }
}

/// How memory is cached: `seL4_X86_VMAttributes`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[repr(transparent)]
pub struct VmAttributes(Word);

impl VmAttributes {
    /// Cached; the default.
    pub const DEFAULT: Self = Self(sys::seL4_X86_Default_VMAttributes as Word);

    /// Returns the word that invocations take.
    pub const fn into_word(self) -> Word {
        self.0
    }
}

impl Default for VmAttributes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl<T: CapTypeForFrameObject> Cap<T> {
    /// Maps the frame at `vaddr` of `vspace`: `seL4_X86_Page_Map`.
    ///
    /// What another capability maps there is replaced without a word by kernels from 10.1 on, and refused with
    /// [`DeleteFirst`](crate::Error::DeleteFirst) before: the caller has to know what is mapped. A capability maps in one
    /// place; copy it to map the frame in another.
    ///
    /// # Errors
    /// [`FailedLookup`](crate::Error::FailedLookup) where a table is missing;
    /// [`InvalidArgument`](crate::Error::InvalidArgument) where the frame does not end at or below [`USER_TOP`];
    /// [`AlignmentError`](crate::Error::AlignmentError) for one that is no multiple of the frame's size;
    /// [`InvalidArgument`](crate::Error::InvalidArgument) or, before 11.0,
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where the capability maps elsewhere.
    #[inline]
    pub fn frame_map(self, vspace: cap::VSpace, vaddr: usize, rights: CapRights, attrs: VmAttributes) -> Result<()> {
        check(vaddr, T::FRAME_OBJECT_TYPE.bytes())?;
        self.invoke(|ipc, cptr| {
            sys::seL4_X86_Page_Map(ipc, cptr, vspace.bits(), vaddr as Word, rights.into_word(), attrs.into_word())
        })
    }

    /// Unmaps the frame; one that is not mapped is no error: `seL4_X86_Page_Unmap`.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where this is no frame.
    #[inline]
    pub fn frame_unmap(self) -> Result<()> {
        self.invoke(sys::seL4_X86_Page_Unmap)
    }

    /// Returns the physical address: `seL4_X86_Page_GetAddress`.
    ///
    /// # Errors
    /// [`InvalidCapability`](crate::Error::InvalidCapability) where this is no frame.
    #[inline]
    pub fn frame_get_address(self) -> Result<usize> {
        self.invoke(sys::seL4_X86_Page_GetAddress).map(|address| address as usize)
    }
}

macro_rules! tables {
    ($( $cap:ident { $map:ident = $sys_map:ident } )*) => {
        $(
            impl cap::$cap {
                #[doc = concat!("Maps the table at `vaddr` of `vspace`, rounded down to what it spans: `", stringify!($sys_map), "`.")]
                ///
                /// # Errors
                /// [`FailedLookup`](crate::Error::FailedLookup) where the table above is missing;
                /// [`DeleteFirst`](crate::Error::DeleteFirst) where one is mapped there;
                /// [`InvalidArgument`](crate::Error::InvalidArgument) beyond [`USER_TOP`].
                #[inline]
                pub fn $map(self, vspace: cap::VSpace, vaddr: usize, attrs: VmAttributes) -> Result<()> {
                    check(vaddr, FrameObjectType::SmallPage.bytes())?;
                    self.invoke(|ipc, cptr| sys::$sys_map(ipc, cptr, vspace.bits(), vaddr as Word, attrs.into_word()))
                }
            }
        )*
    };
}

tables! {
    PDPT { pdpt_map = seL4_X86_PDPT_Map }
    PageDirectory { page_directory_map = seL4_X86_PageDirectory_Map }
    PageTable { page_table_map = seL4_X86_PageTable_Map }
}

impl cap::AsidControl {
    /// Makes a pool of ASIDs of 4 KiB of untyped memory: `seL4_X86_ASIDControl_MakePool`.
    ///
    /// # Errors
    /// [`DeleteFirst`](crate::Error::DeleteFirst) where all pools exist or the slot is in use.
    #[inline]
    pub fn asid_control_make_pool(self, untyped: cap::Untyped, dst: &AbsoluteCPtr) -> Result<()> {
        let (root, index, depth) = dst.words();
        self.invoke(|ipc, cptr| sys::seL4_X86_ASIDControl_MakePool(ipc, cptr, untyped.bits(), root, index, depth))
    }
}

impl cap::AsidPool {
    /// Gives an address space its identifier, without which nothing can be mapped in it: `seL4_X86_ASIDPool_Assign`.
    ///
    /// # Errors
    /// [`DeleteFirst`](crate::Error::DeleteFirst) where the pool is full.
    #[inline]
    pub fn asid_pool_assign(self, vspace: cap::VSpace) -> Result<()> {
        self.invoke(|ipc, cptr| sys::seL4_X86_ASIDPool_Assign(ipc, cptr, vspace.bits()))
    }
}

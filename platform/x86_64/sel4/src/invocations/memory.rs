// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address spaces (manual, chapter "Address Spaces and Virtual Memory").

use core::ops::BitOr;

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
    /// Cached, written through.
    pub const WRITE_THROUGH: Self = Self(sys::seL4_X86_WriteThrough as Word);
    /// Not cached: for devices.
    pub const CACHE_DISABLED: Self = Self(sys::seL4_X86_CacheDisabled as Word);
    /// Not cached, writes combined: for frame buffers.
    pub const WRITE_COMBINING: Self = Self(sys::seL4_X86_WriteCombining as Word);

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

impl BitOr for VmAttributes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl<T: CapTypeForFrameObject> Cap<T> {
    /// Maps the frame at `vaddr` of `vspace`: `seL4_X86_Page_Map`.
    ///
    /// What another capability maps there is replaced without a word by kernels from 10.1 on, and refused with
    /// [`DeleteFirst`](crate::Error::DeleteFirst) before: the caller has to know what is mapped. A capability maps in one
    /// place; copy it to map the frame in another. Where it is mapped already,
    /// [`frame_remap`](Self::frame_remap) changes rights and attributes.
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

    /// Changes the rights and attributes of a frame that this capability has mapped at `vaddr` of `vspace`:
    /// `seL4_X86_Page_Map`, or before 11.0 `seL4_X86_Page_Remap`. The rights are at most the capability's.
    ///
    /// # Errors
    /// An error where it is not mapped, or mapped elsewhere.
    #[inline]
    pub fn frame_remap(self, vspace: cap::VSpace, vaddr: usize, rights: CapRights, attrs: VmAttributes) -> Result<()> {
        check(vaddr, T::FRAME_OBJECT_TYPE.bytes())?;
        super::wrap(version::frame_remap(crate::ipc_buffer(), self.cptr(), vspace, vaddr, rights, attrs))
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
    ($( $cap:ident { $map:ident = $sys_map:ident, $unmap:ident = $sys_unmap:ident } )*) => {
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
                    check(vaddr, FrameObjectType::GRANULE.bytes())?;
                    self.invoke(|ipc, cptr| sys::$sys_map(ipc, cptr, vspace.bits(), vaddr as Word, attrs.into_word()))
                }

                #[doc = concat!("Unmaps the table: `", stringify!($sys_unmap), "`.")]
                ///
                /// # Errors
                /// [`RevokeFirst`](crate::Error::RevokeFirst) where there are copies of this capability.
                #[inline]
                pub fn $unmap(self) -> Result<()> {
                    self.invoke(sys::$sys_unmap)
                }
            }
        )*
    };
}

tables! {
    PDPT { pdpt_map = seL4_X86_PDPT_Map, pdpt_unmap = seL4_X86_PDPT_Unmap }
    PageDirectory {
        page_directory_map = seL4_X86_PageDirectory_Map, page_directory_unmap = seL4_X86_PageDirectory_Unmap
    }
    PageTable { page_table_map = seL4_X86_PageTable_Map, page_table_unmap = seL4_X86_PageTable_Unmap }
}

impl cap::AsidControl {
    /// Makes a pool of ASIDs of 4 KiB of untyped memory: `seL4_X86_ASIDControl_MakePool`.
    ///
    /// # Errors
    /// [`DeleteFirst`](crate::Error::DeleteFirst) where all pools exist or the slot is in use.
    #[inline]
    pub fn asid_control_make_pool(self, untyped: cap::Untyped, dst: &AbsoluteCPtr) -> Result<()> {
        self.invoke(|ipc, cptr| {
            sys::seL4_X86_ASIDControl_MakePool(
                ipc,
                cptr,
                untyped.bits(),
                dst.root().bits(),
                dst.path().bits(),
                Word::from(dst.path().depth()),
            )
        })
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

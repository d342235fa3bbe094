// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel tells the root task at boot (manual, chapter "System Bootstrapping").

use core::ops::Deref;

use crate::{cap, cap_type, init_thread::SlotRegion, sys};

/// The address of the [`BootInfo`] that the kernel made.
#[derive(Debug)]
pub struct BootInfoPtr(&'static BootInfo);

impl BootInfoPtr {
    /// Takes the address that the root task's entry code was given.
    ///
    /// # Safety
    /// `ptr` is what the kernel passed to the root task, and the page there is never unmapped or written.
    pub unsafe fn new(ptr: *const BootInfo) -> Self {
        // SAFETY: the caller vouches for it; the kernel's block is complete and aligned to a page.
        Self(unsafe { &*ptr })
    }
}

impl Deref for BootInfoPtr {
    type Target = BootInfo;

    fn deref(&self) -> &BootInfo {
        self.0
    }
}

/// The block of boot information: `seL4_BootInfo`.
///
/// Packed up to seL4 10.0, so fields are copied out, never borrowed.
#[repr(transparent)]
pub struct BootInfo(sys::seL4_BootInfo);

impl BootInfo {
    /// Returns the address of the initial thread's IPC buffer.
    pub const fn ipc_buffer(&self) -> *mut sys::seL4_IPCBuffer {
        self.0.ipcBuffer
    }

    /// Returns the empty slots.
    pub const fn empty(&self) -> SlotRegion<cap_type::Null> {
        SlotRegion::from_sys(self.0.empty)
    }

    /// Returns the frames of the root task's image, in ascending order of address.
    pub const fn user_image_frames(&self) -> SlotRegion<cap_type::SmallPage> {
        SlotRegion::from_sys(self.0.userImageFrames)
    }

    /// Returns the untyped memory; [`untyped_list`](Self::untyped_list) describes it.
    pub const fn untyped(&self) -> SlotRegion<cap_type::Untyped> {
        SlotRegion::from_sys(self.0.untyped)
    }

    /// Returns the logarithm of the number of slots of the initial CNode.
    pub const fn init_cnode_size_bits(&self) -> usize {
        self.0.initThreadCNodeSizeBits as usize
    }

    /// Describes the untyped memory.
    pub fn untyped_list(&self) -> impl ExactSizeIterator<Item = UntypedDesc> + Clone + '_ {
        let region = self.untyped();
        let start = region.start();
        (0..region.len().min(sys::CONFIG_MAX_NUM_BOOTINFO_UNTYPED_CAPS as usize)).map(move |index| {
            let raw = self.0.untypedList[index];
            UntypedDesc {
                cap: cap::Untyped::from_bits((start + index) as sys::seL4_CPtr),
                paddr: raw.paddr as usize,
                size_bits: raw.sizeBits as usize,
                is_device: raw.isDevice != 0,
            }
        })
    }
}

impl core::fmt::Debug for BootInfo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BootInfo")
            .field("ipc_buffer", &self.ipc_buffer())
            .field("empty", &self.empty())
            .field("user_image_frames", &self.user_image_frames())
            .field("untyped", &self.untyped())
            .field("init_cnode_size_bits", &self.init_cnode_size_bits())
            .finish_non_exhaustive()
    }
}

/// A block of untyped memory that the kernel left to the root task: `seL4_UntypedDesc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntypedDesc {
    /// The capability.
    pub cap: cap::Untyped,
    /// Physical address of the first byte.
    pub paddr: usize,
    /// Logarithm of the number of bytes.
    pub size_bits: usize,
    /// Whether it is memory that the kernel does not clear and keeps no objects in: devices, or RAM beyond its window.
    pub is_device: bool,
}

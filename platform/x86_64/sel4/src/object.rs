// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kinds of kernel objects, and what they cost (manual, section "Summary of Object Sizes").

use crate::{Word, sys};

/// A kind of object, with its size where it has one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectBlueprint {
    /// Untyped memory of `2^size_bits` bytes.
    Untyped {
        /// Logarithm of the number of bytes.
        size_bits: usize,
    },
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// A table of `2^size_bits` slots.
    CNode {
        /// Logarithm of the number of slots.
        size_bits: usize,
    },
    /// A thread.
    Tcb,
    /// An object that only x86-64 has.
    Arch(ObjectBlueprintX86),
}

/// A kind of object that only x86-64 has.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectBlueprintX86 {
    /// A frame of 4 KiB.
    SmallPage,
    /// A frame of 2 MiB.
    LargePage,
    /// A page table.
    PageTable,
    /// A page directory.
    PageDirectory,
    /// A page directory pointer table.
    PDPT,
    /// The top-level table of an address space.
    PML4,
}

impl ObjectBlueprintX86 {
    const fn object_type(self) -> Word {
        match self {
            Self::SmallPage => sys::seL4_X86_4K as Word,
            Self::LargePage => sys::seL4_X86_LargePageObject as Word,
            Self::PageTable => sys::seL4_X86_PageTableObject as Word,
            Self::PageDirectory => sys::seL4_X86_PageDirectoryObject as Word,
            Self::PDPT => sys::seL4_X86_PDPTObject as Word,
            Self::PML4 => sys::seL4_X64_PML4Object as Word,
        }
    }

    const fn physical_size_bits(self) -> usize {
        match self {
            Self::SmallPage => sys::seL4_PageBits as usize,
            Self::LargePage => sys::seL4_LargePageBits as usize,
            Self::PageTable => sys::seL4_PageTableBits as usize,
            Self::PageDirectory => sys::seL4_PageDirBits as usize,
            Self::PDPT => sys::seL4_PDPTBits as usize,
            Self::PML4 => sys::seL4_PML4Bits as usize,
        }
    }
}

impl ObjectBlueprint {
    /// A frame of 4 KiB.
    pub const SMALL_PAGE: Self = Self::Arch(ObjectBlueprintX86::SmallPage);
    /// A frame of 2 MiB.
    pub const LARGE_PAGE: Self = Self::Arch(ObjectBlueprintX86::LargePage);
    /// A page table.
    pub const PAGE_TABLE: Self = Self::Arch(ObjectBlueprintX86::PageTable);
    /// A page directory.
    pub const PAGE_DIRECTORY: Self = Self::Arch(ObjectBlueprintX86::PageDirectory);
    /// A page directory pointer table.
    pub const PDPT: Self = Self::Arch(ObjectBlueprintX86::PDPT);
    /// The top-level table of an address space.
    pub const VSPACE: Self = Self::Arch(ObjectBlueprintX86::PML4);

    /// Returns the number by which a retype names this kind, as the kernel's configuration numbers them.
    pub(crate) const fn object_type(self) -> Word {
        match self {
            Self::Untyped { .. } => sys::seL4_UntypedObject as Word,
            Self::Endpoint => sys::seL4_EndpointObject as Word,
            Self::Notification => sys::seL4_NotificationObject as Word,
            Self::CNode { .. } => sys::seL4_CapTableObject as Word,
            Self::Tcb => sys::seL4_TCBObject as Word,
            Self::Arch(arch) => arch.object_type(),
        }
    }

    /// Returns the size that a retype takes, for kinds that have one.
    pub(crate) const fn api_size_bits(self) -> Option<usize> {
        match self {
            Self::Untyped { size_bits } | Self::CNode { size_bits } => Some(size_bits),
            Self::Endpoint | Self::Notification | Self::Tcb | Self::Arch(_) => None,
        }
    }

    /// Returns the logarithm of the number of bytes of untyped memory that an object takes. Objects are aligned to it.
    pub const fn physical_size_bits(self) -> usize {
        match self {
            Self::Untyped { size_bits } => size_bits,
            Self::Endpoint => sys::seL4_EndpointBits as usize,
            Self::Notification => sys::seL4_NotificationBits as usize,
            Self::CNode { size_bits } => sys::seL4_SlotBits as usize + size_bits,
            Self::Tcb => sys::seL4_TCBBits as usize,
            Self::Arch(arch) => arch.physical_size_bits(),
        }
    }
}

/// A size of frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameObjectType {
    /// 4 KiB.
    SmallPage,
    /// 2 MiB.
    LargePage,
}

impl FrameObjectType {
    /// Returns the kind of object.
    pub const fn blueprint(self) -> ObjectBlueprint {
        match self {
            Self::SmallPage => ObjectBlueprint::SMALL_PAGE,
            Self::LargePage => ObjectBlueprint::LARGE_PAGE,
        }
    }

    /// Returns the logarithm of the number of bytes.
    pub const fn bits(self) -> usize {
        self.blueprint().physical_size_bits()
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> usize {
        1 << self.bits()
    }
}

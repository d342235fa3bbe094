// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed capabilities.
//!
//! A [`Cap<T>`] is a [`CPtr`] marked with what the slot is meant to hold. The marker is a promise of the program to
//! itself: the kernel checks each invocation, and answers [`Error::InvalidCapability`](crate::Error) or
//! [`Error::IllegalOperation`](crate::Error) where it does not hold. Markers are in [`cap_type`], short names in
//! [`cap`].

use core::{fmt, hash::Hash, marker::PhantomData};

use crate::{CPtr, CPtrBits, FrameObjectType};

/// A capability of type `T` in the CSpace of the thread that uses it.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Cap<T: CapType> {
    cptr: CPtr,
    marker: PhantomData<T>,
}

impl<T: CapType> Cap<T> {
    /// Marks `cptr` as one to a capability of type `T`.
    pub const fn from_cptr(cptr: CPtr) -> Self {
        Self { cptr, marker: PhantomData }
    }

    /// Marks the pointer of these bits as one to a capability of type `T`.
    pub const fn from_bits(bits: CPtrBits) -> Self {
        Self::from_cptr(CPtr::from_bits(bits))
    }

    /// Returns the pointer.
    pub const fn cptr(&self) -> CPtr {
        self.cptr
    }

    /// Returns the bits of the pointer.
    pub const fn bits(&self) -> CPtrBits {
        self.cptr.bits()
    }

    /// Marks the capability as one of another type.
    pub const fn cast<U: CapType>(self) -> Cap<U> {
        Cap::from_cptr(self.cptr)
    }
}

impl CPtr {
    /// Marks this pointer as one to a capability of type `T`. Nothing is checked; the kernel does, at each invocation.
    pub const fn cast<T: CapType>(self) -> Cap<T> {
        Cap::from_cptr(self)
    }
}

impl<T: CapType> fmt::Debug for Cap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(T::NAME).field(&self.bits()).finish()
    }
}

/// Marks a type of capability.
// The bounds are what the derives on `Cap` ask of its parameter.
pub trait CapType: Copy + Eq + Ord + Hash {
    /// Name of the type, as `Debug` shows it.
    const NAME: &'static str;
}

/// Marks a type of frame capability: what can be mapped as memory.
pub trait CapTypeForFrameObject: CapType {
    /// The frame.
    const FRAME_OBJECT_TYPE: FrameObjectType;
}

macro_rules! cap_types {
    ($( $(#[$doc:meta])* $name:ident ),* $(,)?) => {
        /// Markers of capability types, for [`Cap`].
        pub mod cap_type {
            $(
                $(#[$doc])*
                #[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
                pub struct $name;

                impl super::CapType for $name {
                    const NAME: &'static str = stringify!($name);
                }
            )*

            /// The top-level table of an address space.
            pub type VSpace = PML4;
        }

        /// [`Cap`] of each type in [`cap_type`].
        pub mod cap {
            $(
                $(#[$doc])*
                pub type $name = super::Cap<super::cap_type::$name>;
            )*

            /// The top-level table of an address space.
            pub type VSpace = PML4;
        }
    };
}

cap_types! {
    /// Untyped memory: `seL4_Untyped`.
    Untyped,
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// A thread: `seL4_TCB`.
    Tcb,
    /// A table of capability slots: `seL4_CNode`.
    CNode,
    /// The right to make interrupt handlers: `seL4_IRQControl`.
    IrqControl,
    /// One interrupt: `seL4_IRQHandler`.
    IrqHandler,
    /// The right to make ASID pools: `seL4_X86_ASIDControl`.
    AsidControl,
    /// A pool of address-space identifiers: `seL4_X86_ASIDPool`.
    AsidPool,
    /// A range of I/O ports: `seL4_X86_IOPort`.
    IOPort,
    /// A frame of 4 KiB: `seL4_X86_Page`.
    SmallPage,
    /// A frame of 2 MiB: `seL4_X86_Page`.
    LargePage,
    /// A page table, 2 MiB of addresses: `seL4_X86_PageTable`.
    PageTable,
    /// A page directory, 1 GiB of addresses: `seL4_X86_PageDirectory`.
    PageDirectory,
    /// A page directory pointer table, 512 GiB of addresses: `seL4_X86_PDPT`.
    PDPT,
    /// The top-level table of an address space: `seL4_X64_PML4`.
    PML4,
    /// An empty slot.
    Null,
    /// Any capability.
    Unspecified,
}

impl CapTypeForFrameObject for cap_type::SmallPage {
    const FRAME_OBJECT_TYPE: FrameObjectType = FrameObjectType::SmallPage;
}

impl CapTypeForFrameObject for cap_type::LargePage {
    const FRAME_OBJECT_TYPE: FrameObjectType = FrameObjectType::LargePage;
}

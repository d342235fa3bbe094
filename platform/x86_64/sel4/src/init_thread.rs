// SPDX-License-Identifier: MIT OR Apache-2.0
//! The initial thread's CSpace: its slots, and what the kernel put there.

use core::{marker::PhantomData, ops::Range};

use crate::{AbsoluteCPtr, CPtr, CPtrBits, Cap, CapType, Result, cap, cap_type, error, ipc_buffer, sys, version};

/// A slot of the initial CNode.
#[derive(Debug, Copy, Clone, Ord, PartialOrd, Eq, PartialEq, Hash)]
pub struct Slot<T: CapType = cap_type::Unspecified> {
    index: usize,
    marker: PhantomData<T>,
}

impl<T: CapType> Slot<T> {
    /// Makes a slot of its index.
    pub const fn from_index(index: usize) -> Self {
        Self { index, marker: PhantomData }
    }

    /// Returns the index.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Returns a pointer to it.
    pub const fn cptr(&self) -> CPtr {
        CPtr::from_bits(self.index as CPtrBits)
    }

    /// Returns the capability in it.
    pub const fn cap(&self) -> Cap<T> {
        self.cptr().cast()
    }

    /// Returns the path to it, as an invocation's source or destination takes it.
    pub fn absolute(&self) -> AbsoluteCPtr {
        slot::CNODE.cap().absolute_cptr(self.cptr())
    }

    /// Marks the slot as one of another type.
    pub const fn cast<U: CapType>(&self) -> Slot<U> {
        Slot::from_index(self.index)
    }

    /// Forgets the type.
    pub const fn upcast(&self) -> Slot {
        self.cast()
    }
}

/// Slots that follow each other.
#[derive(Debug, Clone, Eq, PartialEq)]
pub struct SlotRegion<T: CapType> {
    range: Range<usize>,
    marker: PhantomData<T>,
}

impl<T: CapType> SlotRegion<T> {
    pub(crate) const fn from_sys(region: sys::seL4_SlotRegion) -> Self {
        Self { range: region.start as usize..region.end as usize, marker: PhantomData }
    }

    /// Returns the first index.
    pub const fn start(&self) -> usize {
        self.range.start
    }

    /// Returns the index after the last.
    pub const fn end(&self) -> usize {
        self.range.end
    }

    /// Returns the number of slots.
    pub const fn len(&self) -> usize {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Says whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns slot `offset` of the region.
    pub const fn get(&self, offset: usize) -> Option<Slot<T>> {
        if offset < self.len() { Some(Slot::from_index(self.range.start + offset)) } else { None }
    }
}

/// The slots that the kernel fills before the root task runs.
pub mod slot {
    use super::{Slot, cap_type, sys};

    macro_rules! slots {
        ($( $(#[$doc:meta])* $name:ident: $cap_type:ident = $sys:ident; )*) => {
            $(
                $(#[$doc])*
                pub const $name: Slot<cap_type::$cap_type> = Slot::from_index(sys::$sys as usize);
            )*
        };
    }

    slots! {
        /// The initial thread.
        TCB: Tcb = seL4_CapInitThreadTCB;
        /// The CNode that all these slots are in.
        CNODE: CNode = seL4_CapInitThreadCNode;
        /// The address space of the initial thread.
        VSPACE: VSpace = seL4_CapInitThreadVSpace;
        /// The right to make interrupt handlers.
        IRQ_CONTROL: IrqControl = seL4_CapIRQControl;
        /// The right to make ASID pools.
        ASID_CONTROL: AsidControl = seL4_CapASIDControl;
        /// The ASID pool that the initial address space is in.
        ASID_POOL: AsidPool = seL4_CapInitThreadASIDPool;
    }
}

/// Puts a capability to the I/O ports from `first` to `last`, both included, into the empty slot `dst`.
///
/// # Errors
/// Those of the kernel: [`RevokeFirst`](crate::Error::RevokeFirst) where part of the range was given out before (not
/// noticed by kernels before 10.0, which copy the capability to all ports that the root task has there).
pub fn io_ports(first: u16, last: u16, dst: Slot) -> Result<cap::IOPort> {
    error::wrap(version::io_ports(ipc_buffer().into_sys(), (first, last), dst.absolute().words()))?;
    Ok(dst.cast::<cap_type::IOPort>().cap())
}

/// Stops the initial thread for good.
pub fn suspend_self() -> ! {
    loop {
        // A thread that cannot suspend itself gives its time away instead: there is nobody to tell.
        let _ = slot::TCB.cap().tcb_suspend();
        crate::r#yield();
    }
}

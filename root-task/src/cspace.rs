// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root task's capability space: the kernel's CNode, and a large one beside it.
//!
//! ```text
//!   top (4 slots) ── 0 ── the kernel's initial CNode: capability pointers below 2^32, as the kernel gave them
//!                 └─ 1 ── 2^18 slots of our own: capability pointers 2^32 + slot
//! ```
//!
//! Without it the number of sandboxes would depend on how the kernel was configured (`KernelRootCNodeSizeBits`).

use sel4::{
    AbsoluteCPtr, BootInfoPtr, CNodeCapData, CPtr, Cap, CapRights, CapType, Error, ObjectBlueprint, cap, cap_type,
    init_thread::{self, slot},
};

/// Slots of our own, as a power of two.
pub(crate) const SLOT_BITS: u8 = 18;
/// Slots of our own.
pub(crate) const SLOTS: usize = 1 << SLOT_BITS;

/// Bits of a capability pointer that the kernel's CNode or ours resolves, with its guard.
const LOW_BITS: u8 = 32;
const TOP_BITS: u8 = 2;
/// A slot takes 32 bytes (manual, 3.1).
const SLOT_BYTES_BITS: u8 = 5;

/// A slot of our own CNode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// Returns the capability in the slot, whatever it is by then.
    pub(crate) const fn cap<T: CapType>(self) -> Cap<T> {
        Cap::from_bits(1 << LOW_BITS | self.0 as u64)
    }

    /// Returns the slot that many places on.
    pub(crate) const fn plus(self, places: u32) -> Self {
        Self(self.0 + places)
    }
}

/// Our own CNode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CSpace {
    cnode: cap::CNode,
}

impl CSpace {
    /// Makes our CNode out of boot memory and moves into the space that holds it. Returns also which untypeds it took.
    pub(crate) fn new(bootinfo: &BootInfoPtr) -> Result<(Self, [usize; 2]), Error> {
        let free = bootinfo.empty().start();
        let cnode = make(bootinfo, SLOT_BITS, free, None)?;
        let top = make(bootinfo, TOP_BITS, free + 1, Some(cnode))?;
        let at = |index: usize| init_thread::Slot::<cap_type::CNode>::from_index(index);
        let put = |index: u64, source: &AbsoluteCPtr, guard: u8| {
            let target = at(free + 1).cap().absolute_cptr_from_bits_with_depth(index, TOP_BITS);
            target.mint_cnode(source, CapRights::all(), CNodeCapData::skip(guard))
        };
        let initial_bits = u8::try_from(bootinfo.init_cnode_size_bits()).unwrap_or(LOW_BITS);
        put(0, &slot::CNODE.absolute(), LOW_BITS - initial_bits)?;
        put(1, &at(free).absolute(), LOW_BITS - SLOT_BITS)?;
        let guard = CNodeCapData::skip(64 - LOW_BITS - TOP_BITS);
        slot::TCB.cap().tcb_set_space(CPtr::NULL, at(free + 1).cap(), guard, slot::VSPACE.cap())?;
        Ok((Self { cnode: at(free).cap() }, [cnode, top]))
    }

    /// Returns the path to a slot, for operations on the CNode.
    pub(crate) fn path(self, slot: Slot) -> AbsoluteCPtr {
        self.cnode.absolute_cptr_from_bits_with_depth(u64::from(slot.0), SLOT_BITS)
    }

    /// Returns the CNode, as the target of a retype.
    pub(crate) fn target(self) -> AbsoluteCPtr {
        self.cnode.absolute_cptr_for_self()
    }
}

/// Makes a CNode in slot `index` of the initial one, out of the smallest untyped that holds it: the kernel clears a
/// block whole before its first use. Returns which untyped that is.
fn make(bootinfo: &BootInfoPtr, bits: u8, index: usize, taken: Option<usize>) -> Result<usize, Error> {
    let fits = |untyped: &sel4::UntypedDesc| {
        !untyped.is_device && untyped.size_bits >= usize::from(bits + SLOT_BYTES_BITS)
    };
    let list = bootinfo.untyped_list().enumerate();
    let found = list.filter(|(at, untyped)| fits(untyped) && Some(*at) != taken).min_by_key(|(_, it)| it.size_bits);
    let (at, _) = found.ok_or(Error::NotEnoughMemory)?;
    let untyped = init_thread::Slot::<cap_type::Untyped>::from_index(bootinfo.untyped().start() + at);
    let blueprint = ObjectBlueprint::CNode { size_bits: usize::from(bits) };
    untyped.cap().untyped_retype(&blueprint, &slot::CNODE.cap().absolute_cptr_for_self(), index, 1)?;
    Ok(at)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root task's capability space: one large CNode of our own.
//!
//! The kernel's initial CNode has as many slots as its configuration says (`KernelRootCNodeSizeBits`), which is too few
//! for thousands of sandboxes. So the root task makes one of 2^18, copies what it needs to the same slots there, and
//! moves in. It is one level deep: every invocation looks its capabilities up, and pays for each level.

use sel4::{
    AbsoluteCPtr, BootInfoPtr, CNodeCapData, CPtr, Cap, CapRights, CapType, Error, ObjectBlueprint, cap, cap_type,
    init_thread::{self, slot},
};

pub(crate) use sbm_objects::{SLOT_BITS, SLOTS};

/// Slots that the kernel filled, or could have; ours begin after them.
pub(crate) const FIRST_SLOT: u32 = 32;

/// Slot of the kernel's initial CNode.
const INITIAL: Slot = Slot(FIRST_SLOT - 8);

/// Our own CNode, once [`move_in`] has run.
const CNODE: cap::CNode = slot::CNODE.cap();

/// A slot of our own CNode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    /// Returns the capability in the slot, whatever it is by then.
    pub(crate) const fn cap<T: CapType>(self) -> Cap<T> {
        Cap::from_bits(self.0 as u64)
    }

    /// Returns the slot that many places on.
    pub(crate) const fn plus(self, places: u32) -> Self {
        Self(self.0 + places)
    }

    /// Returns the path to the slot, for operations on the CNode.
    pub(crate) fn path(self) -> AbsoluteCPtr {
        CNODE.absolute_cptr_from_bits_with_depth(u64::from(self.0), SLOT_BITS)
    }
}

/// Returns our CNode, as the target of a retype.
pub(crate) fn target() -> AbsoluteCPtr {
    CNODE.absolute_cptr_for_self()
}

/// Returns the path to the slot of a capability of ours.
pub(crate) fn path_of<T: CapType>(cap: Cap<T>) -> AbsoluteCPtr {
    CNODE.absolute_cptr_from_bits_with_depth(cap.bits(), SLOT_BITS)
}

/// Returns the kernel's initial CNode.
pub(crate) const fn initial() -> cap::CNode {
    INITIAL.cap()
}

/// Returns where port capability `number` is after the move.
pub(crate) const fn port_slot(number: u32) -> Slot {
    Slot(FIRST_SLOT - 1 - number)
}

/// Makes our CNode out of boot memory and moves into it. Returns which untyped it took.
///
/// `ports` are capabilities in the initial CNode that are wanted later: they are moved to the last of the slots
/// before [`FIRST_SLOT`], in order.
pub(crate) fn move_in(bootinfo: &BootInfoPtr, ports: &[init_thread::Slot]) -> Result<usize, Error> {
    let at = init_thread::Slot::<cap_type::CNode>::from_index(bootinfo.empty().end() - 1);
    let taken = make(bootinfo, at.index())?;
    let ours = |slot: Slot| at.cap().absolute_cptr_from_bits_with_depth(u64::from(slot.0), SLOT_BITS);
    #[expect(clippy::cast_possible_truncation, reason = "the kernel's slots are few")]
    let same = |slot: &init_thread::Slot| ours(Slot(slot.index() as u32));
    // These two are still used below, from where they are.
    for slot in [slot::TCB.upcast(), slot::VSPACE.upcast()] {
        same(&slot).copy(&slot.absolute(), CapRights::all())?;
    }
    // Moved, since the kernel does not copy all of them.
    for slot in [slot::IRQ_CONTROL.upcast(), slot::ASID_CONTROL.upcast(), slot::ASID_POOL.upcast()] {
        same(&slot).move_(&slot.absolute())?;
    }
    for (number, port) in (0..).zip(ports) {
        ours(port_slot(number)).move_(&port.absolute())?;
    }
    // The initial CNode stays within reach, for what is still to be moved out of it.
    ours(INITIAL).copy(&slot::CNODE.absolute(), CapRights::all())?;
    same(&slot::CNODE.upcast()).copy(&at.absolute(), CapRights::all())?;
    let guard = CNodeCapData::skip(64 - SLOT_BITS);
    slot::TCB.cap().tcb_set_space(CPtr::NULL, at.cap(), guard, slot::VSPACE.cap())?;
    Ok(taken)
}

/// Makes our CNode in slot `index` of the initial one, out of the smallest untyped that holds it: the kernel clears a
/// block whole before its first use. Returns which untyped that is.
fn make(bootinfo: &BootInfoPtr, index: usize) -> Result<usize, Error> {
    let blueprint = ObjectBlueprint::CNode { size_bits: usize::from(SLOT_BITS) };
    let fits = |untyped: &sel4::UntypedDesc| !untyped.is_device && untyped.size_bits >= blueprint.physical_size_bits();
    let list = bootinfo.untyped_list().enumerate();
    let found = list.filter(|(_, untyped)| fits(untyped)).min_by_key(|(_, untyped)| untyped.size_bits);
    let (at, _) = found.ok_or(Error::NotEnoughMemory)?;
    let untyped = init_thread::Slot::<cap_type::Untyped>::from_index(bootinfo.untyped().start() + at);
    untyped.cap().untyped_retype(&blueprint, &slot::CNODE.cap().absolute_cptr_for_self(), index, 1)?;
    Ok(at)
}

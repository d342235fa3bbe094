// SPDX-License-Identifier: MIT OR Apache-2.0
//! Untyped memory and capability slots: handed out in powers of two, and taken back.

use sbm_objects::{Block, BlockId, Buddy, Kind, NODES, Ranges, SizeBits, Span, Splitter};
use sbm_server::Exhausted;
use sel4::{BootInfoPtr, Error, ObjectBlueprint, cap, cap_type};

use crate::cspace::{CSpace, FIRST_SLOT, SLOTS, Slot};

/// All memory that is not the kernel's or our own image.
pub(crate) struct Memory {
    blocks: Buddy<NODES>,
    slots: Ranges<SLOTS>,
}

/// A block of untyped memory that was handed out; the capability to it is in its slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Untyped {
    id: BlockId,
    slot: Slot,
}

impl Untyped {
    pub(crate) const fn slot(&self) -> Slot {
        self.slot
    }
}

impl Memory {
    pub(crate) const fn new() -> Self {
        Self { blocks: Buddy::new(), slots: Ranges::new() }
    }

    /// Takes over the boot memory, but for the untyped at `taken`, and all slots but those before [`FIRST_SLOT`].
    ///
    /// The untypeds lie in the initial CNode, whose capability is in slot `initial`.
    pub(crate) fn take(
        &mut self,
        cspace: CSpace,
        bootinfo: &BootInfoPtr,
        taken: usize,
        initial: cap::CNode,
    ) -> Result<(), Error> {
        #[expect(clippy::cast_possible_truncation, reason = "2^18")]
        self.slots.fill(FIRST_SLOT..SLOTS as u32).map_err(|_| Error::RangeError)?;
        for (index, untyped) in bootinfo.untyped_list().enumerate() {
            let size = u8::try_from(untyped.size_bits).ok().and_then(SizeBits::new);
            let (Some(size), false) = (size, index == taken) else { continue };
            let kind = if untyped.is_device { Kind::Device } else { Kind::Memory };
            let Ok(span) = self.slots.alloc(SizeBits::ONE) else { return Err(Error::NotEnoughMemory) };
            let boot = (bootinfo.untyped().start() + index) as u64;
            cspace.path(Slot(span.first)).move_(&initial.absolute_cptr_from_bits_with_depth(boot, 64))?;
            // What overlaps or does not fit the table stays unused: there is nothing else to do with it.
            let _ = self.blocks.add_root(untyped.paddr as u64, size, kind, span.first);
        }
        Ok(())
    }

    /// Hands out a block of at least `bytes`, all of it untouched.
    pub(crate) fn block(&mut self, cspace: CSpace, bytes: u64) -> Result<Untyped, Exhausted> {
        let size = SizeBits::holding(bytes).ok_or(Exhausted)?;
        let mut steps = Steps { slots: &mut self.slots, cspace };
        let block = self.blocks.alloc(size, &mut steps).map_err(|_| Exhausted)?;
        Ok(Untyped { id: block.id, slot: Slot(block.value) })
    }

    /// Takes a block back: everything that was made of it ends.
    pub(crate) fn free_block(&mut self, cspace: CSpace, untyped: Untyped) {
        // The root task holds the capability and every one derived from it, so the kernel has no reason to refuse. If
        // it did, the block would stay out of use for good rather than be used twice.
        if cspace.path(untyped.slot()).revoke().is_ok() {
            let _ = self.blocks.free(untyped.id);
        }
    }

    /// Returns the physical address of a block.
    pub(crate) fn physical(&self, untyped: Untyped) -> Option<u64> {
        self.blocks.block(untyped.id).ok().map(|block| block.base)
    }

    /// Hands out at least `count` slots in a row.
    pub(crate) fn slots(&mut self, count: u32) -> Result<Span, Exhausted> {
        let size = SizeBits::holding(u64::from(count)).ok_or(Exhausted)?;
        self.slots.alloc(size).map_err(|_| Exhausted)
    }

    /// Hands out a block and slots, or neither.
    pub(crate) fn block_and_slots(
        &mut self,
        cspace: CSpace,
        bytes: u64,
        slots: u32,
    ) -> Result<(Untyped, Span), Exhausted> {
        let slots = self.slots(slots)?;
        match self.block(cspace, bytes) {
            Ok(untyped) => Ok((untyped, slots)),
            Err(Exhausted) => {
                self.free_slots(slots);
                Err(Exhausted)
            }
        }
    }

    /// Takes slots back, which are empty by then.
    pub(crate) fn free_slots(&mut self, span: Span) {
        let _ = self.slots.free(span);
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.blocks.stats(Kind::Memory).free_bytes
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.blocks.stats(Kind::Memory).total_bytes
    }

    pub(crate) fn free_slot_count(&self) -> u32 {
        self.slots.available()
    }
}

/// Splits a block by a retype into two slots, joins it by a revoke.
struct Steps<'a> {
    slots: &'a mut Ranges<SLOTS>,
    cspace: CSpace,
}

impl Splitter for Steps<'_> {
    type Error = Exhausted;

    fn split(&mut self, parent: &Block) -> Result<[u32; 2], Exhausted> {
        let span = self.slots.alloc(SizeBits::of::<1>()).map_err(|_| Exhausted)?;
        let blueprint = ObjectBlueprint::Untyped { size_bits: usize::from(parent.size.bits()) - 1 };
        let parent = Slot(parent.value).cap::<cap_type::Untyped>();
        if parent.untyped_retype(&blueprint, &self.cspace.target(), span.first as usize, 2).is_err() {
            let _ = self.slots.free(span);
            return Err(Exhausted);
        }
        Ok([span.first, span.first + 1])
    }

    fn join(&mut self, parent: &Block, children: [u32; 2]) -> Result<(), Exhausted> {
        self.cspace.path(Slot(parent.value)).revoke().map_err(|_| Exhausted)?;
        let _ = self.slots.free(Span { first: children[0], size: SizeBits::of::<1>() });
        Ok(())
    }
}

/// Makes `count` objects in slots from `first` on.
pub(crate) fn retype(
    cspace: CSpace,
    untyped: Slot,
    blueprint: ObjectBlueprint,
    first: Slot,
    count: u32,
) -> Result<(), Error> {
    let untyped = untyped.cap::<cap_type::Untyped>();
    let mut done = 0;
    while done < count {
        #[expect(clippy::cast_possible_truncation, reason = "256")]
        let now = (count - done).min(sel4::MAX_RETYPE_OBJECTS as u32);
        untyped.untyped_retype(&blueprint, &cspace.target(), first.plus(done).0 as usize, now as usize)?;
        done += now;
    }
    Ok(())
}

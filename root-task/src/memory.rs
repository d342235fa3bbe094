// SPDX-License-Identifier: MIT OR Apache-2.0
//! Untyped memory and capability slots: handed out in powers of two, and taken back by value.

use sbm_objects::{Block as Node, BlockId, Buddy, Kind, NODES, Ranges, SizeBits, Span, Splitter};
use sbm_server::Exhausted;
use sel4::{BootInfoPtr, Error, ObjectBlueprint, cap_type};

use crate::{
    cspace::{self, FIRST_SLOT, SLOTS, Slot},
    object::Maker,
};

/// All memory that is not the kernel's or our own image.
pub(crate) struct Memory {
    blocks: Buddy<NODES>,
    slots: Ranges<SLOTS>,
}

/// A row of capability slots. [`Memory::free_slots`] takes it back.
#[derive(Debug)]
#[must_use = "slots that are dropped are lost"]
pub(crate) struct Slots(Span);

impl Slots {
    pub(crate) const fn first(&self) -> Slot {
        Slot(self.0.first)
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.0.size.size()).unwrap_or(u32::MAX)
    }
}

/// A block of untyped memory, and slots for what is made of it. [`Memory::free`] takes it back.
#[derive(Debug)]
#[must_use = "a block that is dropped is lost"]
pub(crate) struct Block {
    id: BlockId,
    untyped: Slot,
    slots: Slots,
}

impl Block {
    /// Returns the first of its slots.
    pub(crate) const fn first_slot(&self) -> Slot {
        self.slots.first()
    }

    /// Begins to make objects of the block, once, and again after [`Memory::clear`]: another maker would find its slots in
    /// use.
    pub(crate) fn maker(&self) -> Maker {
        Maker::new(self.untyped.cap::<cap_type::Untyped>(), self.slots.first(), self.slots.count())
    }
}

impl Memory {
    pub(crate) const fn new() -> Self {
        Self { blocks: Buddy::new(), slots: Ranges::new() }
    }

    /// Takes over the boot memory, but for the untyped at `taken`, and all slots but those before [`FIRST_SLOT`].
    pub(crate) fn take(&mut self, bootinfo: &BootInfoPtr, taken: usize) -> Result<(), Error> {
        #[expect(clippy::cast_possible_truncation, reason = "2^18")]
        self.slots.fill(FIRST_SLOT..SLOTS as u32).map_err(|_| Error::RangeError)?;
        for (index, untyped) in bootinfo.untyped_list().enumerate() {
            let size = u8::try_from(untyped.size_bits).ok().and_then(SizeBits::new);
            let (Some(size), false) = (size, index == taken) else { continue };
            let kind = if untyped.is_device { Kind::Device } else { Kind::Memory };
            let Ok(span) = self.slots.alloc(SizeBits::ONE) else { return Err(Error::NotEnoughMemory) };
            let boot = (bootinfo.untyped().start() + index) as u64;
            let boot = cspace::initial().absolute_cptr_from_bits_with_depth(boot, 64);
            Slot(span.first).path().move_(&boot)?;
            // What overlaps or does not fit the table stays unused: there is nothing else to do with it.
            let _ = self.blocks.add_root(untyped.paddr as u64, size, kind, span.first);
        }
        Ok(())
    }

    /// Hands out a block of at least `bytes`, all of it untouched, with at least `slots` slots in a row.
    pub(crate) fn block(&mut self, bytes: u64, slots: u32) -> Result<Block, Exhausted> {
        let size = SizeBits::holding(bytes).ok_or(Exhausted)?;
        let slots = self.slots(slots)?;
        let mut steps = Steps { slots: &mut self.slots };
        match self.blocks.alloc(size, &mut steps) {
            Ok(node) => Ok(Block { id: node.id, untyped: Slot(node.value), slots }),
            Err(_) => {
                self.free_slots(slots);
                Err(Exhausted)
            }
        }
    }

    /// Takes a block back: everything that was made of it ends.
    pub(crate) fn free(&mut self, block: Block) {
        // The root task holds the capability and every one derived from it, so the kernel has no reason to refuse. If
        // it did, the block would stay out of use for good rather than be used twice.
        if block.untyped.path().revoke().is_ok() {
            let _ = self.blocks.free(block.id);
            self.free_slots(block.slots);
        }
    }

    /// Ends everything that was made of a block, so that its [maker](Block::maker) begins anew.
    pub(crate) fn clear(&self, block: &Block) -> Result<(), Error> {
        block.untyped.path().revoke()
    }

    /// Returns the physical address of a block.
    pub(crate) fn physical(&self, block: &Block) -> Option<u64> {
        self.blocks.block(block.id).ok().map(|node| node.base)
    }

    /// Hands out at least `count` slots in a row.
    pub(crate) fn slots(&mut self, count: u32) -> Result<Slots, Exhausted> {
        let size = SizeBits::holding(u64::from(count)).ok_or(Exhausted)?;
        self.slots.alloc(size).map(Slots).map_err(|_| Exhausted)
    }

    /// Takes slots back, which are empty by then.
    pub(crate) fn free_slots(&mut self, slots: Slots) {
        let _ = self.slots.free(slots.0);
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

    /// Returns the slots that splits of blocks have taken: two each, until they are joined again.
    #[expect(clippy::cast_possible_truncation, reason = "at most NODES")]
    pub(crate) fn split_slots(&self) -> u32 {
        2 * self.blocks.splits() as u32
    }
}

/// Splits a block by a retype into two slots, joins it by a revoke.
struct Steps<'a> {
    slots: &'a mut Ranges<SLOTS>,
}

impl Splitter for Steps<'_> {
    type Error = Exhausted;

    fn split(&mut self, parent: &Node) -> Result<[u32; 2], Exhausted> {
        let span = self.slots.alloc(SizeBits::of::<1>()).map_err(|_| Exhausted)?;
        let blueprint = ObjectBlueprint::Untyped { size_bits: usize::from(parent.size.bits()) - 1 };
        let parent = Slot(parent.value).cap::<cap_type::Untyped>();
        if parent.untyped_retype(&blueprint, &cspace::target(), span.first as usize, 2).is_err() {
            let _ = self.slots.free(span);
            return Err(Exhausted);
        }
        Ok([span.first, span.first + 1])
    }

    fn join(&mut self, parent: &Node, children: [u32; 2]) -> Result<(), Exhausted> {
        Slot(parent.value).path().revoke().map_err(|_| Exhausted)?;
        let _ = self.slots.free(Span { first: children[0], size: SizeBits::of::<1>() });
        Ok(())
    }
}

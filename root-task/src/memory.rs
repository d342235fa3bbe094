// SPDX-License-Identifier: MIT OR Apache-2.0
//! Untyped memory and capability slots: handed out in powers of two, and taken back by value.

use sbm_objects::{
    AllocError, Block as Node, BlockId, Buddy, Chain, Kind, NODES, Opening, Ranges, SizeBits, Span, Splitter,
};
use sbm_server::{Exhausted, Shortage};
use sel4::{BootInfoPtr, Error, ObjectBlueprint, cap_type};

use crate::{
    cspace::{self, FIRST_SLOT, SLOTS, Slot},
    object::Maker,
};

/// Blocks of more than this are cleared by the [worker](crate::worker) before they are used: the kernel clears in one go
/// what was used of a block, and all of one that it gave at boot.
const CLEARED_AT_ONCE: SizeBits = SizeBits::of::<17>();

/// Joins in one go on the way to such a block.
const JOINS: u32 = 32;

/// All memory that is not the kernel's or our own image.
pub(crate) struct Memory {
    blocks: Buddy<NODES>,
    slots: Ranges<SLOTS>,
    /// The worker opens blocks. Else that is done as they are needed: before it is there, and if the kernel refused it.
    has_worker: bool,
    /// What the first one needs of those who wait for a block.
    wanted: Option<SizeBits>,
    /// A large block came back that was not looked at yet.
    has_come_back: bool,
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
    /// Returns the slot of the memory itself.
    pub(crate) const fn untyped(&self) -> Slot {
        self.untyped
    }

    /// Begins to make objects of the block, once, and again after [`Memory::clear`]: another maker would find its slots in
    /// use.
    pub(crate) fn maker(&self) -> Maker {
        Maker::new(self.untyped.cap::<cap_type::Untyped>(), self.slots.first(), self.slots.count())
    }
}

impl Block {
    /// Goes on to make objects of the block, in `count` of its slots that nothing was made in, from `first` on.
    pub(crate) fn maker_at(&self, first: Slot, count: u32) -> Maker {
        Maker::new(self.untyped.cap::<cap_type::Untyped>(), first, count)
    }
}

impl Memory {
    pub(crate) const fn new() -> Self {
        Self { blocks: Buddy::new(), slots: Ranges::new(), has_worker: false, wanted: None, has_come_back: false }
    }

    /// Takes over the boot memory, and all slots but those before [`FIRST_SLOT`]. At the beginning of the untyped at
    /// `taken` lies our CNode.
    pub(crate) fn take(&mut self, bootinfo: &BootInfoPtr, taken: usize) -> Result<(), Error> {
        #[expect(clippy::cast_possible_truncation, reason = "2^18")]
        self.slots.fill(FIRST_SLOT..SLOTS as u32).map_err(|_| Error::RangeError)?;
        self.blocks.seal_above(CLEARED_AT_ONCE);
        for (index, untyped) in bootinfo.untyped_list().enumerate() {
            let size = u8::try_from(untyped.size_bits).ok().and_then(SizeBits::new);
            let Some(size) = size else { continue };
            let kind = if untyped.is_device { Kind::Device } else { Kind::Memory };
            let Ok(span) = self.slots.alloc(SizeBits::ONE) else { return Err(Error::NotEnoughMemory) };
            let boot = (bootinfo.untyped().start() + index) as u64;
            let boot = cspace::initial().absolute_cptr_from_bits_with_depth(boot, 64);
            Slot(span.first).path().move_(&boot)?;
            let base = untyped.paddr as u64;
            if index == taken {
                self.take_rest(Slot(span.first), base, size)?;
                continue;
            }
            // What overlaps or does not fit the table stays unused: there is nothing else to do with it.
            let _ = self.blocks.add_root(base, size, kind, span.first);
        }
        Ok(())
    }

    /// Takes over what our CNode has left of its block: it is clear already.
    fn take_rest(&mut self, untyped: Slot, base: u64, size: SizeBits) -> Result<(), Error> {
        let cnode = ObjectBlueprint::CNode { size_bits: usize::from(cspace::SLOT_BITS) };
        for bits in cnode.physical_size_bits()..usize::from(size.bits()) {
            let Ok(span) = self.slots.alloc(SizeBits::ONE) else { return Err(Error::NotEnoughMemory) };
            let blueprint = ObjectBlueprint::Untyped { size_bits: bits };
            // The kernel aligns it: it lies behind as much as it has.
            let untyped = untyped.cap::<cap_type::Untyped>();
            untyped.untyped_retype(&blueprint, &cspace::target(), span.first as usize, 1)?;
            if let Some(size) = u8::try_from(bits).ok().and_then(SizeBits::new) {
                let _ = self.blocks.add_clear_root(base + size.size(), size, span.first);
            }
        }
        Ok(())
    }

    /// Leaves it to the worker from now on to open blocks.
    pub(crate) const fn seal(&mut self) {
        self.has_worker = true;
    }

    /// Tells whether somebody waits for a block that is to be opened.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Tells whether there is a block that can be opened ahead of need.
    pub(crate) fn is_sealed(&self) -> bool {
        self.blocks.has_sealed()
    }

    /// Does a step towards the block that is to be opened next: one that somebody waits for, or ahead of need.
    pub(crate) fn open_next(&mut self) -> Opening {
        let size = self.wanted.unwrap_or(SizeBits::ONE);
        for _ in 0..JOINS {
            if !self.has_worker {
                return Opening::Nothing;
            }
            match self.blocks.open(size, &mut Steps { slots: &mut self.slots }) {
                Ok(Opening::Joined) => {}
                Ok(opening) => return opening,
                Err(_) => self.has_worker = false,
            }
        }
        Opening::Joined
    }

    /// Takes over the block that was opened, unless the kernel refused.
    pub(crate) fn opened(&mut self, is_open: bool) {
        self.blocks.opened(is_open);
        self.has_worker &= is_open;
        self.wanted = None;
    }

    /// Gives up what was waited for, and tells whether it was.
    pub(crate) const fn give_up(&mut self) -> bool {
        self.wanted.take().is_some()
    }

    /// Hands out a block of at least `bytes`, all of it untouched, with at least `slots` slots in a row.
    ///
    /// Where that says [`Shortage::NotReady`], what was handed out before in the same go has to stay: a large block that is given
    /// back has to be cleared again, and an attempt that takes two and gives back one would never end.
    pub(crate) fn block(&mut self, bytes: u64, slots: u32) -> Result<Block, Shortage> {
        let slots = self.slots(slots)?;
        match self.alloc(bytes) {
            Ok(node) => Ok(Block { id: node.id, untyped: Slot(node.value), slots }),
            Err(error) => {
                self.free_slots(slots);
                Err(error)
            }
        }
    }

    /// Adds a block of at least `bytes`, all of it untouched, to a chain, and begins to make objects of it, in slots from
    /// `first` on.
    pub(crate) fn link(&mut self, chain: &mut Chain, bytes: u64, first: Slot, count: u32) -> Result<Maker, Shortage> {
        let node = self.alloc(bytes)?;
        self.blocks.push(chain, node.id).map_err(|_| Exhausted)?;
        Ok(Maker::new(Slot(node.value).cap::<cap_type::Untyped>(), first, count))
    }

    /// Takes the block back that was added last to a chain: everything that was made of it ends.
    pub(crate) fn unlink(&mut self, chain: &mut Chain) {
        if let Some(node) = self.blocks.pop(chain)
            // As in `free`.
            && Slot(node.value).path().revoke().is_ok()
        {
            self.take_back(node.id);
        }
    }

    fn alloc(&mut self, bytes: u64) -> Result<Node, Shortage> {
        let size = SizeBits::holding(bytes).ok_or(Exhausted)?;
        loop {
            match self.blocks.alloc(size, &mut Steps { slots: &mut self.slots }) {
                Ok(node) => return Ok(node),
                Err(AllocError::Sealed) if self.has_worker => {
                    self.wanted.get_or_insert(size);
                    return Err(Shortage::NotReady);
                }
                Err(AllocError::Sealed) => match self.blocks.open(size, &mut Steps { slots: &mut self.slots }) {
                    // The kernel clears it when something is made of it.
                    Ok(Opening::Block(_)) => self.blocks.opened(true),
                    Ok(Opening::Joined) => {}
                    Ok(Opening::Nothing) | Err(_) => return Err(Shortage::Exhausted),
                },
                Err(AllocError::OutOfMemory { .. } | AllocError::Step(_)) => return Err(Shortage::Exhausted),
            }
        }
    }

    /// Takes a block back: everything that was made of it ends.
    pub(crate) fn free(&mut self, block: Block) {
        // The root task holds the capability and every one derived from it, so the kernel has no reason to refuse. If
        // it did, the block would stay out of use for good rather than be used twice.
        if block.untyped.path().revoke().is_ok() {
            self.take_back(block.id);
            self.free_slots(block.slots);
        }
    }

    fn take_back(&mut self, id: BlockId) {
        self.has_come_back |= self.blocks.free(id).is_ok_and(|node| node.size > CLEARED_AT_ONCE);
    }

    /// Tells whether a large block came back since this was asked last.
    pub(crate) const fn has_come_back(&mut self) -> bool {
        core::mem::replace(&mut self.has_come_back, false)
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allocators over all that the kernel left, with real steps: a split is a Retype, a join a Revoke.

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

use sbm_objects::{AllocError, Block, Buddy, Kind, NODES, Ranges, RootError, SLOTS, SizeBits, Span, Splitter};
use sel4::{
    BootInfoPtr, Error, ObjectBlueprint, cap, cap_type,
    init_thread::{Slot, slot},
};

use crate::{
    check::{At, Verdict, check},
    devices::OneThread,
};

/// End of the slots that are looked after: no kernel's initial CNode has fewer, and a test takes them all.
pub(crate) const END: usize = 4096;

/// The root task's allocator of memory.
pub(crate) type Blocks = Buddy<NODES>;
/// The root task's allocator of slots.
pub(crate) type Slots = Ranges<SLOTS>;

/// Too large for the stack.
static MEMORY: OneThread<Memory> = OneThread(UnsafeCell::new(Memory { blocks: Buddy::new(), slots: Ranges::new() }));
static MEMORY_TAKEN: AtomicBool = AtomicBool::new(false);

/// Why the kernel, or the allocator of slots, refused a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No slots are left.
    Slots,
    /// The kernel refused.
    Kernel(Error),
}

/// Splits and joins untyped memory of the kernel's.
pub(crate) struct Steps<'a>(pub(crate) &'a mut Slots);

impl Splitter for Steps<'_> {
    type Error = Refused;

    fn split(&mut self, parent: &Block) -> Result<[u32; 2], Refused> {
        let span = self.0.alloc(SizeBits::of::<1>()).map_err(|_| Refused::Slots)?;
        let half = ObjectBlueprint::Untyped { size_bits: usize::from(parent.size.bits()) - 1 };
        if let Err(error) = retype(parent, &half, span, 2) {
            let _ = self.0.free(span);
            return Err(Refused::Kernel(error));
        }
        Ok([span.first, span.first + 1])
    }

    fn join(&mut self, parent: &Block, children: [u32; 2]) -> Result<(), Refused> {
        revoke(parent).map_err(Refused::Kernel)?;
        self.0.free(Span { first: children[0], size: SizeBits::of::<1>() }).map_err(|_| Refused::Slots)
    }
}

/// Makes objects out of a block, in the first slots of a range.
pub(crate) fn retype(block: &Block, blueprint: &ObjectBlueprint, slots: Span, count: usize) -> sel4::Result<()> {
    let cnode = slot::CNODE.cap().absolute_cptr_for_self();
    cap::Untyped::from_bits(block.value.into()).untyped_retype(blueprint, &cnode, slots.first as usize, count)
}

/// Ends everything that was made out of a block.
pub(crate) fn revoke(block: &Block) -> sel4::Result<()> {
    Slot::<cap_type::Untyped>::from_index(block.value as usize).absolute().revoke()
}

/// What there is, however it is split: equal before and after, where nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    free_bytes: u64,
    blocks: usize,
    slots: usize,
}

/// All memory and slots.
pub(crate) struct Memory {
    pub(crate) blocks: Blocks,
    pub(crate) slots: Slots,
}

/// A block that is handed out, and slots for what is made of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) block: Block,
    pub(crate) slots: Span,
}

impl Memory {
    /// Takes over what the kernel left, but for the slots before `first_slot`, once.
    pub(crate) fn take(bootinfo: &BootInfoPtr, first_slot: usize) -> Verdict<&'static mut Self> {
        check!(!MEMORY_TAKEN.swap(true, Ordering::Relaxed), "the memory is taken already");
        // SAFETY: the only reference, as just checked.
        let memory = unsafe { &mut *MEMORY.0.get() };
        let (first, end) = (u32::try_from(first_slot), u32::try_from(bootinfo.empty().end().min(END)));
        memory.slots.fill(first.at("first slot")?..end.at("last slot")?).at("slots")?;
        for untyped in bootinfo.untyped_list() {
            let size = u8::try_from(untyped.size_bits).ok().and_then(SizeBits::new).at("size of boot memory")?;
            let kind = if untyped.is_device { Kind::Device } else { Kind::Memory };
            let value = u32::try_from(untyped.cap.bits()).at("slot of boot memory")?;
            match memory.blocks.add_root(untyped.paddr as u64, size, kind, value) {
                // Some kernels give the addresses behind all memory in blocks that are not aligned.
                Err(RootError::Misaligned) if kind == Kind::Device => {}
                outcome => outcome.at("boot memory")?,
            }
        }
        Ok(memory)
    }

    /// Hands out a block of main memory.
    pub(crate) fn alloc(&mut self, size: SizeBits) -> Result<Block, AllocError<Refused>> {
        self.blocks.alloc(size, &mut Steps(&mut self.slots))
    }

    /// Hands out a block, and as many slots as asked for.
    pub(crate) fn hold(&mut self, size: SizeBits, slots: SizeBits) -> Verdict<Held> {
        let block = self.alloc(size).at("alloc")?;
        let slots = self.slots.alloc(slots).at("slots")?;
        Ok(Held { block, slots })
    }

    /// Ends what was made of a block, and takes the block and its slots back.
    pub(crate) fn give_back(&mut self, held: Held) -> Verdict {
        revoke(&held.block).at("revoke")?;
        self.slots.free(held.slots).at("free slots")?;
        let freed = self.blocks.free(held.block.id).at("free")?;
        check!(freed == held.block, "freed {freed:?} instead of {:?}", held.block);
        Ok(())
    }

    pub(crate) fn balance(&self) -> Balance {
        let stats = self.blocks.stats(Kind::Memory);
        // Two slots for each split.
        let slots = self.slots.available() as usize + 2 * self.blocks.splits();
        Balance { free_bytes: stats.free_bytes, blocks: stats.blocks, slots }
    }
}

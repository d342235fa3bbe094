// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the allocator on the kernel's own memory.

use heapless::Vec;
use sbm_objects::{AllocError, Block, Kind, SizeBits, Span, StepError};
use sel4::{
    CapRights, Error, ObjectBlueprint, cap, cap_type,
    init_thread::{Slot, slot},
};

use crate::{
    World,
    check::{At, Verdict, check, same},
    memory::{Blocks, END, Held, Memory, Refused, Slots, Steps, retype, revoke},
};

const PAGE: SizeBits = SizeBits::of::<12>();

/// How many allocations, and how many frees.
const MANY: u32 = 1_000_000;

/// Numbers that look random and are the same in every run: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

/// Up to 64 blocks are held at a time, of 4 KiB to 128 KiB, each with objects in it. The objects are small: the kernel
/// clears what was used of a block, which is its time and not the allocator's.
pub(crate) fn a_million_allocations_and_frees_lose_nothing(world: &mut World<'_>) -> Verdict {
    const OBJECTS: [(ObjectBlueprint, usize); 4] = [
        (ObjectBlueprint::Endpoint, 4),
        (ObjectBlueprint::Notification, 4),
        (ObjectBlueprint::CNode { size_bits: 1 }, 4),
        (ObjectBlueprint::Untyped { size_bits: 6 }, 4),
    ];
    let memory = &mut world.memory;
    let before = memory.balance();
    let (mut held, mut random) = ([None::<Held>; 64], Random(0x5eed));
    let (mut allocations, mut frees) = (0, 0);
    while frees < MANY {
        let place = &mut held[random.below(64) as usize];
        match place.take() {
            Some(held) => {
                memory.give_back(held)?;
                frees += 1;
            }
            None if allocations < MANY => {
                let size = SizeBits::new(12 + random.below(6) as u8).at("size")?;
                let new = memory.hold(size, SizeBits::of::<2>())?;
                let (blueprint, count) = OBJECTS[random.below(4) as usize];
                retype(&new.block, &blueprint, new.slots, count).at("retype")?;
                *place = Some(new);
                allocations += 1;
            }
            None => {}
        }
    }
    same!(allocations, MANY);
    same!(memory.balance(), before);
    all_memory_is_whole(world)
}

/// Joins whatever can be joined, and compares it with what the kernel gave at boot.
fn all_memory_is_whole(world: &mut World<'_>) -> Verdict {
    let Memory { blocks, slots } = &mut *world.memory;
    let mut wanted = [0_u32; 64];
    for untyped in world.bootinfo.untyped_list().filter(|untyped| !untyped.is_device) {
        *wanted.get_mut(untyped.size_bits).at("size of boot memory")? += 1;
    }
    let all = join_all(blocks, slots)?;
    let slot = slots.alloc(SizeBits::ONE).at("slot")?;
    let mut found = [0_u32; 64];
    for block in &all {
        let whole = ObjectBlueprint::Untyped { size_bits: usize::from(block.size.bits()) };
        retype(block, &whole, slot, 1).at("one object of a whole block")?;
        revoke(block).at("revoke")?;
        found[usize::from(block.size.bits())] += 1;
    }
    slots.free(slot).at("free slot")?;
    let other = (0..64).find(|&bits| found[bits] != wanted[bits]);
    check!(other.is_none(), "blocks of 2^{other:?} bytes: other than at boot");
    Ok(())
}

/// Asks for the largest blocks until there are none, and frees them. Returns what they were.
fn join_all(blocks: &mut Blocks, slots: &mut Slots) -> Verdict<Vec<Block, 256>> {
    let mut all = Vec::new();
    while let Some(largest) = blocks.stats(Kind::Memory).largest {
        let block = blocks.alloc(largest, &mut Steps(slots)).at("the largest block")?;
        all.push(block).ok().at("room for blocks")?;
    }
    for block in &all {
        blocks.free(block.id).at("free")?;
    }
    Ok(all)
}

pub(crate) fn a_block_holds_as_many_pages_as_its_size_says_and_not_one_more(world: &mut World<'_>) -> Verdict {
    let held = world.memory.hold(SizeBits::of::<16>(), SizeBits::of::<5>())?;
    let Span { first, .. } = held.slots;
    retype(&held.block, &ObjectBlueprint::SMALL_PAGE, held.slots, 16).at("16 pages")?;
    for page in 0..16 {
        let address = cap::SmallPage::from_bits((first + page).into()).frame_get_address().at("address")?;
        same!(address as u64, held.block.base + (u64::from(page) << PAGE.bits()));
    }
    let behind = Span { first: first + 16, size: SizeBits::ONE };
    same!(retype(&held.block, &ObjectBlueprint::SMALL_PAGE, behind, 1), Err(Error::NotEnoughMemory));
    world.memory.give_back(held)
}

pub(crate) fn a_block_that_was_revoked_serves_again_and_one_that_was_not_does_not(world: &mut World<'_>) -> Verdict {
    let held = world.memory.hold(PAGE, SizeBits::ONE)?;
    retype(&held.block, &ObjectBlueprint::SMALL_PAGE, held.slots, 1).at("first page")?;
    let other = world.memory.slots.alloc(SizeBits::ONE).at("slot")?;
    same!(retype(&held.block, &ObjectBlueprint::SMALL_PAGE, other, 1), Err(Error::NotEnoughMemory));
    revoke(&held.block).at("revoke")?;
    retype(&held.block, &ObjectBlueprint::SMALL_PAGE, other, 1).at("second page")?;
    world.memory.give_back(held)?;
    world.memory.slots.free(other).at("free slot")
}

pub(crate) fn what_is_freed_twice_is_refused_and_what_took_its_place_stays(world: &mut World<'_>) -> Verdict {
    let memory = &mut world.memory;
    let before = memory.balance();
    let held = memory.hold(PAGE, SizeBits::of::<2>())?;
    memory.give_back(held)?;
    check!(memory.blocks.free(held.block.id).is_err(), "the block was freed twice");
    check!(memory.slots.free(held.slots).is_err(), "the slots were freed twice");
    let next = memory.hold(PAGE, SizeBits::of::<2>())?;
    same!(next.block.base, held.block.base);
    check!(memory.blocks.free(held.block.id).is_err(), "the old name frees the new block");
    retype(&next.block, &ObjectBlueprint::Endpoint, next.slots, 4).at("the new block")?;
    memory.give_back(next)?;
    same!(memory.balance(), before);
    Ok(())
}

pub(crate) fn more_than_there_is_is_refused_and_nothing_is_lost(world: &mut World<'_>) -> Verdict {
    let memory = &mut world.memory;
    let before = memory.balance();
    let largest = memory.blocks.stats(Kind::Memory).largest;
    let requested = SizeBits::of::<46>();
    same!(memory.alloc(requested), Err(AllocError::OutOfMemory { requested, largest }));
    // Down to the last block, and back.
    let size = SizeBits::of::<20>();
    let mut all = Vec::<Block, 2048>::new();
    loop {
        match memory.alloc(size) {
            Ok(block) => all.push(block).ok().at("room for blocks")?,
            Err(AllocError::OutOfMemory { requested, .. }) => {
                same!(requested, size);
                break;
            }
            Err(error) => return Err(error).at("alloc"),
        }
    }
    check!(!all.is_empty(), "no block of {size}");
    for block in all {
        memory.blocks.free(block.id).at("free")?;
    }
    same!(memory.balance(), before);
    Ok(())
}

/// A split that the kernel refuses, since the slots are in use, and one for which there are no slots.
pub(crate) fn a_split_that_is_refused_leaves_its_block_whole(world: &mut World<'_>) -> Verdict {
    let Memory { blocks, slots } = &mut *world.memory;
    // No join is needed from here on.
    join_all(blocks, slots)?;
    let before = blocks.stats(Kind::Memory);
    let smaller = before.largest.and_then(|largest| SizeBits::new(largest.bits() - 1)).at("a size")?;
    let mut none = Slots::new();
    let mut used = Slots::new();
    let tcb = u32::try_from(slot::TCB.index()).at("slot")?;
    used.fill(tcb..tcb + 8).at("used slots")?;
    for (slots, why) in [(&mut none, Refused::Slots), (&mut used, Refused::Kernel(Error::DeleteFirst))] {
        let mut held = Vec::<Block, 256>::new();
        // Blocks of that size that need no split come first.
        let refused = loop {
            match blocks.alloc(smaller, &mut Steps(slots)) {
                Ok(block) => held.push(block).ok().at("room for blocks")?,
                Err(error) => break error,
            }
        };
        same!(refused, AllocError::Step(StepError::Split(why)));
        for block in held {
            blocks.free(block.id).at("free")?;
        }
        same!(blocks.stats(Kind::Memory), before);
    }
    let block = blocks.alloc(smaller, &mut Steps(slots)).at("the same split with slots")?;
    blocks.free(block.id).map(drop).at("free")
}

pub(crate) fn every_slot_takes_a_capability_and_no_second_one(world: &mut World<'_>) -> Verdict {
    let memory = &mut world.memory;
    let before = memory.balance();
    let source = slot::TCB.absolute();
    let mut taken = Vec::<Span, END>::new();
    while let Ok(span) = memory.slots.alloc(SizeBits::ONE) {
        let path = Slot::<cap_type::Tcb>::from_index(span.first as usize).absolute();
        path.copy(&source, CapRights::all()).at("copy into a slot")?;
        taken.push(span).ok().at("room for slots")?;
    }
    same!(memory.slots.available(), 0);
    let last = Slot::<cap_type::Tcb>::from_index(taken.last().at("a slot")?.first as usize).absolute();
    same!(last.copy(&source, CapRights::all()), Err(Error::DeleteFirst));
    for span in taken {
        let path = Slot::<cap_type::Tcb>::from_index(span.first as usize).absolute();
        path.delete().at("delete")?;
        memory.slots.free(span).at("free slot")?;
    }
    same!(memory.balance(), before);
    Ok(())
}

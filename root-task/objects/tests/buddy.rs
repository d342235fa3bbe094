// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the buddy allocator against a model
//!
//! The model splitter keeps the set of blocks that exist, as the kernel would: a split needs its parent to exist
//! unsplit, a join needs both halves, and either can be made to fail. It knows what of each block is not clear: all at
//! boot, and whatever was split or handed out.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use proptest::prelude::*;
use sbm_objects::{
    AllocError, Block, BlockId, Buddy, Chain, FreeError, Kind, Opening, RootError, SizeBits, Splitter, StepError,
};

const NODES: usize = 512;
const BASE: u64 = 0x10_0000;

#[derive(Debug, PartialEq, Eq)]
struct Refused;

/// The kernel's side: each value names one existing block.
#[derive(Default)]
struct Kernel {
    /// Value to (base, size, is split).
    blocks: BTreeMap<u32, (u64, u8, bool)>,
    /// Values of what is not clear.
    used: BTreeSet<u32>,
    /// The largest block that was cleared in one go.
    cleared: u8,
    next: u32,
    /// Steps until each further one is refused.
    patience: Option<u32>,
    splits: usize,
    joins: usize,
}

impl Kernel {
    fn root(&mut self, base: u64, bits: u8) -> u32 {
        let value = self.clear(base, bits);
        self.used.insert(value);
        value
    }

    fn clear(&mut self, base: u64, bits: u8) -> u32 {
        self.next += 1;
        self.blocks.insert(self.next, (base, bits, false));
        self.next
    }

    /// Makes objects of a block: what was used of it is cleared before.
    fn make(&mut self, block: &Block) {
        let (base, bits, split) = self.blocks[&block.value];
        assert_eq!((base, bits, split), (block.base, block.size.bits(), false));
        if !self.used.insert(block.value) {
            self.cleared = self.cleared.max(bits);
        }
    }

    /// Clears a block as the root task's worker does, while others may be handed out and given back.
    fn wipe(&mut self, block: &Block) {
        assert!(!self.blocks[&block.value].2, "it is in one piece");
        self.used.remove(&block.value);
    }

    fn lose_patience(&mut self) -> Result<(), Refused> {
        match &mut self.patience {
            Some(0) => Err(Refused),
            Some(steps) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Splitter for Kernel {
    type Error = Refused;

    fn split(&mut self, parent: &Block) -> Result<[u32; 2], Refused> {
        self.lose_patience()?;
        self.make(parent);
        self.blocks.get_mut(&parent.value).unwrap().2 = true;
        let (base, half) = (parent.base, parent.size.bits() - 1);
        self.splits += 1;
        Ok([self.clear(base, half), self.clear(base + (1 << half), half)])
    }

    fn join(&mut self, parent: &Block, children: [u32; 2]) -> Result<(), Refused> {
        self.lose_patience()?;
        let half = parent.size.bits() - 1;
        assert_eq!(self.blocks.remove(&children[0]), Some((parent.base, half, false)));
        assert_eq!(self.blocks.remove(&children[1]), Some((parent.base + (1 << half), half, false)));
        for child in &children {
            self.used.remove(child);
        }
        self.blocks.get_mut(&parent.value).unwrap().2 = false;
        self.joins += 1;
        Ok(())
    }
}

fn bits(bits: u8) -> SizeBits {
    SizeBits::new(bits).unwrap()
}

/// An allocator with one root of main memory at `BASE`.
fn with_root(root_bits: u8) -> (Box<Buddy<NODES>>, Kernel) {
    let (mut buddy, mut kernel) = (Box::new(Buddy::new()), Kernel::default());
    let value = kernel.root(BASE, root_bits);
    buddy.add_root(BASE, bits(root_bits), Kind::Memory, value).unwrap();
    (buddy, kernel)
}

fn free_all<const N: usize>(buddy: &mut Buddy<N>, blocks: &[Block]) {
    assert!(blocks.iter().all(|block| buddy.free(block.id) == Ok(*block)));
}

#[test]
fn a_block_is_cut_from_the_smallest_root_that_holds_it() {
    let (mut buddy, mut kernel) = with_root(16);
    let small = kernel.root(0x8000, 13);
    buddy.add_root(0x8000, bits(13), Kind::Memory, small).unwrap();
    let block = buddy.alloc(bits(12), &mut kernel).unwrap();
    assert_eq!((block.base, block.size, kernel.splits), (0x8000, bits(12), 1));
    assert_eq!(buddy.stats(Kind::Memory).largest, Some(bits(16)));
}

#[test]
fn a_block_that_no_root_holds_is_refused_with_what_there_is() {
    let (mut buddy, mut kernel) = with_root(16);
    let refused = Err(AllocError::OutOfMemory { requested: bits(17), largest: Some(bits(16)) });
    assert_eq!(buddy.alloc(bits(17), &mut kernel), refused);
    buddy.alloc(bits(16), &mut kernel).unwrap();
    let refused = Err(AllocError::OutOfMemory { requested: bits(0), largest: None });
    assert_eq!(buddy.alloc(bits(0), &mut kernel), refused);
}

#[test]
fn a_freed_block_is_handed_out_again_without_a_step() {
    let (mut buddy, mut kernel) = with_root(20);
    let first = buddy.alloc(bits(12), &mut kernel).unwrap();
    let (splits, _) = (kernel.splits, buddy.free(first.id).unwrap());
    let second = buddy.alloc(bits(12), &mut kernel).unwrap();
    assert_eq!((second.base, kernel.splits, kernel.joins), (first.base, splits, 0));
}

#[test]
fn free_blocks_are_joined_when_their_whole_is_wanted() {
    let (mut buddy, mut kernel) = with_root(16);
    let blocks: Vec<_> = (0..16).map(|_| buddy.alloc(bits(12), &mut kernel).unwrap()).collect();
    free_all(&mut buddy, &blocks);
    assert_eq!((buddy.splits(), kernel.joins), (15, 0));
    assert_eq!(buddy.alloc(bits(16), &mut kernel).unwrap().base, BASE);
    assert_eq!((buddy.splits(), kernel.joins), (0, 15));
}

#[test]
fn blocks_around_one_in_use_are_not_joined() {
    let (mut buddy, mut kernel) = with_root(16);
    let blocks: Vec<_> = (0..16).map(|_| buddy.alloc(bits(12), &mut kernel).unwrap()).collect();
    free_all(&mut buddy, &blocks[1..]);
    let refused = Err(AllocError::OutOfMemory { requested: bits(16), largest: Some(bits(15)) });
    assert_eq!(buddy.alloc(bits(16), &mut kernel), refused);
}

#[test]
fn a_second_free_is_refused_also_after_the_block_found_a_new_owner() {
    let (mut buddy, mut kernel) = with_root(12);
    let first = buddy.alloc(bits(12), &mut kernel).unwrap();
    buddy.free(first.id).unwrap();
    assert_eq!(buddy.free(first.id).unwrap_err().id, first.id);
    let second = buddy.alloc(bits(12), &mut kernel).unwrap();
    assert!(buddy.free(first.id).is_err());
    assert!(buddy.free(second.id).is_ok());
}

#[test]
fn a_name_from_another_allocator_is_refused() {
    let (mut buddy, mut kernel) = with_root(16);
    let (mut other, mut other_kernel) = with_root(16);
    let foreign: Vec<BlockId> = (0..16).map(|_| other.alloc(bits(12), &mut other_kernel).unwrap().id).collect();
    assert!(foreign.iter().all(|&id| buddy.free(id).is_err()));
    buddy.alloc(bits(16), &mut kernel).unwrap();
}

#[test]
fn device_memory_is_not_handed_out() {
    let (mut buddy, mut kernel) = with_root(12);
    let value = kernel.root(0xfec0_0000, 22);
    buddy.add_root(0xfec0_0000, bits(22), Kind::Device, value).unwrap();
    let refused = Err(AllocError::OutOfMemory { requested: bits(13), largest: Some(bits(12)) });
    assert_eq!(buddy.alloc(bits(13), &mut kernel), refused);
    buddy.alloc(bits(12), &mut kernel).unwrap();
    assert!(matches!(buddy.alloc(bits(12), &mut kernel), Err(AllocError::OutOfMemory { largest: None, .. })));
}

/// Begins to open a block of at least that size, with all joins that it takes.
fn begin(buddy: &mut Buddy<NODES>, kernel: &mut Kernel, size: u8) -> Option<Block> {
    loop {
        match buddy.open(bits(size), kernel).unwrap() {
            Opening::Block(block) => return Some(block),
            Opening::Joined => {}
            Opening::Nothing => return None,
        }
    }
}

/// Opens a block of at least that size as the root task's worker does, and tells whether there was one.
fn open(buddy: &mut Buddy<NODES>, kernel: &mut Kernel, size: u8) -> bool {
    let Some(block) = begin(buddy, kernel, size) else { return false };
    kernel.wipe(&block);
    buddy.opened(true);
    true
}

/// An allocator that seals what is larger than `2^14`, with a root of that and a larger one that is sealed.
fn with_sealed(root_bits: u8) -> (Box<Buddy<NODES>>, Kernel) {
    let (mut buddy, mut kernel) = (Box::new(Buddy::new()), Kernel::default());
    buddy.seal_above(bits(14));
    for (base, size) in [(BASE, root_bits), (0x4000, 14)] {
        let value = kernel.root(base, size);
        buddy.add_root(base, bits(size), Kind::Memory, value).unwrap();
    }
    (buddy, kernel)
}

#[test]
fn sealed_roots_are_left_alone_until_they_are_opened_the_smallest_that_fits_first() {
    let (mut buddy, mut kernel) = with_sealed(20);
    for (base, size) in [(0x8_0000, 19), (0x2_0000, 16)] {
        let value = kernel.root(base, size);
        buddy.add_root(base, bits(size), Kind::Memory, value).unwrap();
    }
    let stats = buddy.stats(Kind::Memory);
    assert_eq!((stats.free_bytes, stats.largest), (stats.total_bytes, Some(bits(20))), "what is sealed is free");
    assert_eq!(buddy.alloc(bits(12), &mut kernel).unwrap().base, 0x4000);
    assert_eq!(buddy.alloc(bits(17), &mut kernel), Err(AllocError::Sealed));
    let refused = Err(AllocError::OutOfMemory { requested: bits(21), largest: Some(bits(20)) });
    assert_eq!(buddy.alloc(bits(21), &mut kernel), refused);
    assert_eq!(buddy.open(bits(21), &mut kernel), Ok(Opening::Nothing));
    for (size, base) in [(0, 0x2_0000), (17, 0x8_0000), (17, BASE)] {
        let block = begin(&mut buddy, &mut kernel, size).unwrap();
        assert_eq!(block.base, base);
        kernel.wipe(&block);
        buddy.opened(true);
    }
    assert_eq!(begin(&mut buddy, &mut kernel, 0), None);
    assert_eq!(buddy.alloc(bits(17), &mut kernel).unwrap().base, 0x8_0000);
}

#[test]
fn a_root_that_is_clear_or_of_device_memory_is_not_sealed() {
    let (mut buddy, mut kernel) = with_sealed(20);
    let value = kernel.clear(0x8_0000, 19);
    buddy.add_clear_root(0x8_0000, bits(19), value).unwrap();
    buddy.add_root(0x4_0000, bits(18), Kind::Device, 0).unwrap();
    assert_eq!(buddy.alloc(bits(19), &mut kernel).unwrap().base, 0x8_0000);
    assert!(open(&mut buddy, &mut kernel, 0) && !open(&mut buddy, &mut kernel, 0));
}

#[test]
fn a_large_block_is_sealed_when_it_is_given_back_and_a_small_one_is_not() {
    let (mut buddy, mut kernel) = with_sealed(16);
    assert!(open(&mut buddy, &mut kernel, 16));
    let large = [15, 15].map(|size| buddy.alloc(bits(size), &mut kernel).unwrap());
    let small = buddy.alloc(bits(14), &mut kernel).unwrap();
    free_all(&mut buddy, &[large[0], small]);
    assert_eq!(buddy.alloc(bits(15), &mut kernel), Err(AllocError::Sealed));
    assert_eq!(buddy.alloc(bits(14), &mut kernel).unwrap().base, small.base);
    assert_eq!(buddy.alloc(bits(12), &mut kernel), Err(AllocError::Sealed), "where all else is handed out");
    assert!(open(&mut buddy, &mut kernel, 12));
    assert_eq!(buddy.alloc(bits(12), &mut kernel).unwrap().base, large[0].base);
}

#[test]
fn a_large_block_is_clear_before_it_is_split_or_joined_from_what_was_used() {
    let (mut buddy, mut kernel) = with_sealed(16);
    for size in [16, 15, 14] {
        while let Err(error) = buddy.alloc(bits(size), &mut kernel).map(|block| {
            kernel.make(&block);
            buddy.free(block.id).unwrap();
        }) {
            assert_eq!(error, AllocError::Sealed);
            assert!(open(&mut buddy, &mut kernel, size));
        }
    }
    assert!(kernel.cleared <= 14, "2^{} bytes in one go", kernel.cleared);
}

#[test]
fn a_block_is_joined_from_small_ones_where_no_free_one_is_large_enough_and_is_sealed_then() {
    let (mut buddy, mut kernel) = with_sealed(17);
    assert!(open(&mut buddy, &mut kernel, 17));
    // One half of the root in blocks of 2^13, the other one free.
    let half = buddy.alloc(bits(16), &mut kernel).unwrap();
    let small: Vec<_> = (0..10).map(|_| buddy.alloc(bits(13), &mut kernel).unwrap()).collect();
    free_all(&mut buddy, &small);
    buddy.free(half.id).unwrap();
    assert!(open(&mut buddy, &mut kernel, 0));
    assert_eq!((kernel.joins, buddy.alloc(bits(16), &mut kernel).unwrap().base), (0, half.base));
    // A smaller one is not wanted of what is to be joined: its parts are free.
    assert_eq!(buddy.alloc(bits(16), &mut kernel), Err(AllocError::Sealed));
    assert_eq!(buddy.open(bits(14), &mut kernel), Ok(Opening::Nothing));
    let steps: Vec<_> = (0..8).map(|_| buddy.open(bits(16), &mut kernel).unwrap()).collect();
    assert!(steps[..7].iter().all(|step| *step == Opening::Joined), "{steps:?}");
    let Opening::Block(joined) = steps[7] else { panic!("{:?}", steps[7]) };
    assert_eq!((joined.size, kernel.joins), (bits(16), 7));
    buddy.opened(true);
    assert_eq!(buddy.alloc(bits(16), &mut kernel).unwrap().base, joined.base);
}

#[test]
fn a_block_that_is_being_opened_is_nobodys_and_is_whole_with_its_half_afterwards() {
    let (mut buddy, mut kernel) = with_sealed(16);
    assert!(open(&mut buddy, &mut kernel, 16));
    let halves = [15, 15].map(|size| buddy.alloc(bits(size), &mut kernel).unwrap());
    let free = buddy.stats(Kind::Memory).free_bytes;
    buddy.free(halves[0].id).unwrap();
    let opening = begin(&mut buddy, &mut kernel, 15).unwrap();
    assert_eq!((opening.base, buddy.stats(Kind::Memory).free_bytes), (halves[0].base, free + (1 << 15)));
    assert_eq!(begin(&mut buddy, &mut kernel, 15), None, "one at a time");
    let mut chain = Chain::EMPTY;
    assert!(buddy.free(opening.id).is_err() && buddy.push(&mut chain, opening.id).is_err());
    assert_eq!(buddy.alloc(bits(15), &mut kernel), Err(AllocError::Sealed));
    let refused = Err(AllocError::OutOfMemory { requested: bits(16), largest: Some(bits(14)) });
    assert_eq!(buddy.alloc(bits(16), &mut kernel), refused, "the other half is in use");
    buddy.free(halves[1].id).unwrap();
    assert_eq!(kernel.joins, 0);
    assert_eq!(buddy.alloc(bits(16), &mut kernel), Err(AllocError::Sealed), "it will be whole");
    kernel.wipe(&opening);
    buddy.opened(true);
    buddy.opened(true);
    assert_eq!(buddy.alloc(bits(15), &mut kernel).unwrap().base, opening.base);
    buddy.free(opening.id).unwrap_err();
    assert_eq!(buddy.stats(Kind::Memory).blocks, 1);
}

#[test]
fn a_block_that_could_not_be_opened_is_sealed_as_before() {
    let (mut buddy, mut kernel) = with_sealed(16);
    assert!(begin(&mut buddy, &mut kernel, 16).is_some());
    buddy.opened(false);
    assert_eq!(buddy.alloc(bits(15), &mut kernel), Err(AllocError::Sealed));
    assert!(open(&mut buddy, &mut kernel, 16));
    // A join that fails changes nothing.
    let halves = [15, 15].map(|size| buddy.alloc(bits(size), &mut kernel).unwrap());
    free_all(&mut buddy, &halves);
    kernel.patience = Some(0);
    assert_eq!(buddy.open(bits(16), &mut kernel), Err(StepError::Join(Refused)));
    kernel.patience = None;
    assert!(open(&mut buddy, &mut kernel, 16));
    assert_eq!(buddy.alloc(bits(16), &mut kernel).unwrap().base, BASE);
}

#[test]
fn a_chain_gives_its_blocks_back_the_last_one_first() {
    let (mut buddy, mut kernel) = with_root(20);
    let blocks = [12, 13, 12].map(|size| buddy.alloc(bits(size), &mut kernel).unwrap());
    let other = buddy.alloc(bits(12), &mut kernel).unwrap();
    let (mut chain, mut another) = (Chain::EMPTY, Chain::EMPTY);
    for block in blocks {
        buddy.push(&mut chain, block.id).unwrap();
    }
    buddy.push(&mut another, other.id).unwrap();
    for block in blocks.into_iter().rev() {
        assert_eq!(buddy.pop(&mut chain), Some(block));
        assert_eq!(buddy.free(block.id), Ok(block));
    }
    assert_eq!(buddy.pop(&mut chain), None);
    assert_eq!(buddy.push(&mut chain, blocks[0].id), Err(FreeError { id: blocks[0].id }), "it is not handed out");
    assert_eq!((buddy.pop(&mut another), buddy.pop(&mut another)), (Some(other), None));
}

#[test]
fn roots_are_refused_that_overlap_are_misaligned_or_late() {
    let (mut buddy, mut kernel) = with_root(16);
    let add = |base, size, buddy: &mut Buddy<NODES>| buddy.add_root(base, bits(size), Kind::Memory, 0);
    assert_eq!(add(BASE + 0x1000, 12, &mut buddy), Err(RootError::Overlaps { base: BASE }));
    assert_eq!(add(0, 22, &mut buddy), Err(RootError::Overlaps { base: BASE }));
    assert_eq!(add(0x1800, 12, &mut buddy), Err(RootError::Misaligned));
    assert_eq!(add(1 << 63, 63, &mut buddy), Ok(()));
    buddy.alloc(bits(12), &mut kernel).unwrap();
    assert_eq!(add(0x1000, 12, &mut buddy), Err(RootError::NoNodes));
}

#[test]
fn a_root_without_a_node_is_refused() {
    let mut buddy = Buddy::<2>::new();
    let add = |base, buddy: &mut Buddy<2>| buddy.add_root(base, bits(12), Kind::Memory, 0);
    assert_eq!((add(0x1000, &mut buddy), add(0x2000, &mut buddy)), (Ok(()), Ok(())));
    assert_eq!(add(0x3000, &mut buddy), Err(RootError::NoNodes));
    assert_eq!(buddy.stats(Kind::Memory).total_bytes, 0x2000);
}

#[test]
fn the_last_pair_of_nodes_is_gained_by_a_join_elsewhere() {
    // Two roots and one pair.
    let (mut buddy, mut kernel) = (Buddy::<4>::new(), Kernel::default());
    for (base, size) in [(0x1000, 12), (0x4000, 14)] {
        let value = kernel.root(base, size);
        buddy.add_root(base, bits(size), Kind::Memory, value).unwrap();
    }
    let small = buddy.alloc(bits(11), &mut kernel).unwrap();
    assert_eq!(buddy.alloc(bits(13), &mut kernel), Err(AllocError::Step(StepError::NoNodes)));
    buddy.free(small.id).unwrap();
    assert_eq!(buddy.alloc(bits(13), &mut kernel).unwrap().base, 0x4000);
    assert_eq!((buddy.splits(), kernel.joins), (1, 1));
}

#[test]
fn a_full_table_joins_what_is_free_before_it_refuses() {
    let mut buddy = Buddy::<18>::new();
    let mut kernel = Kernel::default();
    for base in [0x1_0000, 0x2_0000] {
        let value = kernel.root(base, 16);
        buddy.add_root(base, bits(16), Kind::Memory, value).unwrap();
    }
    // Eight pairs: four for the first block, three for its neighbours.
    let blocks: Vec<_> = (0..4).map(|_| buddy.alloc(bits(12), &mut kernel).unwrap()).collect();
    assert_eq!(buddy.splits(), 5);
    // The first root's free quarter and half go first; a block of the second root needs what the four leave.
    let held: Vec<_> = (0..2).map(|_| buddy.alloc(bits(15), &mut kernel)).collect();
    assert!(held.iter().all(Result::is_ok), "{held:?}");
    assert_eq!(buddy.splits(), 6);
    free_all(&mut buddy, &blocks);
    let tiny = buddy.alloc(bits(10), &mut kernel).unwrap();
    assert_eq!(buddy.splits(), 8);
    assert_eq!(buddy.alloc(bits(6), &mut kernel), Err(AllocError::Step(StepError::NoNodes)));
    buddy.free(tiny.id).unwrap();
    assert!(buddy.alloc(bits(9), &mut kernel).is_ok());
}

#[test]
fn four_thousand_sandboxes_of_mixed_sizes_take_less_than_half_of_the_root_tasks_table() {
    // Too large for a test's stack.
    static BUDDY: Mutex<Buddy<{ sbm_objects::NODES }>> = Mutex::new(Buddy::new());
    let mut buddy = BUDDY.lock().unwrap();
    let mut kernel = Kernel::default();
    let roots = 40;
    for root in 0..roots {
        let base = (root + 1) << 24;
        let value = kernel.root(base, 24);
        buddy.add_root(base, bits(24), Kind::Memory, value).unwrap();
    }
    let mut ids: Vec<_> =
        (0..4096).map(|n| buddy.alloc(bits(if n % 4 == 0 { 17 } else { 16 }), &mut kernel).unwrap().id).collect();
    // Scatter: a quarter leaves, and as many come back at another size.
    for slot in ids.iter_mut().step_by(4) {
        buddy.free(*slot).unwrap();
        *slot = buddy.alloc(bits(13), &mut kernel).unwrap().id;
    }
    let nodes = roots as usize + 2 * buddy.splits();
    assert!(nodes < sbm_objects::NODES / 2, "{nodes} nodes");
}

#[test]
fn tables_have_the_documented_sizes() {
    assert_eq!(size_of::<Buddy<512>>(), 40 * 512 + 1_608);
    assert_eq!(size_of::<sbm_objects::Ranges<512>>(), 2 * 512 + 8);
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Op {
    Alloc {
        bits: u8,
    },
    Free {
        which: usize,
    },
    FreeStale {
        which: usize,
    },
    Patience {
        steps: Option<u32>,
    },
    Open {
        bits: u8,
    },
    Opened,
    /// An allocation with all that it takes to get a block.
    Insist {
        bits: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (8u8..18).prop_map(|bits| Op::Alloc { bits }),
        6 => any::<usize>().prop_map(|which| Op::Free { which }),
        1 => any::<usize>().prop_map(|which| Op::FreeStale { which }),
        1 => prop::option::of(0u32..6).prop_map(|steps| Op::Patience { steps }),
        2 => (8u8..18).prop_map(|bits| Op::Open { bits }),
        2 => Just(Op::Opened),
        2 => (8u8..18).prop_map(|bits| Op::Insist { bits }),
    ]
}

/// Checks a block against all that are held, and holds it.
fn hold(held: &mut Vec<Block>, block: Block) {
    assert!(block.size.aligns(block.base));
    let end = block.base + block.size.size();
    assert!(held.iter().all(|other| other.base >= end || block.base >= other.base + other.size.size()));
    held.push(block);
}

fn check_figures(buddy: &Buddy<NODES>, held: &[Block], total: u64) {
    let stats = buddy.stats(Kind::Memory);
    let used: u64 = held.iter().map(|block| block.size.size()).sum();
    assert_eq!((stats.total_bytes, stats.free_bytes, stats.blocks), (total, total - used, held.len()));
}

/// Tells whether some block of that size is not handed out, wherever it lies in the roots.
fn is_there(held: &[Block], roots: &[(u64, u8)], size: u8) -> bool {
    let blocks = |&(base, root): &(u64, u8)| (0..(1 << root) >> size).map(move |number| base + (number << size));
    roots
        .iter()
        .filter(|(_, root)| *root >= size)
        .flat_map(blocks)
        .any(|base| held.iter().all(|block| block.base + block.size.size() <= base || block.base >= base + (1 << size)))
}

proptest! {
    #[test]
    fn any_history_keeps_blocks_apart_and_ends_whole(
        sealed_above in prop::option::of(8u8..18),
        ops in prop::collection::vec(op(), 1..300),
    ) {
        let roots = [(BASE, 17), (0x4000, 14)];
        let (mut buddy, mut kernel) = (Box::new(Buddy::<NODES>::new()), Kernel::default());
        if let Some(size) = sealed_above {
            buddy.seal_above(bits(size));
        }
        for (base, size) in roots {
            let value = kernel.root(base, size);
            buddy.add_root(base, bits(size), Kind::Memory, value).unwrap();
        }
        let total = (1 << 17) + (1 << 14);
        let (mut held, mut stale) = (Vec::new(), Vec::new());
        let mut opening: Option<Block> = None;
        for op in ops {
            match op {
                Op::Alloc { bits: wanted } => match buddy.alloc(bits(wanted), &mut kernel) {
                    Ok(block) => {
                        kernel.make(&block);
                        hold(&mut held, block);
                    }
                    Err(AllocError::OutOfMemory { .. }) => prop_assert!(!is_there(&held, &roots, wanted)),
                    Err(AllocError::Sealed) => prop_assert!(is_there(&held, &roots, wanted)),
                    Err(AllocError::Step(StepError::NoNodes)) => prop_assert!(buddy.splits() > NODES / 4),
                    Err(AllocError::Step(_)) => prop_assert!(kernel.patience == Some(0)),
                },
                Op::Free { which } if !held.is_empty() => {
                    let block = held.swap_remove(which % held.len());
                    prop_assert_eq!(buddy.free(block.id), Ok(block));
                    stale.push(block);
                }
                Op::FreeStale { which } if !stale.is_empty() => {
                    prop_assert!(buddy.free(stale[which % stale.len()].id).is_err());
                }
                Op::Free { .. } | Op::FreeStale { .. } => {}
                Op::Patience { steps } => kernel.patience = steps,
                Op::Open { bits: wanted } => match buddy.open(bits(wanted), &mut kernel) {
                    Ok(Opening::Block(block)) => {
                        prop_assert!(opening.is_none() && block.size >= bits(wanted));
                        opening = Some(block);
                    }
                    Ok(Opening::Joined | Opening::Nothing) => {}
                    Err(error) => prop_assert_eq!((error, kernel.patience), (StepError::Join(Refused), Some(0))),
                },
                Op::Insist { bits: wanted } if opening.is_none() && kernel.patience.is_none() => {
                    let mut done = buddy.alloc(bits(wanted), &mut kernel);
                    if done == Err(AllocError::Sealed) {
                        prop_assert!(open(&mut buddy, &mut kernel, wanted));
                        done = buddy.alloc(bits(wanted), &mut kernel);
                    }
                    match done {
                        Ok(block) => {
                            kernel.make(&block);
                            hold(&mut held, block);
                        }
                        Err(AllocError::Step(StepError::NoNodes)) => prop_assert!(buddy.splits() > NODES / 4),
                        Err(_) => prop_assert!(!is_there(&held, &roots, wanted)),
                    }
                }
                Op::Insist { .. } => {}
                Op::Opened => {
                    if let Some(block) = opening.take() {
                        kernel.wipe(&block);
                    }
                    buddy.opened(true);
                }
            }
            check_figures(&buddy, &held, total);
            prop_assert!(sealed_above.is_none_or(|size| kernel.cleared <= size), "2^{} bytes", kernel.cleared);
        }
        kernel.patience = None;
        if let Some(block) = opening {
            kernel.wipe(&block);
            buddy.opened(true);
        }
        for block in held.drain(..) {
            buddy.free(block.id).unwrap();
        }
        check_figures(&buddy, &[], total);
        prop_assert_eq!(buddy.stats(Kind::Memory).largest, Some(bits(17)));
        for root in [17, 14] {
            while let Err(error) = buddy.alloc(bits(root), &mut kernel) {
                prop_assert_eq!(error, AllocError::Sealed);
                prop_assert!(open(&mut buddy, &mut kernel, root));
            }
        }
        prop_assert_eq!((buddy.splits(), kernel.blocks.len()), (0, 2));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buddy allocator whose splits and joins are the caller's work
//!
//! [`Buddy`] hands out power-of-two blocks of its roots, the untyped memory that the kernel gave at boot. Splitting a
//! block is a Retype of it into two untypeds of half the size; joining two is a Revoke of the block they were made
//! from. Both cost system calls and may fail, so the [`Splitter`] that the caller passes does them, one at a time, and
//! the tables change only after it has succeeded.
//!
//! Joins are lazy. When the kernel retypes out of an untyped that has no children, it first clears all that was ever
//! used of it; a freed block that is joined up to its root at once would have the kernel clear that whole root again at
//! the next allocation. So a freed block stays as it is, ready for the next one of its size. Split blocks below which
//! all is free are remembered as *whole*, and joined when a block of their size is wanted, or when the table runs out
//! of nodes. For the same reason the smallest sufficient block is taken first.
//!
//! ```text
//!        32 Split                 32 Whole                32 Free (after an allocation of 32 asked for it)
//!        /      \     free(8a)    /      \
//!    16 Whole  16 Split   =>  16 Whole  16 Whole
//!     /    \    /    \         /    \    /    \
//!   8 F  8 F  8a U  8 F      8 F  8 F  8 F   8 F
//! ```

use crate::nodes::{BlockId, Index, Kind, Link, Lists, Node, Nodes, State};
use crate::size::SizeBits;

/// One block: a copy of what the allocator knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The allocation's name. Of use only for blocks that [`Buddy::alloc`] returned.
    pub id: BlockId,
    /// Address of the first byte.
    pub base: u64,
    /// Size.
    pub size: SizeBits,
    /// Kind of its root.
    pub kind: Kind,
    /// The caller's own value, such as the capability slot of the untyped: of a root as given to
    /// [`Buddy::add_root`], of any other as returned by [`Splitter::split`].
    pub value: u32,
}

/// The caller's part of a split or a join.
pub trait Splitter {
    /// Why a step failed.
    type Error;

    /// Makes two blocks of half the size out of `parent`, of which nothing is in use, and returns their values, the
    /// lower half's first.
    ///
    /// # Errors
    /// After an error everything must be as before the call: `parent` stays a free block.
    fn split(&mut self, parent: &Block) -> Result<[u32; 2], Self::Error>;

    /// Makes `parent` whole again out of its two free halves, whose values are given as `split` returned them, and
    /// releases what `split` took for these.
    ///
    /// # Errors
    /// After an error both halves must be as usable as before: they stay free blocks.
    fn join(&mut self, parent: &Block, children: [u32; 2]) -> Result<(), Self::Error>;
}

/// Why a root was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootError {
    /// The base is not a multiple of the size.
    Misaligned,
    /// An earlier root has some of the same addresses.
    Overlaps {
        /// Base of that root.
        base: u64,
    },
    /// No node is left for it, or blocks were split already.
    NoNodes,
}

/// Why a split or join did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepError<E> {
    /// The table has no two vacant nodes, and no blocks that could be joined to get them.
    NoNodes,
    /// The splitter could not split.
    Split(E),
    /// The splitter could not join.
    Join(E),
}

/// Blocks that were handed out and belong together: the last one that was added is the first that is taken off.
#[derive(Debug)]
pub struct Chain(Link);

impl Chain {
    /// No blocks.
    pub const EMPTY: Self = Self(Link::NONE);
}

/// Why [`Buddy::alloc`] returned no block. No memory is lost by any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocError<E> {
    /// No free block is large enough.
    OutOfMemory {
        /// Size asked for.
        requested: SizeBits,
        /// The largest that there is.
        largest: Option<SizeBits>,
    },
    /// No block that is open is large enough, but one is sealed: [`Buddy::sealed`].
    Sealed,
    /// A split or join on the way failed.
    Step(StepError<E>),
}

/// A block was given back that is not handed out: freed twice, or never from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeError {
    /// The refused name.
    pub id: BlockId,
}

/// Figures of one kind of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in all roots.
    pub total_bytes: u64,
    /// Bytes not handed out.
    pub free_bytes: u64,
    /// The largest block that [`Buddy::alloc`] can return.
    pub largest: Option<SizeBits>,
    /// Blocks handed out.
    pub blocks: usize,
}

/// Lists and counters of one kind.
struct Pool {
    free: Lists,
    whole: Lists,
    total_bytes: u64,
    free_bytes: u64,
    blocks: usize,
}

impl Pool {
    const EMPTY: Self = Self {
        free: [Link::NONE; SizeBits::COUNT],
        whole: [Link::NONE; SizeBits::COUNT],
        total_bytes: 0,
        free_bytes: 0,
        blocks: 0,
    };

    /// Finds the smallest free or whole block of at least `size`, unsplit before split.
    fn smallest(&self, size: SizeBits) -> Option<Index> {
        self.free[size.index()..]
            .iter()
            .zip(&self.whole[size.index()..])
            .find_map(|(free, whole)| free.get().or(whole.get()))
    }

    /// Finds the smallest block that is split and all free.
    fn smallest_whole(&self) -> Option<Index> {
        self.whole.iter().find_map(|list| list.get())
    }

    /// Finds the largest free or whole block.
    fn largest(&self) -> Option<Index> {
        self.free.iter().zip(&self.whole).rev().find_map(|(free, whole)| free.get().or(whole.get()))
    }
}

/// A buddy allocator with room for `NODES` blocks, counting roots, blocks that are split, and their halves.
///
/// N blocks handed out need at most about 2 N nodes when they are packed, and two more for each size between a block
/// and its root where they are not. 4,096 sandboxes of a block each, with a quarter of them scattered, take less than
/// half of the root task's [`NODES`](crate::NODES).
pub struct Buddy<const NODES: usize> {
    nodes: Nodes<NODES>,
    pools: [Pool; 2],
}

impl<const NODES: usize> Buddy<NODES> {
    /// Makes an allocator without roots.
    pub const fn new() -> Self {
        Self { nodes: Nodes::new(), pools: [Pool::EMPTY; 2] }
    }

    /// Hands `2^size` bytes from `base` to the allocator, with the caller's `value` for the block. All roots come
    /// before the first allocation.
    ///
    /// # Errors
    /// When it is misaligned, overlaps another root, or finds no node.
    pub fn add_root(&mut self, base: u64, size: SizeBits, kind: Kind, value: u32) -> Result<(), RootError> {
        if !size.aligns(base) {
            return Err(RootError::Misaligned);
        }
        // Of two aligned power-of-two ranges that meet, the larger one holds all of the smaller one.
        let meets = |node: &Node| (node.base ^ base) >> node.size.max(size).bits() == 0;
        if let Some(node) = self.nodes.roots().map(|root| self.nodes.get(root)).find(|node| meets(node)) {
            return Err(RootError::Overlaps { base: node.base });
        }
        let root = self.nodes.push_root().ok_or(RootError::NoNodes)?;
        self.set_free(root, Link::NONE, base, size, kind, value);
        let pool = self.pool(kind);
        pool.total_bytes += size.size();
        pool.free_bytes += size.size();
        Ok(())
    }

    /// Seals those roots of main memory of which nothing was split or handed out yet and that `which` names: nothing is,
    /// until [`Buddy::open`] says that they were opened.
    pub fn seal(&mut self, which: impl Fn(&Block) -> bool) {
        for index in self.nodes.roots() {
            let node = self.nodes.get(index);
            let is_whole = (node.kind, node.state, node.generation) == (Kind::Memory, State::Free, 0);
            if is_whole && which(&self.describe(index)) {
                self.nodes.unlink(&mut self.pools[Kind::Memory as usize].free, index);
                self.nodes.get_mut(index).state = State::Sealed;
            }
        }
    }

    /// Finds the smallest sealed root of at least `size`.
    pub fn sealed(&self, size: SizeBits) -> Option<Block> {
        let fits = |index: &Index| {
            let node = self.nodes.get(*index);
            node.state == State::Sealed && node.size >= size
        };
        let smallest = self.nodes.roots().filter(fits).min_by_key(|index| self.nodes.get(*index).size);
        smallest.map(|index| self.describe(index))
    }

    /// Opens a sealed root that the caller has split by itself, into halves with these values, the lower one's first.
    ///
    /// # Errors
    /// When it is not sealed, or no node is left for the halves; nothing changes then.
    pub fn open(&mut self, id: BlockId, values: [u32; 2]) -> Result<(), FreeError> {
        let Node { base, size, kind, state, .. } = *self.nodes.get(id.node);
        let half = size.half().filter(|_| state == State::Sealed).ok_or(FreeError { id })?;
        let lower = self.nodes.take_pair().ok_or(FreeError { id })?;
        self.set_halves(id.node, lower, (base, half), kind, values);
        Ok(())
    }

    /// Adds a block that is handed out, and in no chain, to one.
    ///
    /// # Errors
    /// When it is not handed out; nothing changes then.
    pub fn push(&mut self, chain: &mut Chain, id: BlockId) -> Result<(), FreeError> {
        self.nodes.lookup(id).ok_or(FreeError { id })?;
        self.nodes.get_mut(id.node).next = core::mem::replace(&mut chain.0, Link::to(id.node));
        Ok(())
    }

    /// Takes the block that was added last off a chain; it stays handed out.
    pub fn pop(&mut self, chain: &mut Chain) -> Option<Block> {
        let index = chain.0.get()?;
        chain.0 = self.nodes.get(index).next;
        Some(self.describe(index))
    }

    /// Hands out a block of main memory: one of that size that lies ready, else one joined to that size, else part of
    /// the smallest larger one.
    ///
    /// # Errors
    /// When no block is large enough, the table is full, or the splitter fails. Splits and joins done before stay done;
    /// their blocks are free.
    pub fn alloc<S: Splitter>(&mut self, size: SizeBits, splitter: &mut S) -> Result<Block, AllocError<S::Error>> {
        loop {
            let pool = self.pool(Kind::Memory);
            let Some(index) = pool.smallest(size) else {
                if self.sealed(size).is_some() {
                    return Err(AllocError::Sealed);
                }
                let largest = self.stats(Kind::Memory).largest;
                return Err(AllocError::OutOfMemory { requested: size, largest });
            };
            let node = self.nodes.get(index);
            let step = if node.state == State::Whole {
                self.join_below(index, splitter)
            } else if node.size == size {
                return Ok(self.take(index));
            } else if node.size.steps_to(size) > self.nodes.pairs_left() {
                self.join_any(splitter)
            } else {
                self.split(index, splitter)
            };
            step.map_err(AllocError::Step)?;
        }
    }

    /// Takes a block back and returns what it was. Nothing may be in use of it any more: for untyped memory, it was
    /// revoked.
    ///
    /// # Errors
    /// When it is not handed out; nothing changes then.
    pub fn free(&mut self, id: BlockId) -> Result<Block, FreeError> {
        let block = self.block(id)?;
        let mut index = id.node;
        self.nodes.get_mut(index).state = State::Free;
        let pool = &mut self.pools[block.kind as usize];
        self.nodes.push(&mut pool.free, index);
        pool.free_bytes += block.size.size();
        pool.blocks -= 1;
        while let Some(parent) = self.nodes.get(index).parent.get()
            && self.nodes.get(index.buddy()).is_free()
        {
            self.nodes.get_mut(parent).state = State::Whole;
            self.nodes.push(&mut pool.whole, parent);
            index = parent;
        }
        Ok(block)
    }

    /// Looks up a block that is handed out.
    ///
    /// # Errors
    /// When it is not.
    pub fn block(&self, id: BlockId) -> Result<Block, FreeError> {
        self.nodes.lookup(id).ok_or(FreeError { id })?;
        Ok(self.describe(id.node))
    }

    /// Returns the figures of one kind.
    pub fn stats(&self, kind: Kind) -> Stats {
        let Pool { total_bytes, free_bytes, blocks, .. } = self.pools[kind as usize];
        let largest = self.pools[kind as usize].largest().map(|index| self.nodes.get(index).size);
        Stats { total_bytes, free_bytes, largest, blocks }
    }

    /// Returns how many pairs of halves exist: the splits that were not joined again.
    pub fn splits(&self) -> usize {
        self.nodes.pairs_in_use()
    }

    fn pool(&mut self, kind: Kind) -> &mut Pool {
        &mut self.pools[kind as usize]
    }

    fn describe(&self, index: Index) -> Block {
        let Node { base, size, kind, value, generation, .. } = *self.nodes.get(index);
        Block { id: BlockId { node: index, generation }, base, size, kind, value }
    }

    /// Makes a vacant node a free block.
    fn set_free(&mut self, index: Index, parent: Link, base: u64, size: SizeBits, kind: Kind, value: u32) {
        let node = self.nodes.get_mut(index);
        (node.parent, node.base, node.size, node.kind, node.value) = (parent, base, size, kind, value);
        node.state = State::Free;
        self.nodes.push(&mut self.pools[kind as usize].free, index);
    }

    /// Hands out a free block. What it is part of is whole no longer.
    fn take(&mut self, index: Index) -> Block {
        let Node { kind, size, .. } = *self.nodes.get(index);
        let pool = &mut self.pools[kind as usize];
        self.nodes.unlink(&mut pool.free, index);
        pool.free_bytes -= size.size();
        pool.blocks += 1;
        let node = self.nodes.get_mut(index);
        node.state = State::Used;
        node.generation = node.generation.wrapping_add(1);
        let mut above = node.parent.get();
        while let Some(parent) = above
            && self.nodes.get(parent).state == State::Whole
        {
            self.nodes.unlink(&mut pool.whole, parent);
            self.nodes.get_mut(parent).state = State::Split;
            above = self.nodes.get(parent).parent.get();
        }
        self.describe(index)
    }

    /// Splits a free block; it is whole then, and its lower half the first in the list of its size.
    fn split<S: Splitter>(&mut self, index: Index, splitter: &mut S) -> Result<(), StepError<S::Error>> {
        let parent = self.describe(index);
        // A block of one byte is never split, since callers ask for no less.
        let half = parent.size.half().ok_or(StepError::NoNodes)?;
        let lower = self.nodes.take_pair().ok_or(StepError::NoNodes)?;
        let values = match splitter.split(&parent) {
            Ok(values) => values,
            Err(error) => {
                self.nodes.return_pair(lower);
                return Err(StepError::Split(error));
            }
        };
        self.nodes.unlink(&mut self.pools[parent.kind as usize].free, index);
        self.set_halves(index, lower, (parent.base, half), parent.kind, values);
        Ok(())
    }

    /// Makes a block that is on no list whole, with free halves.
    fn set_halves(&mut self, index: Index, lower: Index, (base, half): (u64, SizeBits), kind: Kind, values: [u32; 2]) {
        self.nodes.push(&mut self.pools[kind as usize].whole, index);
        let node = self.nodes.get_mut(index);
        (node.state, node.child) = (State::Whole, Link::to(lower));
        let above = Link::to(index);
        self.set_free(lower.buddy(), above, base + half.size(), half, kind, values[1]);
        self.set_free(lower, above, base, half, kind, values[0]);
    }

    /// Does one join at or below a whole block, where both halves are unsplit.
    fn join_below<S: Splitter>(&mut self, whole: Index, splitter: &mut S) -> Result<(), StepError<S::Error>> {
        let mut index = whole;
        let lower = loop {
            let lower = self.nodes.get(index).child.get().ok_or(StepError::NoNodes)?;
            index = match (self.nodes.get(lower).state, self.nodes.get(lower.buddy()).state) {
                (State::Whole, _) => lower,
                (_, State::Whole) => lower.buddy(),
                _ => break lower,
            };
        };
        let parent = self.describe(index);
        let values = [self.nodes.get(lower).value, self.nodes.get(lower.buddy()).value];
        splitter.join(&parent, values).map_err(StepError::Join)?;
        let pool = &mut self.pools[parent.kind as usize];
        self.nodes.unlink(&mut pool.free, lower);
        self.nodes.unlink(&mut pool.free, lower.buddy());
        self.nodes.return_pair(lower);
        self.nodes.unlink(&mut pool.whole, index);
        self.nodes.push(&mut pool.free, index);
        let node = self.nodes.get_mut(index);
        (node.state, node.child) = (State::Free, Link::NONE);
        Ok(())
    }

    /// Does one join anywhere, to gain a pair of nodes.
    fn join_any<S: Splitter>(&mut self, splitter: &mut S) -> Result<(), StepError<S::Error>> {
        let whole = Kind::ALL.iter().find_map(|&kind| self.pools[kind as usize].smallest_whole());
        self.join_below(whole.ok_or(StepError::NoNodes)?, splitter)
    }
}

impl<const NODES: usize> Default for Buddy<NODES> {
    fn default() -> Self {
        Self::new()
    }
}

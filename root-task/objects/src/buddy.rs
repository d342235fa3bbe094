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
//! To clear a large block takes long. [`Buddy::seal_above`] names a size; whatever is larger and may not be clear is *sealed*
//! instead of free: roots, blocks that were given back, and blocks that were joined. So of a block that is handed out or
//! split the kernel never clears more than that size. A sealed block is *opened*, with [`Buddy::open`] and
//! [`Buddy::opened`], by a caller that has it cleared in between. Only then is it free, to be handed out whole or in parts.
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
    /// No free block is large enough, but one will be once it is opened.
    Sealed,
    /// A split or join on the way failed.
    Step(StepError<E>),
}

/// What [`Buddy::open`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// This block is to be cleared; then [`Buddy::opened`] is to be told.
    Block(Block),
    /// It did one join, of as many as it takes to get a block of that size: it is to be asked again.
    Joined,
    /// Nothing that is sealed is large enough, or a block is being opened already.
    Nothing,
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
    /// The largest block that is free, sealed, or can be joined.
    pub largest: Option<SizeBits>,
    /// Blocks handed out.
    pub blocks: usize,
}

/// Lists and counters of one kind.
struct Pool {
    free: Lists,
    sealed: Lists,
    whole: Lists,
    total_bytes: u64,
    free_bytes: u64,
    blocks: usize,
}

impl Pool {
    const EMPTY: Self = Self {
        free: [Link::NONE; SizeBits::COUNT],
        sealed: [Link::NONE; SizeBits::COUNT],
        whole: [Link::NONE; SizeBits::COUNT],
        total_bytes: 0,
        free_bytes: 0,
        blocks: 0,
    };

    /// Returns the lists of free blocks, or of sealed ones.
    fn list(&mut self, state: State) -> &mut Lists {
        if state == State::Sealed { &mut self.sealed } else { &mut self.free }
    }

    /// Finds the smallest block that is split and all free.
    fn smallest_whole(&self) -> Option<Index> {
        self.whole.iter().find_map(|list| list.get())
    }

    /// Finds the largest block of which nothing is handed out.
    fn largest(&self) -> Option<Index> {
        let lists = self.free.iter().zip(&self.sealed).zip(&self.whole).rev();
        lists.into_iter().find_map(|((free, sealed), whole)| free.get().or(sealed.get()).or(whole.get()))
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
    /// The size above which blocks are sealed, if any are.
    open_size: Option<SizeBits>,
    /// The block that is being opened.
    opening: Link,
}

impl<const NODES: usize> Buddy<NODES> {
    /// Makes an allocator without roots, which seals nothing.
    pub const fn new() -> Self {
        Self { nodes: Nodes::new(), pools: [Pool::EMPTY; 2], open_size: None, opening: Link::NONE }
    }

    /// Has larger blocks of main memory sealed from then on, wherever they may not be clear.
    pub fn seal_above(&mut self, size: SizeBits) {
        self.open_size = Some(size);
    }

    /// Hands `2^size` bytes from `base` to the allocator, with the caller's `value` for the block. All roots come
    /// before the first allocation.
    ///
    /// # Errors
    /// When it is misaligned, overlaps another root, or finds no node.
    pub fn add_root(&mut self, base: u64, size: SizeBits, kind: Kind, value: u32) -> Result<(), RootError> {
        self.add(base, size, kind, value, self.given_back(size, kind))
    }

    /// Hands main memory to the allocator that is clear, as [`Buddy::add_root`] does any.
    ///
    /// # Errors
    /// As there.
    pub fn add_clear_root(&mut self, base: u64, size: SizeBits, value: u32) -> Result<(), RootError> {
        self.add(base, size, Kind::Memory, value, State::Free)
    }

    fn add(&mut self, base: u64, size: SizeBits, kind: Kind, value: u32, state: State) -> Result<(), RootError> {
        if !size.aligns(base) {
            return Err(RootError::Misaligned);
        }
        // Of two aligned power-of-two ranges that meet, the larger one holds all of the smaller one.
        let meets = |node: &Node| (node.base ^ base) >> node.size.max(size).bits() == 0;
        if let Some(node) = self.nodes.roots().map(|root| self.nodes.get(root)).find(|node| meets(node)) {
            return Err(RootError::Overlaps { base: node.base });
        }
        let root = self.nodes.push_root().ok_or(RootError::NoNodes)?;
        self.set(root, Link::NONE, (base, size, kind, value), state);
        let pool = self.pool(kind);
        pool.total_bytes += size.size();
        pool.free_bytes += size.size();
        Ok(())
    }

    /// Begins to open the smallest block that there is of at least `size`, or does a join towards one. For the smallest size
    /// that is any sealed block, and nothing is joined.
    ///
    /// # Errors
    /// When the splitter could not join.
    pub fn open<S: Splitter>(&mut self, size: SizeBits, splitter: &mut S) -> Result<Opening, StepError<S::Error>> {
        let Some(index) = self.to_open(size).filter(|_| self.opening == Link::NONE) else {
            return Ok(Opening::Nothing);
        };
        if self.nodes.get(index).state == State::Whole {
            self.join_below(index, splitter)?;
            return Ok(Opening::Joined);
        }
        self.leave(index, State::Opening);
        self.opening = Link::to(index);
        Ok(Opening::Block(self.describe(index)))
    }

    /// Tells whether there is a block that [`Buddy::open`] would open for the smallest size.
    pub fn has_sealed(&self) -> bool {
        self.to_open(SizeBits::ONE).is_some()
    }

    /// Takes over the block that was being opened, if there is one: it is clear, or sealed as before.
    pub fn opened(&mut self, is_clear: bool) {
        if let Some(index) = core::mem::replace(&mut self.opening, Link::NONE).get() {
            self.put(index, if is_clear { State::Free } else { State::Sealed });
        }
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
    /// the smallest larger one. What would be sealed once it is joined is left alone.
    ///
    /// # Errors
    /// When no block is large enough, the table is full, or the splitter fails. Splits and joins done before stay done;
    /// their blocks are free.
    pub fn alloc<S: Splitter>(&mut self, size: SizeBits, splitter: &mut S) -> Result<Block, AllocError<S::Error>> {
        loop {
            let Some(index) = self.smallest(size) else {
                let is_opened = self.opening_leads_to().is_some_and(|largest| largest >= size);
                if is_opened || self.to_open(size).is_some() {
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
        let pool = self.pool(block.kind);
        pool.free_bytes += block.size.size();
        pool.blocks -= 1;
        self.put(id.node, self.given_back(block.size, block.kind));
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

    /// Tells whether blocks of that size are sealed where they may not be clear.
    fn seals(&self, size: SizeBits) -> bool {
        self.open_size.is_some_and(|open_size| size > open_size)
    }

    /// Returns the state of a block that may not be clear.
    fn given_back(&self, size: SizeBits, kind: Kind) -> State {
        if kind == Kind::Memory && self.seals(size) { State::Sealed } else { State::Free }
    }

    /// Finds the smallest block of at least `size` that is free, or whole and not sealed once it is joined; unsplit before
    /// split.
    fn smallest(&self, size: SizeBits) -> Option<Index> {
        let Pool { free, whole, .. } = &self.pools[Kind::Memory as usize];
        size.and_larger().find_map(|size| {
            let whole = whole[size.index()].get().filter(|_| !self.seals(size));
            free[size.index()].get().or(whole)
        })
    }

    /// Finds the smallest block of at least `size` that is sealed, or will be once it is joined. For a size that is not sealed
    /// itself nothing has to be joined: what is whole and larger has a sealed block below, or one that can be had at once.
    fn to_open(&self, size: SizeBits) -> Option<Index> {
        let Pool { sealed, whole, .. } = &self.pools[Kind::Memory as usize];
        let joins = self.seals(size);
        size.and_larger().find_map(|size| {
            let whole = whole[size.index()].get().filter(|_| joins);
            sealed[size.index()].get().or(whole)
        })
    }

    /// Returns the size of what will be whole or free by the block that is being opened.
    fn opening_leads_to(&self) -> Option<SizeBits> {
        let mut index = self.opening.get()?;
        while let Some(parent) = self.nodes.get(index).parent.get()
            && self.nodes.get(index.buddy()).is_free()
        {
            index = parent;
        }
        Some(self.nodes.get(index).size)
    }

    /// Makes a vacant node a block.
    fn set(&mut self, index: Index, parent: Link, (base, size, kind, value): (u64, SizeBits, Kind, u32), state: State) {
        let node = self.nodes.get_mut(index);
        (node.parent, node.base, node.size, node.kind, node.value) = (parent, base, size, kind, value);
        node.state = state;
        self.nodes.push(self.pools[kind as usize].list(state), index);
    }

    /// Makes a block free or sealed that was neither. What it is part of may be whole by that.
    fn put(&mut self, mut index: Index, state: State) {
        let node = self.nodes.get_mut(index);
        node.state = state;
        let pool = &mut self.pools[node.kind as usize];
        self.nodes.push(pool.list(state), index);
        while let Some(parent) = self.nodes.get(index).parent.get()
            && self.nodes.get(index.buddy()).is_free()
        {
            self.nodes.get_mut(parent).state = State::Whole;
            self.nodes.push(&mut pool.whole, parent);
            index = parent;
        }
    }

    /// Hands out a free block.
    fn take(&mut self, index: Index) -> Block {
        let Node { kind, size, .. } = *self.nodes.get(index);
        let pool = self.pool(kind);
        pool.free_bytes -= size.size();
        pool.blocks += 1;
        self.leave(index, State::Used);
        let node = self.nodes.get_mut(index);
        node.generation = node.generation.wrapping_add(1);
        self.describe(index)
    }

    /// Makes a block something else that is free or sealed. What it is part of is whole no longer.
    fn leave(&mut self, index: Index, state: State) {
        let node = self.nodes.get_mut(index);
        let before = core::mem::replace(&mut node.state, state);
        let (mut above, pool) = (node.parent.get(), &mut self.pools[node.kind as usize]);
        self.nodes.unlink(pool.list(before), index);
        while let Some(parent) = above
            && self.nodes.get(parent).state == State::Whole
        {
            self.nodes.unlink(&mut pool.whole, parent);
            self.nodes.get_mut(parent).state = State::Split;
            above = self.nodes.get(parent).parent.get();
        }
    }

    /// Splits a free block; it is whole then, and its lower half the first in the list of its size.
    fn split<S: Splitter>(&mut self, index: Index, splitter: &mut S) -> Result<(), StepError<S::Error>> {
        let parent = self.describe(index);
        // A block of one byte is never split, since callers ask for no less.
        let size = parent.size.half().ok_or(StepError::NoNodes)?;
        let lower = self.nodes.take_pair().ok_or(StepError::NoNodes)?;
        let values = match splitter.split(&parent) {
            Ok(values) => values,
            Err(error) => {
                self.nodes.return_pair(lower);
                return Err(StepError::Split(error));
            }
        };
        let pool = &mut self.pools[parent.kind as usize];
        self.nodes.unlink(&mut pool.free, index);
        self.nodes.push(&mut pool.whole, index);
        let node = self.nodes.get_mut(index);
        (node.state, node.child) = (State::Whole, Link::to(lower));
        // The kernel has cleared it.
        for (half, base, value) in
            [(lower.buddy(), parent.base + size.size(), values[1]), (lower, parent.base, values[0])]
        {
            self.set(half, Link::to(index), (base, size, parent.kind, value), State::Free);
        }
        Ok(())
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
        let state = self.given_back(parent.size, parent.kind);
        let pool = &mut self.pools[parent.kind as usize];
        for half in [lower, lower.buddy()] {
            let list = pool.list(self.nodes.get(half).state);
            self.nodes.unlink(list, half);
        }
        self.nodes.return_pair(lower);
        self.nodes.unlink(&mut pool.whole, index);
        self.nodes.push(pool.list(state), index);
        let node = self.nodes.get_mut(index);
        (node.state, node.child) = (state, Link::NONE);
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

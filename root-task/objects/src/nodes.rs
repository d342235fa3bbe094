// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of nodes behind [`crate::Buddy`]
//!
//! A fixed table of nodes, its children-pairs handed out and taken back, and the doubly linked lists that run through
//! it. Knows nothing of when to split or join.
//!
//! Invariants: the two children of a split block lie at `i` and `i ^ 1` with the lower half at the even index; roots
//! fill the table's start; links are an index plus one, so that a table of zeros is an empty one.

use crate::size::SizeBits;

/// What a root consists of; blocks of one kind never stand in for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Main memory, cleared by the kernel before use.
    Memory = 0,
    /// Device memory: registers, and whatever the firmware keeps to itself.
    Device = 1,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Device];
}

/// Name of one allocation: where its node is, and which of the node's allocations it is.
///
/// Kept by whoever owns the block, and handed back to free it. A name whose block was freed is refused, as long as
/// its node has not been allocated another 2^32 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
    pub(crate) node: Index,
    pub(crate) generation: u32,
}

/// Index of a node in its table; always within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(u32);

impl Index {
    /// The other half of the block that this one is a half of. Meaningless for roots.
    pub(crate) fn buddy(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// An index or nothing, nothing being zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(u32);

impl Link {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn to(index: Index) -> Self {
        Self(index.0 + 1)
    }

    pub(crate) fn get(self) -> Option<Index> {
        self.0.checked_sub(1).map(Index)
    }
}

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Nothing: the node is not in use.
    Vacant = 0,
    /// A block that nobody has; on the free list of its size.
    Free,
    /// A block that was handed out.
    Used,
    /// A block that is split, part of it handed out.
    Split,
    /// A block that is split, all of it free below; on the whole list of its size.
    Whole,
    /// A block that nobody has, but not to be handed out or split before it was opened; on the sealed list of its size.
    Sealed,
    /// A block that is being opened; on no list.
    Opening,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) base: u64,
    pub(crate) parent: Link,
    /// The lower child, of a split block.
    pub(crate) child: Link,
    prev: Link,
    /// The next one on its list; of a block that was handed out, in its chain.
    pub(crate) next: Link,
    pub(crate) value: u32,
    pub(crate) generation: u32,
    pub(crate) size: SizeBits,
    pub(crate) kind: Kind,
    pub(crate) state: State,
}

impl Node {
    const VACANT: Self = Self {
        base: 0,
        parent: Link::NONE,
        child: Link::NONE,
        prev: Link::NONE,
        next: Link::NONE,
        value: 0,
        generation: 0,
        size: SizeBits::ONE,
        kind: Kind::Memory,
        state: State::Vacant,
    };

    /// Tells whether nothing of the block is handed out.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.state, State::Free | State::Sealed | State::Whole)
    }
}

/// One list for each size.
pub(crate) type Lists = [Link; SizeBits::COUNT];

/// The table.
pub(crate) struct Nodes<const NODES: usize> {
    nodes: [Node; NODES],
    /// Nodes from here on were never used.
    fresh: u32,
    /// Lower halves of pairs that were given back, linked through `next`.
    returned: Link,
    pairs_in_use: u32,
    pub(crate) roots: u32,
}

impl<const NODES: usize> Nodes<NODES> {
    /// Nodes are counted in u32 with one left over, and handed out in pairs.
    const FITS: () = assert!(NODES.is_multiple_of(2) && NODES < u32::MAX as usize);

    pub(crate) const fn new() -> Self {
        const { Self::FITS };
        Self { nodes: [Node::VACANT; NODES], fresh: 0, returned: Link::NONE, pairs_in_use: 0, roots: 0 }
    }

    pub(crate) fn get(&self, index: Index) -> &Node {
        &self.nodes[index.0 as usize]
    }

    pub(crate) fn get_mut(&mut self, index: Index) -> &mut Node {
        &mut self.nodes[index.0 as usize]
    }

    /// Looks an allocation up, refusing stale and foreign names.
    pub(crate) fn lookup(&self, id: BlockId) -> Option<&Node> {
        let node = self.nodes.get(id.node.0 as usize)?;
        (node.state == State::Used && node.generation == id.generation).then_some(node)
    }

    pub(crate) fn roots(&self) -> impl Iterator<Item = Index> + use<NODES> {
        (0..self.roots).map(Index)
    }

    /// Adds a node for a root, while no pair was ever taken.
    pub(crate) fn push_root(&mut self) -> Option<Index> {
        let index = self.roots;
        (self.fresh == index.next_multiple_of(2) && (index as usize) < NODES).then(|| {
            self.roots = index + 1;
            self.fresh = self.roots.next_multiple_of(2);
            Index(index)
        })
    }

    pub(crate) fn pairs_in_use(&self) -> usize {
        self.pairs_in_use as usize
    }

    pub(crate) fn pairs_left(&self) -> usize {
        (NODES - self.roots.next_multiple_of(2) as usize) / 2 - self.pairs_in_use()
    }

    /// Takes a vacant pair and returns its lower half.
    pub(crate) fn take_pair(&mut self) -> Option<Index> {
        let lower = match self.returned.get() {
            Some(lower) => {
                self.returned = self.get(lower).next;
                lower
            }
            None if (self.fresh as usize) < NODES => {
                self.fresh += 2;
                Index(self.fresh - 2)
            }
            None => return None,
        };
        self.pairs_in_use += 1;
        Some(lower)
    }

    /// Takes a pair back. Generations stay, so that old names of its blocks stay refused.
    pub(crate) fn return_pair(&mut self, lower: Index) {
        for index in [lower, lower.buddy()] {
            let node = self.get_mut(index);
            *node = Node { generation: node.generation, ..Node::VACANT };
        }
        self.get_mut(lower).next = self.returned;
        self.returned = Link::to(lower);
        self.pairs_in_use -= 1;
    }

    /// Puts a node at the head of its list.
    pub(crate) fn push(&mut self, lists: &mut Lists, index: Index) {
        let head = &mut lists[self.get(index).size.index()];
        let next = core::mem::replace(head, Link::to(index));
        if let Some(next) = next.get() {
            self.get_mut(next).prev = Link::to(index);
        }
        let node = self.get_mut(index);
        (node.prev, node.next) = (Link::NONE, next);
    }

    /// Takes a node out of its list.
    pub(crate) fn unlink(&mut self, lists: &mut Lists, index: Index) {
        let Node { prev, next, size, .. } = *self.get(index);
        match prev.get() {
            Some(prev) => self.get_mut(prev).next = next,
            None => lists[size.index()] = next,
        }
        if let Some(next) = next.get() {
            self.get_mut(next).prev = prev;
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A heap that its client can read: a buffer that the allocator inside is told to work in.
//!
//! To the server it is a buffer like any other: all of its memory is there from the set-up on, at one address on both sides.
//! So it is the client that clears it, as it does buffers, and that keeps what a snapshot has of it.

use super::{buffer::Buffer, memory::SharedMemory};

/// A heap that its client can read.
#[derive(Debug)]
pub(super) struct WalkedHeap {
    heap: Buffer,
    /// What a reset returns to, if it is not zeros: in pages that the sandbox can only read.
    ground: Option<Buffer>,
}

impl WalkedHeap {
    pub(super) const fn new(heap: Buffer) -> Self {
        Self { heap, ground: None }
    }

    pub(super) const fn memory(&self) -> SharedMemory {
        self.heap.memory()
    }

    /// Makes its present state what a reset returns to. A sandbox that runs on meanwhile spoils what is its own.
    pub(super) fn keep(&mut self, ground: Buffer) {
        self.memory().copy_to(ground.memory());
        self.ground = Some(ground);
    }

    /// Makes it what it was at first, or when the snapshot was taken.
    pub(super) fn reset(&mut self) {
        match &self.ground {
            Some(ground) => ground.memory().copy_to(self.memory()),
            None => self.heap.wipe(),
        }
    }
}

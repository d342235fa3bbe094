// SPDX-License-Identifier: MIT OR Apache-2.0
//! The global allocator: of the client's own heap, or of the sandbox's that the code runs in.
//!
//! Which one is said by where the stack is. A heap has its allocator's state at its own start, and zeros are a heap
//! that nothing was taken from: so a sandbox's allocator is pristine whenever its heap is. A function that overwrites that
//! state harms calls until the next reset, and nobody else.
#![expect(unsafe_code, reason = "a global allocator")]

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicUsize, Ordering},
};

use sbm_abi::{
    FIRST_CHUNK_PAGES,
    limits::{CLIENT_STACK_BASE, MAX_DATA_BYTES, PAGE},
};
use sbm_coding::Memory;
use talc::{OomHandler, Span, Talc};

use crate::inside::{guarded, heap, panic::in_sandbox};

const FIRST_CHUNK: usize = FIRST_CHUNK_PAGES as usize * PAGE as usize;

/// What an allocation can take beside its size: its tag, and what rounding adds.
const OVERHEAD: usize = 64;

/// The heap that a client allocates from, of `BYTES`. `sbm::main!(main, heap = BYTES)` makes it the global allocator, which
/// in a sandbox is the one of the sandbox's heap.
#[repr(C, align(64))]
pub struct ClientHeap<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

/// Tells whether a client's own heap can be as large.
const fn fits(bytes: usize) -> bool {
    bytes < MAX_DATA_BYTES as usize
}

/// What the client's own heap had no room for last, and how many bytes it has, since then.
static MISSED: AtomicUsize = AtomicUsize::new(0);
static OWN: AtomicUsize = AtomicUsize::new(0);

/// Returns what the client's own heap had no room for last, and how many bytes it has.
pub(crate) fn missed() -> [usize; 2] {
    [&MISSED, &OWN].map(|word| word.load(Ordering::Relaxed))
}

// SAFETY: a client has one thread, and its sandboxes do not have its statics.
unsafe impl<const BYTES: usize> Sync for ClientHeap<BYTES> {}

impl<const BYTES: usize> ClientHeap<BYTES> {
    /// Refuses, when the program is compiled, a heap that does not fit into a client's statics.
    #[doc(hidden)]
    pub const FITS: () = assert!(fits(BYTES), "a client's own heap is part of its statics, which have 16 MiB in all");

    /// Makes a heap from which nothing was taken yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "only for a static")]
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self(UnsafeCell::new([0; BYTES]))
    }

    /// Returns the allocator of whoever runs this, if there is one.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "each is used for one operation, none of which begins another")]
    fn allocator(&self) -> Option<&mut Allocator> {
        let place = if in_sandbox() { heap::place()? } else { (self.0.get() as usize, BYTES) };
        // SAFETY: a sandbox's heap begins with a page, and `in_sandbox` says that it is this thread's own; the client's is
        // this static. Allocators are used for the time of one operation, none of which begins another.
        unsafe { State::at(place) }
    }

    /// Notes an allocation for which there is no room.
    #[cold]
    fn no_room(size: usize) -> *mut u8 {
        if in_sandbox() {
            heap::note_no_room(size);
        } else {
            MISSED.store(size, Ordering::Relaxed);
            OWN.store(BYTES, Ordering::Relaxed);
        }
        null_mut()
    }

    /// Allocates from a guarded heap, if that is what there is.
    #[cold]
    fn allocate_guarded(layout: Layout) -> *mut u8 {
        let memory = if in_sandbox() { guarded::allocate(layout) } else { None };
        memory.map_or_else(|| Self::no_room(layout.size()), NonNull::as_ptr)
    }

    /// Frees in a guarded heap.
    #[cold]
    fn free_guarded(memory: *mut u8) {
        if in_sandbox()
            && let Some(memory) = NonNull::new(memory)
        {
            guarded::free(memory);
        }
    }

    /// Moves an allocation of a guarded heap.
    ///
    /// # Safety
    /// As [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn reallocate_guarded(memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(memory) = NonNull::new(memory).filter(|_| in_sandbox()) else { return null_mut() };
        // SAFETY: by this function's contract.
        let moved = unsafe { guarded::reallocate(memory, layout, size) };
        moved.map_or_else(|| Self::no_room(size), NonNull::as_ptr)
    }
}

// SAFETY: `Talc` is an allocator; memory that one heap gave goes back to the same, since it is used where it is mapped.
unsafe impl<const BYTES: usize> GlobalAlloc for ClientHeap<BYTES> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(allocator) = self.allocator() else { return Self::allocate_guarded(layout) };
        // SAFETY: by this function's contract the size is not zero.
        let memory = unsafe { allocator.malloc(layout) };
        memory.map_or_else(|()| Self::no_room(layout.size()), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(allocator) = self.allocator() else { return Self::free_guarded(memory) };
        if let Some(memory) = NonNull::new(memory) {
            // SAFETY: by this function's contract it was allocated here, with this layout.
            unsafe { allocator.free(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(allocator) = self.allocator() else {
            // SAFETY: by this function's contract.
            return unsafe { Self::reallocate_guarded(memory, layout, size) };
        };
        let Some(memory) = NonNull::new(memory) else { return null_mut() };
        if size <= layout.size() {
            // SAFETY: by this function's contract it was allocated here, with this layout, and the size is not zero.
            unsafe { allocator.shrink(memory, layout, size) };
            return memory.as_ptr();
        }
        // SAFETY: as above.
        let grown = unsafe { allocator.grow(memory, layout, size) };
        grown.map_or_else(|()| Self::no_room(size), NonNull::as_ptr)
    }
}

/// Where a client decodes.
pub(crate) const READER: Memory =
    Memory { has_room, stack_end: if cfg!(sbm_guest) { CLIENT_STACK_BASE as usize } else { 0 } };

/// Tells whether the heap of the client that runs this has so many bytes in one piece.
#[cfg(sbm_guest)]
fn has_room(bytes: usize) -> bool {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), align_of::<u128>()) else { return false };
    // SAFETY: the size is not zero, and what was allocated is given back, by the same layout.
    unsafe {
        // Otherwise the compiler takes it that there is always room, and asks nobody.
        let memory = core::hint::black_box(alloc::alloc::alloc(layout));
        if memory.is_null() {
            return false;
        }
        alloc::alloc::dealloc(memory, layout);
    }
    true
}

/// Leaves it to the host's own allocator.
#[cfg(not(sbm_guest))]
fn has_room(_: usize) -> bool {
    true
}

type Allocator = Talc<Chunks>;

/// What stands at the start of a heap.
#[repr(C)]
struct State {
    /// 0 while there is no allocator.
    is_made: usize,
    allocator: MaybeUninit<Allocator>,
}

impl State {
    /// Returns the allocator of the heap at an address, of so many bytes; makes it, the first time.
    ///
    /// # Safety
    /// That memory is a heap's, was zero at first, and no other reference to its allocator is in use.
    #[inline]
    unsafe fn at<'a>((address, bytes): (usize, usize)) -> Option<&'a mut Allocator> {
        if bytes < size_of::<Self>() {
            return None;
        }
        let state = address as *mut Self;
        // SAFETY: by this function's contract; zeros are a state.
        let state = unsafe { &mut *state };
        if state.is_made == 0 {
            state.make(address, bytes);
        }
        // SAFETY: it is made.
        Some(unsafe { state.allocator.assume_init_mut() })
    }

    #[cold]
    fn make(&mut self, start: usize, bytes: usize) {
        let limit = start + bytes;
        let allocator = self.allocator.write(Talc::new(Chunks { start, taken: Span::empty(), limit }));
        let (from, end) = (start + size_of::<Self>(), limit.min(start + FIRST_CHUNK));
        // SAFETY: what follows the state, up to the limit, is the allocator's alone.
        let taken = unsafe { allocator.claim(Span::new(from as *mut u8, end as *mut u8)) };
        allocator.oom_handler.taken = taken.unwrap_or(Span::empty());
        self.is_made = 1;
    }
}

/// Where a heap can grow to: from chunk to chunk, none of which is touched before it is needed.
struct Chunks {
    start: usize,
    /// What the allocator has; empty if it could not take anything.
    taken: Span,
    limit: usize,
}

impl OomHandler for Chunks {
    fn handle_oom(talc: &mut Allocator, layout: Layout) -> Result<(), ()> {
        let Self { start, taken, limit } = talc.oom_handler;
        let (_, end) = taken.get_base_acme().ok_or(())?;
        // SAFETY: it is what the allocator has made of the memory that it was given.
        let allocated = unsafe { talc.get_allocated_span(taken) };
        let from = allocated.get_base_acme().ok_or(())?.1 as usize;
        let wanted = [layout.size(), layout.align(), OVERHEAD].into_iter().try_fold(from, usize::checked_add);
        let wanted = wanted.filter(|wanted| *wanted <= limit).ok_or(())?.max(end as usize + 1);
        let new_end = limit.min(start + (wanted - start).max(FIRST_CHUNK).next_power_of_two());
        // SAFETY: memory up to the limit is the allocator's alone.
        let larger = unsafe { talc.extend(taken, taken.extend(0, new_end.saturating_sub(end as usize))) };
        talc.oom_handler.taken = larger;
        // Where it is no more than before, to go on would go round for ever.
        if larger.size() > taken.size() { Ok(()) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_leaves_room_in_a_clients_statics() {
        assert!(fits(0) && fits(15 << 20));
        assert!(!fits(16 << 20) && !fits(usize::MAX));
    }
}

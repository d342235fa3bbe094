// SPDX-License-Identifier: MIT OR Apache-2.0
//! The global allocator: of the client's own heap, or of the sandbox's that the code runs in.
//!
//! Which one is said by where the stack is. A heap has its allocator's state at its own start, and zeros are a heap
//! that nothing was taken from: so a sandbox's allocator is pristine whenever its heap is. A function that overwrites that
//! state harms calls until the next reset, and nobody else.
//!
//! The client's has a reserve behind it, which is lent while a value from a sandbox is read (`sbm_coding::Account`).
#![expect(unsafe_code, reason = "a global allocator")]

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use sbm_abi::{
    FIRST_CHUNK_PAGES,
    limits::{CLIENT_STACK_BASE, MAX_DATA_BYTES, PAGE},
};
use sbm_coding::{Account, Heap, Memory};
use talc::{OomHandler, Span, Talc};

use crate::inside::{guarded, heap, panic::in_sandbox};

const FIRST_CHUNK: usize = FIRST_CHUNK_PAGES as usize * PAGE as usize;

/// What an allocation can take beside its size: its tag, and what rounding adds.
const OVERHEAD: usize = 64;

/// What the client's allocator counts.
static ACCOUNT: Account = Account::new();

/// Where the client's heap is, once something of its reserve was lent.
static LENDER: AtomicUsize = AtomicUsize::new(0);

/// The heap that a client allocates from, of `BYTES`. `sbm::main!(main, heap = BYTES)` makes it the global allocator, which
/// in a sandbox is the one of the sandbox's heap.
#[repr(C, align(64))]
pub struct ClientHeap<const BYTES: usize>(UnsafeCell<Bytes<BYTES>>);

#[repr(C)]
struct Bytes<const BYTES: usize>([u8; BYTES], [u8; Account::RESERVE]);

/// Tells whether a client's own heap can be as large.
const fn fits(bytes: usize) -> bool {
    bytes < MAX_DATA_BYTES as usize
}

/// What the client's own heap had no room for last, and how many bytes it has, since then.
static MISSED: AtomicUsize = AtomicUsize::new(0);
static OWN: AtomicUsize = AtomicUsize::new(0);

/// Returns what the client's own heap had no room for last, and how many bytes it has.
pub(crate) fn missed() -> [usize; 2] {
    [&MISSED, &OWN].map(|word| word.load(Relaxed))
}

/// Notes what the client's own heap, of so many bytes, had no room for.
fn note_missed(size: usize, own: usize) {
    MISSED.store(size, Relaxed);
    OWN.store(own, Relaxed);
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
        Self(UnsafeCell::new(Bytes([0; BYTES], [0; Account::RESERVE])))
    }

    /// Returns the allocator of whoever runs this, if it is made, for an allocation that is counted, or none.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "each is used for one operation, none of which begins another")]
    fn allocator(&self, counted: Option<Layout>) -> Option<&mut Allocator> {
        let start = if in_sandbox() {
            heap::place()?.0
        } else {
            if let Some(layout) = counted {
                ACCOUNT.count(layout);
            }
            self.0.get() as usize
        };
        // SAFETY: a sandbox's heap begins with a page, and `in_sandbox` says that it is this thread's own; the client's is
        // this static. Allocators are used for the time of one operation, none of which begins another.
        unsafe { State::made(start) }
    }

    /// Allocates from a heap whose allocator is not made yet, or from a guarded one.
    #[cold]
    #[inline(never)]
    fn allocate_first(&self, layout: Layout) -> *mut u8 {
        let place = if in_sandbox() {
            heap::place().map(|(start, bytes)| Place { start, bytes, reserve: 0 })
        } else {
            Some(Place { start: self.0.get() as usize, bytes: BYTES, reserve: Account::RESERVE })
        };
        // SAFETY: as in `allocator`.
        let Some(allocator) = place.and_then(|place| unsafe { State::at(place) }) else {
            return Self::allocate_guarded(layout);
        };
        // SAFETY: as in `alloc`.
        let memory = unsafe { allocator.malloc(layout) };
        memory.map_or_else(|()| Self::no_room(layout.size()), NonNull::as_ptr)
    }

    /// Notes an allocation for which there is no room.
    #[cold]
    fn no_room(size: usize) -> *mut u8 {
        if in_sandbox() {
            heap::note_no_room(size);
        } else {
            note_missed(size, BYTES);
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
        let Some(allocator) = self.allocator(Some(layout)) else { return self.allocate_first(layout) };
        // SAFETY: by this function's contract the size is not zero.
        let memory = unsafe { allocator.malloc(layout) };
        memory.map_or_else(|()| Self::no_room(layout.size()), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        let Some(allocator) = self.allocator(None) else { return Self::free_guarded(memory) };
        if let Some(memory) = NonNull::new(memory) {
            // SAFETY: by this function's contract it was allocated here, with this layout.
            unsafe { allocator.free(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by this function's contract the size is one of a layout.
        let grown = (size > layout.size()).then(|| unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
        let Some(allocator) = self.allocator(grown) else {
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
pub(crate) const READER: Memory = Memory {
    heap: Heap { account: &ACCOUNT, has_room, restore },
    stack_end: if cfg!(sbm_guest) { CLIENT_STACK_BASE as usize } else { 0 },
};

/// Takes back what was lent of the client's reserve, and tells whether it is whole.
fn restore() -> bool {
    let start = LENDER.load(Relaxed);
    // SAFETY: the address is that of a client's heap, which has lent something, and no operation of that is going on.
    start == 0 || unsafe { (*(start as *mut State)).restore() }
}

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

/// Where a heap is.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    bytes: usize,
    /// What lies behind it.
    reserve: usize,
}

/// What stands at the start of a heap.
#[repr(C)]
struct State {
    /// 0 while there is no allocator.
    is_made: usize,
    allocator: MaybeUninit<Allocator>,
}

/// What the allocator keeps of its own in the first memory that it is given.
const BINS: usize = 130 * size_of::<usize>();

impl State {
    /// Returns the allocator of the heap at an address, if it is made.
    ///
    /// # Safety
    /// As [`State::at`].
    #[inline]
    unsafe fn made<'a>(start: usize) -> Option<&'a mut Allocator> {
        // SAFETY: by this function's contract; zeros are a state.
        let state = unsafe { &mut *(start as *mut Self) };
        // SAFETY: it is made.
        (state.is_made != 0).then(|| unsafe { state.allocator.assume_init_mut() })
    }

    /// Returns the allocator of a heap; makes it, the first time.
    ///
    /// # Safety
    /// That memory is a heap's, was zero at first, and no other reference to its allocator is in use.
    unsafe fn at<'a>(place: Place) -> Option<&'a mut Allocator> {
        if place.bytes + place.reserve < size_of::<Self>() + BINS {
            return None;
        }
        // SAFETY: by this function's contract; zeros are a state.
        let state = unsafe { &mut *(place.start as *mut Self) };
        if state.is_made == 0 {
            state.make(place);
        }
        // SAFETY: it is made.
        Some(unsafe { state.allocator.assume_init_mut() })
    }

    fn make(&mut self, Place { start, bytes, reserve }: Place) {
        let from = start + size_of::<Self>();
        // A heap that is smaller than what its allocator keeps has nothing to give, but the rest of its reserve.
        let limit = (start + bytes).max(from + BINS);
        let reserve = start + bytes + reserve - limit;
        let chunks = Chunks { start, taken: Span::empty(), limit, reserve, bytes };
        let allocator = self.allocator.write(Talc::new(chunks));
        // SAFETY: what follows the state, up to the limit, is the allocator's alone.
        let taken = unsafe { allocator.claim(Span::new(from as *mut u8, limit.min(start + FIRST_CHUNK) as *mut u8)) };
        allocator.oom_handler.taken = taken.unwrap_or(Span::empty());
        self.is_made = 1;
    }

    /// Takes back what was lent of the reserve, and tells whether it is whole.
    #[cold]
    fn restore(&mut self) -> bool {
        // SAFETY: it is made, since it has lent something.
        let allocator = unsafe { self.allocator.assume_init_mut() };
        let Chunks { taken, limit, .. } = allocator.oom_handler;
        // SAFETY: it is what the allocator has made of the memory that it was given.
        let allocated = unsafe { allocator.get_allocated_span(taken) };
        let (Some((start, end)), Some((_, used))) = (taken.get_base_acme(), allocated.get_base_acme()) else {
            return true;
        };
        let new_end = (used as usize).max(limit);
        if new_end < end as usize {
            // SAFETY: nothing that is allocated lies behind that.
            allocator.oom_handler.taken = unsafe { allocator.truncate(taken, Span::new(start, new_end as *mut u8)) };
        }
        new_end <= limit
    }
}

/// Where a heap can grow to: from chunk to chunk, none of which is touched before it is needed.
struct Chunks {
    start: usize,
    /// What the allocator has; empty if it could not take anything.
    taken: Span,
    limit: usize,
    /// What lies behind the limit.
    reserve: usize,
    /// How many bytes its owner asked for.
    bytes: usize,
}

impl OomHandler for Chunks {
    // Apart from an allocation, which would pay for its registers.
    #[cold]
    #[inline(never)]
    fn handle_oom(talc: &mut Allocator, layout: Layout) -> Result<(), ()> {
        let Self { start, taken, limit, reserve, bytes } = talc.oom_handler;
        let (_, end) = taken.get_base_acme().ok_or(())?;
        // SAFETY: it is what the allocator has made of the memory that it was given.
        let allocated = unsafe { talc.get_allocated_span(taken) };
        let from = allocated.get_base_acme().ok_or(())?.1 as usize;
        let wanted = [layout.size(), layout.align(), OVERHEAD].into_iter().try_fold(from, usize::checked_add);
        let wanted = wanted.filter(|wanted| *wanted <= limit + reserve).ok_or(())?.max(end as usize + 1);
        let is_lent = wanted > limit && reserve > 0 && ACCOUNT.lend(layout.size());
        if is_lent {
            LENDER.store(start, Relaxed);
            note_missed(layout.size(), bytes);
        }
        let limit = if is_lent { limit + reserve } else { limit };
        if wanted > limit {
            return Err(());
        }
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
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use core::cell::{Cell, RefCell};
    use sbm_coding::Unreadable;
    use serde::{Deserialize, Deserializer};
    use std::{boxed::Box, iter, vec, vec::Vec};

    #[test]
    fn a_heap_leaves_room_in_a_clients_statics() {
        assert!(fits(0) && fits(15 << 20));
        assert!(!fits(16 << 20) && !fits(usize::MAX));
    }

    const PIECE: Layout = Layout::new::<[u64; 2]>();

    std::thread_local! {
        static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
        static TAKEN: RefCell<Vec<NonNull<u8>>> = const { RefCell::new(Vec::new()) };
    }

    fn allocator<'a>() -> &'a mut Allocator {
        // SAFETY: the memory is this heap's alone, and was zeros; each allocator is used for one operation.
        unsafe { State::at(PLACE.get().unwrap()) }.unwrap()
    }

    /// Takes all that there is, and returns how many pieces that are.
    fn take_all() -> usize {
        // SAFETY: the size is not zero.
        let all = iter::from_fn(|| unsafe { allocator().malloc(PIECE) }.ok());
        TAKEN.with_borrow_mut(|taken| {
            let before = taken.len();
            taken.extend(all);
            taken.len() - before
        })
    }

    fn give_back(kept: usize) {
        // SAFETY: it was taken.
        TAKEN.with_borrow_mut(|taken| taken.drain(kept..).for_each(|piece| unsafe { allocator().free(piece, PIECE) }));
    }

    /// Reads itself from nothing, and takes all memory for that.
    #[derive(Debug, PartialEq)]
    struct All(usize);

    impl<'de> Deserialize<'de> for All {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self(take_all()))
        }
    }

    fn read() -> Result<All, Unreadable> {
        sbm_coding::decode(&[], 1024, READER)
    }

    #[test]
    fn a_reserve_is_lent_while_a_value_is_read_and_taken_back() {
        for bytes in [0, 1000, 3000, 16 * 1024, 100_000] {
            let memory = Box::leak(vec![0_u64; (bytes + Account::RESERVE) / 8].into_boxed_slice());
            PLACE.set(Some(Place { start: memory.as_ptr().addr(), bytes, reserve: Account::RESERVE }));
            let own = take_all();
            assert_eq!(own > 0, bytes > 2000, "{own} of {bytes}");
            // A value that takes what is not its client's.
            assert_eq!(read(), Err(Unreadable::NoRoom { bytes: PIECE.size() }));
            let lent = TAKEN.with_borrow(Vec::len) - own;
            assert!((Account::RESERVE / 64..Account::RESERVE / 16).contains(&lent), "{lent} of {bytes}");
            // As long as it keeps some of it, no other value has the rest.
            give_back(own + 1);
            assert_eq!(read(), Err(Unreadable::NoRoom { bytes: PIECE.size() }));
            assert_eq!(TAKEN.with_borrow(Vec::len), own + 1);
            give_back(own);
            assert_eq!(read(), Err(Unreadable::NoRoom { bytes: PIECE.size() }));
            assert_eq!(TAKEN.with_borrow(Vec::len), own + lent);
            give_back(0);
            assert!(restore());
            // At first the last bytes were not asked for.
            assert!((own..own + 4).contains(&take_all()), "{own} of {bytes}");
            give_back(0);
        }
    }
}

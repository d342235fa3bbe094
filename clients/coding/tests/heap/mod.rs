// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small heap for the thread that decodes, with the allocator and the reserve of clients.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sbm_coding::{Account, Heap, Memory as Reader, Unreadable, decode};
use serde::Deserialize;
use talc::{OomHandler, Span, Talc};

/// The system's allocator, but for a thread that decodes: that has a small heap, by the allocator of clients.
struct Small;

/// Most bytes of the small heap.
pub(crate) const HEAP: usize = 1 << 20;

#[repr(align(4096))]
struct Memory(#[expect(dead_code, reason = "by its address")] [u8; HEAP + Account::RESERVE]);

static ACCOUNT: Account = Account::new();
static mut MEMORY: Memory = Memory([0; HEAP + Account::RESERVE]);
static mut ALLOCATOR: Talc<Reserve> = Talc::new(Reserve { taken: Span::empty(), limit: 0 });

/// The end of the small heap, and what the allocator has of it and of the reserve behind it.
struct Reserve {
    taken: Span,
    limit: usize,
}

impl OomHandler for Reserve {
    fn handle_oom(talc: &mut Talc<Self>, layout: Layout) -> Result<(), ()> {
        let Self { taken, limit } = talc.oom_handler;
        if taken.get_base_acme().unwrap().1 as usize > limit || !ACCOUNT.lend(layout.size()) {
            return Err(());
        }
        // SAFETY: the reserve lies behind the heap, and is its alone.
        talc.oom_handler.taken = unsafe { talc.extend(taken, taken.extend(0, Account::RESERVE)) };
        Ok(())
    }
}

fn restore() -> bool {
    let allocator = &raw mut ALLOCATOR;
    // SAFETY: under `ONE`; nothing that is allocated lies behind the new end.
    unsafe {
        let Reserve { taken, limit } = (*allocator).oom_handler;
        let used = (*allocator).get_allocated_span(taken).get_base_acme().unwrap().1;
        let end = limit.max(used as usize);
        let kept = Span::new(taken.get_base_acme().unwrap().0, end as *mut u8);
        (*allocator).oom_handler.taken = (*allocator).truncate(taken, kept);
        end == limit
    }
}

thread_local! {
    pub(crate) static DECODES: Cell<bool> = const { Cell::new(false) };
}

/// For the thread that uses the small heap.
static ONE: Mutex<()> = Mutex::new(());

fn is_small(memory: *mut u8) -> bool {
    let start = (&raw mut MEMORY).addr();
    (start..start + HEAP + Account::RESERVE).contains(&memory.addr())
}

// SAFETY: both are allocators, and what one gave goes back to it. The small one is used under `ONE` only.
unsafe impl GlobalAlloc for Small {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if DECODES.get() {
            ACCOUNT.count(layout);
            let allocator = &raw mut ALLOCATOR;
            // SAFETY: by this function's contract; under `ONE`.
            return unsafe { (*allocator).malloc(layout) }.map_or(std::ptr::null_mut(), NonNull::as_ptr);
        }
        // SAFETY: by this function's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_small(memory) {
            let allocator = &raw mut ALLOCATOR;
            // SAFETY: by this function's contract; under `ONE`.
            return unsafe { (*allocator).free(NonNull::new(memory).unwrap(), layout) };
        }
        // SAFETY: by this function's contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR_OF_ALL: Small = Small;

pub(crate) const MEMORY_OF_ONE: Reader = Reader { heap: Heap { account: &ACCOUNT, has_room, restore }, stack_end: 0 };

pub(crate) fn has_room(bytes: usize) -> bool {
    let layout = Layout::from_size_align(bytes.max(1), 16).unwrap();
    // SAFETY: the size is not zero, and it goes back by the same layout.
    unsafe {
        let memory = std::hint::black_box(std::alloc::alloc(layout));
        if memory.is_null() {
            return false;
        }
        std::alloc::dealloc(memory, layout);
    }
    true
}

/// Begins a heap of so many bytes, in which every second one of some allocations was given back.
pub(crate) fn begin(bytes: usize, holes: &[usize]) -> (MutexGuard<'static, ()>, Vec<Box<[u8]>>) {
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let allocator = &raw mut ALLOCATOR;
    // SAFETY: nothing of an earlier heap is used any more; the memory is this allocator's alone.
    unsafe {
        let memory = (&raw mut MEMORY).cast::<u8>();
        *allocator = Talc::new(Reserve { taken: Span::empty(), limit: memory.addr() + bytes });
        (*allocator).oom_handler.taken = (*allocator).claim(Span::from_base_size(memory, bytes)).unwrap();
    }
    let mut kept = Vec::with_capacity(holes.len());
    let mut gone = Vec::with_capacity(holes.len());
    DECODES.set(true);
    for (number, hole) in holes.iter().enumerate() {
        if has_room(*hole) {
            let list = if number % 2 == 0 { &mut kept } else { &mut gone };
            list.push(vec![0; *hole].into_boxed_slice());
        }
    }
    DECODES.set(false);
    drop(gone);
    (guard, kept)
}

/// Decodes bytes into the heap that was begun.
pub(crate) fn decode_small<'de, T: Deserialize<'de>>(bytes: &'de [u8], limit: usize) -> Result<T, Unreadable> {
    DECODES.set(true);
    let result = decode(bytes, limit, MEMORY_OF_ONE);
    DECODES.set(false);
    result
}

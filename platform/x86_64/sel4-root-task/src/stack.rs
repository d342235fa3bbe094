// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stack, and the page below it that is not there.
//!
//! ```text
//! low   | guard page, unmapped at start-up | stack, growing down | high
//! ```

use core::{
    cell::UnsafeCell,
    mem::offset_of,
    sync::atomic::{AtomicUsize, Ordering},
};

use sel4::{BootInfo, FrameObjectType, Word};

/// Number of bytes of a stack for which nothing else is said.
pub const DEFAULT_STACK_SIZE: usize = 128 * 1024;

/// Number of bytes below a stack that are unmapped: a page.
pub const GUARD_SIZE: usize = 4096;

/// A stack of `N` bytes above a guard page.
#[repr(C, align(4096))]
pub struct Stack<const N: usize> {
    guard: UnsafeCell<[u8; GUARD_SIZE]>,
    bytes: UnsafeCell<[u8; N]>,
}

// SAFETY: nothing in Rust reads or writes it; the one thread that runs on it does so by its stack pointer.
unsafe impl<const N: usize> Sync for Stack<N> {}

impl<const N: usize> Stack<N> {
    /// Number of bytes from the lowest address to where the stack begins.
    pub const TOP: usize = {
        assert!(N.is_multiple_of(GUARD_SIZE), "a stack is a number of pages");
        offset_of!(Self, bytes) + N
    };

    /// Makes a stack.
    pub const fn new() -> Self {
        Self { guard: UnsafeCell::new([0; GUARD_SIZE]), bytes: UnsafeCell::new([0; N]) }
    }

    /// Returns the address of the guard page.
    pub fn guard(&'static self) -> *const u8 {
        self.guard.get().cast_const().cast()
    }
}

impl<const N: usize> Default for Stack<N> {
    fn default() -> Self {
        Self::new()
    }
}

unsafe extern "C" {
    /// First byte of the image, as the linker's default script defines it.
    static __executable_start: u8;
    /// First byte after the image, as the linker's default script defines it.
    static _end: u8;
}

/// Address of the guard page that is unmapped, or 0.
static GUARD: AtomicUsize = AtomicUsize::new(0);

/// Says whether an address lies in the guard page, so that a fault there is an overflow of the stack.
pub fn is_guard(address: Word) -> bool {
    let guard = GUARD.load(Ordering::Relaxed);
    guard != 0 && (guard..guard + GUARD_SIZE).contains(&(address as usize))
}

/// Why a guard page could not be unmapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardError {
    /// The kernel mapped another number of frames than the linker's symbols make of the image.
    OtherImage {
        /// Number of frames that the kernel mapped.
        mapped: usize,
        /// Number of frames between the symbols.
        linked: usize,
    },
    /// The page is not in the image.
    Outside,
    /// The kernel refused.
    Kernel(sel4::Error),
}

/// Unmaps the page of the image at `guard`.
pub(crate) fn unmap_guard(bootinfo: &BootInfo, guard: *const u8) -> Result<(), GuardError> {
    let page = FrameObjectType::SmallPage.bytes();
    let first = (&raw const __executable_start).addr() / page;
    let linked = (&raw const _end).addr().div_ceil(page) - first;
    let frames = bootinfo.user_image_frames();
    if frames.len() != linked {
        return Err(GuardError::OtherImage { mapped: frames.len(), linked });
    }
    let index = (guard.addr() / page).checked_sub(first).ok_or(GuardError::Outside)?;
    let frame = frames.get(index).ok_or(GuardError::Outside)?;
    frame.cap().frame_unmap().map_err(GuardError::Kernel)?;
    GUARD.store(guard.addr(), Ordering::Relaxed);
    Ok(())
}

const _: () = {
    assert!(GUARD_SIZE == FrameObjectType::SmallPage.bytes());
    assert!(align_of::<Stack<0>>() == GUARD_SIZE);
};

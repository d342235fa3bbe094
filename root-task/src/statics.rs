// SPDX-License-Identifier: MIT OR Apache-2.0
//! Large tables: statics, each lent once and for good.

use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, Ordering},
};

/// A static that is lent out once.
pub(crate) struct Lent<T> {
    value: UnsafeCell<T>,
    taken: AtomicBool,
}

// SAFETY: the value is reached through `take` alone, and by one taker.
unsafe impl<T: Send> Sync for Lent<T> {}

impl<T> Lent<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), taken: AtomicBool::new(false) }
    }

    /// Lends the value; the second time, nothing.
    #[expect(clippy::mut_from_ref, reason = "once, which `taken` sees to")]
    pub(crate) fn take(&'static self) -> Option<&'static mut T> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        // SAFETY: `taken` was not set, so this is the only reference there ever is.
        Some(unsafe { &mut *self.value.get() })
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values from a sandbox, to be read through a check.

use bytemuck::Zeroable;

use crate::walk::{Far, FarSlice};

/// A value that a sandbox chose, whatever its function was meant to do.
///
/// There is no way to its content but a check. A check that accepts everything is spelled so, for a reviewer to find:
/// [`Tainted::assume_checked`].
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Tainted<T>(T);

impl<T> core::fmt::Debug for Tainted<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tainted(..)")
    }
}

/// Error: a check refused what came out of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a value from the sandbox did not pass its check")
    }
}

impl<T> Tainted<T> {
    /// Taints a value: as what a call by [`copy_inout`](crate::copy_inout) begins with.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value if `check` accepts it.
    ///
    /// # Errors
    /// [`Refused`] if it does not.
    pub fn check(self, check: impl FnOnce(&T) -> bool) -> Result<T, Refused> {
        if check(&self.0) { Ok(self.0) } else { Err(Refused) }
    }

    /// Returns what `parse` makes of the value: for enums, lengths and pointers that become types of their own.
    ///
    /// # Errors
    /// [`Refused`] if it makes nothing of it.
    pub fn parse<U>(&self, parse: impl FnOnce(&T) -> Option<U>) -> Result<U, Refused> {
        parse(&self.0).ok_or(Refused)
    }

    /// Returns the value without a check, where any value of the type will do.
    pub fn assume_checked(self) -> T {
        self.0
    }

    pub(crate) const fn inner_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroable> Tainted<T> {
    /// Makes a place for a value to come: all zeros.
    #[must_use]
    pub fn zeroed() -> Self {
        Self(T::zeroed())
    }
}

impl<T: PartialOrd> Tainted<T> {
    /// Returns the value if it is at most `limit`: for lengths and counts.
    ///
    /// # Errors
    /// [`Refused`] if it is above.
    pub fn at_most(self, limit: T) -> Result<T, Refused> {
        self.check(|value| *value <= limit)
    }
}

impl<T> Tainted<Far<T>> {
    /// Returns the pointer, for which a [walk](crate::Sbm::walk) is the check.
    pub const fn far(self) -> Far<T> {
        self.0
    }
}

impl<T> Tainted<Option<Far<T>>> {
    /// Returns the pointer if there is one, for which a [walk](crate::Sbm::walk) is the check.
    pub const fn far(self) -> Option<Far<T>> {
        self.0
    }
}

impl<T> Tainted<FarSlice<T>> {
    /// Returns the pointer, for which a [walk](crate::Sbm::walk) is the check.
    pub const fn far(self) -> FarSlice<T> {
        self.0
    }
}

impl<T, E> Tainted<Result<T, E>> {
    /// Splits what the function returned: both sides stay tainted.
    ///
    /// # Errors
    /// The function's own error.
    pub fn transpose(self) -> Result<Tainted<T>, Tainted<E>> {
        self.0.map(Tainted).map_err(Tainted)
    }
}

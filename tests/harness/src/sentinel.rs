// SPDX-License-Identifier: MIT OR Apache-2.0
//! A caller's buffer among memory that must not change with it.

use crate::{Verdict, check};

const BEFORE: u8 = 0xb5;
const INSIDE: u8 = 0x5a;
const AFTER: u8 = 0xa7;

/// A buffer of the caller with sentinels around it and in it.
#[derive(Debug)]
#[repr(C)]
pub struct Sentinels<const N: usize> {
    before: [u8; 64],
    /// The buffer, to be passed to a call.
    pub buffer: [u8; N],
    after: [u8; 64],
}

impl<const N: usize> Sentinels<N> {
    /// Sets all bytes to sentinels.
    #[must_use]
    pub const fn new() -> Self {
        Self { before: [BEFORE; 64], buffer: [INSIDE; N], after: [AFTER; 64] }
    }

    /// Checks that nothing has changed, in the buffer or around it.
    ///
    /// # Errors
    /// The test's failure.
    pub fn unchanged(&self) -> Verdict {
        check!(self.buffer.iter().all(|byte| *byte == INSIDE), "the caller's buffer has changed");
        self.kept_around()
    }

    /// Checks that nothing has changed around the buffer.
    ///
    /// # Errors
    /// The test's failure.
    pub fn kept_around(&self) -> Verdict {
        check!(self.before.iter().all(|byte| *byte == BEFORE), "what precedes the caller's buffer has changed");
        check!(self.after.iter().all(|byte| *byte == AFTER), "what follows the caller's buffer has changed");
        Ok(())
    }
}

impl<const N: usize> Default for Sentinels<N> {
    fn default() -> Self {
        Self::new()
    }
}

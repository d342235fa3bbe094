// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the parts of a sandbox lie: computed alike by the client and the server.
//!
//! ```text
//!   base  guard | argument page | guard | stack (grows down) | guard | buffer 0 | guard | buffer 1 | guard .. end
//! ```
//!
//! The span is a power of two of bytes, aligned to itself, inside the arenas. Guards are one page and mapped on neither
//! side; the argument page and the buffers are mapped at these addresses on both sides; the stack only in the sandbox.
//! Buffers that are added later get a span of their own, without argument page and stack.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    Errno,
    limits::{DEFAULT_STACK_PAGES, LARGE_PAGE, MAX_BUFFER_PAGES, MAX_BUFFERS, PAGE, STACK_PAGES},
};

/// What a sandbox may do with a buffer. Whatever it can read, x86-64 seL4 lets it execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BufferAccess {
    /// Read: for copy-in and map-readonly.
    ReadOnly,
    /// Read and write: for copy-out, copy-inout and map-writable.
    ReadWrite,
}

/// One buffer: whole pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferSpec {
    /// Number of pages.
    pub pages: u16,
    /// What the sandbox may do with them.
    pub access: BufferAccess,
}

impl BufferSpec {
    /// Describes a buffer.
    #[must_use]
    pub const fn new(pages: u16, access: BufferAccess) -> Self {
        Self { pages, access }
    }
}

/// What a client asks a sandbox to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Pages of stack.
    pub stack_pages: u16,
    /// Buffers, in order.
    pub buffers: Vec<BufferSpec, MAX_BUFFERS>,
}

impl Default for Spec {
    fn default() -> Self {
        Self { stack_pages: DEFAULT_STACK_PAGES, buffers: Vec::new() }
    }
}

/// A run of pages at a fixed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Address of the first page.
    pub address: u32,
    /// Number of pages.
    pub count: u16,
}

impl Pages {
    /// Returns the address after the last page.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.address + self.count as u32 * PAGE
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.count as u32 * PAGE
    }

    /// Tells whether `address` lies in the pages.
    #[must_use]
    pub fn contains(self, address: u64) -> bool {
        (u64::from(self.address)..u64::from(self.end())).contains(&address)
    }
}

/// The addresses of one span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    base: u32,
    bits: u8,
    end: u32,
    arguments: Option<Pages>,
    stack: Option<Pages>,
    buffers: Vec<(Pages, BufferAccess), MAX_BUFFERS>,
}

impl Layout {
    /// Computes the span of a new sandbox at `base`, which the caller aligns to [`Self::span_bits`].
    ///
    /// # Errors
    /// [`Errno::Invalid`] if a size is zero or above its limit.
    pub fn of_sandbox(spec: &Spec, base: u32) -> Result<Self, Errno> {
        if !STACK_PAGES.contains(&spec.stack_pages) {
            return Err(Errno::Invalid);
        }
        let arguments = Pages { address: base + PAGE, count: 1 };
        let stack = Pages { address: arguments.end() + PAGE, count: spec.stack_pages };
        Self::with_buffers(base, Some(arguments), Some(stack), stack.end(), &spec.buffers)
    }

    /// Computes the span of `buffers` that are added to a sandbox, at `base`.
    ///
    /// # Errors
    /// [`Errno::Invalid`] if there is none, or if a size is zero or above its limit.
    pub fn of_growth(buffers: &[BufferSpec], base: u32) -> Result<Self, Errno> {
        if buffers.is_empty() {
            return Err(Errno::Invalid);
        }
        Self::with_buffers(base, None, None, base, buffers)
    }

    fn with_buffers(
        base: u32,
        arguments: Option<Pages>,
        stack: Option<Pages>,
        mut end: u32,
        specs: &[BufferSpec],
    ) -> Result<Self, Errno> {
        let mut buffers = Vec::new();
        for spec in specs {
            if spec.pages == 0 || spec.pages > MAX_BUFFER_PAGES {
                return Err(Errno::Invalid);
            }
            let pages = Pages { address: end + PAGE, count: spec.pages };
            end = pages.end();
            buffers.push((pages, spec.access)).map_err(|_| Errno::Invalid)?;
        }
        let span = (end + PAGE - base).next_power_of_two();
        #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
        Ok(Self { base, bits: span.trailing_zeros() as u8, end, arguments, stack, buffers })
    }

    /// Returns the first address of the span.
    #[must_use]
    pub const fn base(&self) -> u32 {
        self.base
    }

    /// Returns the size of the span: the power of two of its bytes.
    #[must_use]
    pub const fn span_bits(&self) -> u8 {
        self.bits
    }

    /// Returns the argument page; a growth has none.
    #[must_use]
    pub const fn arguments(&self) -> Option<Pages> {
        self.arguments
    }

    /// Returns the stack, which grows down from its end; a growth has none.
    #[must_use]
    pub const fn stack(&self) -> Option<Pages> {
        self.stack
    }

    /// Returns the buffers, in the order of their specs.
    #[must_use]
    pub fn buffers(&self) -> &[(Pages, BufferAccess)] {
        &self.buffers
    }

    /// Returns the number of pages that hold memory: arguments, stack and buffers.
    #[must_use]
    pub fn memory_pages(&self) -> u32 {
        let fixed = self.arguments.iter().chain(&self.stack);
        fixed.chain(self.buffers.iter().map(|(pages, _)| pages)).map(|pages| u32::from(pages.count)).sum()
    }

    /// Returns the numbers of the 2 MiB regions in which the span has memory: each takes one page table.
    #[must_use]
    pub const fn regions(&self) -> core::ops::Range<u32> {
        self.base / LARGE_PAGE..self.end.div_ceil(LARGE_PAGE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::ARENA_BASE;
    use proptest::prelude::*;

    fn specs() -> impl Strategy<Value = std::vec::Vec<BufferSpec>> {
        let access = prop_oneof![Just(BufferAccess::ReadOnly), Just(BufferAccess::ReadWrite)];
        proptest::collection::vec((1u16..600, access).prop_map(|(pages, access)| BufferSpec::new(pages, access)), 0..8)
    }

    extern crate std;

    #[test]
    fn a_stack_of_no_pages_is_refused() {
        let spec = Spec { stack_pages: 0, buffers: Vec::new() };
        assert_eq!(Layout::of_sandbox(&spec, ARENA_BASE), Err(Errno::Invalid));
    }

    #[test]
    fn a_buffer_over_the_limit_is_refused() {
        let buffer = BufferSpec::new(MAX_BUFFER_PAGES + 1, BufferAccess::ReadOnly);
        assert_eq!(Layout::of_growth(&[buffer], ARENA_BASE), Err(Errno::Invalid));
    }

    #[test]
    fn the_smallest_sandbox_spans_eight_pages() {
        assert_eq!(Layout::of_sandbox(&Spec::default(), ARENA_BASE).unwrap().span_bits(), 15);
    }

    proptest! {
        #[test]
        fn parts_lie_apart_with_a_guard_on_both_sides(buffers in specs(), stack_pages in 1u16..=256) {
            let spec = Spec { stack_pages, buffers: Vec::from_slice(&buffers).unwrap() };
            let layout = Layout::of_sandbox(&spec, ARENA_BASE).unwrap();
            let end = layout.base() + (1 << layout.span_bits());
            let mut parts = std::vec![layout.arguments().unwrap(), layout.stack().unwrap()];
            parts.extend(layout.buffers().iter().map(|(pages, _)| *pages));
            prop_assert!(parts[0].address >= layout.base() + PAGE);
            for pair in parts.windows(2) {
                prop_assert!(pair[1].address >= pair[0].end() + PAGE);
            }
            prop_assert!(parts.last().unwrap().end() + PAGE <= end);
        }
    }
}

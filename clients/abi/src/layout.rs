// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the parts of a sandbox lie: computed alike by the client and the server.
//!
//! ```text
//!   base  guard | argument page | guard | stack (grows down) | guard | buffer 0 | guard | buffer 1 | guard | heap | guard | ground .. end
//! ```
//!
//! The span is a power of two of bytes, aligned to itself, inside the arenas. Guards are one page and mapped on neither
//! side; the argument page and the buffers are mapped at these addresses on both sides; the stack only in the sandbox, and
//! so what there is of the [heap](Zone), and of what private statics are reset from, their ground. Buffers that are added later get a span of their own, without the rest.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    Zone, is_heap_size,
    limits::{
        DEFAULT_STACK_PAGES, HEAP_PAGES, LARGE_PAGE, MAX_BUFFER_PAGES, MAX_BUFFERS, MAX_DATA_PAGES, MAX_SPAN, PAGE,
        STACK_PAGES,
    },
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
    /// What it has for itself beside its stack, if anything.
    pub own: Option<Own>,
    /// Whether the client wants to know where the stack pointer was when a call is ended: it is told with the fault.
    pub traced: bool,
}

/// What a sandbox has for itself beside its stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Own {
    /// Pages of heap: a power of two, or 0. With [`Own::GUARDED`] beside them only those are mapped that are
    /// [asked](crate::guarded) for.
    pub heap_pages: u16,
    /// Pages of private statics: as many as the client's program has of writable data, or 0.
    pub statics_pages: u16,
}

impl Own {
    /// What stands beside the pages of a guarded heap. As a field of its own it would cost each request that is decoded.
    pub const GUARDED: u16 = 1 << 15;

    /// Returns the pages of heap.
    #[must_use]
    pub const fn heap(self) -> u16 {
        self.heap_pages & !Self::GUARDED
    }

    /// Tells whether the heap is guarded.
    #[must_use]
    pub const fn is_guarded(self) -> bool {
        self.heap_pages & Self::GUARDED != 0
    }
}

const _: () = assert!(*HEAP_PAGES.end() < Own::GUARDED);

impl Default for Spec {
    fn default() -> Self {
        Self { stack_pages: DEFAULT_STACK_PAGES, buffers: Vec::new(), own: None, traced: false }
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

/// Why no span has the shape that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// The stack has no page, or more than [`STACK_PAGES`] allows.
    Stack {
        /// Pages that were asked for.
        pages: u16,
    },
    /// A buffer has no page, or more than [`MAX_BUFFER_PAGES`].
    Buffer {
        /// Which buffer, from 0.
        number: usize,
        /// Pages that were asked for.
        pages: u16,
    },
    /// There are more than [`MAX_BUFFERS`] buffers, or, in a growth, none.
    Count {
        /// Buffers that were asked for.
        buffers: usize,
    },
    /// There are more pages of statics than a program can have.
    Statics {
        /// Pages that were asked for.
        pages: u16,
    },
    /// All of it together takes more addresses than [`MAX_SPAN`].
    Span {
        /// Bytes of addresses, with the guards.
        bytes: u32,
    },
    /// The pages of a heap are no power of two, or not within [`HEAP_PAGES`].
    Heap {
        /// Pages that were asked for.
        pages: u16,
    },
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stack { pages } => {
                let (fewest, most) = (STACK_PAGES.start(), STACK_PAGES.end());
                write!(f, "a stack of {pages} pages; it has {fewest} to {most}")
            }
            Self::Buffer { number, pages } => {
                write!(f, "buffer {number} of {pages} pages; a buffer has 1 to {MAX_BUFFER_PAGES}")
            }
            Self::Count { buffers } => write!(f, "{buffers} buffers; there can be 1 to {MAX_BUFFERS}"),
            Self::Statics { pages } => write!(f, "{pages} pages of statics; a program has {MAX_DATA_PAGES} at most"),
            Self::Span { bytes } => {
                write!(f, "{bytes} bytes in all, with guards; one set-up or growth takes {MAX_SPAN} at most")
            }
            Self::Heap { pages } => {
                let (fewest, most) = (HEAP_PAGES.start(), HEAP_PAGES.end());
                write!(f, "a heap of {pages} pages; it has a power of two of them, {fewest} to {most}")
            }
        }
    }
}

/// The addresses of one span: from 0, or once [`Layout::at`] has placed it, where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout<'a> {
    base: u32,
    bits: u8,
    end: u32,
    /// Pages of the stack; a growth has neither stack nor argument page.
    stack_pages: Option<u16>,
    buffers: &'a [BufferSpec],
    /// First address after what the client has as well.
    shared_end: u32,
    own: Own,
}

impl<'a> Layout<'a> {
    /// Computes the span of a new sandbox, from address 0.
    ///
    /// # Errors
    /// [`LayoutError`] if a size is zero or above its limit.
    pub fn of_sandbox(spec: &'a Spec) -> Result<Self, LayoutError> {
        if !STACK_PAGES.contains(&spec.stack_pages) {
            return Err(LayoutError::Stack { pages: spec.stack_pages });
        }
        let own = spec.own.unwrap_or_default();
        if own.heap_pages != 0 && !is_heap_size(own.heap()) {
            return Err(LayoutError::Heap { pages: own.heap_pages });
        }
        if own.statics_pages > MAX_DATA_PAGES {
            return Err(LayoutError::Statics { pages: own.statics_pages });
        }
        Self::new(Some(spec.stack_pages), &spec.buffers, own)
    }

    /// Computes the span of `buffers` that are added to a sandbox, from address 0.
    ///
    /// # Errors
    /// [`LayoutError`] if there is none, or if a size is zero or above its limit.
    pub fn of_growth(buffers: &'a [BufferSpec]) -> Result<Self, LayoutError> {
        if buffers.is_empty() {
            return Err(LayoutError::Count { buffers: 0 });
        }
        Self::new(None, buffers, Own::default())
    }

    fn new(stack_pages: Option<u16>, buffers: &'a [BufferSpec], own: Own) -> Result<Self, LayoutError> {
        if buffers.len() > MAX_BUFFERS {
            return Err(LayoutError::Count { buffers: buffers.len() });
        }
        for (number, spec) in buffers.iter().enumerate() {
            if spec.pages == 0 || spec.pages > MAX_BUFFER_PAGES {
                return Err(LayoutError::Buffer { number, pages: spec.pages });
            }
        }
        let mut layout = Self { base: 0, bits: 0, end: 0, stack_pages, buffers, shared_end: 0, own };
        let last = layout.buffers().last().map(|(pages, _)| pages).or(layout.stack());
        layout.shared_end = last.map_or(0, Pages::end);
        layout.end = layout.shared_end;
        // The statics themselves lie at the client's addresses.
        for pages in [own.heap(), own.statics_pages].into_iter().filter(|pages| *pages > 0) {
            layout.end += PAGE + u32::from(pages) * PAGE;
        }
        if layout.end > MAX_SPAN {
            return Err(LayoutError::Span { bytes: layout.end });
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
        {
            layout.bits = (layout.end + PAGE).next_power_of_two().trailing_zeros() as u8;
        }
        Ok(layout)
    }

    /// Places a span that was computed from 0 at `base`, a multiple of its size.
    #[must_use]
    pub const fn at(self, base: u32) -> Self {
        Self { base: self.base + base, end: self.end + base, shared_end: self.shared_end + base, ..self }
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
    pub fn arguments(&self) -> Option<Pages> {
        self.stack_pages.map(|_| Pages { address: self.base + PAGE, count: 1 })
    }

    /// Returns the stack, which grows down from its end; a growth has none.
    #[must_use]
    pub fn stack(&self) -> Option<Pages> {
        self.stack_pages.map(|count| Pages { address: self.base + 3 * PAGE, count })
    }

    /// Returns the buffers, in the order of their specs.
    #[must_use]
    pub fn buffers(&self) -> impl ExactSizeIterator<Item = (Pages, BufferAccess)> + use<'a> {
        let mut end = self.stack().map_or(self.base, Pages::end);
        self.buffers.iter().map(move |spec| {
            let pages = Pages { address: end + PAGE, count: spec.pages };
            end = pages.end();
            (pages, spec.access)
        })
    }

    /// Returns the heap, if there is one.
    #[must_use]
    pub fn heap(&self) -> Option<Zone> {
        Zone::new(Pages { address: self.shared_end + PAGE, count: self.own.heap() })
    }

    /// Returns where the ground of the statics lies, if there are private ones.
    #[must_use]
    pub fn statics_ground(&self) -> Option<Pages> {
        let count = self.own.statics_pages;
        (count > 0).then(|| Pages { address: self.end - u32::from(count) * PAGE, count })
    }

    /// Returns the number of pages that hold memory from the first: arguments, stack and buffers.
    #[must_use]
    pub fn memory_pages(&self) -> u32 {
        let buffers: u32 = self.buffers.iter().map(|spec| u32::from(spec.pages)).sum();
        buffers + self.stack_pages.map_or(0, |pages| 1 + u32::from(pages))
    }

    /// Returns the numbers of the 2 MiB regions in which the client has memory of the span: each takes one page table.
    #[must_use]
    pub const fn shared_regions(&self) -> core::ops::Range<u32> {
        self.base / LARGE_PAGE..self.shared_end.div_ceil(LARGE_PAGE)
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
    fn stacks_outside_their_limits_are_refused() {
        for pages in [0, 257, u16::MAX] {
            let spec = Spec { stack_pages: pages, ..Spec::default() };
            assert_eq!(Layout::of_sandbox(&spec), Err(LayoutError::Stack { pages }));
        }
        for pages in [1, 256] {
            assert!(Layout::of_sandbox(&Spec { stack_pages: pages, ..Spec::default() }).is_ok());
        }
    }

    #[test]
    fn buffers_outside_their_limits_are_refused_by_number() {
        let good = BufferSpec::new(MAX_BUFFER_PAGES, BufferAccess::ReadOnly);
        assert!(Layout::of_growth(&[good]).is_ok());
        for pages in [0, MAX_BUFFER_PAGES + 1] {
            let buffers = [good, BufferSpec::new(pages, BufferAccess::ReadOnly)];
            assert_eq!(Layout::of_growth(&buffers), Err(LayoutError::Buffer { number: 1, pages }));
        }
        assert_eq!(Layout::of_growth(&[]), Err(LayoutError::Count { buffers: 0 }));
        let small = BufferSpec::new(1, BufferAccess::ReadOnly);
        assert_eq!(Layout::of_growth(&[small; MAX_BUFFERS + 1]), Err(LayoutError::Count { buffers: MAX_BUFFERS + 1 }));
    }

    #[test]
    fn heaps_outside_their_limits_are_refused() {
        for pages in [2, 5, 4097, 32_768, u16::MAX] {
            let spec = Spec { own: Some(Own { heap_pages: pages, statics_pages: 0 }), ..Spec::default() };
            assert_eq!(Layout::of_sandbox(&spec), Err(LayoutError::Heap { pages }));
        }
        for pages in [4, 16_384] {
            let spec = Spec { own: Some(Own { heap_pages: pages, statics_pages: 0 }), ..Spec::default() };
            let heap = Layout::of_sandbox(&spec).unwrap().at(ARENA_BASE).heap().unwrap().pages();
            assert_eq!(heap, Pages { address: ARENA_BASE + 6 * PAGE, count: pages });
        }
    }

    #[test]
    fn more_statics_than_a_program_can_have_are_refused() {
        let of = |pages| Spec { own: Some(Own { heap_pages: 0, statics_pages: pages }), ..Spec::default() };
        for pages in [MAX_DATA_PAGES + 1, MAX_DATA_PAGES + 2, u16::MAX] {
            assert_eq!(Layout::of_sandbox(&of(pages)), Err(LayoutError::Statics { pages }));
        }
        let most = of(MAX_DATA_PAGES);
        let ground = Layout::of_sandbox(&most).unwrap().at(ARENA_BASE).statics_ground();
        assert_eq!(ground, Some(Pages { address: ARENA_BASE + 6 * PAGE, count: MAX_DATA_PAGES }));
    }

    #[test]
    fn what_takes_too_many_addresses_in_all_is_refused() {
        let of = |pages| BufferSpec::new(pages, BufferAccess::ReadOnly);
        let most = MAX_SPAN / PAGE - 3;
        let rest = u16::try_from(most - 2 * u32::from(MAX_BUFFER_PAGES)).unwrap();
        let full = [of(MAX_BUFFER_PAGES), of(MAX_BUFFER_PAGES), of(rest)];
        assert_eq!(Layout::of_growth(&full).unwrap().span_bits(), 27);
        let over = [of(MAX_BUFFER_PAGES), of(MAX_BUFFER_PAGES), of(rest + 1)];
        assert_eq!(Layout::of_growth(&over), Err(LayoutError::Span { bytes: MAX_SPAN + PAGE }));
        // No sum of what is allowed is cut.
        let all = [of(MAX_BUFFER_PAGES); MAX_BUFFERS];
        let bytes = MAX_BUFFERS as u32 * (u32::from(MAX_BUFFER_PAGES) + 1) * PAGE;
        assert_eq!(Layout::of_growth(&all), Err(LayoutError::Span { bytes }));
    }

    #[test]
    fn a_guarded_heap_lies_where_another_one_would() {
        let of = |heap_pages| {
            let spec = Spec { own: Some(Own { heap_pages, statics_pages: 0 }), ..Spec::default() };
            Layout::of_sandbox(&spec).map(|layout| (layout.heap(), layout.span_bits(), layout.regions()))
        };
        for pages in [4, 256, 16_384] {
            assert_eq!(of(pages | Own::GUARDED), of(pages));
            let own = Own { heap_pages: pages | Own::GUARDED, statics_pages: 0 };
            assert_eq!((own.heap(), own.is_guarded()), (pages, true));
            assert!(!Own { heap_pages: pages, statics_pages: 0 }.is_guarded());
        }
        for pages in [0, 5, 32_767] {
            let pages = pages | Own::GUARDED;
            assert_eq!(of(pages), Err(LayoutError::Heap { pages }));
        }
    }

    #[test]
    fn what_is_wrong_with_a_shape_is_told_in_words() {
        use std::string::ToString;

        for (error, words) in [
            (LayoutError::Stack { pages: 300 }, "a stack of 300 pages; it has 1 to 256"),
            (LayoutError::Buffer { number: 2, pages: 0 }, "buffer 2 of 0 pages; a buffer has 1 to 12288"),
            (
                LayoutError::Span { bytes: 1 << 27 },
                "134217728 bytes in all, with guards; one set-up or growth takes 113246208 at most",
            ),
            (LayoutError::Count { buffers: 9 }, "9 buffers; there can be 1 to 8"),
            (LayoutError::Heap { pages: 5 }, "a heap of 5 pages; it has a power of two of them, 4 to 16384"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn the_smallest_sandbox_spans_eight_pages() {
        assert_eq!(Layout::of_sandbox(&Spec::default()).unwrap().span_bits(), 15);
    }

    #[test]
    fn parts_follow_each_other_in_order() {
        let buffers = [BufferSpec::new(3, BufferAccess::ReadOnly), BufferSpec::new(1, BufferAccess::ReadWrite)];
        let spec = Spec { stack_pages: 2, buffers: Vec::from_slice(&buffers).unwrap(), ..Spec::default() };
        let layout = Layout::of_sandbox(&spec).unwrap().at(ARENA_BASE);
        let pages = |page: u32, count| Pages { address: ARENA_BASE + page * PAGE, count };
        assert_eq!((layout.base(), layout.span_bits()), (ARENA_BASE, 16));
        assert_eq!((layout.arguments(), layout.stack()), (Some(pages(1, 1)), Some(pages(3, 2))));
        let expected = [(pages(6, 3), BufferAccess::ReadOnly), (pages(10, 1), BufferAccess::ReadWrite)];
        assert_eq!(layout.buffers().collect::<std::vec::Vec<_>>(), expected);
        assert_eq!(layout.memory_pages(), 7);
    }

    #[test]
    fn a_growth_has_buffers_only_and_a_span_that_just_holds_them() {
        for (pages, bits) in [(2, 14), (3, 15)] {
            let buffers = [BufferSpec::new(pages, BufferAccess::ReadOnly)];
            let grown = Layout::of_growth(&buffers).unwrap().at(ARENA_BASE);
            assert_eq!((grown.span_bits(), grown.memory_pages()), (bits, u32::from(pages)));
            assert_eq!((grown.arguments(), grown.stack()), (None, None));
            let only = Pages { address: ARENA_BASE + PAGE, count: pages };
            assert_eq!(grown.buffers().next().unwrap().0, only);
        }
    }

    #[test]
    fn pages_know_their_end_and_what_is_inside() {
        let pages = Pages { address: 0x3000, count: 2 };
        assert_eq!((pages.end(), pages.bytes()), (0x5000, 0x2000));
        let inside = [0x2fff, 0x3000, 0x4fff, 0x5000].map(|address| pages.contains(address));
        assert_eq!(inside, [false, true, true, false]);
    }

    #[test]
    fn regions_are_those_that_hold_memory() {
        let regions = |pages, base: u32| {
            Layout::of_growth(&[BufferSpec::new(pages, BufferAccess::ReadOnly)]).unwrap().at(base).regions()
        };
        let first = ARENA_BASE / LARGE_PAGE;
        assert_eq!(regions(511, ARENA_BASE), first..first + 1);
        assert_eq!(regions(512, ARENA_BASE), first..first + 2);
        assert_eq!(regions(1, ARENA_BASE + 3 * LARGE_PAGE + 0x4000), first + 3..first + 4);
    }

    proptest! {
        #[test]
        fn parts_lie_apart_with_a_guard_on_both_sides(
            buffers in specs(),
            stack_pages in 1u16..=256,
            heap in proptest::option::of(2u32..=12),
            statics_pages in prop_oneof![Just(0), 1u16..=512],
        ) {
            let own = Own { heap_pages: heap.map_or(0, |power| 1 << power), statics_pages };
            let own = (own != Own::default()).then_some(own);
            let spec = Spec { stack_pages, buffers: Vec::from_slice(&buffers).unwrap(), own, traced: false };
            let layout = Layout::of_sandbox(&spec).unwrap().at(ARENA_BASE);
            prop_assert_eq!(layout.base(), ARENA_BASE);
            let end = layout.base() + (1 << layout.span_bits());
            let mut parts = std::vec![layout.arguments().unwrap(), layout.stack().unwrap()];
            parts.extend(layout.buffers().map(|(pages, _)| pages));
            let shared = parts.last().unwrap().end();
            prop_assert_eq!(layout.shared_regions(), ARENA_BASE / LARGE_PAGE..shared.div_ceil(LARGE_PAGE));
            parts.extend(layout.heap().map(Zone::pages));
            parts.extend(layout.statics_ground());
            prop_assert!(parts[0].address >= layout.base() + PAGE);
            for pair in parts.windows(2) {
                prop_assert!(pair[1].address >= pair[0].end() + PAGE);
            }
            let last = parts.last().unwrap();
            prop_assert!(last.end() + PAGE <= end);
            // No larger than it has to be.
            prop_assert!(last.end() + PAGE > layout.base() + (1 << layout.span_bits()) / 2);
            let counts: u32 = parts.iter().map(|pages| u32::from(pages.count)).sum();
            let own = own.unwrap_or_default();
            let later = u32::from(own.heap_pages) + u32::from(own.statics_pages);
            prop_assert_eq!(layout.memory_pages(), counts - later);
            let touched = |region| parts.iter().any(|pages| {
                pages.address < (region + 1) * LARGE_PAGE && pages.end() > region * LARGE_PAGE
            });
            prop_assert!(touched(layout.regions().start) && touched(layout.regions().end - 1));
            prop_assert!(!touched(layout.regions().end) && !touched(layout.regions().start - 1));
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the parts of a sandbox lie: computed alike by the client and the server.
//!
//! ```text
//!   base  guard | argument page | guard | stack (grows down) | guard | buffer 0 | guard | buffer 1 | guard | heap | guard | ground .. end
//! ```
//!
//! A buffer or heap of at least a large page begins at a multiple of one, and the guard before it is as long as that takes:
//! what of it fills large pages is made of them.
//!
//! The span is a power of two of bytes, aligned to itself, inside the arenas. Guards are one page and mapped on neither
//! side; the argument page and the buffers are mapped at these addresses on both sides; the stack only in the sandbox, and
//! so what there is of the [heap](Zone), and of what private statics are reset from, their ground. Buffers that are added later get a span of their own, without the rest.

use core::ops::Range;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    Zone, is_heap_size,
    limits::{
        DEFAULT_STACK_PAGES, HEAP_PAGES, LARGE_PAGE, LARGE_PAGES, MAX_BUFFER_PAGES, MAX_BUFFERS, MAX_DATA_PAGES,
        MAX_GUARDED_PAGES, MAX_SPAN, PAGE, STACK_PAGES,
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

/// One buffer: whole pages, and what the sandbox may do with them. In one word, since the server keeps eight of them for
/// each sandbox that there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferSpec(u32);

impl BufferSpec {
    const WRITE: u32 = 1;

    /// Describes a buffer; one that has more pages than a word tells has as many as it tells, which is too many.
    #[must_use]
    pub const fn new(pages: u32, access: BufferAccess) -> Self {
        let pages = if pages > u32::MAX / 2 { u32::MAX / 2 } else { pages };
        let write = match access {
            BufferAccess::ReadOnly => 0,
            BufferAccess::ReadWrite => Self::WRITE,
        };
        Self(pages << 1 | write)
    }

    /// Returns the number of pages.
    #[must_use]
    pub const fn pages(self) -> u32 {
        self.0 >> 1
    }

    /// Returns what the sandbox may do with them.
    #[must_use]
    pub const fn access(self) -> BufferAccess {
        if self.0 & Self::WRITE == 0 { BufferAccess::ReadOnly } else { BufferAccess::ReadWrite }
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
    pub heap_pages: u32,
    /// Pages of private statics: as many as the client's program has of writable data, or 0.
    pub statics_pages: u16,
}

impl Own {
    /// What stands beside the pages of a guarded heap. As a field of its own it would cost each request that is decoded.
    pub const GUARDED: u32 = 1 << 31;

    /// Returns the pages of heap.
    #[must_use]
    pub const fn heap(self) -> u32 {
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
    pub count: u32,
}

impl Pages {
    /// Returns the address after the last page.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.address + self.count * PAGE
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.count * PAGE
    }

    /// Returns the number of large pages that they fill from the first on, if that is aligned to one.
    #[must_use]
    pub const fn large(self) -> u32 {
        if self.address.is_multiple_of(LARGE_PAGE) { self.count / LARGE_PAGES } else { 0 }
    }

    /// Returns the number of frames that they are, all large or all small.
    #[must_use]
    pub const fn frames(self, large: bool) -> u32 {
        if large { self.count / LARGE_PAGES } else { self.count }
    }

    /// Returns the address of one of these frames, from 0.
    #[must_use]
    pub const fn frame(self, large: bool, number: u32) -> u32 {
        self.address + number * if large { LARGE_PAGE } else { PAGE }
    }

    /// Returns the numbers of the 2 MiB regions that these large pages are.
    const fn large_regions(self) -> Range<u32> {
        let first = self.address / LARGE_PAGE;
        first..first + self.large()
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
        pages: u32,
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
        bytes: u64,
    },
    /// The pages of a heap are no power of two, or not within [`HEAP_PAGES`], or more than [`MAX_GUARDED_PAGES`] of a guarded
    /// one.
    Heap {
        /// Pages that were asked for.
        pages: u32,
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
                let (pages, most) = if pages & Own::GUARDED == 0 {
                    (*pages, most)
                } else {
                    f.write_str("guarded: ")?;
                    (pages & !Own::GUARDED, &MAX_GUARDED_PAGES)
                };
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
    /// Whether it can have large pages.
    has_large: bool,
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
        let too_many = own.is_guarded() && own.heap() > MAX_GUARDED_PAGES;
        if own.heap_pages != 0 && (too_many || !is_heap_size(own.heap())) {
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
        let mut layout = Self { base: 0, bits: 0, end: 0, stack_pages, buffers, shared_end: 0, has_large: false, own };
        let mut end = layout.stack().map_or(0, Pages::end).into();
        for (number, spec) in buffers.iter().enumerate() {
            if spec.pages() == 0 || spec.pages() > MAX_BUFFER_PAGES {
                return Err(LayoutError::Buffer { number, pages: spec.pages() });
            }
            end = behind(end, spec.pages()) + bytes_of(spec.pages());
            layout.has_large |= spec.pages() >= LARGE_PAGES;
        }
        let shared_end = end;
        if own.heap() > 0 {
            end = behind(end, own.heap()) + bytes_of(own.heap());
            layout.has_large |= own.heap() >= LARGE_PAGES;
        }
        // The statics themselves lie at the client's addresses.
        if own.statics_pages > 0 {
            end += bytes_of(1) + bytes_of(own.statics_pages.into());
        }
        if end > u64::from(MAX_SPAN) {
            return Err(LayoutError::Span { bytes: end });
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_SPAN")]
        {
            (layout.shared_end, layout.end) = (shared_end as u32, end as u32);
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
        self.stack_pages.map(|count| Pages { address: self.base + 3 * PAGE, count: count.into() })
    }

    /// Returns the buffers, in the order of their specs.
    #[must_use]
    pub fn buffers(&self) -> impl ExactSizeIterator<Item = (Pages, BufferAccess)> + use<'a> {
        let mut end = self.stack().map_or(self.base, Pages::end);
        self.buffers.iter().map(move |spec| {
            let pages = Pages::behind(end, spec.pages());
            end = pages.end();
            (pages, spec.access())
        })
    }

    /// Returns the heap, if there is one.
    #[must_use]
    pub fn heap(&self) -> Option<Zone> {
        Zone::new(Pages::behind(self.shared_end, self.own.heap()))
    }

    /// Returns where the ground of the statics lies, if there are private ones.
    #[must_use]
    pub fn statics_ground(&self) -> Option<Pages> {
        let count = self.own.statics_pages.into();
        (count > 0).then(|| Pages { address: self.end - count * PAGE, count })
    }

    /// Returns the number of pages that hold memory from the first: arguments, stack and buffers.
    #[must_use]
    pub fn memory_pages(&self) -> u32 {
        let buffers: u32 = self.buffers.iter().map(|spec| spec.pages()).sum();
        buffers + self.stack_pages.map_or(0, |pages| 1 + u32::from(pages))
    }

    /// Lists the 2 MiB regions that large pages of buffers fill, in pieces, by their numbers.
    pub fn large_regions(&self) -> impl Iterator<Item = Range<u32>> + use<'a> {
        let buffers = self.has_large.then(|| self.buffers().map(|(pages, _)| pages.large_regions()));
        buffers.into_iter().flatten().filter(|regions| !regions.is_empty())
    }

    /// Lists the numbers of the 2 MiB regions in which the client may have small pages of the span: each takes one page table.
    pub fn shared_regions(&self) -> impl Iterator<Item = u32> + use<'a> {
        let large = self.has_large.then(|| self.large_regions());
        Gaps::new(self.base / LARGE_PAGE..self.shared_end.div_ceil(LARGE_PAGE), large)
    }

    /// Lists the numbers of the 2 MiB regions in which the span may have small pages: each takes one page table.
    pub fn regions(&self) -> impl Iterator<Item = u32> + use<'a> {
        let large = self.has_large.then(|| {
            let heap = self.heap().filter(|_| !self.own.is_guarded()).map(|heap| heap.large_part().large_regions());
            self.large_regions().chain(heap.filter(|regions| !regions.is_empty()))
        });
        Gaps::new(self.base / LARGE_PAGE..self.end.div_ceil(LARGE_PAGE), large)
    }
}

impl Pages {
    /// Places pages behind those that end at `end`.
    #[expect(clippy::cast_possible_truncation, reason = "within a span that was computed")]
    fn behind(end: u32, count: u32) -> Self {
        Self { address: behind(end.into(), count) as u32, count }
    }
}

/// Returns where pages begin that lie behind those which end at `end`: behind a guard, and large ones at a multiple of a large
/// page.
fn behind(end: u64, count: u32) -> u64 {
    let address = end + bytes_of(1);
    if count < LARGE_PAGES { address } else { address.next_multiple_of(LARGE_PAGE.into()) }
}

fn bytes_of(pages: u32) -> u64 {
    u64::from(pages) * u64::from(PAGE)
}

/// The numbers of a range that are in none of some others, which follow each other in it. Mostly there are none.
struct Gaps<I> {
    gap: Range<u32>,
    /// Those others that are behind the gap, and what of the range is behind the first of them.
    behind: Option<(I, Range<u32>)>,
}

impl<I> Gaps<I> {
    fn new(all: Range<u32>, others: Option<I>) -> Self {
        match others {
            None => Self { gap: all, behind: None },
            Some(others) => Self { gap: 0..0, behind: Some((others, all)) },
        }
    }
}

impl<I: Iterator<Item = Range<u32>>> Iterator for Gaps<I> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        loop {
            if let Some(number) = self.gap.next() {
                return Some(number);
            }
            let (others, rest) = self.behind.as_mut()?;
            if let Some(other) = others.next() {
                self.gap = rest.start..other.start;
                rest.start = other.end;
            } else {
                self.gap = rest.clone();
                self.behind = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::{ARENA_BASE, HIGH_ARENA_BASE};
    use proptest::prelude::*;

    fn specs() -> impl Strategy<Value = std::vec::Vec<BufferSpec>> {
        let access = prop_oneof![Just(BufferAccess::ReadOnly), Just(BufferAccess::ReadWrite)];
        proptest::collection::vec((1u32..1600, access).prop_map(|(pages, access)| BufferSpec::new(pages, access)), 0..8)
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
        for pages in [2, 5, 4097, 1 << 18, u32::MAX, Own::GUARDED | 32_768] {
            let spec = Spec { own: Some(Own { heap_pages: pages, statics_pages: 0 }), ..Spec::default() };
            assert_eq!(Layout::of_sandbox(&spec), Err(LayoutError::Heap { pages }));
        }
        for pages in [4, 256] {
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
        assert_eq!(ground, Some(Pages { address: ARENA_BASE + 6 * PAGE, count: MAX_DATA_PAGES.into() }));
    }

    #[test]
    fn what_takes_too_many_addresses_in_all_is_refused() {
        let of = |pages| BufferSpec::new(pages, BufferAccess::ReadOnly);
        // The first large page has a guard in it, and so has each of those between two of the buffers.
        let rest = MAX_SPAN / PAGE - 2 * LARGE_PAGES - MAX_BUFFER_PAGES;
        assert_eq!(Layout::of_growth(&[of(MAX_BUFFER_PAGES), of(rest)]).unwrap().span_bits(), 30);
        let over = [of(MAX_BUFFER_PAGES), of(rest + 1)];
        assert_eq!(Layout::of_growth(&over), Err(LayoutError::Span { bytes: u64::from(MAX_SPAN + PAGE) }));
        // No sum of what is allowed is cut.
        let all = [of(MAX_BUFFER_PAGES); MAX_BUFFERS];
        let bytes = MAX_BUFFERS as u64 * u64::from(MAX_BUFFER_PAGES + LARGE_PAGES) * u64::from(PAGE);
        assert_eq!(Layout::of_growth(&all), Err(LayoutError::Span { bytes }));
    }

    #[test]
    fn a_guarded_heap_lies_where_another_one_would() {
        let of = |heap_pages| {
            let spec = Spec { own: Some(Own { heap_pages, statics_pages: 0 }), ..Spec::default() };
            Layout::of_sandbox(&spec).map(|layout| (layout.heap(), layout.span_bits()))
        };
        for pages in [4, 256, 16_384] {
            assert_eq!(of(pages | Own::GUARDED), of(pages));
            let own = Own { heap_pages: pages | Own::GUARDED, statics_pages: 0 };
            assert_eq!((own.heap(), own.is_guarded()), (pages, true));
            assert!(!Own { heap_pages: pages, statics_pages: 0 }.is_guarded());
        }
        for pages in [0, 5, 32_767, 32_768] {
            let pages = pages | Own::GUARDED;
            assert_eq!(of(pages), Err(LayoutError::Heap { pages }));
        }
    }

    #[test]
    fn what_is_wrong_with_a_shape_is_told_in_words() {
        use std::string::ToString;

        for (error, words) in [
            (LayoutError::Stack { pages: 300 }, "a stack of 300 pages; it has 1 to 256"),
            (LayoutError::Buffer { number: 2, pages: 0 }, "buffer 2 of 0 pages; a buffer has 1 to 131072"),
            (
                LayoutError::Span { bytes: 1 << 27 },
                "134217728 bytes in all, with guards; one set-up or growth takes 1073737728 at most",
            ),
            (LayoutError::Count { buffers: 9 }, "9 buffers; there can be 1 to 8"),
            (LayoutError::Heap { pages: 5 }, "a heap of 5 pages; it has a power of two of them, 4 to 131072"),
            (
                LayoutError::Heap { pages: Own::GUARDED | 32_768 },
                "guarded: a heap of 32768 pages; it has a power of two of them, 4 to 16384",
            ),
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
            assert_eq!((grown.span_bits(), grown.memory_pages()), (bits, pages));
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
    fn what_fills_large_pages_takes_no_page_tables() {
        let of = |pages: &[u32]| {
            let specs: std::vec::Vec<_> =
                pages.iter().map(|pages| BufferSpec::new(*pages, BufferAccess::ReadOnly)).collect();
            let layout = Layout::of_growth(&specs).unwrap().at(HIGH_ARENA_BASE);
            let first = HIGH_ARENA_BASE / LARGE_PAGE;
            let regions: std::vec::Vec<_> = layout.regions().map(|region| region - first).collect();
            assert!(layout.shared_regions().map(|region| region - first).eq(regions.iter().copied()));
            let large: std::vec::Vec<_> =
                layout.large_regions().map(|large| large.start - first..large.end - first).collect();
            (regions, large, layout.span_bits())
        };
        assert_eq!(of(&[511]), (std::vec![0], std::vec![], 22));
        assert_eq!(of(&[512]), (std::vec![0], std::vec![1..2], 23));
        assert_eq!(of(&[513]), (std::vec![0, 2], std::vec![1..2], 23));
        assert_eq!(of(&[1535, 1]), (std::vec![0, 3, 4], std::vec![1..3], 24));
        assert_eq!(of(&[1024, 2048]), (std::vec![0, 3], std::vec![1..3, 4..8], 25));
        let heap = |heap_pages| {
            let spec = Spec { own: Some(Own { heap_pages, statics_pages: 1 }), ..Spec::default() };
            let layout = Layout::of_sandbox(&spec).unwrap().at(HIGH_ARENA_BASE);
            let first = HIGH_ARENA_BASE / LARGE_PAGE;
            assert!(layout.shared_regions().eq([first]));
            layout.regions().map(|region| region - first).collect::<std::vec::Vec<_>>()
        };
        // The first large page of a heap has the small chunks, and the ground of statics lies behind it.
        assert_eq!(heap(256), [0]);
        assert_eq!(heap(512), [0, 1, 2]);
        assert_eq!(heap(2048), [0, 1, 5]);
        assert_eq!(heap(2048 | Own::GUARDED), [0, 1, 2, 3, 4, 5]);
    }

    proptest! {
        #[test]
        fn parts_lie_apart_with_a_guard_on_both_sides(
            buffers in specs(),
            stack_pages in 1u16..=256,
            heap in proptest::option::of((2u32..=14, prop_oneof![Just(0), Just(Own::GUARDED)])),
            statics_pages in prop_oneof![Just(0), 1u16..=512],
        ) {
            let own = Own { heap_pages: heap.map_or(0, |(power, guarded)| 1 << power | guarded), statics_pages };
            let own = (own != Own::default()).then_some(own);
            let spec = Spec { stack_pages, buffers: Vec::from_slice(&buffers).unwrap(), own, traced: false };
            let layout = Layout::of_sandbox(&spec).unwrap().at(HIGH_ARENA_BASE);
            prop_assert_eq!(layout.base(), HIGH_ARENA_BASE);
            let end = layout.base() + (1 << layout.span_bits());
            let mut parts = std::vec![layout.arguments().unwrap(), layout.stack().unwrap()];
            parts.extend(layout.buffers().map(|(pages, _)| pages));
            let shared = parts.clone();
            parts.extend(layout.heap().map(Zone::pages));
            parts.extend(layout.statics_ground());
            prop_assert!(parts[0].address >= layout.base() + PAGE);
            for pair in parts.windows(2) {
                let gap = pair[1].address - pair[0].end();
                prop_assert!((PAGE..PAGE + LARGE_PAGE).contains(&gap));
                prop_assert!(gap == PAGE || (pair[1].address % LARGE_PAGE == 0 && pair[1].count >= LARGE_PAGES));
            }
            let last = parts.last().unwrap();
            prop_assert!(last.end() + PAGE <= end);
            // No larger than it has to be.
            prop_assert!(last.end() + PAGE > layout.base() + (1 << layout.span_bits()) / 2);
            let counts: u32 = parts.iter().map(|pages| pages.count).sum();
            let own = own.unwrap_or_default();
            let later = own.heap() + u32::from(own.statics_pages);
            prop_assert_eq!(layout.memory_pages(), counts - later);

            // A region is either filled by a large page, or has a table if anything lies there.
            let zone = layout.heap().filter(|_| !own.is_guarded()).map(Zone::large_part);
            let is_large = |region: u32, parts: &[Pages]| {
                let lies = |pages: &Pages| (pages.address / LARGE_PAGE..pages.address / LARGE_PAGE + pages.large()).contains(&region);
                parts.iter().any(lies)
            };
            let touched = |region: u32, parts: &[Pages]| parts.iter().any(|pages| {
                pages.address < (region + 1) * LARGE_PAGE && pages.end() > region * LARGE_PAGE
            });
            let buffers = &shared[2..];
            let large: std::vec::Vec<_> = buffers.iter().copied().chain(zone).collect();
            let (regions, shared_regions) =
                (layout.regions().collect::<std::vec::Vec<_>>(), layout.shared_regions().collect::<std::vec::Vec<_>>());
            prop_assert!(regions.is_sorted() && shared_regions.is_sorted());
            for region in layout.base() / LARGE_PAGE - 1..=end / LARGE_PAGE {
                let is_touched = touched(region, &parts);
                prop_assert!(!is_large(region, &large) || !regions.contains(&region));
                prop_assert!(is_large(region, &large) || !is_touched || regions.contains(&region));
                prop_assert!(is_large(region, buffers) == layout.large_regions().any(|large| large.contains(&region)));
                prop_assert!(is_large(region, buffers) || !touched(region, &shared) || shared_regions.contains(&region));
                prop_assert!(!is_large(region, buffers) || !shared_regions.contains(&region));
            }
            prop_assert!(regions.iter().all(|region| layout.base() / LARGE_PAGE <= *region && *region < last.end().div_ceil(LARGE_PAGE)));
        }
    }
}

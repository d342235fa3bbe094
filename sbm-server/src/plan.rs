// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plans: what is to be made and mapped, where, with which rights, for whom.

use core::ops::Range;

use heapless::Vec;
use sbm_abi::{
    BufferAccess, Chunks, Layout, Pages, Zone,
    limits::{LARGE_PAGE, LARGE_PAGES, MAX_BUFFERS, MAX_DATA_BYTES, MAX_GUARDED_PAGES, PAGE},
};

use crate::{Charge, Exhausted, Platform};

/// Most paging structures of one sandbox below its first page directory: for a span and statics of any size that there can be.
pub(crate) const MAX_TABLES: usize = 72;

/// Small pages lie in each of these regions at most: two for each buffer, whose rest and guard are smaller than one, one for
/// what lies before, those of a guarded heap, of statics and of their ground, each with one more than it fills.
const _: () = {
    let heap = MAX_GUARDED_PAGES / LARGE_PAGES;
    let regions = 2 * MAX_BUFFERS as u32 + 1 + (heap + 1) + 2 * (MAX_DATA_BYTES / LARGE_PAGE + 1);
    // And a page directory.
    assert!((regions as usize) < MAX_TABLES);
};

/// Most small pages that are made or mapped in one step; a large one takes a step of its own.
pub const SLICE: u32 = 32;

/// Slots of a sandbox beside those of its code, tables and memory: one for each of these six objects.
const FIXED_SLOTS: u32 = 6;

const GIB_BITS: u32 = 30;

/// A paging structure of a sandbox, by what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The page directory of a GiB; the first one is part of every sandbox.
    Directory(u8),
    /// The page table of a region of 2 MiB.
    Page(u16),
}

impl Table {
    /// Lists what `regions` need, page directories before their page tables.
    #[expect(clippy::cast_possible_truncation, reason = "addresses lie below 4 GiB")]
    pub(crate) fn of(regions: Range<u32>) -> impl Iterator<Item = Self> {
        const PER_GIB: u32 = (1 << GIB_BITS) / LARGE_PAGE;
        let gibs = regions.start / PER_GIB..regions.end.div_ceil(PER_GIB);
        let directories = gibs.filter(|gib| *gib != 0).map(|gib| Self::Directory(gib as u8));
        directories.chain(regions.map(Self::page))
    }

    /// Divides paging structures into page directories, which come first, and page tables.
    pub(crate) fn divide(tables: &[Self]) -> (&[Self], &[Self]) {
        tables.split_at(tables.iter().take_while(|table| matches!(table, Self::Directory(_))).count())
    }

    /// Returns the charge for paging structures that are added to a sandbox.
    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_TABLES")]
    pub(crate) fn charge(tables: &[Self]) -> Charge {
        let (directories, pages) = Self::divide(tables);
        let of = |tables: &[Self]| Charge::of(tables.len() as u32, tables.len() as u32);
        of(directories).plus(of(pages))
    }

    /// Names the page table of a region.
    #[expect(clippy::cast_possible_truncation, reason = "addresses lie below 4 GiB")]
    const fn page(region: u32) -> Self {
        Self::Page(region as u16)
    }

    /// Lists what a span needs that begins at `base`, of which these regions have small pages: it lies in one GiB.
    fn of_span(base: u32, regions: impl Iterator<Item = u32>) -> impl Iterator<Item = Self> {
        let gib = base >> GIB_BITS;
        let mut directory = (gib != 0).then_some(Self::Directory(gib as u8));
        let mut pages = regions.map(Self::page);
        core::iter::from_fn(move || directory.take().or_else(|| pages.next()))
    }

    /// Lists what a sandbox needs for a layout.
    pub(crate) fn of_layout(layout: &Layout<'_>) -> impl Iterator<Item = Self> {
        Self::of_span(layout.base(), layout.regions())
    }

    /// Lists what a client needs for what it shares of a layout.
    pub(crate) fn of_shared(layout: &Layout<'_>) -> impl Iterator<Item = Self> {
        Self::of_span(layout.base(), layout.shared_regions())
    }

    /// Lists what a client cannot have where a layout has large pages.
    pub(crate) fn against(layout: &Layout<'_>) -> impl Iterator<Item = Self> {
        layout.large_regions().flatten().map(Self::page)
    }

    /// Lists what the pages of a zone need.
    pub(crate) fn of_zone(zone: Zone) -> impl Iterator<Item = Self> {
        Self::of(regions_of(zone.pages()))
    }

    /// Returns the first address that the structure covers.
    #[must_use]
    pub fn address(self) -> u32 {
        match self {
            Self::Directory(gib) => u32::from(gib) << GIB_BITS,
            Self::Page(region) => u32::from(region) * LARGE_PAGE,
        }
    }

    /// Tells whether the structure covers a part of `regions`.
    pub(crate) fn covers(self, regions: &Range<u32>) -> bool {
        let first = self.address() / LARGE_PAGE;
        let end = match self {
            Self::Directory(_) => first + (1 << GIB_BITS) / LARGE_PAGE,
            Self::Page(_) => first + 1,
        };
        first < regions.end && regions.start < end
    }
}

/// Returns the regions of 2 MiB that pages lie in.
pub(crate) const fn regions_of(pages: Pages) -> Range<u32> {
    pages.address / LARGE_PAGE..pages.end().div_ceil(LARGE_PAGE)
}

/// New pages, at the same address on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where.
    pub pages: Pages,
    /// Whether they are whole large pages, each of them one frame.
    pub large: bool,
    /// What the sandbox may do with them.
    pub sandbox: BufferAccess,
    /// What the client may do with them, if it has them.
    pub client: Option<BufferAccess>,
    /// Where in the program's data lies what they hold, if it is not zeros.
    pub data: Option<u32>,
}

impl Run {
    /// Returns the number of its frames.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        self.pages.frames(self.large)
    }

    /// Returns the address of one of its frames, from 0.
    #[must_use]
    pub const fn address(&self, frame: u32) -> u32 {
        self.pages.frame(self.large, frame)
    }

    /// Returns what of it are large pages, or what is left.
    const fn part(self, large: bool) -> Self {
        let Pages { address, count } = self.pages;
        let filled = self.pages.large() * LARGE_PAGES;
        let pages = if large {
            Pages { address, count: filled }
        } else {
            Pages { address: address + filled * PAGE, count: count - filled }
        };
        Self { pages, large, ..self }
    }
}

/// What a sandbox is made of, or what is added to one.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// Large frames of the client's code that a new sandbox gets, to read, at the client's addresses.
    pub code_frames: u8,
    /// Paging structures to make, in this order.
    pub tables: Vec<Table, MAX_TABLES>,
    parts: Parts<'a>,
    /// New small pages.
    small: u32,
    /// New large pages.
    large: u32,
}

/// What the new pages are.
#[derive(Debug, Clone)]
enum Parts<'a> {
    /// All that a layout has from the first.
    Layout(Layout<'a>),
    /// A chunk of the heap.
    Chunk(Pages),
    /// A chunk of a guarded heap.
    Loose,
    /// A chunk of the statics, and where its ground begins.
    Statics(Pages, u32),
    /// The ground of these chunks of a heap, which begins there.
    Ground(Zone, Chunks, u32),
}

impl<'a> Plan<'a> {
    /// Plans what `layout` takes in a sandbox that lacks some paging structures, unless these are more than it can have.
    pub(crate) fn new(layout: Layout<'a>, code_frames: u8, lacks: impl Fn(Table) -> bool) -> Option<Self> {
        let mut tables = Vec::new();
        for table in Table::of_layout(&layout).filter(|table| lacks(*table)) {
            tables.push(table).ok()?;
        }
        let large = layout.large_regions().map(|regions| regions.end - regions.start).sum();
        let small = layout.memory_pages() - large * LARGE_PAGES;
        Some(Self { code_frames, tables, parts: Parts::Layout(layout), small, large })
    }

    /// Adds the paging structures for statics, which lie elsewhere than a layout, to those of a new sandbox.
    pub(crate) fn add_tables_of(&mut self, statics: Zone) -> Result<(), Exhausted> {
        Table::of_zone(statics).try_for_each(|table| self.tables.push(table)).map_err(|_| Exhausted)
    }

    /// Plans a chunk of the heap of a sandbox, which has the paging structures for it.
    pub(crate) const fn of_chunk(pages: Pages) -> Plan<'static> {
        let large = pages.large();
        let small = pages.count - large * LARGE_PAGES;
        Plan { code_frames: 0, tables: Vec::new(), parts: Parts::Chunk(pages), small, large }
    }

    /// Plans a chunk of a guarded heap of a sandbox, of which no page is mapped by that.
    pub(crate) const fn of_loose(pages: u32) -> Plan<'static> {
        Plan { code_frames: 0, tables: Vec::new(), parts: Parts::Loose, small: pages, large: 0 }
    }

    /// Plans a chunk of the statics of a sandbox, which has the paging structures for it, with its ground.
    pub(crate) const fn of_statics(pages: Pages, ground: u32) -> Plan<'static> {
        let parts = Parts::Statics(pages, ground);
        Plan { code_frames: 0, tables: Vec::new(), parts, small: 2 * pages.count, large: 0 }
    }

    /// Plans the ground of chunks of a heap, from `base` on, in a sandbox that lacks some paging structures, unless these are
    /// more than it can have.
    pub(crate) fn of_ground(heap: Zone, chunks: Chunks, base: u32, lacks: impl Fn(Table) -> bool) -> Option<Self> {
        let mut tables = Vec::<Table, MAX_TABLES>::new();
        let small_regions = grounds(heap, chunks, base).filter(|pages| pages.large() == 0).flat_map(regions_of);
        for table in Table::of_span(base, small_regions) {
            if lacks(table) && !tables.contains(&table) {
                tables.push(table).ok()?;
            }
        }
        let large = grounds(heap, chunks, base).map(Pages::large).sum();
        let pages: u32 = grounds(heap, chunks, base).map(|pages| pages.count).sum();
        let small = pages - large * LARGE_PAGES;
        Some(Self { code_frames: 0, tables, parts: Parts::Ground(heap, chunks, base), small, large })
    }

    /// Tells whether the new pages are mapped nowhere before [`Platform::place`]: none is in [`Plan::runs`].
    #[must_use]
    pub const fn is_loose(&self) -> bool {
        matches!(self.parts, Parts::Loose)
    }

    /// Returns the frames to make and map, in the order of their numbers: all small pages, then the large ones.
    pub fn runs(&self) -> impl Iterator<Item = Run> + use<'a> {
        let mut runs = self.all_runs();
        let mut again = self.has_large().then(|| self.all_runs());
        core::iter::from_fn(move || {
            loop {
                let run = match (runs.next(), &mut again) {
                    (Some(run), None) => return Some(run),
                    (Some(run), Some(_)) => run.part(false),
                    (None, again) => again.as_mut()?.next()?.part(true),
                };
                if run.pages.count > 0 {
                    return Some(run);
                }
            }
        })
    }

    /// Returns the pages to make and map, in the order of their addresses, whatever they are made of. Quicker to go through than
    /// the runs.
    #[inline]
    pub fn all_runs(&self) -> impl Iterator<Item = Run> + use<'a> {
        const WHOLE: BufferAccess = BufferAccess::ReadWrite;
        let own = move |pages| Run { pages, large: false, sandbox: WHOLE, client: None, data: None };
        let shared = move |(pages, access)| Run { sandbox: access, client: Some(WHOLE), ..own(pages) };
        let read = move |pages| Run { sandbox: BufferAccess::ReadOnly, ..own(pages) };
        let ([first, second], rest) = match self.parts {
            Parts::Layout(layout) => {
                let arguments = layout.arguments().map(|pages| (pages, WHOLE));
                let fixed = [arguments.map(shared), layout.stack().map(own)];
                (fixed, Rest::Buffers(layout.buffers().map(shared)))
            }
            Parts::Chunk(pages) => ([Some(own(pages)), None], Rest::None),
            Parts::Loose => ([None, None], Rest::None),
            Parts::Statics(pages, ground) => {
                let statics = Run { data: Some(pages.address), ..own(pages) };
                let ground = Run { data: statics.data, ..read(Pages { address: ground, ..pages }) };
                ([statics, ground].map(Some), Rest::None)
            }
            Parts::Ground(heap, chunks, base) => ([None, None], Rest::Ground(grounds(heap, chunks, base).map(read))),
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// Returns the number of new frames.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        self.small + self.large
    }

    /// Returns how many of them are small pages: they are the first ones.
    #[must_use]
    pub const fn small_frames(&self) -> u32 {
        self.small
    }

    /// Tells whether there are large pages among them: where there are none, [`Plan::all_runs`] are the runs.
    #[must_use]
    pub const fn has_large(&self) -> bool {
        self.large > 0
    }

    /// Returns the number of new frames that the client has as well: all but stack, heap, statics and grounds.
    #[must_use]
    pub fn shared_frames(&self) -> u32 {
        match &self.parts {
            Parts::Layout(layout) => self.frames() - layout.stack().map_or(0, |stack| stack.count),
            Parts::Chunk(_) | Parts::Loose | Parts::Statics(..) | Parts::Ground(..) => 0,
        }
    }

    /// Returns the number of paging structures to make.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_TABLES")]
    pub fn table_count(&self) -> u32 {
        self.tables.len() as u32
    }

    /// Tells whether the pages of a new sandbox are more than one step makes.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        self.small > SLICE || self.has_large()
    }

    /// Returns the pages of the block that a new sandbox begins with, and the slots of all of it, in a row.
    ///
    /// Where [`Plan::is_long`] the block does not have its pages.
    #[must_use]
    pub fn of_new<P: Platform>(&self) -> (u32, u32) {
        let slots = FIXED_SLOTS + u32::from(self.code_frames) + self.table_count();
        let fixed = P::FIXED_PAGES + self.table_count();
        if self.is_long() {
            (fixed, slots + 2 * self.frames())
        } else {
            (fixed + self.frames(), slots + self.frames() + self.shared_frames())
        }
    }

    /// Returns the slots that the new pages of an addition take: one for each, and one where the client has them too.
    #[must_use]
    pub fn slots_of_pages(&self) -> u32 {
        self.frames() + self.shared_frames()
    }

    /// Returns what is charged for a new sandbox.
    pub(crate) fn charge_of_new<P: Platform>(&self) -> Charge {
        let (pages, slots) = self.of_new::<P>();
        let charge = Charge::of(pages, slots);
        if self.is_long() { charge.plus(self.charge_of_pages()) } else { charge }
    }

    /// Returns what is charged for the pages of an addition, and for its paging structures.
    pub(crate) fn charges_of_growth(&self) -> (Charge, Charge) {
        let slots = Charge::of(0, self.slots_of_pages());
        (self.charge_of_pages().plus(slots), Table::charge(&self.tables))
    }

    /// Returns what is charged for pages that have blocks of their own: a large page, [`SLICE`] small ones or what is left.
    fn charge_of_pages(&self) -> Charge {
        let whole = self.small / SLICE * SLICE;
        Charge { pages: whole + self.large * LARGE_PAGES, slots: 0 }.plus(Charge::of(self.small - whole, 0))
    }
}

/// Runs beside the first two of a plan: an iterator for each kind of plan that has some.
enum Rest<B, G> {
    None,
    Buffers(B),
    Ground(G),
}

impl<B: Iterator<Item = Run>, G: Iterator<Item = Run>> Iterator for Rest<B, G> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        match self {
            Self::None => None,
            Self::Buffers(runs) => runs.next(),
            Self::Ground(runs) => runs.next(),
        }
    }
}

/// Lists the ground of each of these chunks: it lies to the ground's beginning as they do to the heap's.
fn grounds(heap: Zone, chunks: Chunks, base: u32) -> impl Iterator<Item = Pages> {
    let at = move |pages: Pages| Pages { address: base + (pages.address - heap.pages().address), ..pages };
    heap.chunks(chunks).map(move |(_, pages)| at(pages))
}

/// Pages that a client holds itself, to be mapped into a sandbox at the same address.
#[derive(Debug, Clone)]
pub struct Share {
    /// Paging structures to make, in this order.
    pub tables: Vec<Table, MAX_TABLES>,
    /// What is to be mapped.
    pub pieces: Vec<Piece, MAX_PIECES>,
    /// What the sandbox may do with them.
    pub access: BufferAccess,
}

/// Pages of a client's whose frames follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where.
    pub pages: Pages,
    /// Whether they are whole large pages, each of them one frame.
    pub large: bool,
    /// Number of the first frame among the client's.
    pub frame: u32,
}

impl Piece {
    /// Returns the number of its frames.
    #[must_use]
    pub const fn frames(&self) -> u32 {
        self.pages.frames(self.large)
    }
}

/// Most pieces of one share: input files lie one after the other.
pub(crate) const MAX_PIECES: usize = 8;

impl Share {
    /// Returns the number of frames.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.pieces.iter().map(Piece::frames).sum()
    }

    /// Returns what is charged for the mappings, and for the paging structures.
    pub(crate) fn charges(&self) -> (Charge, Charge) {
        (Charge::of(0, self.frames()), Table::charge(&self.tables))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn tables_are_those_of_the_regions_after_their_directories() {
        use Table::{Directory, Page};
        let of = |regions| Table::of(regions).collect::<Vec<_>>();
        assert_eq!(of(128..130), [Page(128), Page(129)]);
        assert_eq!(of(511..513), [Directory(1), Page(511), Page(512)]);
        assert_eq!(of(514..515), [Directory(1), Page(514)]);
    }

    #[test]
    fn a_table_covers_its_own_regions_and_no_others() {
        let (directory, page) = (Table::Directory(1), Table::Page(513));
        assert_eq!((directory.address(), page.address()), (1 << 30, (1 << 30) + LARGE_PAGE));
        for (table, regions, covers) in [
            (page, 512..513, false),
            (page, 513..514, true),
            (page, 514..515, false),
            (page, 500..600, true),
            (directory, 511..512, false),
            (directory, 512..513, true),
            (directory, 1023..1024, true),
            (directory, 1024..1025, false),
        ] {
            assert_eq!(table.covers(&regions), covers, "{table:?} {regions:?}");
        }
    }
}

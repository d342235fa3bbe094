// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages of a sandbox in blocks of their own, made and taken back by short steps: of one that has many, and what is added.

use core::ops::Range;

use sbm_abi::limits::{LARGE_PAGE, LARGE_PAGES, PAGE};
use sbm_objects::Chain;
use sbm_server::{Exhausted, Plan, Progress, Run, SLICE, Share, Shortage};
use sel4::{
    CapRights, Error, VmAttributes, cap,
    cap_type::{LargePage, SmallPage},
};

use crate::{
    client::{Client, rights},
    cspace::Slot,
    machine::Machine,
    memory::{Block, Slots},
    object::Row,
};

/// What was added to a sandbox.
#[derive(Debug)]
pub(crate) enum Part {
    /// Paging structures.
    Tables(Block),
    /// Pages, with their copies for the client.
    Pages(Slots, PartPages),
    /// Copies of the client's frames, this many of them.
    Copies(Slots, u32),
}

/// The pages of a part, in little room: [`NewPages`] whose frames have the part's first slots.
#[derive(Debug)]
pub(crate) struct PartPages {
    blocks: Chain,
    /// How many slots the copies lie behind the frames.
    offset: u16,
    made: u16,
    /// How many of the frames are small.
    small: u16,
}

impl PartPages {
    /// Has `work` change the pages.
    pub(crate) fn with<R>(&mut self, slots: &Slots, work: impl FnOnce(&mut NewPages) -> R) -> R {
        let blocks = core::mem::replace(&mut self.blocks, Chain::EMPTY);
        let frames = slots.first();
        let copies = frames.plus(u32::from(self.offset));
        let mut pages = NewPages { blocks, frames, copies, made: self.made.into(), small: self.small.into() };
        let result = work(&mut pages);
        self.blocks = pages.blocks;
        // No plan has more frames: of small pages there are fewer, and the large ones are a few hundred.
        self.made = u16::try_from(pages.made).unwrap_or(u16::MAX);
        result
    }
}

/// New pages in blocks of their own: of [`SLICE`] small pages each but the last one, then of a large page each.
#[derive(Debug)]
pub(crate) struct NewPages {
    blocks: Chain,
    /// Slot of the first frame; the others follow.
    frames: Slot,
    /// Slot of the client's copy of the first frame, if it has one.
    copies: Slot,
    /// How many frames there are.
    pub(crate) made: u32,
    /// How many of all are small: they are made first.
    small: u32,
}

impl NewPages {
    /// Begins with the pages of a plan, whose slots are these.
    pub(crate) const fn new(frames: Slot, copies: Slot, plan: &Plan<'_>) -> Self {
        Self { blocks: Chain::EMPTY, frames, copies, made: 0, small: plan.small_frames() }
    }

    /// Makes and maps the next pages of a plan.
    pub(crate) fn extend(
        &mut self,
        machine: &mut Machine,
        client: &Client,
        vspace: cap::VSpace,
        plan: &Plan<'_>,
    ) -> Result<Progress, Shortage> {
        let from = self.made;
        if from < plan.frames() {
            let small = SLICE.min(self.small.saturating_sub(from));
            let (count, bytes) = if small > 0 { (small, small * PAGE) } else { (1, LARGE_PAGE) };
            let mut maker = machine.memory.link(&mut self.blocks, bytes.into(), self.frames.plus(from), count)?;
            self.made += count;
            let made = if small > 0 { maker.objects::<SmallPage>(count) } else { maker.objects::<LargePage>(1) };
            let mapping = Mapping { client, vspace, frames: self.frames, copies: self.copies, which: from..self.made };
            let made = made.and_then(|_| {
                if plan.has_large() {
                    mapping.map_runs(machine, plan.runs())
                } else {
                    mapping.map_runs(machine, plan.all_runs())
                }
            });
            if let Err(error) = made {
                machine.complain("buffers", error);
                self.strip(machine, true);
                return Err(Shortage::Exhausted);
            }
        }
        Ok(if self.made < plan.frames() { Progress::More } else { Progress::Done })
    }

    /// Takes back the pages that were made last.
    ///
    /// In a sandbox that lives on they are unmapped first: kernels up to 7 unmap a frame only when its last capability goes,
    /// and one frame has two here.
    pub(crate) fn strip(&mut self, machine: &mut Machine, lives_on: bool) -> Progress {
        let before = self.made.saturating_sub(1);
        let rest = if before < self.small { before / SLICE * SLICE } else { before };
        if lives_on {
            for number in rest..self.made {
                // One that is not mapped, or a slot that is empty, is no error that matters; large ones are unmapped alike.
                let _ = self.frames.plus(number).cap::<SmallPage>().frame_unmap();
                let _ = self.copies.plus(number).cap::<SmallPage>().frame_unmap();
            }
        }
        if self.made > 0 {
            machine.memory.unlink(&mut self.blocks);
            self.made = rest;
        }
        if self.made > 0 { Progress::More } else { Progress::Done }
    }
}

impl Part {
    /// Sets slots apart for pages that are added to both sides.
    pub(crate) fn of_pages(machine: &mut Machine, plan: &Plan<'_>) -> Result<Self, Shortage> {
        let slots = machine.memory.slots(plan.slots_of_pages())?;
        // Where the client has none of them, there are no slots for copies, and none is looked at.
        let offset = if plan.shared_frames() == 0 { 0 } else { plan.frames() };
        let [offset, small] = [offset, plan.small_frames()].map(|count| u16::try_from(count).map_err(|_| Exhausted));
        match (offset, small) {
            (Ok(offset), Ok(small)) => {
                Ok(Self::Pages(slots, PartPages { blocks: Chain::EMPTY, offset, made: 0, small }))
            }
            (Err(Exhausted), _) | (_, Err(Exhausted)) => {
                machine.memory.free_slots(slots);
                Err(Shortage::Exhausted)
            }
        }
    }

    /// Sets slots apart for copies of the client's own frames.
    pub(crate) fn of_copies(machine: &mut Machine, share: &Share) -> Result<Self, Shortage> {
        Ok(Self::Copies(machine.memory.slots(share.frames())?, 0))
    }

    /// Returns the frame that holds a page, a small one unless it says where in a large one.
    pub(crate) const fn frame(&self, page: u32) -> Option<Frame> {
        let Self::Pages(slots, PartPages { made, small, .. }) = self else { return None };
        let (made, small) = (*made as u32, *small as u32);
        let (number, within) = match page.checked_sub(small) {
            None => (page, None),
            Some(page) => (small + page / LARGE_PAGES, Some(page % LARGE_PAGES)),
        };
        if number < made { Some(Frame { slot: slots.first().plus(number), within }) } else { None }
    }

    pub(crate) const fn has_pages(&self) -> bool {
        match self {
            Self::Tables(_) => false,
            Self::Pages(_, PartPages { made, .. }) => *made > 0,
            Self::Copies(_, made) => *made > 0,
        }
    }

    /// Takes back the pages that were made last.
    pub(crate) fn strip(&mut self, machine: &mut Machine, lives_on: bool) -> Progress {
        match self {
            Self::Tables(_) => Progress::Done,
            Self::Pages(slots, pages) => pages.with(slots, |pages| pages.strip(machine, lives_on)),
            Self::Copies(slots, made) => {
                let rest = made.saturating_sub(SLICE);
                strip_copies(slots.first(), rest..*made, lives_on);
                *made = rest;
                if rest > 0 { Progress::More } else { Progress::Done }
            }
        }
    }
}

/// A frame of a part, and which page of it is meant where it is large.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) slot: Slot,
    pub(crate) within: Option<u32>,
}

/// Copies pages of a part to those of a part.
pub(crate) fn copy(machine: &mut Machine, from: (&Part, u32), to: (&Part, u32), count: u32) {
    for page in 0..count {
        let frames = from.0.frame(from.1 + page).zip(to.0.frame(to.1 + page));
        let copied = frames.ok_or(Error::RangeError).and_then(|(from, to)| match (from.within, to.within) {
            (None, None) => machine.window.copy::<SmallPage>(from.slot, to.slot, 0),
            (Some(within), Some(same)) if within == same => {
                machine.window.copy::<LargePage>(from.slot, to.slot, within)
            }
            // They are pages of zones alike.
            _ => Err(Error::RangeError),
        });
        if let Err(error) = copied {
            machine.complain("a copy", error);
        }
    }
}

/// Gives back what is left of a part without its pages.
pub(crate) fn remove(machine: &mut Machine, part: Part) {
    match part {
        Part::Tables(block) => machine.memory.free(block),
        Part::Pages(slots, _) | Part::Copies(slots, ..) => machine.memory.free_slots(slots),
    }
}

pub(crate) fn strip_copies(first: Slot, which: Range<u32>, lives_on: bool) {
    for copy in which.map(|number| first.plus(number)) {
        if lives_on {
            // As in `NewPages::strip`.
            let _ = copy.cap::<SmallPage>().frame_unmap();
        }
        let _ = copy.path().delete();
    }
}

/// What of a plan is to be mapped on both sides: these of its frames. Each copy has the place of its frame.
struct Mapping<'a> {
    client: &'a Client,
    vspace: cap::VSpace,
    frames: Slot,
    copies: Slot,
    which: Range<u32>,
}

impl Mapping<'_> {
    /// Fills and maps the frames.
    fn map_runs(&self, machine: &mut Machine, runs: impl Iterator<Item = Run>) -> Result<(), Error> {
        let Self { client, vspace, frames, copies, which } = self;
        let mut first = 0;
        for run in runs {
            let end = first + run.frames();
            for number in which.start.max(first)..which.end.min(end) {
                let copy = run.client.map(|_| copies.plus(number));
                if let Some(data) = run.data {
                    client.fill_data(machine, frames.plus(number), data + (number - first) * PAGE)?;
                }
                map_page(client, *vspace, &run, number - first, frames.plus(number), copy)?;
            }
            first = end;
        }
        Ok(())
    }
}

#[inline]
pub(crate) fn map_page(
    client: &Client,
    vspace: cap::VSpace,
    run: &Run,
    number: u32,
    frame: Slot,
    copy: Option<Slot>,
) -> Result<(), Error> {
    // The kernel knows by the capability how large a frame is.
    let map = |frame: Slot, vspace, access| {
        let address = run.address(number) as usize;
        frame.cap::<SmallPage>().frame_map(vspace, address, rights(access), VmAttributes::default())
    };
    if let Some(access) = run.client {
        let copy = copy.ok_or(Error::RangeError)?;
        copy.path().copy(&frame.path(), CapRights::read_write())?;
        map(copy, client.vspace(), access)?;
    }
    map(frame, vspace, run.sandbox)
}

/// Maps copies `which` of the client's own frames.
pub(crate) fn map_copies(
    client: &Client,
    vspace: cap::VSpace,
    share: &Share,
    copies: Row,
    which: Range<u32>,
) -> Result<(), Error> {
    let rights = rights(share.access);
    let mut before = 0;
    for piece in &share.pieces {
        let end = before + piece.frames();
        for number in which.start.max(before)..which.end.min(end) {
            let (copy, within) = (copies.slot(number), number - before);
            copy.path().copy(&client.frames().slot(piece.frame + within).path(), rights)?;
            let address = piece.pages.frame(piece.large, within) as usize;
            // As in `map_page`.
            copy.cap::<SmallPage>().frame_map(vspace, address, rights, VmAttributes::default())?;
        }
        before = end;
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A window in the root task's own address space, through which it fills frames before others get them.

use sel4::{CapRights, CapTypeForFrameObject, Error, VmAttributes, cap, cap_type, init_thread::slot};

use crate::{cspace::Slot, memory::Memory, object::Row};

/// Where the window is: above everything that a boot image occupies.
const SMALL: usize = 0x40_0000_0000;
/// Where the target of a copy is.
const TARGET: usize = SMALL + SMALL_BYTES;
const LARGE: usize = SMALL + LARGE_BYTES;
const LARGE_TARGET: usize = LARGE + LARGE_BYTES;
/// What is mapped for good, such as memory for DMA.
const FIXED: usize = LARGE_TARGET + LARGE_BYTES;
/// Which page of the fixed ones is the first that is shared with a client.
const SHARED_FIRST: usize = 496;
const SMALL_BYTES: usize = 4096;
const LARGE_BYTES: usize = 2 * 1024 * 1024;

/// A size of frames of which pages can be copied.
pub(crate) trait Copied: CapTypeForFrameObject {
    /// Where the two frames are.
    const PLACES: [usize; 2];
    /// How many pages one has.
    const PAGES: u32;
}

impl Copied for cap_type::SmallPage {
    const PLACES: [usize; 2] = [SMALL, TARGET];
    const PAGES: u32 = 1;
}

impl Copied for cap_type::LargePage {
    const PLACES: [usize; 2] = [LARGE, LARGE_TARGET];
    const PAGES: u32 = (LARGE_BYTES / SMALL_BYTES) as u32;
}

/// The window: paging structures that are there, and nothing mapped.
#[derive(Debug)]
pub(crate) struct Window {
    fixed: usize,
    /// Slots for capabilities to frames that others have mapped.
    spare: [Slot; 2],
}

impl Window {
    /// Makes the paging structures.
    pub(crate) fn new(memory: &mut Memory) -> Result<Self, Error> {
        let mut maker = memory.block(4 * 4096, 4).map_err(|_| Error::NotEnoughMemory)?.maker();
        let pdpt: cap::PDPT = maker.object()?;
        let directory: cap::PageDirectory = maker.object()?;
        let tables: [cap::PageTable; 2] = [maker.object()?, maker.object()?];
        let vspace = slot::VSPACE.cap();
        let attributes = VmAttributes::default();
        // The kernel may have made the upper one for the boot image already.
        match pdpt.pdpt_map(vspace, SMALL, attributes) {
            Ok(()) | Err(Error::DeleteFirst) => {}
            Err(error) => return Err(error),
        }
        directory.page_directory_map(vspace, SMALL, attributes)?;
        for (table, address) in tables.into_iter().zip([SMALL, FIXED]) {
            table.page_table_map(vspace, address, attributes)?;
        }
        let spare = memory.slots(2).map_err(|_| Error::NotEnoughMemory)?.first();
        Ok(Self { fixed: FIXED, spare: [spare, spare.plus(1)] })
    }

    /// Lets `fill` write a small frame that nobody has mapped.
    pub(crate) fn fill_small(&mut self, frame: Slot, fill: impl FnOnce(&mut [u8])) -> Result<(), Error> {
        let page = frame.cap::<cap_type::SmallPage>();
        page.frame_map(slot::VSPACE.cap(), SMALL, CapRights::read_write(), VmAttributes::default())?;
        // SAFETY: the frame is mapped here, for us alone: `self` is borrowed until it is unmapped.
        fill(unsafe { core::slice::from_raw_parts_mut(SMALL as *mut u8, SMALL_BYTES) });
        page.frame_unmap()
    }

    /// Copies a page of a frame to the same one of another frame of that size, whoever has them mapped.
    pub(crate) fn copy<T: Copied>(&mut self, from: Slot, to: Slot, page: u32) -> Result<(), Error> {
        let [source, target] = T::PLACES;
        let sides = [(from, CapRights::read_only(), source), (to, CapRights::read_write(), target)];
        let mut all_well = if page < T::PAGES { Ok(()) } else { Err(Error::RangeError) };
        for ((frame, rights, address), copy) in sides.into_iter().zip(self.spare) {
            all_well = all_well
                .and_then(|()| copy.path().copy(&frame.path(), rights))
                .and_then(|()| copy.cap::<T>().frame_map(slot::VSPACE.cap(), address, rights, VmAttributes::default()));
        }
        if all_well.is_ok() {
            let offset = page as usize * SMALL_BYTES;
            // SAFETY: both frames are mapped here, until they are unmapped below, are two, and have this page; the sandbox that
            // has them as well does not run while this does.
            unsafe {
                let (source, target) = ((source + offset) as *const u8, (target + offset) as *mut u8);
                core::ptr::copy_nonoverlapping(source, target, SMALL_BYTES);
            };
        }
        for copy in self.spare {
            // Kernels up to 7 unmap a frame only when its last capability goes. A slot that is empty is no error that matters.
            let _ = copy.cap::<T>().frame_unmap();
            let _ = copy.path().delete();
        }
        all_well
    }

    /// Lets `fill` write a large frame that nobody has mapped.
    pub(crate) fn fill_large(&mut self, frame: Slot, fill: impl FnOnce(&mut [u8])) -> Result<(), Error> {
        let page = frame.cap::<cap_type::LargePage>();
        page.frame_map(slot::VSPACE.cap(), LARGE, CapRights::read_write(), VmAttributes::default())?;
        // SAFETY: as in `fill_small`.
        fill(unsafe { core::slice::from_raw_parts_mut(LARGE as *mut u8, LARGE_BYTES) });
        page.frame_unmap()
    }

    /// Maps a frame that a client writes as well, until it is unmapped, at the address for number `number`, which is below
    /// 16.
    pub(crate) fn share(&self, number: usize, frame: cap::SmallPage) -> Result<usize, Error> {
        let address = FIXED + (SHARED_FIRST + number) * SMALL_BYTES;
        frame.frame_map(slot::VSPACE.cap(), address, CapRights::read_write(), VmAttributes::default())?;
        Ok(address)
    }

    /// Maps frames for good, one after the other, and returns where; there is room for 496 in all.
    pub(crate) fn keep(&mut self, frames: Row) -> Result<*mut u8, Error> {
        let start = self.fixed;
        for frame in frames.iter() {
            let page = frame.cap::<cap_type::SmallPage>();
            page.frame_map(slot::VSPACE.cap(), self.fixed, CapRights::read_write(), VmAttributes::default())?;
            self.fixed += SMALL_BYTES;
        }
        Ok(start as *mut u8)
    }
}

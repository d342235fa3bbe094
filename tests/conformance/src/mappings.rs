// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's own pages in a sandbox, at their own address: for reading, and for writing.
#![expect(unsafe_code, reason = "memory of the client's that lives for ever, in its data")]

use core::cell::UnsafeCell;

use harness::{
    Test, Verdict, check,
    expect::{aborted, page, refused, works},
    raw, same, server, tests,
};
use sbm::{Access, Errno, Error, Page, Region, Sbm, SharedPage, Unfit, map_readonly, map_writable};
use sbm_abi::{
    BufferAccess, Handle, Request, Response, Spec,
    limits::{
        ARENA_BASE, CLIENT_IPC_BUFFER, CLIENT_STACK_BASE, CLIENT_START_INFO, CODE_BASE, INPUT_BASE, MAX_MAPPING_PAGES,
        MAX_MAPPINGS, PAGE,
    },
};

pub(crate) const TESTS: &[Test] = tests![
    pages_are_read_at_their_own_address,
    a_write_to_pages_mapped_readonly_is_efault,
    constants_are_read_at_their_own_address,
    a_part_of_the_pages_can_be_shown,
    pages_mapped_writable_are_written_in_place,
    what_follows_mapped_pages_is_not_mapped,
    another_sandbox_does_not_see_mapped_pages,
    mapped_pages_are_gone_with_their_sandbox,
    a_mapping_is_made_once_for_many_calls,
    as_many_ranges_as_the_limit_can_be_mapped,
    a_range_over_the_limit_is_refused,
    pages_that_overlap_mapped_ones_are_refused,
    pages_named_twice_to_be_written_are_refused,
    no_pages_are_an_empty_slice,
    the_clients_own_pages_can_be_mapped,
    pages_that_are_not_the_clients_are_refused,
    pages_that_the_client_cannot_write_are_refused_for_writing,
    ranges_that_are_none_are_refused,
    a_refused_mapping_leaves_nothing_behind,
];

const PAGE_BYTES: usize = PAGE as usize;

/// Pages in the program's data, behind a cell so that the compiler puts them there.
#[repr(C, align(4096))]
struct Pages<const N: usize>(UnsafeCell<[Page; N]>);

// SAFETY: written before the program starts only.
unsafe impl<const N: usize> Sync for Pages<N> {}

impl<const N: usize> Pages<N> {
    fn get(&'static self) -> &'static [Page] {
        // SAFETY: nobody writes them.
        unsafe { &*self.0.get() }
    }
}

const fn numbered() -> Page {
    let mut page = Page::ZERO;
    let mut index = 0;
    while index < page.0.len() {
        page.0[index] = (index % 251) as u8;
        index += 1;
    }
    page
}

const NUMBERED: Page = numbered();

static PAGES: Pages<4> = Pages(UnsafeCell::new([NUMBERED; 4]));
static CONSTANTS: [Page; 2] = [NUMBERED; 2];
static SHARED: [SharedPage; 3] = [SharedPage::ZERO; 3];
static OTHERS: [SharedPage; 8] = [SharedPage::ZERO; 8];

// Functions that run in sandboxes.

fn look(pages: &[u8], address: usize) -> bool {
    pages.as_ptr() as usize == address
        && pages.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index % PAGE_BYTES % 251)
}

fn length(pages: &[u8]) -> usize {
    pages.len()
}

fn write_through(pages: &[u8], offset: usize) {
    raw::write(pages.as_ptr() as usize + offset, 0xee);
}

fn fill(pages: &mut [u8], byte: u8) -> usize {
    pages.fill(byte);
    pages.as_ptr() as usize
}

fn read_after(pages: &mut [u8]) -> u8 {
    raw::read(pages.as_ptr() as usize + pages.len())
}

fn read(address: usize) -> u8 {
    raw::read(address)
}

fn quiet() -> Result<Sbm, Error> {
    Sbm::builder().report(false).build()
}

fn pages_are_read_at_their_own_address() -> Verdict {
    let mut sbm = quiet()?;
    let pages = PAGES.get();
    let address = pages.as_ptr() as usize;
    check!(sbm.call(look, (map_readonly(pages), address))?.assume_checked());
    works(&mut sbm)
}

fn a_write_to_pages_mapped_readonly_is_efault() -> Verdict {
    let mut sbm = quiet()?;
    let pages = PAGES.get();
    for offset in [0, PAGE_BYTES, 4 * PAGE_BYTES - 1] {
        let result = sbm.call(write_through, (map_readonly(pages), offset));
        let address = (pages.as_ptr() as usize + offset) as u64;
        let ip = raw::write as *const () as usize as u64;
        aborted(&mut sbm, result, page(Access::Write, address, ip, Region::ClientData))?;
    }
    check!(pages.iter().all(|page| page.0 == NUMBERED.0), "the pages have changed");
    Ok(())
}

/// Constants lie beside the code, which a sandbox has anyway.
fn constants_are_read_at_their_own_address() -> Verdict {
    let mut sbm = quiet()?;
    check!(sbm.call(look, (map_readonly(&CONSTANTS), CONSTANTS.as_ptr() as usize))?.assume_checked());
    works(&mut sbm)
}

fn a_part_of_the_pages_can_be_shown() -> Verdict {
    let mut sbm = quiet()?;
    let pages = PAGES.get();
    for (shown, wanted) in [(0, 0), (1, 1), (5000, 5000), (usize::MAX, 4 * PAGE_BYTES)] {
        same!(sbm.call(length, (map_readonly(pages).first(shown),))?.assume_checked(), wanted);
    }
    Ok(())
}

fn pages_mapped_writable_are_written_in_place() -> Verdict {
    let mut sbm = quiet()?;
    SharedPage::write(&SHARED, PAGE_BYTES, &[5; 8]);
    let address = sbm.call(fill, (map_writable(&SHARED), 0x3c_u8))?.assume_checked();
    same!(address, SHARED.as_ptr() as usize);
    let mut bytes = [0; 3 * PAGE_BYTES];
    SharedPage::read(&SHARED, 0, &mut bytes);
    check!(bytes.iter().all(|byte| *byte == 0x3c), "other bytes arrive");
    works(&mut sbm)
}

fn what_follows_mapped_pages_is_not_mapped() -> Verdict {
    let mut sbm = quiet()?;
    let two = &SHARED[..2];
    let result = sbm.call(read_after, (map_writable(two),));
    let after = (two.as_ptr() as usize + 2 * PAGE_BYTES) as u64;
    let ip = raw::read as *const () as usize as u64;
    aborted(&mut sbm, result, page(Access::Read, after, ip, Region::ClientData))
}

fn another_sandbox_does_not_see_mapped_pages() -> Verdict {
    let (mut with, mut without) = (quiet()?, quiet()?);
    let address = with.call(fill, (map_writable(&SHARED), 1_u8))?.assume_checked();
    same!(with.call(read, (address,))?.assume_checked(), 1);
    let result = without.call(read, (address,));
    let ip = raw::read as *const () as usize as u64;
    aborted(&mut without, result, page(Access::Read, address as u64, ip, Region::ClientData))
}

fn mapped_pages_are_gone_with_their_sandbox() -> Verdict {
    let mut with = quiet()?;
    let address = with.call(fill, (map_writable(&SHARED), 1_u8))?.assume_checked();
    drop(with);
    another_sandbox_does_not_see_mapped_pages()?;
    let mut without = quiet()?;
    let result = without.call(read, (address,));
    let ip = raw::read as *const () as usize as u64;
    aborted(&mut without, result, page(Access::Read, address as u64, ip, Region::ClientData))
}

fn a_mapping_is_made_once_for_many_calls() -> Verdict {
    let mut sbm = quiet()?;
    let pages = PAGES.get();
    let address = pages.as_ptr() as usize;
    sbm.call(look, (map_readonly(pages), address))?.assume_checked();
    let before = sbm::usage()?;
    for _ in 0..20 {
        check!(sbm.call(look, (map_readonly(pages), address))?.assume_checked());
    }
    same!(sbm::usage()?, before);
    Ok(())
}

fn as_many_ranges_as_the_limit_can_be_mapped() -> Verdict {
    let mut sbm = quiet()?;
    for index in 0..MAX_MAPPINGS {
        sbm.call(fill, (map_writable(&OTHERS[index..=index]), 1_u8))?.assume_checked();
    }
    works(&mut sbm)
}

fn a_range_over_the_limit_is_refused() -> Verdict {
    let mut sbm = quiet()?;
    for index in 0..MAX_MAPPINGS {
        sbm.call(fill, (map_writable(&OTHERS[index..=index]), 1_u8))?.assume_checked();
    }
    let result = sbm.call(fill, (map_writable(&OTHERS[MAX_MAPPINGS..=MAX_MAPPINGS]), 1_u8));
    refused(result, 1, Unfit::Mappings { limit: MAX_MAPPINGS })?;
    // The call did not run: no error sticks.
    works(&mut sbm)
}

fn pages_that_overlap_mapped_ones_are_refused() -> Verdict {
    let mut sbm = quiet()?;
    let pages = PAGES.get();
    sbm.call(length, (map_readonly(&pages[1..3]),))?.assume_checked();
    let before = sbm::usage()?;
    let result = sbm.call(length, (map_readonly(&pages[2..4]),));
    refused(result, 1, Unfit::Overlap)?;
    same!(sbm::usage()?, before);
    // What was mapped still is, what was not is not.
    same!(sbm.call(read, (pages[2].0.as_ptr() as usize,))?.assume_checked(), 0);
    let result = sbm.call(read, (pages[3].0.as_ptr() as usize,));
    check!(result.is_err(), "a page of a refused range is mapped");
    Ok(())
}

fn pages_named_twice_to_be_written_are_refused() -> Verdict {
    let mut sbm = quiet()?;
    let both = |_: &mut [u8], _: &mut [u8]| ();
    let result = sbm.call(both, (map_writable(&OTHERS[..1]), map_writable(&OTHERS[..1])));
    refused(result, 2, Unfit::Twice)?;
    let result = sbm.call(both, (map_writable(&OTHERS[..1]), map_writable(&OTHERS[..2])));
    refused(result, 2, Unfit::Overlap)?;
    sbm.call(both, (map_writable(&OTHERS[..1]), map_writable(&OTHERS[1..2])))?.assume_checked();
    works(&mut sbm)
}

fn no_pages_are_an_empty_slice() -> Verdict {
    let mut sbm = quiet()?;
    same!(sbm.call(length, (map_readonly(&[]),))?.assume_checked(), 0);
    same!(sbm.call(|pages: &mut [u8]| pages.len(), (map_writable(&[]),))?.assume_checked(), 0);
    works(&mut sbm)
}

/// A sandbox of the client's own, by a request: its handle stands in no [`Sbm`].
struct Bare(Handle);

impl Bare {
    fn new() -> Result<Self, harness::Why> {
        match server::request(&Request::Init(Spec::default()))? {
            Response::Ready { handle, .. } => Ok(Self(handle)),
            other => Err(harness::Why::new(format_args!("no sandbox: {other:?}"))),
        }
    }

    fn map(&self, address: u32, pages: u32, access: BufferAccess) -> Result<Response, harness::Why> {
        server::request(&Request::Map { handle: self.0, address, pages, access })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = server::request(&Request::Destroy(self.0));
    }
}

fn the_clients_own_pages_can_be_mapped() -> Verdict {
    let data = u32::try_from(PAGES.get().as_ptr() as usize).unwrap_or(0);
    for (address, pages, access) in [
        (data, 4, BufferAccess::ReadWrite),
        (CLIENT_STACK_BASE, 64, BufferAccess::ReadWrite),
        (CLIENT_IPC_BUFFER, 1, BufferAccess::ReadOnly),
        (CLIENT_START_INFO, 1, BufferAccess::ReadOnly),
    ] {
        same!(Bare::new()?.map(address, pages, access)?, Response::Done, "{address:#x}");
    }
    Ok(())
}

fn pages_that_are_not_the_clients_are_refused() -> Verdict {
    let sandbox = Bare::new()?;
    let data = u32::try_from(PAGES.get().as_ptr() as usize).unwrap_or(0);
    for (address, pages) in [
        (0, 1),
        (CODE_BASE - PAGE, 1),
        (CLIENT_STACK_BASE - PAGE, 1),
        // The first is the client's, the last is not.
        (CLIENT_STACK_BASE, 65),
        (CLIENT_STACK_BASE - PAGE, 2),
        (CLIENT_START_INFO + PAGE, 1),
        (data, 512),
        (ARENA_BASE, 1),
        (ARENA_BASE + 0x1000_0000, 8),
        (INPUT_BASE - PAGE, 1),
        (0x8000_0000, 1),
        (0xffff_e000, 1),
    ] {
        for access in [BufferAccess::ReadOnly, BufferAccess::ReadWrite] {
            same!(sandbox.map(address, pages, access)?, Response::Refused(Errno::Perm), "{address:#x}");
        }
    }
    Ok(())
}

fn pages_that_the_client_cannot_write_are_refused_for_writing() -> Verdict {
    let sandbox = Bare::new()?;
    for address in [CLIENT_START_INFO, CODE_BASE] {
        let refused = sandbox.map(address, 1, BufferAccess::ReadWrite)?;
        same!(refused, Response::Refused(Errno::Perm), "{address:#x}");
    }
    Ok(())
}

fn ranges_that_are_none_are_refused() -> Verdict {
    let sandbox = Bare::new()?;
    let data = u32::try_from(PAGES.get().as_ptr() as usize).unwrap_or(0);
    for (address, pages) in [
        (data, 0),
        (data + 1, 1),
        (data + 8, 1),
        (data, MAX_MAPPING_PAGES + 1),
        (data, u32::MAX),
        (0xffff_f000, 1),
        (0xffff_f000, 2),
    ] {
        let refused = sandbox.map(address, pages, BufferAccess::ReadOnly)?;
        same!(refused, Response::Refused(Errno::Invalid), "{address:#x}, {pages} pages");
    }
    Ok(())
}

fn a_refused_mapping_leaves_nothing_behind() -> Verdict {
    let sandbox = Bare::new()?;
    let before = sbm::usage()?;
    for _ in 0..50 {
        sandbox.map(CLIENT_STACK_BASE, 65, BufferAccess::ReadWrite)?;
        sandbox.map(ARENA_BASE, 1, BufferAccess::ReadOnly)?;
    }
    same!(sbm::usage()?, before);
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that are pages of the client's own, mapped into the sandbox at their own addresses.
//!
//! Mappings are whole pages: what shares a page is mapped with it. So the types here are whole pages, and what is mapped
//! lives as long as the program: a sandbox may go on reading it until it is destroyed.
#![expect(unsafe_code, reason = "pages that a sandbox may write are read by raw copies")]

use core::cell::UnsafeCell;

use sbm_abi::{
    BufferAccess, Pages,
    limits::{MAX_MAPPING_PAGES, PAGE},
};

use super::{Argument, copied::Payload};
use crate::{
    client::{env::InputFile, instance::Instance, memory::SharedMemory},
    error::Error,
    inside::panic::in_sandbox,
};

/// One page of memory that a sandbox may be given to read.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub struct Page(pub [u8; PAGE as usize]);

impl core::fmt::Debug for Page {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Page")
    }
}

impl Page {
    /// A page of zeros.
    pub const ZERO: Self = Self([0; PAGE as usize]);
}

/// One page of memory that a sandbox may be given to write. The client reads and writes it by copies; code in a sandbox
/// that tries to panics, as what it has of the page is its argument's alone.
#[repr(C, align(4096))]
pub struct SharedPage(UnsafeCell<[u8; PAGE as usize]>);

// SAFETY: in the client its bytes are only touched through `SharedMemory`, which makes no references to them.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// A page of zeros.
    #[expect(clippy::declare_interior_mutable_const, reason = "a value to fill arrays with")]
    pub const ZERO: Self = Self(UnsafeCell::new([0; PAGE as usize]));

    /// Copies `bytes` into `pages` from byte `offset`; what does not fit whole is not copied.
    pub fn write(pages: &'static [Self], offset: usize, bytes: &[u8]) {
        Self::memory(pages).write(offset, bytes);
    }

    /// Copies bytes of `pages` from byte `offset` into `target`; what does not fit whole is not copied.
    pub fn read(pages: &'static [Self], offset: usize, target: &mut [u8]) {
        Self::memory(pages).read(offset, target);
    }

    fn memory(pages: &'static [Self]) -> SharedMemory {
        assert!(!in_sandbox(), "shared pages are the client's; a function has them as its argument");
        // SAFETY: the pages are this program's for ever, and in the client nobody makes references into the cells.
        unsafe { SharedMemory::new(run(pages.as_ptr() as usize, pages.len())) }
    }
}

/// Argument: pages of the client's, mapped. See [`map_readonly`], [`map_writable`].
#[derive(Debug, Clone, Copy)]
pub struct Mapped<const WRITABLE: bool> {
    pages: Pages,
    length: usize,
}

/// Lets the sandbox read `pages`, at their own address, without a copy: `SBM_MAP_READONLY`.
///
/// They are mapped at the first call that names them and stay so until the sandbox is destroyed. The function gets a
/// `&[u8]` of all their bytes.
#[must_use]
pub fn map_readonly(pages: &'static [Page]) -> Mapped<false> {
    Mapped { pages: run(pages.as_ptr() as usize, pages.len()), length: size_of_val(pages) }
}

/// Lets the sandbox read and write `pages`, at their own address: `SBM_MAP_WRITABLE`. The function gets a `&mut [u8]`.
///
/// Without isolation it gets a copy, at another address, which comes back when it ends: in the client there are other
/// ways to the pages, and no reference to them is exclusive.
#[must_use]
pub fn map_writable(pages: &'static [SharedPage]) -> Mapped<true> {
    Mapped { pages: run(pages.as_ptr() as usize, pages.len()), length: size_of_val(pages) }
}

impl Mapped<false> {
    /// Shows the function only the first `length` bytes; what follows on the last page is still mapped.
    #[must_use]
    pub fn first(self, length: usize) -> Self {
        Self { length: length.min(self.length), ..self }
    }
}

impl InputFile {
    /// Lets a sandbox read the file where it lies, without a copy.
    #[must_use]
    pub fn map(&self) -> Mapped<false> {
        let pages = run(self.bytes.as_ptr() as usize, self.bytes.len().div_ceil(PAGE as usize));
        Mapped { pages, length: self.bytes.len() }
    }
}

impl Mapped<true> {
    fn memory(&self) -> SharedMemory {
        // SAFETY: `map_writable`, the only way here, was given cells of this program that live for ever.
        unsafe { SharedMemory::new(self.pages) }
    }
}

// SAFETY: the pages are mapped in the sandbox at their own address, read-only, once `map` has returned.
unsafe impl Argument for Mapped<false> {
    type Inside<'x> = &'x [u8];

    #[inline]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        instance.map(at, self.pages, BufferAccess::ReadOnly)?;
        Ok([u64::from(self.pages.address), self.length as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x [u8] {
        // SAFETY: the words are those of `stage`.
        unsafe { <[u8]>::refer(address as usize, bytes as usize) }
    }
}

// SAFETY: as above, for writing; `map` refuses what another argument of the call may write. Where the function runs in
// the client, the words name a buffer of the argument's own.
unsafe impl Argument for Mapped<true> {
    type Inside<'x> = &'x mut [u8];

    #[inline]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        instance.map(at, self.pages, BufferAccess::ReadWrite)?;
        if instance.is_isolated() {
            return Ok([u64::from(self.pages.address), self.length as u64]);
        }
        let buffer = instance.buffer(at, self.length, BufferAccess::ReadWrite)?;
        buffer.fill_from(self.memory());
        Ok([buffer.address(0), self.length as u64])
    }

    #[inline]
    fn finish(&mut self, instance: &Instance, at: usize) {
        if !instance.is_isolated()
            && let Some(buffer) = instance.written(at)
        {
            buffer.memory().copy_to(self.memory());
        }
    }

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x mut [u8] {
        // SAFETY: the words are those of `stage`.
        unsafe { <[u8]>::refer_mut(address as usize, bytes as usize) }
    }
}

/// A run of pages of this program, all of which lies below 4 GiB; one that is too long becomes too long for the server.
fn run(address: usize, count: usize) -> Pages {
    let most = MAX_MAPPING_PAGES + 1;
    Pages { address: u32::try_from(address).unwrap_or(0), count: u32::try_from(count).unwrap_or(most).min(most) }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies to and from memory that a sandbox may be writing at the same time.
//!
//! A sandbox that answered its call early can still run while its client reads. So no Rust reference to such memory is
//! ever made on the client's side: it is read and written by the instructions here, of which the compiler knows only
//! that they touch memory. A torn value is possible, a wrong program is not.
#![expect(unsafe_code, reason = "raw memory is this module's purpose")]

use core::arch::asm;

use sbm_abi::Pages;

/// Memory shared with one sandbox, mapped in this client until it is given back: at the latest with the
/// [`Sbm`](crate::Sbm).
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedMemory(Pages);

impl SharedMemory {
    /// Refers to `pages`.
    ///
    /// # Safety
    /// They are mapped, readable and writable, for as long as this is used, and belong to nothing else.
    pub(crate) const unsafe fn new(pages: Pages) -> Self {
        Self(pages)
    }

    /// Refers to pages that the server's answer says it has mapped.
    pub(crate) const fn from_server(pages: Pages) -> Self {
        // SAFETY: the server, whom a client trusts with all its memory, maps them until the sandbox is destroyed or the
        // growth given back, apart from everything else of the client; what refers to them lives in the `Sbm`, which
        // asks for either, and touches no buffer whose growth it has given back.
        unsafe { Self::new(pages) }
    }

    pub(crate) const fn pages(self) -> Pages {
        self.0
    }

    pub(crate) const fn len(self) -> usize {
        self.0.bytes() as usize
    }

    pub(crate) const fn address(self) -> usize {
        self.0.address as usize
    }

    const fn fits(self, offset: usize, length: usize) -> bool {
        offset <= self.len() && length <= self.len() - offset
    }

    /// Copies `bytes` to `offset`. What does not fit is not copied, which a caller's sizes rule out.
    #[inline]
    pub(crate) fn write(self, offset: usize, bytes: &[u8]) {
        if self.fits(offset, bytes.len()) {
            // SAFETY: the target is mapped and writable (`new`), and `fits` keeps it inside; the source is a slice.
            unsafe { copy(self.address() + offset, bytes.as_ptr() as usize, bytes.len()) }
        }
    }

    /// Copies the bytes at `offset` to `target`. What does not fit is not copied, which a caller's sizes rule out.
    #[inline]
    pub(crate) fn read(self, offset: usize, target: &mut [u8]) {
        if self.fits(offset, target.len()) {
            // SAFETY: the source is mapped (`new`), and `fits` keeps it inside; the target is an exclusive slice.
            unsafe { copy(target.as_mut_ptr() as usize, self.address() + offset, target.len()) }
        }
    }

    /// Copies the bytes at an address to `target` if all of them lie here, and tells whether they do.
    #[inline]
    pub(crate) fn read_at(self, address: usize, target: &mut [u8]) -> bool {
        match address.checked_sub(self.address()) {
            Some(offset) if self.fits(offset, target.len()) => {
                self.read(offset, target);
                true
            }
            _ => false,
        }
    }

    /// Copies all of it to the start of `target`; what does not fit is not copied, which a caller's sizes rule out.
    pub(crate) fn copy_to(self, target: Self) {
        let length = self.len().min(target.len());
        // SAFETY: both are mapped, and the target is writable (`new`).
        unsafe { copy(target.address(), self.address(), length) }
    }

    /// Sets `length` bytes at `offset` to zero.
    #[inline]
    pub(crate) fn zero(self, offset: usize, length: usize) {
        if self.fits(offset, length) {
            // SAFETY: the target is mapped and writable (`new`), and `fits` keeps it inside.
            unsafe { zero(self.address() + offset, length) }
        }
    }

    /// Copies the first `length` bytes to `at` in `target`; what does not fit whole is not copied.
    #[inline]
    pub(crate) fn copy_range(self, length: usize, target: Self, at: usize) {
        if self.fits(0, length) && target.fits(at, length) {
            // SAFETY: both are mapped, and the target is writable (`new`); `fits` keeps both inside.
            unsafe { copy(target.address() + at, self.address(), length) }
        }
    }

    /// Copies a value, padding and all, to `offset`. What does not fit is not copied, which a caller's sizes rule out.
    #[inline]
    pub(crate) fn write_value<T: Copy>(self, offset: usize, value: &T) {
        if self.fits(offset, size_of::<T>()) {
            // SAFETY: the target is mapped and writable (`new`), and `fits` keeps it inside; the source is a value.
            unsafe { copy(self.address() + offset, core::ptr::from_ref(value) as usize, size_of::<T>()) }
        }
    }

    /// Writes word `index` of the memory.
    #[inline]
    pub(crate) fn set_word(self, index: usize, word: u64) {
        if self.fits(index * 8, 8) {
            // SAFETY: mapped, writable (`new`), aligned since pages are, and inside.
            unsafe { (self.address() as *mut u64).add(index).write_volatile(word) }
        }
    }

    /// Returns the memory as a slice that only this client writes: for buffers that the sandbox can only read.
    ///
    /// # Safety
    /// The sandbox holds the pages read-only, and no other slice of them is alive.
    pub(crate) unsafe fn slice_mut<'a>(self) -> &'a mut [u8] {
        // SAFETY: mapped and writable (`new`); exclusive by this function's contract.
        unsafe { core::slice::from_raw_parts_mut(self.address() as *mut u8, self.len()) }
    }
}

/// Copies by words, then the rest by bytes: `rep movs` is what today's CPUs copy fastest, and it needs no vector
/// registers, whose owner the kernel would have to switch.
///
/// # Safety
/// Both ranges are mapped, and the target is writable and not borrowed by anyone else.
#[inline]
unsafe fn copy(to: usize, from: usize, length: usize) {
    // SAFETY: by this function's contract. The direction flag is clear (System V ABI).
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {tail:e}",
            "rep movsb",
            tail = in(reg) length % 8,
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") length / 8 => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Sets memory to zero.
///
/// # Safety
/// The range is mapped, writable, and not borrowed by anyone else.
#[inline]
unsafe fn zero(to: usize, length: usize) {
    // SAFETY: by this function's contract. The direction flag is clear (System V ABI).
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, {tail:e}",
            "rep stosb",
            tail = in(reg) length % 8,
            inout("rdi") to => _,
            inout("rcx") length / 8 => _,
            in("rax") 0u64,
            options(nostack, preserves_flags),
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buffers that are set up once, with the sandbox, and used for many calls without a copy.
//!
//! They lie at the same address on both sides, so that pointers within one mean the same on both. The client looks at
//! them through the [`Sbm`](crate::Sbm), between calls only: the views borrow it.
#![expect(unsafe_code, reason = "arguments name shared memory")]

use sbm_abi::BufferAccess;

use crate::{
    Argument, Error, Payload,
    instance::{Instance, Slot},
    memory::SharedMemory,
};

/// A buffer that the client writes and the sandbox reads. It belongs to the [`Sbm`](crate::Sbm) built with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputBuffer(pub(crate) usize);

/// A buffer that the sandbox writes. It belongs to the [`Sbm`](crate::Sbm) built with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBuffer(pub(crate) usize);

/// What the client sees of an [`OutputBuffer`]: bytes to copy, which a sandbox that misbehaves may still be changing.
#[derive(Debug)]
pub struct OutputView<'a> {
    memory: SharedMemory,
    _sandbox: core::marker::PhantomData<&'a mut ()>,
}

impl OutputView<'_> {
    pub(crate) const fn new(memory: SharedMemory) -> Self {
        Self { memory, _sandbox: core::marker::PhantomData }
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.memory.len()
    }

    /// Tells whether the length is zero, which it never is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the bytes from `offset` on into `target`, which it returns; `None` if there are not so many.
    pub fn read<'t>(&self, offset: usize, target: &'t mut [u8]) -> Option<&'t [u8]> {
        if offset > self.len() || target.len() > self.len() - offset {
            return None;
        }
        self.memory.read(offset, target);
        Some(target)
    }

    /// Copies the value at `offset`, which needs no alignment; `None` if it is not all inside.
    #[must_use]
    pub fn get<T: bytemuck::Pod>(&self, offset: usize) -> Option<crate::Tainted<T>> {
        let mut value = T::zeroed();
        self.read(offset, bytemuck::bytes_of_mut(&mut value))?;
        Some(crate::Tainted::new(value))
    }
}

/// Returns the bytes of an input buffer; of an output buffer, which may be changing, none.
pub(crate) fn bytes(slot: &mut Slot) -> &mut [u8] {
    match slot.access() {
        BufferAccess::ReadOnly => {
            slot.set_live();
            // SAFETY: the sandbox holds the pages read-only, and the slot is borrowed as long as the slice.
            unsafe { slot.memory().slice_mut() }
        }
        BufferAccess::ReadWrite => &mut [],
    }
}

/// Argument: an [`InputBuffer`]. The function gets a `&[u8]`.
#[derive(Debug, Clone, Copy)]
pub struct Shared {
    buffer: InputBuffer,
    length: usize,
}

/// Argument: an [`OutputBuffer`]. The function gets a `&mut [u8]`, which holds what was in it.
#[derive(Debug, Clone, Copy)]
pub struct SharedOut(OutputBuffer);

/// Passes the first `length` bytes of a buffer that the client wrote, without a copy.
#[must_use]
pub const fn shared(buffer: InputBuffer, length: usize) -> Shared {
    Shared { buffer, length }
}

/// Passes a buffer to be written, without a copy.
#[must_use]
pub const fn shared_out(buffer: OutputBuffer) -> SharedOut {
    SharedOut(buffer)
}

// SAFETY: the buffer is mapped in the sandbox, and the length is cut to it.
unsafe impl Argument for Shared {
    type Inside<'x> = &'x [u8];

    #[inline]
    fn stage(&mut self, instance: &mut Instance, _: usize) -> Result<[u64; 2], Error> {
        let slot = instance.own(self.buffer.0, BufferAccess::ReadOnly)?;
        Ok([slot.address(0), self.length.min(slot.len()) as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x [u8] {
        // SAFETY: the words are those of `stage`.
        unsafe { <[u8]>::refer(address as usize, bytes as usize) }
    }
}

// SAFETY: the buffer is mapped in the sandbox, for writing, and named by no other argument: `own` refuses all else.
unsafe impl Argument for SharedOut {
    type Inside<'x> = &'x mut [u8];

    #[inline]
    fn stage(&mut self, instance: &mut Instance, _: usize) -> Result<[u64; 2], Error> {
        let slot = instance.own(self.0.0, BufferAccess::ReadWrite)?;
        Ok([slot.address(0), slot.len() as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x mut [u8] {
        // SAFETY: the words are those of `stage`.
        unsafe { <[u8]>::refer_mut(address as usize, bytes as usize) }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buffers that are set up once, with the sandbox, and used for many calls without a copy.
//!
//! They lie at the same address on both sides, so that pointers within one mean the same on both. The client looks at
//! them through the [`Sbm`](crate::Sbm), between calls only: the views borrow it.
#![expect(unsafe_code, reason = "arguments name shared memory")]

use super::{Argument, copied::Payload};
use crate::{
    client::{buffer::BufferName, instance::Instance, memory::SharedMemory},
    error::Error,
    tainted::Tainted,
};

/// A buffer that the client writes and the sandbox reads. It belongs to the [`Sbm`](crate::Sbm) built with it; any other
/// refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputBuffer(pub(crate) BufferName);

/// A buffer that the sandbox writes. It belongs to the [`Sbm`](crate::Sbm) built with it; any other refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputBuffer(pub(crate) BufferName);

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
    pub fn get<T: bytemuck::Pod>(&self, offset: usize) -> Option<Tainted<T>> {
        let mut value = T::zeroed();
        self.read(offset, bytemuck::bytes_of_mut(&mut value))?;
        Some(Tainted::new(value))
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
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        let buffer = instance.own_read(at, self.buffer.0)?;
        Ok([buffer.address(0), self.length.min(buffer.len()) as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x [u8] {
        // SAFETY: the words are those of `stage`.
        unsafe { <[u8]>::refer(address as usize, bytes as usize) }
    }
}

// SAFETY: the buffer is mapped in the sandbox, for writing, as an `OutputBuffer` is by its name, and `own_write` refuses
// one that another argument of the call names.
unsafe impl Argument for SharedOut {
    type Inside<'x> = &'x mut [u8];

    #[inline]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        let buffer = instance.own_write(at, self.0.0)?;
        Ok([buffer.address(0), buffer.len() as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x mut [u8] {
        // SAFETY: the words are those of `stage`.
        unsafe { <[u8]>::refer_mut(address as usize, bytes as usize) }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of a call that are copied: in, out, or both.
#![expect(unsafe_code, reason = "the sandbox's side makes references of the words that the client's side sent")]

use bytemuck::Pod;
use sbm_abi::{BufferAccess, limits::PAGE};

use super::Argument;
use crate::{client::instance::Instance, error::Error, tainted::Tainted, value::Word};

/// What can be copied as an argument: plain data, and slices of it.
///
/// # Safety
/// `as_raw` and `as_raw_mut` make a reference only to `bytes` bytes at `address`, and `ALIGN` is its alignment.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data",
    label = "has to be `sbm::Pod`, or a slice of what is",
    note = "write `#[derive(Clone, Copy, sbm::Pod)]` and `#[repr(C)]` on a struct of numbers; any other type that serde knows \
            is passed by `value(&x)`",
    note = "a `Vec` of plain data is passed as the slice that it holds, `copy_in(&x[..])`, and a `&str` as it is"
)]
pub unsafe trait Payload: 'static {
    /// Alignment in bytes.
    const ALIGN: usize;

    /// Returns the value as bytes.
    fn bytes(&self) -> &[u8];
    /// Returns the value as bytes to be overwritten with any others.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Refers to the value at `address`.
    ///
    /// # Safety
    /// Mapped, aligned, of this length in bytes, and not written while the reference lives.
    unsafe fn refer<'x>(address: usize, bytes: usize) -> &'x Self;
    /// Refers to the value at `address`, to change it.
    ///
    /// # Safety
    /// Mapped, writable, aligned, of this length in bytes, and not otherwise used while the reference lives.
    unsafe fn refer_mut<'x>(address: usize, bytes: usize) -> &'x mut Self;
}

// SAFETY: one `T`, whose bytes are all initialised, and of which any bytes make one (`Pod`).
unsafe impl<T: Pod> Payload for T {
    const ALIGN: usize = align_of::<T>();

    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::bytes_of_mut(self)
    }
    unsafe fn refer<'x>(address: usize, _: usize) -> &'x Self {
        // SAFETY: by this function's contract.
        unsafe { &*(address as *const Self) }
    }
    unsafe fn refer_mut<'x>(address: usize, _: usize) -> &'x mut Self {
        // SAFETY: by this function's contract.
        unsafe { &mut *(address as *mut Self) }
    }
}

// SAFETY: as many `T` as fit the bytes, each plain data.
unsafe impl<T: Pod> Payload for [T] {
    const ALIGN: usize = align_of::<T>();

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self)
    }
    unsafe fn refer<'x>(address: usize, bytes: usize) -> &'x Self {
        // SAFETY: by this function's contract.
        unsafe { core::slice::from_raw_parts(address as *const T, bytes / size_of::<T>().max(1)) }
    }
    unsafe fn refer_mut<'x>(address: usize, bytes: usize) -> &'x mut Self {
        // SAFETY: by this function's contract.
        unsafe { core::slice::from_raw_parts_mut(address as *mut T, bytes / size_of::<T>().max(1)) }
    }
}

/// Lets this library, and nobody else, reach into a [`Target`].
#[derive(Debug)]
pub struct Seal(());

/// Where something from the sandbox can be copied to: a [`Payload`], or a [`Tainted`] one.
#[diagnostic::on_unimplemented(
    message = "nothing checks what a sandbox writes to `{Self}`",
    label = "has to be a number, a slice of numbers, or `Tainted`",
    note = "begin with `Tainted::<{Self}>::zeroed()`, and check it after the call",
    note = "an array or a `Vec` of numbers is passed as the slice that it holds: `copy_out(&mut x[..])`"
)]
pub trait Target {
    /// What the function sees.
    type Payload: Payload + ?Sized;
    /// Returns the place. Nobody outside this library has a `Seal`: it would be a way around the check of a [`Tainted`].
    fn payload_mut(&mut self, _: Seal) -> &mut Self::Payload;
}

impl<T: Pod + Word> Target for T {
    type Payload = T;
    fn payload_mut(&mut self, _: Seal) -> &mut T {
        self
    }
}

impl<T: Pod + Word> Target for [T] {
    type Payload = [T];
    fn payload_mut(&mut self, _: Seal) -> &mut [T] {
        self
    }
}

impl<T: Pod> Target for Tainted<T> {
    type Payload = T;
    fn payload_mut(&mut self, _: Seal) -> &mut T {
        self.inner_mut()
    }
}

/// Where in its buffer an argument lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start: an overrun within the last page is no fault, as in SBM.
    Start,
    /// At the end, as far as alignment allows: an overrun by one byte is a fault.
    End,
}

impl Place {
    const fn offset(self, buffer: usize, bytes: usize, align: usize) -> usize {
        match self {
            Self::Start => 0,
            Self::End => (buffer - bytes) & !(align - 1),
        }
    }
}

/// Argument: copied in, read-only inside.
pub struct CopyIn<'a, P: ?Sized> {
    payload: &'a P,
    place: Place,
}

/// Argument: copied out after a call that ran to its end; before it, zeros inside, or copied in.
pub struct Copied<'a, P: ?Sized, const IN: bool> {
    payload: &'a mut P,
    place: Place,
}

/// Argument: zeros inside, copied out after a call that ran to its end.
pub type CopyOut<'a, P> = Copied<'a, P, false>;

/// Argument: copied in, and out after a call that ran to its end.
pub type CopyInOut<'a, P> = Copied<'a, P, true>;

impl<P: Payload + ?Sized> CopyIn<'_, P> {
    /// Puts the argument at the end of its last page, so that an overrun by one byte faults.
    ///
    /// An alignment above one leaves a gap where the size is no multiple of it.
    #[must_use]
    pub fn at_end(self) -> Self {
        Self { place: Place::End, ..self }
    }
}

impl<P: Payload + ?Sized, const IN: bool> Copied<'_, P, IN> {
    /// Puts the argument at the end of its last page, as [`CopyIn::at_end`] does.
    #[must_use]
    pub fn at_end(self) -> Self {
        Self { place: Place::End, ..self }
    }
}

/// Copies `payload` in before the call: `SBM_COPY_IN`. The function gets a shared reference.
pub fn copy_in<P: Payload + ?Sized>(payload: &P) -> CopyIn<'_, P> {
    CopyIn { payload, place: Place::Start }
}

/// Copies into `target` after a call that ran to its end: `SBM_COPY_OUT`. The function gets an exclusive reference to
/// zeros.
pub fn copy_out<T: Target + ?Sized>(target: &mut T) -> CopyOut<'_, T::Payload> {
    Copied { payload: target.payload_mut(Seal(())), place: Place::Start }
}

/// Copies `target` in before the call, and back after a call that ran to its end: `SBM_COPY_INOUT`. The function gets
/// an exclusive reference.
pub fn copy_inout<T: Target + ?Sized>(target: &mut T) -> CopyInOut<'_, T::Payload> {
    Copied { payload: target.payload_mut(Seal(())), place: Place::Start }
}

// SAFETY: `stage` names a buffer of the sandbox's that holds the payload's bytes, aligned by its page or by `offset`;
// the buffer is this argument's own, and the sandbox can read it.
unsafe impl<P: Payload + ?Sized> Argument for CopyIn<'_, P> {
    type Inside<'x> = &'x P;

    #[inline(always)]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        const { assert!(P::ALIGN <= PAGE as usize, "a buffer is aligned to a page, and no more") };
        let bytes = self.payload.bytes();
        let buffer = instance.buffer(at, bytes.len(), BufferAccess::ReadOnly)?;
        let offset = self.place.offset(buffer.len(), bytes.len(), P::ALIGN);
        buffer.fill(offset, bytes);
        Ok([buffer.address(offset), bytes.len() as u64])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x P {
        // SAFETY: the words are those of `stage`, which says where the bytes are.
        unsafe { P::refer(address as usize, bytes as usize) }
    }
}

// SAFETY: as for `CopyIn`; the sandbox can write the buffer.
unsafe impl<P: Payload + ?Sized, const IN: bool> Argument for Copied<'_, P, IN> {
    type Inside<'x> = &'x mut P;

    #[inline(always)]
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        const { assert!(P::ALIGN <= PAGE as usize, "a buffer is aligned to a page, and no more") };
        let bytes = self.payload.bytes();
        let buffer = instance.buffer(at, bytes.len(), BufferAccess::ReadWrite)?;
        let offset = self.place.offset(buffer.len(), bytes.len(), P::ALIGN);
        if IN {
            buffer.fill(offset, bytes);
        } else {
            buffer.clear(offset, bytes.len());
        }
        Ok([buffer.address(offset), bytes.len() as u64])
    }

    #[inline(always)]
    fn finish(&mut self, instance: &Instance, at: usize) {
        let bytes = self.payload.bytes_mut();
        if let Some(buffer) = instance.written(at) {
            buffer.read(self.place.offset(buffer.len(), bytes.len(), P::ALIGN), bytes);
        }
    }

    #[inline]
    unsafe fn inside<'x>([address, bytes]: [u64; 2]) -> &'x mut P {
        // SAFETY: the words are those of `stage`, which says where the bytes are.
        unsafe { P::refer_mut(address as usize, bytes as usize) }
    }
}

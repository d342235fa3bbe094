// SPDX-License-Identifier: MIT OR Apache-2.0
//! Data that a function has built in its heap, read by the client where it lies.
//!
//! A [`Far`] is an address that the sandbox chose, and no more: the type that it names says how the client reads what lies
//! there. A [`Walk`] follows such addresses. Each step checks range, alignment and length and copies the bytes out, once; what
//! it returns holds still, whatever the sandbox does meanwhile, and is plain data, of which any bytes are a value. So nothing
//! that is built inside can lead the client out of the heap, and the number of steps is its own to say.
#![expect(unsafe_code, reason = "pointers are plain data, which is an unsafe trait")]

use core::{fmt, marker::PhantomData, num::NonZeroUsize, ptr::NonNull};

use bytemuck::{Pod, PodInOption, Zeroable, ZeroableInOption};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Tainted, client::memory::SharedMemory};

/// Where a function has a `T` in its heap: to be returned, or in what it builds there.
///
/// It is never null. As a field of plain data it stands in an [`Option`], where null is `None`.
#[repr(transparent)]
pub struct Far<T> {
    address: NonZeroUsize,
    // It owns no `T`, and is none.
    names: PhantomData<fn() -> T>,
}

/// Where a function has so many `T` in a row; of bytes, also text.
#[repr(C)]
pub struct FarSlice<T> {
    address: usize,
    length: usize,
    names: PhantomData<fn() -> T>,
}

impl<T> Far<T> {
    /// Names a value: in the sandbox, what lies in its heap and stays there, as by `Box::leak`. Of anything else the client
    /// says that it lies outside, or reads what has come to that place since.
    #[must_use]
    pub fn of(value: &T) -> Self {
        Self { address: NonNull::from(value).addr(), names: PhantomData }
    }

    /// Returns the address, which is the sandbox's word.
    #[must_use]
    pub const fn address(self) -> usize {
        self.address.get()
    }
}

impl<T> FarSlice<T> {
    /// Names values in a row, as [`Far::of`]: what `Vec::leak` or `String::leak` returns.
    #[must_use]
    pub fn of(values: &[T]) -> Self {
        Self { address: values.as_ptr().addr(), length: values.len(), names: PhantomData }
    }

    /// Returns the address of the first one, which is the sandbox's word.
    #[must_use]
    pub const fn address(self) -> usize {
        self.address
    }

    /// Returns how many there are, by the sandbox's word.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is a claim, not a collection")]
    pub const fn len(self) -> usize {
        self.length
    }

    /// Returns where the value with that index is, if there are so many.
    #[must_use]
    pub fn get(self, index: usize) -> Option<Far<T>> {
        let offset = (index < self.length).then(|| index.checked_mul(size_of::<T>()))??;
        let address = NonZeroUsize::new(self.address.checked_add(offset)?)?;
        Some(Far { address, names: PhantomData })
    }
}

macro_rules! copies {
    ($($pointer:ident)*) => {
        $(
            impl<T> Clone for $pointer<T> {
                fn clone(&self) -> Self {
                    *self
                }
            }

            impl<T> Copy for $pointer<T> {}
        )*
    };
}

copies!(Far FarSlice);

impl<T> PartialEq for Far<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for Far<T> {}

impl<T> fmt::Debug for Far<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Far({:#x})", self.address)
    }
}

impl<T> fmt::Debug for FarSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FarSlice({:#x}, {})", self.address, self.length)
    }
}

// SAFETY: a number other than zero and nothing beside it, so `None` is zero; it refers to nothing.
unsafe impl<T: 'static> ZeroableInOption for Far<T> {}
// SAFETY: as above; every other word is `Some`.
unsafe impl<T: 'static> PodInOption for Far<T> {}
// SAFETY: two words, of which any bits are values, without padding.
unsafe impl<T: 'static> Zeroable for FarSlice<T> {}
// SAFETY: as above.
unsafe impl<T: 'static> Pod for FarSlice<T> {}

impl<T> Serialize for Far<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.address.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Far<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NonZeroUsize::deserialize(deserializer).map(|address| Self { address, names: PhantomData })
    }
}

impl<T> Serialize for FarSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.address, self.length).serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for FarSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (address, length) = Deserialize::deserialize(deserializer)?;
        Ok(Self { address, length, names: PhantomData })
    }
}

/// Why a step of a walk was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkError {
    /// The sandbox has no heap that its client can read.
    NoHeap,
    /// What the pointer names does not lie in the heap, or not all of it.
    Outside {
        /// Where it begins.
        address: usize,
        /// The bytes of it.
        bytes: usize,
    },
    /// Nothing of that type lies at the address.
    Unaligned {
        /// The address.
        address: usize,
        /// What it has to be a multiple of.
        align: usize,
    },
    /// There are more elements than there is room for.
    Long {
        /// How many, by the sandbox's word.
        length: usize,
        /// The most that there is room for.
        limit: usize,
    },
    /// The bytes are no UTF-8.
    NotText,
    /// The walk has made all its steps: what it follows is longer than was allowed for, or has no end.
    Steps {
        /// How many it had.
        limit: u32,
    },
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeap => f.write_str("the sandbox has no heap to walk; `Builder::walked` makes it one"),
            Self::Outside { address, bytes } => {
                write!(f, "a pointer to {bytes} bytes at {address:#x} leads out of the sandbox's heap")
            }
            Self::Unaligned { address, align } => {
                write!(f, "a pointer to {address:#x}, which is no multiple of {align}")
            }
            Self::Long { length, limit } => write!(f, "a slice of {length}; there is room for {limit}"),
            Self::NotText => f.write_str("text that is no UTF-8"),
            Self::Steps { limit } => write!(f, "no end after {limit} steps"),
        }
    }
}

/// A walk through what the last calls have built in a sandbox's heap. See [`Sbm::walk`](crate::Sbm::walk).
///
/// While it is there nothing is called. A sandbox that answered and runs on can write all the same: between two steps, and
/// in the midst of one, of which the value then has bytes of both sides.
#[derive(Debug)]
pub struct Walk<'a> {
    memory: SharedMemory,
    left: u32,
    limit: u32,
    _sandbox: PhantomData<&'a ()>,
}

impl Walk<'_> {
    pub(crate) const fn new(memory: SharedMemory, steps: u32) -> Self {
        Self { memory, left: steps, limit: steps, _sandbox: PhantomData }
    }

    /// Copies the value that a pointer names: one step.
    ///
    /// # Errors
    /// [`WalkError`] if it does not lie in the heap as a `T` does, or all steps are made.
    #[inline]
    pub fn get<T: Pod>(&mut self, at: Far<T>) -> Result<Tainted<T>, WalkError> {
        let mut value = T::zeroed();
        self.copy(at.address(), core::slice::from_mut(&mut value))?;
        Ok(Tainted::new(value))
    }

    /// Copies the values that a slice names to the start of `target`, and returns them: one step.
    ///
    /// # Errors
    /// [`WalkError`] if there are more than `target` holds, they do not all lie in the heap as values of the type do, or all
    /// steps are made.
    pub fn slice<'t, T: Pod>(
        &mut self,
        slice: FarSlice<T>,
        target: &'t mut [T],
    ) -> Result<Tainted<&'t [T]>, WalkError> {
        self.copy_slice(slice, target).map(Tainted::new)
    }

    /// Copies the text that a slice of bytes names to the start of `target`, and returns it: one step.
    ///
    /// # Errors
    /// As [`Walk::slice`], and [`WalkError::NotText`].
    pub fn text<'t>(&mut self, text: FarSlice<u8>, target: &'t mut [u8]) -> Result<Tainted<&'t str>, WalkError> {
        let bytes = self.copy_slice(text, target)?;
        core::str::from_utf8(bytes).map(Tainted::new).map_err(|_| WalkError::NotText)
    }

    fn copy_slice<'t, T: Pod>(&mut self, slice: FarSlice<T>, target: &'t mut [T]) -> Result<&'t [T], WalkError> {
        let limit = target.len();
        let target = target.get_mut(..slice.length).ok_or(WalkError::Long { length: slice.length, limit })?;
        self.copy(slice.address, target)?;
        Ok(target)
    }

    /// Makes one step: to `target.len()` values from `address` on.
    #[inline]
    fn copy<T: Pod>(&mut self, address: usize, target: &mut [T]) -> Result<(), WalkError> {
        self.left = self.left.checked_sub(1).ok_or(WalkError::Steps { limit: self.limit })?;
        if size_of_val(target) == 0 {
            // What takes no bytes lies nowhere.
            return Ok(());
        }
        let align = align_of::<T>();
        if !address.is_multiple_of(align) {
            return Err(WalkError::Unaligned { address, align });
        }
        let target = bytemuck::cast_slice_mut::<T, u8>(target);
        if self.memory.read_at(address, target) {
            Ok(())
        } else {
            Err(WalkError::Outside { address, bytes: target.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sbm_abi::Pages;

    /// A heap that nothing is read from: whatever could be lies outside, or is refused before.
    fn walk(steps: u32) -> Walk<'static> {
        // SAFETY: nothing that lies in it is asked for.
        Walk::new(unsafe { SharedMemory::new(Pages { address: 0x1000_0000, count: 4 }) }, steps)
    }

    fn far<T>(address: usize) -> Far<T> {
        Far { address: NonZeroUsize::new(address).unwrap(), names: PhantomData }
    }

    fn slice<T>(address: usize, length: usize) -> FarSlice<T> {
        FarSlice { address, length, names: PhantomData }
    }

    #[test]
    fn pointers_are_plain_data_and_null_is_none() {
        let words = [0_usize, 1, 2, 3];
        let [none, some] = bytemuck::cast::<_, [Option<Far<u8>>; 2]>([words[0], words[1]]);
        assert_eq!((none, some), (None, Some(far(1))));
        let [slice] = bytemuck::cast::<_, [FarSlice<u64>; 1]>([words[2], words[3]]);
        assert_eq!((slice.address(), slice.len()), (2, 3));
        assert_eq!([0, 2, 3].map(|index| slice.get(index).map(Far::address)), [Some(2), Some(18), None]);
    }

    #[test]
    fn an_element_that_lies_nowhere_is_none() {
        let end = usize::MAX;
        for (slice, index) in
            [(slice::<u64>(end, 3), 1), (slice(0, end), 0), (slice(8, end), end - 1), (slice(8, 0), 0)]
        {
            assert_eq!(slice.get(index), None);
        }
    }

    #[test]
    fn what_does_not_lie_in_the_heap_is_outside() {
        let (start, end) = (0x1000_0000, 0x1000_4000);
        for address in [8, start - 8, end - 8, end, usize::MAX - 7, usize::MAX - 15] {
            let error = walk(1).get(far::<[u64; 2]>(address)).unwrap_err();
            assert_eq!(error, WalkError::Outside { address, bytes: 16 });
        }
        let mut room = [0_u64; 8];
        for (address, length) in [(end - 8, 2), (end, 1), (start - 8, 8), (usize::MAX - 7, 1), (usize::MAX - 7, 8)] {
            let error = walk(1).slice(slice(address, length), &mut room).unwrap_err();
            assert_eq!(error, WalkError::Outside { address, bytes: 8 * length });
        }
    }

    #[test]
    fn what_is_not_aligned_is_refused() {
        assert_eq!(
            walk(1).get(far::<u64>(0x1000_0004)).unwrap_err(),
            WalkError::Unaligned { address: 0x1000_0004, align: 8 }
        );
        let mut room = [0_u16; 2];
        let error = walk(1).slice(slice(0x1000_0001, 2), &mut room).unwrap_err();
        assert_eq!(error, WalkError::Unaligned { address: 0x1000_0001, align: 2 });
    }

    #[test]
    fn what_is_longer_than_its_room_is_refused_and_what_is_empty_lies_nowhere() {
        let mut room = [0_u64; 2];
        for length in [3, 1 << 61, usize::MAX] {
            let error = walk(1).slice(slice(0x1000_0000, length), &mut room).unwrap_err();
            assert_eq!(error, WalkError::Long { length, limit: 2 });
        }
        for address in [0, 1, usize::MAX] {
            assert!(walk(1).slice(slice(address, 0), &mut room).unwrap().check(|values| values.is_empty()).is_ok());
            assert!(walk(1).text(slice(address, 0), &mut []).unwrap().check(|text| text.is_empty()).is_ok());
        }
    }

    #[test]
    fn steps_run_out_whatever_they_are() {
        let mut walk = walk(2);
        assert!(walk.slice::<u8>(slice(0, 0), &mut []).is_ok());
        assert!(walk.get(far::<()>(8)).is_ok());
        assert_eq!(walk.get(far::<u64>(8)).unwrap_err(), WalkError::Steps { limit: 2 });
        assert_eq!(walk.text(slice(0, 0), &mut []).unwrap_err(), WalkError::Steps { limit: 2 });
    }
}

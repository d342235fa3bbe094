// SPDX-License-Identifier: MIT OR Apache-2.0
//! A function that fits its arguments, and the thunk that brings them together in the sandbox.
#![expect(unsafe_code, reason = "the thunk calls a function whose type is all there is of it")]

use super::entry::{Thunk, Words};
use crate::{argument::Argument, value::Value};

/// A function that can be called in a sandbox with arguments `A`: any `fn` that takes what they are inside, and any
/// closure that captures nothing.
pub trait Function<A>: Copy {
    /// What it returns.
    type Output: Value;

    /// Runs the function in the sandbox.
    ///
    /// # Safety
    /// `block` is the argument page of a call that was staged with arguments of type `A`.
    unsafe fn run(self, block: *const [u64; 2]) -> Self::Output;
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<F, R, $($name: Argument),*> Function<($($name,)*)> for F
        where
            F: Copy + for<'x> Fn($($name::Inside<'x>),*) -> R,
            R: Value,
        {
            type Output = R;

            #[inline]
            #[allow(unused_variables, clippy::allow_attributes, reason = "the empty tuple")]
            unsafe fn run(self, block: *const [u64; 2]) -> R {
                // SAFETY: `stage` wrote these words for these types, and each is used once.
                self($(unsafe { $name::inside(block.add($index).read()) }),*)
            }
        }
    };
}

each_tuple!(tuple);

/// Returns the thunk of a function: its address stands for the function, as it has no data.
pub(crate) fn thunk<A, F: Function<A>>(_: F) -> Thunk {
    const { assert!(size_of::<F>() == 0, "a sandboxed function captures nothing: pass a `fn` by its name") };
    run::<A, F>
}

unsafe extern "C" fn run<A, F: Function<A>>(block: *const [u64; 2]) -> Words {
    // SAFETY: `F` has no bytes (asserted in `thunk`) and one was there, as `thunk` took it; it is `Copy`.
    let function = unsafe { core::ptr::NonNull::<F>::dangling().read() };
    // SAFETY: the caller passes the argument page that was staged for `A` (`Sbm::call`).
    let [value, tag] = unsafe { function.run(block) }.to_words();
    Words(value, tag)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A function that fits its arguments, and the thunk that brings them together in the sandbox.
#![expect(unsafe_code, reason = "the thunk calls a function whose type is all there is of it")]

use sbm_abi::limits::{CAPTURES_OFFSET, MAX_CAPTURES};
use sbm_coding::words;

use super::{
    ask::answer_in_outbox,
    entry::{Thunk, Words},
};
use crate::{argument::Argument, value::Value};

/// A function that can be called in a sandbox with arguments `A`: any `fn` that takes what they are inside, and any
/// closure whose captures are plain data, [`MAX_CAPTURES`] bytes at most.
pub trait Function<A>: Takes<A, Output: Value> + Copy + 'static {}

impl<A, F: Takes<A, Output: Value> + Copy + 'static> Function<A> for F {}

/// A function that takes what arguments `A` are inside.
///
/// With what else makes it a [`Function`], each a bound of its own, the compiler can say which of them a call does not meet.
#[diagnostic::on_unimplemented(
    message = "this cannot be called in a sandbox with these arguments",
    label = "called with `{A}`",
    note = "its parameters are what the arguments are inside: `&T` for `copy_in(&value)`, `&mut T` for `copy_out` and \
            `copy_inout`, `T` for `value(&value)` and for numbers"
)]
pub trait Takes<A> {
    /// What it returns.
    type Output;

    /// Runs the function in the sandbox.
    ///
    /// # Safety
    /// `block` is the argument page of a call that was staged with arguments of type `A`.
    unsafe fn run(self, block: *const [u64; 2]) -> Self::Output;
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<F, R, $($name: Argument),*> Takes<($($name,)*)> for F
        where
            F: for<'x> Fn($($name::Inside<'x>),*) -> R,
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

/// Returns the thunk of a function: its address stands for the function, whose captures travel in the argument page.
pub(crate) fn thunk<A, F: Function<A>>() -> Thunk {
    const {
        assert!(
            size_of::<F>() <= MAX_CAPTURES && align_of::<F>() <= CAPTURES_OFFSET as usize,
            "a sandboxed closure captures at most 864 bytes: pass what is larger as an argument, by `copy_in` or `value`"
        );
    }
    run::<A, F>
}

unsafe extern "C" fn run<A, F: Function<A>>(block: *const [u64; 2]) -> Words {
    let function = if size_of::<F>() == 0 {
        // SAFETY: `F` has no bytes, one was there, as the caller of `thunk` had it, and it is `Copy`.
        unsafe { core::ptr::NonNull::<F>::dangling().read() }
    } else {
        // SAFETY: the client has copied one to this place of the argument page (`Instance::capture`), and it is `Copy`.
        unsafe { block.byte_add(CAPTURES_OFFSET as usize).cast::<F>().read() }
    };
    // SAFETY: the caller passes the argument page that was staged for `A` (`Sbm::call`).
    let value = unsafe { function.run(block) };
    let [first, second] = match words::encode(&value) {
        Some(words) => words,
        // SAFETY: as above.
        None => unsafe { answer_in_outbox(block, &value) },
    };
    Words(first, second)
}

const _: () = assert!(MAX_CAPTURES == 864, "a message above says so");

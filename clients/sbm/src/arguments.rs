// SPDX-License-Identifier: MIT OR Apache-2.0
//! All arguments of a call, and the function that fits them.
#![expect(unsafe_code, reason = "the thunk calls a function whose type is all there is of it")]

use crate::{Argument, Error, Value, instance::Instance};

/// The arguments of a call: a tuple of up to six.
pub trait Arguments {
    /// Brings all arguments in place and writes their words to the argument page.
    ///
    /// # Errors
    /// [`Error::Server`] if memory had to be asked for and was refused.
    fn stage(&mut self, instance: &mut Instance) -> Result<(), Error>;

    /// Fetches what the function wrote.
    fn finish(&mut self, instance: &Instance);
}

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
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
            #[inline]
            #[allow(unused_variables, clippy::allow_attributes, reason = "the empty tuple")]
            fn stage(&mut self, instance: &mut Instance) -> Result<(), Error> {
                $(
                    let words = self.$index.stage(instance, $index)?;
                    instance.set_argument($index, words);
                )*
                Ok(())
            }

            #[inline]
            #[allow(unused_variables, clippy::allow_attributes, reason = "the empty tuple")]
            fn finish(&mut self, instance: &Instance) {
                $(self.$index.finish(instance, $index);)*
            }
        }

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

tuple!();
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, G 5);

/// Two words, returned in `rax` and `rdx`.
#[repr(C)]
pub(crate) struct Words(u64, u64);

/// What the sandbox's thread calls: fetches the arguments, runs `F`, returns its value.
pub(crate) type Thunk = unsafe extern "C" fn(*const [u64; 2]) -> Words;

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

impl Words {
    pub(crate) const fn into_array(self) -> [u64; 2] {
        [self.0, self.1]
    }
}

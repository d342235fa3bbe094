// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments of a call: how each is brought in place, and what a function gets.
//!
//! The words of an argument join the two sides, so what makes them and what takes them stand beside each other here.
#![expect(unsafe_code, reason = "the sandbox's side makes references of the words that the client's side sent")]

pub(crate) mod copied;
pub(crate) mod mapped;
pub(crate) mod service;
pub(crate) mod shared;
pub(crate) mod typed;

use crate::{
    client::{
        instance::Instance,
        request::{Answer, Request},
    },
    error::Error,
    value::Word,
};

/// One argument of a call.
///
/// On the client's side [`Argument::stage`] brings it in place and [`Argument::finish`] fetches what came of it; in the
/// sandbox [`Argument::inside`] makes of its words what the function takes.
///
/// # Safety
/// `inside` is sound in the sandbox for the words that `stage` returned: the memory they name is mapped there, for
/// writing if `inside` makes an exclusive reference, and aligned for its type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it travels into a sandbox",
    label = "say it: `copy_in(&x)`, `copy_out(&mut x)`, `copy_inout(&mut x)`, or `value(&x)`",
    note = "numbers, `bool`, `char` and `&str` are passed as they are, and of a `String` `x.as_str()`"
)]
pub unsafe trait Argument {
    /// What the function takes.
    type Inside<'x>;

    /// Brings the argument, number `at` of the call, in place and returns the two words that name it.
    ///
    /// # Errors
    /// [`Error::Argument`] if a call cannot take it; [`Error::Server`] if memory for it had to be asked for and was refused.
    fn stage(&mut self, instance: &mut Instance, at: usize) -> Result<[u64; 2], Error>;

    /// Fetches what the function wrote, after a call that ran to its end.
    fn finish(&mut self, instance: &Instance, at: usize);

    /// Answers a request of the function to this argument, if it is a service.
    ///
    /// # Errors
    /// What ends the call: the request is none of the service.
    fn answer(&mut self, request: Request<'_>) -> Result<Answer, Error> {
        request.refuse()
    }

    /// Makes the function's argument of the words, in the sandbox.
    ///
    /// # Safety
    /// `words` come from `stage` of a call that is running, and nothing made from them before is in use.
    unsafe fn inside<'x>(words: [u64; 2]) -> Self::Inside<'x>;
}

/// The arguments of a call: a tuple of up to six.
#[diagnostic::on_unimplemented(
    message = "a sandboxed call has at most six arguments, in a tuple",
    label = "write `(x,)` for one and `()` for none",
    note = "more of them travel as one, in a struct or a tuple by `value(&x)`"
)]
pub trait Arguments {
    /// Brings all arguments in place and writes their words to the argument page.
    ///
    /// # Errors
    /// [`Error::Argument`] if the call cannot take one; [`Error::Server`] if memory had to be asked for and was refused.
    fn stage(&mut self, instance: &mut Instance) -> Result<(), Error>;

    /// Fetches what the function wrote.
    fn finish(&mut self, instance: &Instance);

    /// Answers a request of the function to the argument that it names, if that is a service.
    ///
    /// # Errors
    /// What ends the call: the request is none of the service.
    fn answer(&mut self, request: Request<'_>) -> Result<Answer, Error>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
            #[inline(always)]
            #[allow(unused_variables, clippy::allow_attributes, reason = "the empty tuple")]
            fn stage(&mut self, instance: &mut Instance) -> Result<(), Error> {
                $(
                    let words = self.$index.stage(instance, $index)?;
                    instance.set_argument($index, words);
                )*
                Ok(())
            }

            #[inline(always)]
            #[allow(unused_variables, clippy::allow_attributes, reason = "the empty tuple")]
            fn finish(&mut self, instance: &Instance) {
                $(self.$index.finish(instance, $index);)*
            }

            fn answer(&mut self, request: Request<'_>) -> Result<Answer, Error> {
                match request.of() {
                    $($index => self.$index.answer(request),)*
                    _ => request.answer_itself(),
                }
            }
        }
    };
}

each_tuple!(tuple);

macro_rules! by_value {
    ($($integer:ty)*) => {
        $(
            // SAFETY: the words name no memory.
            unsafe impl Argument for $integer {
                type Inside<'x> = Self;

                #[inline(always)]
                fn stage(&mut self, _: &mut Instance, _: usize) -> Result<[u64; 2], Error> {
                    Ok([self.to_word(), 0])
                }

                #[inline(always)]
                fn finish(&mut self, _: &Instance, _: usize) {}

                #[inline(always)]
                #[expect(clippy::allow_attributes, reason = "not every integer is cut")]
                #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the bits of `stage`")]
                unsafe fn inside<'x>([word, _]: [u64; 2]) -> Self::Inside<'x> {
                    word as Self
                }
            }
        )*
    };
}

by_value!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arguments that are services: what the function can ask its caller for.
#![expect(unsafe_code, reason = "the sandbox's side reads the mailboxes")]

use core::{fmt, marker::PhantomData};

use serde::{Serialize, Serializer};

use super::Argument;
use crate::{
    client::{instance::Instance, request::Answer, request::Request},
    error::Error,
    inside::ask,
    value::Value,
};

/// What answers requests: `dyn Trait` for every trait with [`#[sbm::service]`](macro@crate::service).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "name the interface: `serve::<dyn Trait>(&mut handler)`",
    note = "a service is a trait with `#[sbm::service]`, and `serve` takes it as `dyn Trait`"
)]
pub trait Service {
    /// The interface: what the function's [`Proxy`] stands for.
    type Interface: ?Sized + 'static;

    /// Answers a request: written by the attribute.
    ///
    /// # Errors
    /// What ends the call: the request is none of this interface. A handler's own error is a value of its answer.
    fn answer<'request>(&mut self, request: Request<'request>) -> Result<Answer, Error>;
}

/// Argument: a handler, for the length of the call. See [`serve`].
pub struct Serve<'a, S: ?Sized>(&'a mut S);

/// Lets the function ask `handler`, which keeps what it has borrowed for the length of the call. The function gets a
/// [`Proxy`].
///
/// The handler runs in the client, between a request and its answer: it may call other sandboxes, its time does not count
/// for the call's budget unless [`Builder::count_handlers`](crate::Builder::count_handlers) says so, and its panic is the
/// client's.
pub fn serve<S: Service + ?Sized>(handler: &mut S) -> Serve<'_, S> {
    Serve(handler)
}

/// The function's end of a service: it implements the trait that declares it, by asking the caller.
///
/// It is a name, and means what it names while a call runs that has this service at the same place. Any other request is
/// an error of its call.
pub struct Proxy<S: ?Sized> {
    of: u8,
    _service: PhantomData<fn(&S)>,
}

impl<S: ?Sized> Clone for Proxy<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: ?Sized> Copy for Proxy<S> {}

impl<S: ?Sized> fmt::Debug for Proxy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy(argument {})", self.of + 1)
    }
}

impl<S: ?Sized> Proxy<S> {
    /// Asks the caller: written by the attribute.
    ///
    /// # Panics
    /// Where no call is running, or if serde cannot write the arguments or read the answer, which ends the call.
    #[inline]
    pub fn ask<T: Serialize, R: Value>(&self, method: u16, arguments: &T, into: &mut [u8]) -> R {
        ask::request(self.of, method, arguments, into)
    }
}

// SAFETY: the words name no memory.
unsafe impl<S: Service + ?Sized> Argument for Serve<'_, S> {
    type Inside<'x> = Proxy<S::Interface>;

    #[inline]
    fn stage(&mut self, _: &mut Instance, at: usize) -> Result<[u64; 2], Error> {
        Ok([at as u64, 0])
    }

    #[inline]
    fn finish(&mut self, _: &Instance, _: usize) {}

    #[inline]
    fn answer(&mut self, request: Request<'_>) -> Result<Answer, Error> {
        self.0.answer(request)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a place in a call")]
    unsafe fn inside<'x>([at, _]: [u64; 2]) -> Self::Inside<'x> {
        Proxy { of: at as u8, _service: PhantomData }
    }
}

/// Bytes that serde writes as such, and not one by one.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

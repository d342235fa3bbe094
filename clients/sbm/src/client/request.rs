// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request of a running function, before anyone has believed a byte of it.
//!
//! Its arguments are two words, or bytes that are copied from the outbox to the inbox, where the sandbox cannot change them,
//! and decoded there. What the handler fills, and its answer if that does not fit two words, go to the inbox as well:
//!
//! ```text
//!   inbox   what the handler fills | the arguments, then the answer
//! ```

use sbm_abi::{Asked, BufferAccess, CODED};
use sbm_coding::{Encoded, words};
use serde::Deserialize;

use super::{buffer::Buffer, instance::Instance};
use crate::{error::Error, heap, value::Value};

/// A request of a running function.
#[derive(Debug)]
pub struct Request<'r> {
    instance: &'r mut Instance,
    head: Asked,
    words: [u64; 2],
}

/// What a handler has answered, ready to be sent.
#[derive(Debug)]
pub struct Answer(pub(super) [u64; 2]);

impl<'r> Request<'r> {
    pub(super) const fn new(instance: &'r mut Instance, head: Asked, words: [u64; 2]) -> Self {
        Self { instance, head, words }
    }

    /// Returns the place of the argument that is asked.
    #[inline]
    pub(crate) const fn of(&self) -> u8 {
        self.head.of()
    }

    /// Returns the number of the method.
    #[inline]
    #[must_use]
    pub const fn method(&self) -> u16 {
        self.head.method()
    }

    /// Refuses the request, which ends its call.
    ///
    /// # Errors
    /// Always.
    pub const fn refuse(self) -> Result<Answer, Error> {
        Err(Error::Request)
    }

    /// Answers a request that is to no argument of the call.
    pub(crate) fn answer_itself(self) -> Result<Answer, Error> {
        self.instance.answer_itself(self.head, self.words)
    }

    /// Decodes the arguments, and answers with what `method` makes of them.
    ///
    /// # Errors
    /// The request is none of the method, or the answer has no room.
    #[inline]
    pub fn answer<T: Deserialize<'r>, R: Value>(self, method: impl FnOnce(T) -> R) -> Result<Answer, Error> {
        if self.head.room() != 0 {
            return Err(Error::Request);
        }
        if self.head.is_coded() {
            return self.answer_by_mail(|arguments, _| method(arguments));
        }
        let arguments = words::decode(self.words).ok_or(Error::Request)?;
        self.instance.send(&method(arguments), 0)
    }

    /// The same for a method that fills bytes. What is in them at first is what an earlier message has left.
    ///
    /// # Errors
    /// As [`Request::answer`].
    #[inline]
    pub fn answer_into<T: Deserialize<'r>, R: Value>(
        self,
        method: impl FnOnce(T, &'r mut [u8]) -> R,
    ) -> Result<Answer, Error> {
        self.answer_by_mail(method)
    }

    // Apart from requests of words alone, which would pay for its registers.
    #[inline(never)]
    fn answer_by_mail<T: Deserialize<'r>, R: Value>(
        self,
        method: impl FnOnce(T, &'r mut [u8]) -> R,
    ) -> Result<Answer, Error> {
        let Self { instance, head, words } = self;
        let limit = instance.result_limit;
        let room = head.room() as usize;
        let length = if head.is_coded() { usize::try_from(words[0]).unwrap_or(usize::MAX) } else { 0 };
        let behind = room.next_multiple_of(8);
        let bytes = behind.saturating_add(length);
        if bytes > limit {
            return Err(Error::Long { bytes, limit });
        }
        let (room, rest) = instance.receive(length, room, behind)?;
        let arguments = if head.is_coded() {
            sbm_coding::decode(rest, limit, heap::READER).map_err(Error::Unreadable)?
        } else {
            words::decode(words).ok_or(Error::Request)?
        };
        let result = method(arguments, room);
        instance.send(&result, behind)
    }
}

impl Instance {
    /// Copies `length` bytes of the outbox to the inbox, from `behind` on, and returns the first `room` bytes of that, and
    /// the copy.
    fn receive<'a>(&mut self, length: usize, room: usize, behind: usize) -> Result<(&'a mut [u8], &'a [u8]), Error> {
        if length > 0 {
            return self.receive_coded(length, room, behind);
        }
        self.mailbox(BufferAccess::ReadOnly, behind)?;
        Ok(self.inbox_parts(room, behind, 0))
    }

    fn receive_coded<'a>(
        &mut self,
        length: usize,
        room: usize,
        behind: usize,
    ) -> Result<(&'a mut [u8], &'a [u8]), Error> {
        let outbox = self.mail[BufferAccess::ReadWrite as usize].as_ref().map(Buffer::memory);
        // Before the inbox grows for it.
        let outbox = outbox.filter(|outbox| length <= outbox.len()).ok_or(Error::Request)?;
        let inbox = self.mailbox(BufferAccess::ReadOnly, behind + length)?.memory();
        outbox.copy_range(length, inbox, behind);
        Ok(self.inbox_parts(room, behind, length))
    }

    /// Makes words of an answer; what does not fit goes to the inbox, from `at` on.
    #[inline]
    fn send<R: Value>(&mut self, result: &R, at: usize) -> Result<Answer, Error> {
        if let Some(words) = words::encode(result) {
            return Ok(Answer(words));
        }
        self.send_coded(result, at)
    }

    #[inline(never)]
    fn send_coded<R: Value>(&mut self, result: &R, at: usize) -> Result<Answer, Error> {
        let mut bytes = at;
        // The second time there is room for what the first time told.
        for _ in 0..2 {
            self.enlarge_inbox(bytes, at)?;
            match sbm_coding::encode(result, self.inbox_from(at)).map_err(|_| Error::Request)? {
                Encoded::Fits(length) => return Ok(Answer([length as u64, CODED])),
                Encoded::Needs(length) => bytes = at + length,
            }
        }
        Err(Error::Request)
    }
}

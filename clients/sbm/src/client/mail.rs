// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's side of what does not fit two words: coded results, and requests of a running function.
//!
//! A sandbox has two mailboxes, made when they are first needed. It writes to its *outbox*; before the client reads a byte
//! of that, it copies it to the *inbox*, which the sandbox cannot write, and decodes it there.

use sbm_abi::{
    Asked, BufferAccess, CODED,
    limits::{INBOX_OFFSET, OUTBOX_OFFSET},
};
use sbm_coding::words;

use super::{
    buffer::Buffer,
    call::{self, Reply},
    instance::{Instance, MAX_BUFFER_BYTES},
    request::{Answer, Request},
    time::Budget,
};
use crate::{argument::Arguments, error::Error, heap, inside::entry::resume_address, value::Value};

impl Instance {
    /// Begins to take requests of a call.
    pub(super) fn begin_requests(&mut self) {
        self.requests_left = self.request_limit;
        self.begin_text();
    }

    /// Answers the requests of a running call until it returns, and returns its two words.
    ///
    /// A call that ends with an error while its function waits for an answer leaves it waiting: the error sticks, and the
    /// reset that ends it begins the thread anew.
    pub(crate) fn attend(&mut self, reply: Reply, arguments: &mut dyn Arguments) -> Result<[u64; 2], Error> {
        let mut reply = reply;
        self.begin_requests();
        while let Some((head, words)) = reply.asked() {
            let Answer(words) = self.answer(head, words, arguments)?;
            // None where the handler was too slow: the function waits for its answer.
            reply = self.resume(words).ok_or(Error::TimedOut { ip: resume_address() })?;
        }
        self.stack_pointer = reply.stack_pointer();
        reply.returned().ok_or_else(|| self.error_of(reply.outcome()))
    }

    /// Answers one request, whatever it is.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        head: Asked,
        words: [u64; 2],
        arguments: &mut dyn Arguments,
    ) -> Result<Answer, Error> {
        let Some(left) = self.requests_left.checked_sub(1) else {
            return Err(Error::Requests { limit: self.request_limit });
        };
        self.requests_left = left;
        arguments.answer(Request::new(self, head, words))
    }

    /// Answers a request that is to no argument: what this library has for every function.
    #[cold]
    pub(super) fn answer_itself(&mut self, head: Asked, words: [u64; 2]) -> Result<Answer, Error> {
        match head {
            Asked::OUTBOX => self.grow_outbox(words[0]),
            Asked::TEXT => self.print(words[0]),
            _ => Err(Error::Request),
        }
    }

    fn grow_outbox(&mut self, bytes: u64) -> Result<Answer, Error> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > self.result_limit {
            return Err(Error::Long { bytes, limit: self.result_limit });
        }
        let buffer = self.mailbox(BufferAccess::ReadWrite, bytes)?;
        Ok(Answer([buffer.address(0), buffer.len() as u64]))
    }

    /// Returns a mailbox that holds `bytes`, in place of a smaller one if there is one.
    pub(super) fn mailbox(&mut self, access: BufferAccess, bytes: usize) -> Result<&mut Buffer, Error> {
        let fits = matches!(&self.mail[access as usize], Some(buffer) if buffer.len() >= bytes);
        if !fits {
            if let Some(old) = self.mail[access as usize].take() {
                self.give_back(old);
            }
            let buffer = self.spare_or_grow(bytes, access)?;
            self.mail[access as usize] = Some(buffer);
            self.write_mailboxes();
        }
        self.mail[access as usize].as_mut().ok_or(Error::Garbled)
    }

    /// Tells the sandbox where its mailboxes are.
    pub(super) fn write_mailboxes(&self) {
        for (access, offset) in [(BufferAccess::ReadOnly, INBOX_OFFSET), (BufferAccess::ReadWrite, OUTBOX_OFFSET)] {
            if let Some(buffer) = &self.mail[access as usize] {
                self.set_argument(offset as usize / 16, [buffer.address(0), buffer.len() as u64]);
            }
        }
    }

    /// Decodes what a function returned: two words, or the length of its form in the outbox.
    pub(crate) fn result<R: Value>(&mut self, result: [u64; 2]) -> Result<R, Error> {
        if let Some(value) = words::decode(result) {
            return Ok(value);
        }
        let [length, CODED] = result else { return Err(Error::Garbled) };
        let limit = self.result_limit;
        sbm_coding::decode(self.take_in(length)?, limit, heap::READER).map_err(Error::Unreadable)
    }

    /// Copies the first bytes of the outbox to where the sandbox cannot change them.
    fn take_in(&mut self, length: u64) -> Result<&[u8], Error> {
        let Some(outbox) = &self.mail[BufferAccess::ReadWrite as usize] else { return Err(Error::Garbled) };
        let source = outbox.memory();
        let length = usize::try_from(length).ok().filter(|length| *length <= source.len()).ok_or(Error::Garbled)?;
        if length > self.result_limit {
            return Err(Error::Long { bytes: length, limit: self.result_limit });
        }
        let inbox = self.mailbox(BufferAccess::ReadOnly, length)?.memory();
        source.copy_range(length, inbox, 0);
        Ok(self.inbox_parts(0, 0, length).1)
    }

    /// Makes the inbox hold `bytes`, and keeps its first `kept` ones.
    pub(super) fn enlarge_inbox(&mut self, bytes: usize, kept: usize) -> Result<(), Error> {
        if bytes > MAX_BUFFER_BYTES {
            return Err(Error::Long { bytes, limit: MAX_BUFFER_BYTES });
        }
        let old = self.mail[BufferAccess::ReadOnly as usize].take();
        if old.as_ref().is_some_and(|old| old.len() >= bytes) {
            self.mail[BufferAccess::ReadOnly as usize] = old;
            return Ok(());
        }
        let inbox = self.mailbox(BufferAccess::ReadOnly, bytes)?.memory();
        if let Some(old) = old {
            old.memory().copy_range(kept, inbox, 0);
            self.give_back(old);
        }
        Ok(())
    }

    /// Returns the first `room` bytes of the inbox, and `length` bytes from `behind` on, which is not below `room`.
    pub(super) fn inbox_parts<'a>(&mut self, room: usize, behind: usize, length: usize) -> (&'a mut [u8], &'a [u8]) {
        let Some(inbox) = &mut self.mail[BufferAccess::ReadOnly as usize] else { return (&mut [], &[]) };
        inbox.parts(room, behind, length)
    }

    /// Returns the bytes of the inbox from `at` on.
    pub(super) fn inbox_from(&mut self, at: usize) -> &mut [u8] {
        let inbox = self.mail[BufferAccess::ReadOnly as usize].as_mut();
        inbox.and_then(|inbox| inbox.bytes_mut().get_mut(at..)).unwrap_or(&mut [])
    }

    /// Lets the function go on with an answer, with what was left of its budget; `None` if nothing was.
    #[inline]
    fn resume(&mut self, answer: [u64; 2]) -> Option<Reply> {
        let Some(paused) = &mut self.paused else { return Some(call::resume(self.handle, answer)) };
        if !self.count_handlers {
            paused.put_off();
        } else if paused.is_over() {
            return None;
        }
        paused.resume(self.handle);
        let reply = call::resume(self.handle, answer);
        paused.pause();
        Budget::end();
        Some(reply)
    }
}

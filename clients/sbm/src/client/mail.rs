// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's side of what does not fit two words: coded results, and requests of a running function.
//!
//! A sandbox has two mailboxes, made when they are first needed. It writes to its *outbox*; before the client reads a byte
//! of that, it copies it to the *inbox*, which the sandbox cannot write, and decodes it there.

use sbm_abi::{
    Asked, BufferAccess, CODED, Outcome,
    limits::{INBOX_OFFSET, OUTBOX_OFFSET},
};
use sbm_coding::words;

use super::{
    buffer::Buffer,
    call::{self, Reply},
    instance::Instance,
    time::Budget,
};
use crate::{argument::Arguments, error::Error, value::Value};

impl Instance {
    /// Answers the requests of a running call until it returns, and returns its two words.
    ///
    /// A call that ends with an error while its function waits for an answer leaves it waiting: the error sticks, and the
    /// reset that ends it begins the thread anew.
    pub(crate) fn attend(&mut self, reply: Reply, arguments: &mut dyn Arguments) -> Result<[u64; 2], Error> {
        let mut reply = reply;
        self.requests_left = self.request_limit;
        loop {
            match reply.outcome() {
                Outcome::Returned(words) => return Ok(words),
                Outcome::Asked(head, words) => {
                    let answer = self.answer(head, words, arguments)?;
                    reply = self.resume(answer);
                }
                other => return Err(self.error_of(other)),
            }
        }
    }

    /// Answers one request, whatever it is.
    pub(crate) fn answer(
        &mut self,
        head: Asked,
        words: [u64; 2],
        _arguments: &mut dyn Arguments,
    ) -> Result<[u64; 2], Error> {
        self.requests_left = self.requests_left.checked_sub(1).ok_or(Error::Requests { limit: self.request_limit })?;
        match head {
            Asked { of: Asked::OUTBOX, method: 0, coded: false, room: 0 } => self.grow_outbox(words[0]),
            _ => Err(Error::Request),
        }
    }

    fn grow_outbox(&mut self, bytes: u64) -> Result<[u64; 2], Error> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes > self.result_limit {
            return Err(Error::Long { bytes, limit: self.result_limit });
        }
        let buffer = self.mailbox(BufferAccess::ReadWrite, bytes)?;
        Ok([buffer.address(0), buffer.len() as u64])
    }

    /// Returns a mailbox that holds `bytes`, in place of a smaller one if there is one.
    fn mailbox(&mut self, access: BufferAccess, bytes: usize) -> Result<&mut Buffer, Error> {
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
        sbm_coding::decode(self.take_in(length)?, limit).map_err(Error::Unreadable)
    }

    /// Copies the first bytes of the outbox to where the sandbox cannot change them.
    fn take_in(&mut self, length: u64) -> Result<&[u8], Error> {
        let Some(outbox) = &self.mail[BufferAccess::ReadWrite as usize] else { return Err(Error::Garbled) };
        let source = outbox.memory();
        let length = usize::try_from(length).ok().filter(|length| *length <= source.len()).ok_or(Error::Garbled)?;
        if length > self.result_limit {
            return Err(Error::Long { bytes: length, limit: self.result_limit });
        }
        let inbox = self.mailbox(BufferAccess::ReadOnly, length)?;
        inbox.fill_first(source, length);
        Ok(&inbox.bytes()[..length])
    }

    /// Lets the function go on with an answer, with what was left of its budget.
    fn resume(&mut self, answer: [u64; 2]) -> Reply {
        if self.left.is_none() {
            return call::resume(self.handle, answer);
        }
        self.left.begin(self.handle);
        let reply = call::resume(self.handle, answer);
        self.left = Budget::left();
        Budget::end();
        reply
    }
}

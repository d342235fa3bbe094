// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control messages between a client and the server, and their bounded coding.
//!
//! A message is the `postcard` form of [`Request`] or [`Response`] in seL4 message registers, padded with zeros to a
//! whole number of words: [`Message`], the one way between values, bytes and words. Decoding borrows from the bytes,
//! visits each at most once and has no length that it takes on trust: whatever they are, the result is a value or
//! [`DecodeError`].

use core::num::NonZeroU32;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    Errno, OverQuota,
    layout::{BufferAccess, BufferSpec, Spec},
    limits::MAX_BUFFERS,
};

/// Names one sandbox of one client: an index, and the generation of what stands there.
///
/// A generation ends when its sandbox is destroyed, and again when one that was kept as a spare is given up: a handle that
/// was destroyed becomes valid again after 2^20 such ends at its index, and not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Handle(u32);

impl Handle {
    const INDEX_BITS: u32 = 12;
    /// Number of generations before they repeat.
    pub const GENERATIONS: u32 = 1 << (32 - Self::INDEX_BITS);

    /// Makes the handle for `index` (below 4,096) in `generation` (taken modulo [`Self::GENERATIONS`]).
    #[must_use]
    pub const fn new(index: u16, generation: u32) -> Self {
        Self((generation << Self::INDEX_BITS) | (index as u32 & ((1 << Self::INDEX_BITS) - 1)))
    }

    /// Returns the index, below 4,096.
    #[must_use]
    pub const fn index(self) -> u16 {
        (self.0 & ((1 << Self::INDEX_BITS) - 1)) as u16
    }

    /// Returns the generation, below [`Self::GENERATIONS`].
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.0 >> Self::INDEX_BITS
    }
}

/// Where a sandbox's thread starts: addresses in the client's own code. A sandbox keeps those that it was made with.
///
/// They are the client's claim. A wrong one makes the client's own sandboxes fault, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPoints {
    /// Waits for the first call. Not zero, so that "none" takes no room in the server's tables.
    pub start: NonZeroU32,
    /// Answers the call that was aborted, then waits for the next one.
    pub abort: u32,
    /// Clears the stack and the registers that the server cannot, then waits for the next call.
    pub reset: u32,
    /// The system call in which a thread waits: one that stands elsewhere while it is not called runs on.
    pub wait: u32,
}

/// What a client asks of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Sets the entry points of the sandboxes that are made from now on; the client library does it at start.
    Register(EntryPoints),
    /// `sbm_init`: makes a sandbox. Answered by [`Response::Ready`].
    Init(Spec),
    /// Adds buffers to a sandbox. Answered by [`Response::Grown`].
    Grow {
        /// The sandbox.
        handle: Handle,
        /// The buffers to add, in order.
        buffers: Vec<BufferSpec, MAX_BUFFERS>,
    },
    /// Gives buffers back that [`Request::Grow`] added, all of one answer. Answered by [`Response::Done`].
    Shrink {
        /// The sandbox.
        handle: Handle,
        /// What [`Response::Grown`] told.
        base: u32,
    },
    /// Maps the client's own pages into a sandbox, at their own addresses. Answered by [`Response::Done`].
    Map {
        /// The sandbox.
        handle: Handle,
        /// Address of the first page, a multiple of 4,096.
        address: u32,
        /// Number of pages.
        pages: u32,
        /// What the sandbox may do with them.
        access: BufferAccess,
    },
    /// Ends an error: puts the sandbox back to its first state. Answered by [`Response::Done`].
    Reset(Handle),
    /// `sbm_destroy`: gives everything back. Answered by [`Response::Done`].
    Destroy(Handle),
    /// Writes text to the system's console. Answered by [`Response::Done`].
    #[serde(borrow)]
    Console(&'a [u8]),
    /// Reads what this client has, and the most that it may have. Answered by [`Response::Usage`].
    Usage,
    /// Has the server look at this client's [watch words](crate::watch) when its deadline is over. Answered by
    /// [`Response::Done`].
    Arm,
    /// Waits until the time-stamp counter has reached a value. Answered by [`Response::Done`], then.
    Sleep {
        /// The value.
        until: u64,
    },
    /// Ends the running call of another client, by a client that may. Answered by [`Response::Done`], also where no call
    /// was running.
    Cancel(&'a str),
    /// Ends another client, by a client that may, as if it had ended badly by itself. Answered by [`Response::Done`].
    Kill(&'a str),
    /// Ends the client: its sandboxes go, and what follows is as the system's description says. Not answered.
    Exit(u8),
    /// Makes the present state of a sandbox's heap and private statics what [`Request::Reset`] returns to, once. Answered by
    /// [`Response::Done`].
    Snapshot(Handle),
}

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It is done.
    Done,
    /// A sandbox stands ready.
    Ready {
        /// Its name in further requests. The send capability to its endpoint lies in the client's CSpace at slot
        /// [`CLIENT_SANDBOX_SLOTS`](crate::limits::CLIENT_SANDBOX_SLOTS) + index.
        handle: Handle,
        /// Address of its arena, from which [`Layout`](crate::Layout) tells all others.
        base: u32,
        /// Whether it was used before, by this same client: its buffers then hold what was left in them.
        used: bool,
    },
    /// Buffers were added.
    Grown {
        /// Address of their arena, from which [`Layout`](crate::Layout) tells all others.
        base: u32,
    },
    /// What this client has, and the most that it may have.
    Usage(Books),
    /// The request was refused. It changed nothing, but that spares of the client may have gone to make room for it, and that
    /// the client may have got page tables for its arena.
    Refused(Errno),
    /// The request was refused as by [`Response::Refused`], for want of this.
    OverQuota(OverQuota),
}

/// What a client has, and the most that it may have. It is told of nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Sandboxes, spare ones left out.
    pub sandboxes: u16,
    /// Spare sandboxes that stand ready.
    pub spares: u8,
    /// Ranges of its own pages that are mapped into its sandboxes.
    pub mappings: u16,
    /// Pages of memory, spare sandboxes included.
    pub pages: u32,
    /// Capability slots, likewise.
    pub slots: u32,
    /// The most sandboxes, spare ones included.
    pub most_sandboxes: u16,
    /// The most pages.
    pub most_pages: u32,
    /// The most slots.
    pub most_slots: u32,
}

/// Error: the bytes are not a message, or the message has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

/// Room for any request but a console text, and for any response, in bytes.
pub const SMALL_MESSAGE: usize = 64;

/// A coded message of at most `N` bytes, a multiple of 8: whole words, in message-register order.
#[derive(Debug, Clone, Copy)]
pub struct Message<const N: usize = SMALL_MESSAGE> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Message<N> {
    /// Codes a request or a response.
    ///
    /// # Errors
    /// [`DecodeError`] if it does not fit.
    pub fn new<T: Serialize>(message: &T) -> Result<Self, DecodeError> {
        let mut bytes = [0; N];
        let length = postcard::to_slice(message, &mut bytes).map_err(|_| DecodeError)?.len();
        Ok(Self { bytes, length: length.next_multiple_of(8) })
    }

    /// Takes words as they arrived, as many as there is room for.
    pub fn from_words(words: impl IntoIterator<Item = u64>) -> Self {
        let mut message = Self { bytes: [0; N], length: 0 };
        for (chunk, word) in message.bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
            message.length += 8;
        }
        message
    }

    /// Returns the bytes: those of the words, padding included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Returns the words.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.bytes().chunks_exact(8).map(|chunk| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            u64::from_le_bytes(word)
        })
    }

    /// Decodes a request; what follows it is ignored (padding).
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes do not begin with one.
    pub fn request(&self) -> Result<Request<'_>, DecodeError> {
        decode_request(self.bytes())
    }

    /// Decodes a response; what follows it is ignored (padding).
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes do not begin with one.
    pub fn response(&self) -> Result<Response, DecodeError> {
        postcard::take_from_bytes(self.bytes()).map(|(response, _)| response).map_err(|_| DecodeError)
    }
}

/// Decodes a request out of `bytes`; what follows it is ignored (padding).
///
/// # Errors
/// [`DecodeError`] if they do not begin with one.
pub fn decode_request(bytes: &[u8]) -> Result<Request<'_>, DecodeError> {
    postcard::take_from_bytes(bytes).map(|(request, _)| request).map_err(|_| DecodeError)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Own, Resource, limits::MAX_MESSAGE};
    use proptest::prelude::*;

    extern crate std;

    #[test]
    fn a_request_comes_back_as_it_was() {
        let request = Request::Grow {
            handle: Handle::new(7, 9),
            buffers: Vec::from_slice(&[BufferSpec::new(3, BufferAccess::ReadOnly)]).unwrap(),
        };
        let sent = Message::<MAX_MESSAGE>::new(&request).unwrap();
        let arrived = Message::<MAX_MESSAGE>::from_words(sent.words());
        assert_eq!(arrived.request().unwrap(), request);
    }

    #[test]
    fn words_that_have_no_room_are_left_out() {
        let message = Message::<16>::from_words([1, 2, 3]);
        assert_eq!(message.bytes(), [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_console_text_over_a_message_is_refused() {
        assert!(Message::<MAX_MESSAGE>::new(&Request::Console(&[b'x'; MAX_MESSAGE])).is_err());
    }

    #[test]
    fn the_longest_request_but_a_console_text_is_small() {
        let buffer = BufferSpec::new(u32::MAX, BufferAccess::ReadWrite);
        let buffers = Vec::from_slice(&[buffer; MAX_BUFFERS]).unwrap();
        let grow = Request::Grow { handle: Handle::new(u16::MAX, u32::MAX), buffers: buffers.clone() };
        assert!(Message::<SMALL_MESSAGE>::new(&grow).is_ok());
        let init = Request::Init(Spec {
            stack_pages: u16::MAX,
            buffers,
            own: Some(Own { heap_pages: u32::MAX, statics_pages: u16::MAX }),
            traced: true,
        });
        assert!(Message::<SMALL_MESSAGE>::new(&init).is_ok());
    }

    #[test]
    fn every_response_fits_the_four_fast_registers() {
        let books = Books {
            sandboxes: u16::MAX,
            spares: u8::MAX,
            mappings: u16::MAX,
            pages: u32::MAX,
            slots: u32::MAX,
            most_sandboxes: u16::MAX,
            most_pages: u32::MAX,
            most_slots: u32::MAX,
        };
        assert!(Message::<SMALL_MESSAGE>::new(&Response::Usage(books)).unwrap().words().len() <= 4);
        let (requested, used, limit) = (u32::MAX, u32::MAX, u32::MAX);
        let over = OverQuota { resource: Resource::Mappings, requested, used, limit, kept: true };
        assert!(Message::<SMALL_MESSAGE>::new(&Response::OverQuota(over)).unwrap().words().len() <= 4);
        let ready = Response::Ready { handle: Handle::new(u16::MAX, u32::MAX), base: u32::MAX, used: true };
        assert!(Message::<SMALL_MESSAGE>::new(&ready).unwrap().words().len() <= 4);
    }

    #[test]
    fn an_init_without_buffers_fits_the_four_fast_registers() {
        let message = Message::<SMALL_MESSAGE>::new(&Request::Init(Spec::default())).unwrap();
        assert!(message.words().len() <= 4);
    }

    #[test]
    fn an_index_and_a_generation_use_all_bits_of_a_handle() {
        assert_eq!(Handle::GENERATIONS, 1 << 20);
        let last = Handle::new(4095, Handle::GENERATIONS - 1);
        assert_eq!(last, Handle(u32::MAX));
        assert_eq!((last.index(), last.generation()), (4095, Handle::GENERATIONS - 1));
        assert_eq!(Handle::new(0, Handle::GENERATIONS), Handle::new(0, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..=MAX_MESSAGE)) {
            let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
            let message = Message::<MAX_MESSAGE>::from_words(words);
            let _ = message.request();
            let _ = message.response();
        }

        #[test]
        fn a_handle_keeps_its_parts(index in 0u16..4096, generation in 0..Handle::GENERATIONS) {
            let handle = Handle::new(index, generation);
            prop_assert_eq!((handle.index(), handle.generation()), (index, generation));
        }
    }
}

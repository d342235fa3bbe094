// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to the server as words, by a client that ignores the library.

use sbm_abi::{
    Message, Request, Response,
    limits::{CLIENT_SANDBOX_SLOTS, CLIENT_SERVER_SLOT, MAX_MESSAGE},
};
use sel4::{MessageInfo, cap::Endpoint, ipc_buffer};

use crate::Why;

/// An answer: its head and its first four words.
pub type Answer = (MessageInfo, [u64; 4]);

/// Sends words with a head of the caller's making, which may say anything, and returns the answer.
pub fn call(info: MessageInfo, words: &[u64]) -> Answer {
    Endpoint::from_bits(CLIENT_SERVER_SLOT).call_with_mrs(info, stage(words))
}

/// Sends words to the sandbox with that index and returns the answer.
pub fn call_sandbox(index: u16, info: MessageInfo, words: &[u64]) -> Answer {
    Endpoint::from_bits(CLIENT_SANDBOX_SLOTS + u64::from(index)).call_with_mrs(info, stage(words))
}

/// Puts words where a message takes them from: the first four are returned, for registers.
pub fn stage(words: &[u64]) -> [u64; 4] {
    let mut mrs = [0; 4];
    for (index, word) in words.iter().enumerate() {
        match mrs.get_mut(index) {
            Some(mr) => *mr = *word,
            None => ipc_buffer().set_msg_reg(index, *word),
        }
    }
    mrs
}

/// Decodes an answer.
///
/// # Errors
/// The test's failure, if it is none.
pub fn response((info, mrs): Answer) -> Result<Response, Why> {
    let message = Message::<32>::from_words(mrs.into_iter().take(info.length()));
    message.response().map_err(|_| Why::new(format_args!("the server's answer is no response: {info:?} {mrs:x?}")))
}

/// Makes a request.
///
/// # Errors
/// The test's failure, if the answer is no response. A refusal is one.
pub fn request(request: &Request<'_>) -> Result<Response, Why> {
    let message = Message::<MAX_MESSAGE>::new(request)
        .map_err(|_| Why::new(format_args!("the request does not fit a message")))?;
    let mut words = [0; sel4::NUM_MESSAGE_REGISTERS];
    let mut length = 0;
    for (place, word) in words.iter_mut().zip(message.words()) {
        *place = word;
        length += 1;
    }
    response(call(MessageInfo::new(0, 0, 0, length), &words[..length]))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to the server, over the client's endpoint.

use sbm_abi::{
    Errno, Message, Request, Response, SMALL_MESSAGE,
    limits::{CLIENT_SERVER_SLOT, MAX_MESSAGE},
};

use crate::{
    error::Error,
    kernel::{Endpoint, MessageInfo, ipc_buffer},
};

/// Sends a request and returns the answer, unless it is a refusal.
pub(crate) fn request(request: &Request<'_>) -> Result<Response, Error> {
    send::<SMALL_MESSAGE>(request)
}

/// Sends text to the console.
pub(crate) fn console(text: &[u8]) -> Result<Response, Error> {
    send::<MAX_MESSAGE>(&Request::Console(text))
}

fn send<const N: usize>(request: &Request<'_>) -> Result<Response, Error> {
    let message = Message::<N>::new(request).map_err(|_| Errno::BadMessage)?;
    let words = message.words();
    let info = MessageInfo::new(0, 0, 0, words.len());
    let mut mrs = [0; 4];
    for (index, word) in words.enumerate() {
        match mrs.get_mut(index) {
            Some(mr) => *mr = word,
            None => ipc_buffer().set_msg_reg(index, word),
        }
    }
    let (_, mrs) = Endpoint::from_bits(CLIENT_SERVER_SLOT).call_with_mrs(info, mrs);
    match Message::<32>::from_words(mrs).response() {
        Ok(Response::Refused(errno)) => Err(Error::Server(errno)),
        Ok(response) => Ok(response),
        Err(_) => Err(Error::Server(Errno::BadMessage)),
    }
}

/// Ends another client's call.
pub(crate) fn cancel(name: &str) -> Result<Response, Error> {
    send::<MAX_MESSAGE>(&Request::Cancel(name))
}

/// Ends another client.
pub(crate) fn kill(name: &str) -> Result<Response, Error> {
    send::<MAX_MESSAGE>(&Request::Kill(name))
}

/// What is in use and what is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of untyped memory that no one uses.
    pub free_bytes: u64,
    /// Capability slots that no one uses.
    pub free_slots: u32,
    /// Sandboxes of this client.
    pub sandboxes: u16,
    /// Destroyed sandboxes that are kept ready for this client.
    pub spares: u16,
}

/// Asks the server what is in use.
///
/// # Errors
/// [`Error::Server`].
pub fn usage() -> Result<Usage, Error> {
    match request(&Request::Usage)? {
        Response::Usage { free_bytes, free_slots, sandboxes, spares } => {
            Ok(Usage { free_bytes, free_slots, sandboxes, spares })
        }
        _ => Err(Error::Server(Errno::BadMessage)),
    }
}

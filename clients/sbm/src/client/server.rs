// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to the server, over the client's endpoint.

use sbm_abi::{
    Errno, Message, Request, Response, SMALL_MESSAGE,
    limits::{CLIENT_SERVER_SLOT, MAX_MESSAGE, PAGE},
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
        Ok(Response::OverQuota(over)) => Err(Error::Quota(over)),
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

/// What this client has, and the most that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Sandboxes.
    pub sandboxes: u16,
    /// Destroyed sandboxes that are kept ready.
    pub spares: u8,
    /// Ranges of its own pages that are mapped into its sandboxes.
    pub mappings: u16,
    /// Bytes of memory that it is charged for.
    pub bytes: u64,
    /// Capability slots that it is charged for.
    pub slots: u32,
    /// The most sandboxes that it may have, those that are kept ready among them.
    pub most_sandboxes: u16,
    /// The most bytes.
    pub most_bytes: u64,
    /// The most slots.
    pub most_slots: u32,
}

/// Asks the server what this client has. Of others it tells nothing.
///
/// # Errors
/// [`Error::Server`].
pub fn usage() -> Result<Usage, Error> {
    match request(&Request::Usage)? {
        Response::Usage(books) => Ok(Usage {
            sandboxes: books.sandboxes,
            spares: books.spares,
            mappings: books.mappings,
            bytes: u64::from(books.pages) * u64::from(PAGE),
            slots: books.slots,
            most_sandboxes: books.most_sandboxes,
            most_bytes: u64::from(books.most_pages) * u64::from(PAGE),
            most_slots: books.most_slots,
        }),
        _ => Err(Error::Server(Errno::BadMessage)),
    }
}

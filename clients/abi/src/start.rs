// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client finds at its start: its name, arguments and input files.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::ClientMap;

/// Most arguments of a client.
pub const MAX_ARGUMENTS: usize = 32;
/// Most input files of a client.
pub const MAX_INPUTS: usize = 64;

/// An input file: mapped read-only, zeros up to the end of its last page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input<'a> {
    /// Name, as the host gave it.
    pub name: &'a str,
    /// Address of the first byte, a multiple of 4,096.
    pub address: u32,
    /// Length in bytes.
    pub length: u32,
}

/// The start information of a client: the `postcard` form lies in one page at
/// [`CLIENT_START_INFO`](crate::limits::CLIENT_START_INFO).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartInfo<'a> {
    /// What the client is called.
    pub name: &'a str,
    /// Its program's name in the archive.
    pub program: &'a str,
    /// Where the program lies.
    pub map: ClientMap,
    /// Time-stamp counter when the root task started.
    pub boot_ticks: u64,
    /// How far the time-stamp counter goes in a second.
    pub ticks_per_second: u64,
    /// How far the counter goes while a call may take for which the program names no time.
    pub default_budget_ticks: u64,
    /// The most that it can name, and then it has to; an hour, or no limit at all, if there is none.
    pub longest_budget_ms: Option<u32>,
    /// Arguments.
    #[serde(borrow)]
    pub arguments: Vec<&'a str, MAX_ARGUMENTS>,
    /// Input files.
    #[serde(borrow)]
    pub inputs: Vec<Input<'a>, MAX_INPUTS>,
}

impl<'a> StartInfo<'a> {
    /// Decodes the start information at the beginning of `page`.
    ///
    /// # Errors
    /// [`DecodeError`](crate::DecodeError) if there is none.
    pub fn decode(page: &'a [u8]) -> Result<Self, crate::DecodeError> {
        postcard::take_from_bytes(page).map(|(info, _)| info).map_err(|_| crate::DecodeError)
    }

    /// Codes the start information into `page` and returns its length.
    ///
    /// # Errors
    /// [`DecodeError`](crate::DecodeError) if it does not fit.
    pub fn encode(&self, page: &mut [u8]) -> Result<usize, crate::DecodeError> {
        postcard::to_slice(self, page).map(|bytes| bytes.len()).map_err(|_| crate::DecodeError)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::DecodeError;

    fn info() -> StartInfo<'static> {
        StartInfo {
            name: "first",
            program: "hello",
            map: ClientMap { code_end: 1, data: 2, data_end: 300_000 },
            boot_ticks: u64::MAX,
            ticks_per_second: 4,
            default_budget_ticks: 5000,
            longest_budget_ms: Some(1),
            arguments: Vec::from_slice(&["--input", ""]).unwrap(),
            inputs: Vec::from_slice(&[Input { name: "a file", address: 0x4000_0000, length: 9 }]).unwrap(),
        }
    }

    #[test]
    fn start_information_comes_back_as_it_was() {
        let mut page = [0xff; 4096];
        let length = info().encode(&mut page).unwrap();
        assert_eq!(StartInfo::decode(&page).unwrap(), info());
        assert_eq!(StartInfo::decode(&page[..length]).unwrap(), info());
    }

    #[test]
    fn start_information_that_is_cut_off_or_has_no_room_is_refused() {
        let mut page = [0; 4096];
        let length = info().encode(&mut page).unwrap();
        assert_eq!(StartInfo::decode(&page[..length - 1]), Err(DecodeError));
        assert_eq!(info().encode(&mut page[..length - 1]), Err(DecodeError));
        assert_eq!(info().encode(&mut page[..length]), Ok(length));
    }
}

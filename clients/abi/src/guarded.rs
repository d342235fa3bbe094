// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a sandbox asks of its guarded heap: that a page of it be mapped, or not.
//!
//! Nothing of a guarded heap comes by being touched. The allocator inside makes a system call that no kernel knows, which the
//! kernel makes a message to the server of, as of any other such call: [`NUMBER`] in `rdx`, and a word that says which page in
//! `rax`. A page has one piece of memory for its life, so that no two can come to lie at one address.

use crate::limits::PAGE;

/// The system call's number. Those of kernels are negative.
pub const NUMBER: u64 = 0x5342_4d48;

/// Bytes of the instruction that makes a system call.
pub const CALL_BYTES: u32 = 2;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsk {
    /// Address of the page.
    pub address: u32,
    /// Whether it is to be mapped.
    pub mapped: bool,
}

impl PageAsk {
    /// Codes it: the address, and in its lowest bit what is to become of the page.
    #[must_use]
    pub const fn into_word(self) -> u64 {
        self.address as u64 | self.mapped as u64
    }

    /// Decodes a word, if it is one.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let address = u32::try_from(word & !1).ok()?;
        address.is_multiple_of(PAGE).then_some(Self { address, mapped: word & 1 != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_comes_back_as_it_was_and_what_is_no_page_is_none() {
        for ask in [(0x1000_4000, true), (0x1000_4000, false), (0xffff_f000, true)] {
            let ask = PageAsk { address: ask.0, mapped: ask.1 };
            assert_eq!(PageAsk::from_word(ask.into_word()), Some(ask));
        }
        for word in [2, 0x1000_4008, 0x1000_4003, 1 << 32, u64::MAX] {
            assert_eq!(PageAsk::from_word(word), None, "{word:#x}");
        }
    }
}

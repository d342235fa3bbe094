// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who called the code in which a call was ended: what of its stack the host tool needs to find out.
//!
//! The client does not have the sandbox's stack. Where it reports what has ended a call, it has the sandbox copy words of
//! it, by a call of its own, and prints those that can be return addresses or frame pointers. All of it is the sandbox's
//! word: it is printed, and nothing else comes of it.

use core::fmt;

use heapless::Vec;
use sbm_abi::{
    Pages,
    limits::{CODE_BASE, PANIC_TEXT_BYTES, PANIC_TEXT_OFFSET},
};

#[cfg(sbm_guest)]
use sbm_abi::limits::{CLIENT_STACK_BASE, CLIENT_STACK_BYTES, PAGE};

use super::{call, env::env, instance::Instance, time::Budget};
use crate::records::{SITE_WORDS, Site};

/// Most words that are printed.
const PRINTED: usize = SITE_WORDS;

/// Most words that are looked at: as many as there is room for where a panic has its text.
const WORDS: u32 = PANIC_TEXT_BYTES / 8;

/// What is printed of a stack: nothing, if its pointer is zero.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pointer: u32,
    /// The frame pointer, if it was used as one.
    frame: u64,
    /// Words, by their distance from the stack pointer.
    words: Vec<(u32, u64), PRINTED>,
}

/// Returns the client's own stack.
#[cfg(sbm_guest)]
pub(crate) const fn own_stack() -> Pages {
    Pages { address: CLIENT_STACK_BASE, count: CLIENT_STACK_BYTES / PAGE }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer != 0 {
            write!(f, " stack={:x},{:x}", self.pointer, self.frame)?;
        }
        self.words.iter().try_for_each(|(distance, word)| write!(f, ",{distance:x}={word:x}"))
    }
}

impl Trace {
    /// Returns what a site tells of a stack.
    pub(crate) fn of_site(site: &Site, stack: Pages) -> Self {
        let mut trace = Self { pointer: site.pointer, frame: site.frame.into(), words: Vec::new() };
        for [distance, word] in site.words {
            let tells = env().map().is_code(word) || stack.contains(word.into());
            // There is room: a record has no more of them.
            let _ = if tells { trace.words.push((distance, word.into())) } else { Ok(()) };
        }
        trace
    }
}

impl Instance {
    /// Finds out what can be told of the call that was ended last: by the server, or while its function `waits` for what it has
    /// asked for. It takes no longer than `budget`, nor than is worth it.
    #[cold]
    pub(super) fn trace(&mut self, budget: Budget, waits: bool) -> Trace {
        let (mut pointer, end) = (core::mem::take(&mut self.stack_pointer), self.stack.end());
        if waits && pointer == 0 {
            let told = self.copy_stack(budget, 0, 0);
            pointer = told.and_then(|[_, pointer]| u32::try_from(pointer).ok()).unwrap_or(0);
        }
        if !(self.stack.address..end).contains(&pointer) || !pointer.is_multiple_of(8) {
            return Trace::default();
        }
        let count = ((end - pointer) / 8).min(WORDS);
        let Some([frame, _]) = self.copy_stack(budget, pointer, count) else { return Trace::default() };
        let mut trace = Trace { pointer, frame, words: Vec::new() };
        let code = u64::from(CODE_BASE)..u64::from(env().map().code_end);
        let own = u64::from(pointer)..u64::from(end);
        for number in 0..count {
            let mut bytes = [0; 8];
            self.arguments().read((PANIC_TEXT_OFFSET + 8 * number) as usize, &mut bytes);
            let word = u64::from_le_bytes(bytes);
            let tells = code.contains(&word) || own.contains(&word);
            if tells && trace.words.push((8 * number, word)).is_err() {
                break;
            }
        }
        trace
    }

    /// Has words of the stack copied, and returns frame pointer and stack pointer.
    fn copy_stack(&self, budget: Budget, from: u32, words: u32) -> Option<[u64; 2]> {
        budget.brief().begin(self.handle);
        let reply = call::copy_stack(self.handle, self.argument_page(), from, words);
        Budget::end();
        reply.returned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_told_by_its_pointer_and_the_words_that_matter() {
        let words = Vec::from_slice(&[(0, 0x20_1234), (0x48, 0x1000_2ff0)]).unwrap_or_default();
        let trace = Trace { pointer: 0x1000_2f80, frame: 7, words };
        assert_eq!(std::format!("{trace}"), " stack=10002f80,7,0=201234,48=10002ff0");
        assert_eq!(std::format!("{}", Trace::default()), "");
    }
}

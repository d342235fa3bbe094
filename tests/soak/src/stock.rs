// SPDX-License-Identifier: MIT OR Apache-2.0
//! What there is before and after.
//!
//! The client's own books are compared to the last byte and slot, after work that ends as it began. They may differ the
//! first time around: the client keeps the page tables for addresses that it has shared with a sandbox once, and the server
//! keeps a few destroyed sandboxes ready. So the same work is done again, until a round ends with what the round before
//! ended with. What a round loses shows in every round. Whether the root task's memory agrees with the books, it says itself
//! when its clients are gone.

use harness::{Verdict, check};

/// Rounds in which work must come to rest. What is lost for good never comes to rest.
const ROUNDS: u32 = 24;

/// Does work again and again, and checks that it comes to rest: that a round loses nothing.
pub(crate) fn loses_nothing(mut work: impl FnMut(u32) -> Verdict) -> Verdict {
    work(0)?;
    let mut before = sbm::usage()?;
    for round in 1..ROUNDS {
        work(round)?;
        let after = sbm::usage()?;
        if after == before {
            return Ok(());
        }
        before = after;
    }
    work(ROUNDS)?;
    let after = sbm::usage()?;
    check!(after == before, "each round takes more: {before:?}, then {after:?}");
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What there is before and after.
//!
//! Free memory and slots are compared to the last byte and slot, after work that ends as it began. They may differ the
//! first time around: the client keeps the page tables for addresses that it has shared with a sandbox once, the server
//! keeps a few destroyed sandboxes ready, and blocks lie in another order. So the same work is done again, until a round
//! ends with what the round before ended with. What a round loses shows in every round.

use harness::{Verdict, Why, check, server::request};
use sbm::Usage;
use sbm_abi::{Handle, Request, Response};

/// Rounds in which work must come to rest: blocks settle in an order of their own, which depends on the kernel's list of
/// memory, and has taken 9. What is lost for good never comes to rest.
const ROUNDS: u32 = 24;
/// Index below which another client's sandboxes are looked for.
const LOOKED_AT: u16 = 256;

/// Does work again and again, and checks that it comes to rest: that a round loses nothing.
///
/// Beside a neighbour, whose work changes what is free, only this client's own sandboxes are compared.
pub(crate) fn loses_nothing(mut work: impl FnMut(u32) -> Verdict) -> Verdict {
    work(0)?;
    let mut before = sbm::usage()?;
    for round in 1..ROUNDS {
        work(round)?;
        let after = sbm::usage()?;
        if is_same(before, after)? {
            return Ok(());
        }
        before = after;
    }
    work(ROUNDS)?;
    let after = sbm::usage()?;
    check!(is_same(before, after)?, "each round leaves less: {before:?}, then {after:?}");
    Ok(())
}

fn is_same(before: Usage, after: Usage) -> Result<bool, Why> {
    Ok(if has_neighbour()? { before.sandboxes == after.sandboxes } else { before == after })
}

/// Tells whether another client has sandboxes.
pub(crate) fn has_neighbour() -> Result<bool, Why> {
    for index in 0..LOOKED_AT {
        let asked = Request::Destroy(Handle::new(index, Handle::GENERATIONS - 1));
        if request(&asked)? == Response::Refused(sbm::Errno::Perm) {
            return Ok(true);
        }
    }
    Ok(false)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client and sandboxes that misbehave: what they do ends with them.
//!
//! | module | who does what |
//! | --- | --- |
//! | `strangers` | a client reaches for another one's sandboxes: runs beside the program `neighbour` |
//! | `cspace` | a sandbox makes every system call on every slot of its capability space |
//! | `forging` | a sandbox sends what only the kernel should send |
//! | `early` | a sandbox answers too early, too often, or out of turn, and goes on running |
//! | `values` | a sandbox sends results and requests that are none |
//! | `lists` | a sandbox sends values that take more than its client has |
//! | `services` | a sandbox asks for what it must not have |
//! | `statics` | a sandbox spoils its private statics, and what they are reset from |
//! | `snapshot` | snapshots are taken of what was spoiled, and of what runs on |
//! | `heap` | a sandbox spoils its heap, or wants more than there is |
//! | `walk` | a sandbox builds what leads its client astray |
//! | `guarded` | a sandbox asks for pages that are none of its guarded heap, and spoils its records |
//! | `garbage` | a client sends the server bytes that are no requests |
//!
//! With the argument `fault` the client itself faults, with `hang` it never ends, with those of `ending` it does what it
//! must not, and with those of `reports` it goes wrong in ways that are told in particular words: the host tool's own
//! tests look at all of them.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

extern crate alloc;

mod cspace;
mod early;
mod ending;
mod forging;
mod garbage;
mod growing;
mod guarded;
mod heap;
mod lists;
mod memory;
mod observer;
mod printing;
mod registers;
mod reports;
mod services;
mod snapshot;
mod statics;
mod strangers;
mod transfer;
mod unanswered;
mod values;
mod walk;

use sbm::Env;

sbm::main!(main, heap = 64 * 1024);

fn main(env: &'static Env) -> u8 {
    if env.arguments().contains(&"fault") {
        fault();
    }
    while env.arguments().contains(&"hang") {
        core::hint::spin_loop();
    }
    if reports::run(env).is_err() || ending::run(env).is_err() {
        return 2;
    }
    if env.arguments().contains(&"print") {
        return u8::from(printing::run().is_err());
    }
    strangers::look(env);
    let tests: &[&[harness::Test]] = &[
        registers::TESTS,
        strangers::TESTS,
        cspace::TESTS,
        transfer::TESTS,
        forging::TESTS,
        early::TESTS,
        values::TESTS,
        lists::TESTS,
        services::TESTS,
        growing::TESTS,
        memory::TESTS,
        heap::TESTS,
        guarded::TESTS,
        statics::TESTS,
        snapshot::TESTS,
        walk::TESTS,
        garbage::TESTS,
    ];
    harness::run(env, tests)
}

/// Reads an address that the client has not.
#[inline(never)]
fn fault() {
    #[expect(unsafe_code, reason = "a bug, on purpose")]
    // SAFETY: none. It faults, which ends this client and nothing else.
    unsafe {
        (0xdead_b000 as *const u8).read_volatile();
    }
}

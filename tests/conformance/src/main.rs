// SPDX-License-Identifier: MIT OR Apache-2.0
//! SBM's seventeen behaviours on the real API, and what this API adds to them.
//!
//! | module | what must hold |
//! | --- | --- |
//! | `warm` | nothing of an earlier sandbox is left in a later one |
//! | `seventeen` | the behaviours that SBM's own tests demand, one test each |
//! | `regions` | a fault tells kind, access, address, instruction pointer, and the region by name |
//! | `exceptions` | whatever the processor or the kernel stops is an error of the call |
//! | `copies` | bytes and typed data, in, out and both, at either end of a page, in buffers that grow |
//! | `mappings` | the client's own pages, read-only and writable |
//! | `buffers` | buffers that are set up once, and views of them |
//! | `values` | arguments by value, results, options, enums |
//! | `services` | a function asks its caller |
//! | `typed` | values of any type that serde knows, closures, generic functions |
//! | `statics` | private statics |
//! | `heap` | the crate `alloc` in a sandbox, and where its heap ends |
//! | `walk` | what a function has built in its heap, read where it lies |
//! | `guarded` | bugs that a guarded heap turns into faults |
//! | `errors` | panics, forged answers, errors of the function beside errors of the call, reset |
//! | `plain` | the same API without isolation |
//! | `safe` | what safe code alone can try |
#![no_std]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]
#![no_main]

extern crate alloc;

mod buffers;
mod copies;
mod errors;
mod exceptions;
mod guarded;
mod heap;
mod mappings;
mod plain;
mod regions;
mod registers;
mod safe;
mod services;
mod seventeen;
mod snapshot;
mod statics;
mod typed;
mod values;
mod walk;
mod warm;

use sbm::Env;

sbm::main!(main, heap = 64 * 1024);

fn main(env: &'static Env) -> u8 {
    harness::run(
        env,
        &[
            // First, while no spare sandboxes of other shapes stand ready.
            warm::TESTS,
            seventeen::TESTS,
            regions::TESTS,
            registers::TESTS,
            exceptions::TESTS,
            copies::TESTS,
            mappings::TESTS,
            buffers::TESTS,
            values::TESTS,
            typed::TESTS,
            services::TESTS,
            errors::TESTS,
            heap::TESTS,
            guarded::TESTS,
            statics::TESTS,
            snapshot::TESTS,
            walk::TESTS,
            plain::TESTS,
            safe::TESTS,
        ],
    )
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the suites in the guest share.
//!
//! A suite is a client program. It lists its tests with [`tests!`] and hands them to [`run`], which prints a line for
//! each, `test <suite>::<name> ... ok`, `.. FAILED: <why>` or `.. skipped: <why>`, and whose result is the program's exit status. A panic of
//! the client ends the suite, which the host counts as a failure.
//!
//! * [`check!`], [`same!`]: what a test asks; the first `no` ends it.
//! * [`expect`]: what a test asks of a call that must be aborted.
//! * [`handed`]: sandboxes that leave traces in memory, and sandboxes that look for them.
//! * [`raw`]: what a bug or an attacker does; only called inside of sandboxes.
//! * [`registers`]: what threads keep in registers that calls do not carry.
//! * [`server`]: requests to the server word by word, as a client that ignores the library makes them.
//! * [`Random`]: numbers that look random and are the same in every run.
#![no_std]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

mod check;
pub mod expect;
pub mod handed;
mod random;
pub mod raw;
pub mod registers;
mod sentinel;
pub mod server;

pub use check::{Verdict, Why};
pub use random::Random;
pub use sentinel::Sentinels;

use sbm::{Env, println};

/// One test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// What must hold, as a name.
    pub name: &'static str,
    /// Finds out whether it does.
    pub run: fn() -> Verdict,
}

/// Lists functions as tests, each named as the function is.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$($crate::Test { name: stringify!($name), run: $name }),*]
    };
}

/// Runs a suite and returns the program's exit status: 0 if every test passed.
///
/// The program's arguments select tests whose names contain one of them; without arguments all run.
pub fn run(env: &'static Env, suite: &[&[Test]]) -> u8 {
    let chosen = |test: &&Test| {
        let arguments = env.arguments();
        arguments.is_empty() || arguments.iter().any(|part| test.name.contains(part))
    };
    let mut status = 0;
    for test in suite.iter().copied().flatten().filter(chosen) {
        match (test.run)() {
            Ok(()) => println!("test {}::{} ... ok", env.name(), test.name),
            Err(why) if why.is_skipped() => println!("test {}::{} ... skipped: {why}", env.name(), test.name),
            Err(why) => {
                println!("test {}::{} ... FAILED: {why}", env.name(), test.name);
                status = 1;
            }
        }
    }
    status
}

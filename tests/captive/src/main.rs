// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that calls functions that do not end, without a budget: it goes on because a supervisor ends its calls.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sbm::{Env, Error, Sbm, println};

sbm::main!(main);

/// Calls that have to be ended.
const CALLS: u32 = 20;

// Functions that run in sandboxes.

fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

fn answer() -> u32 {
    41
}

fn main(_: &'static Env) -> u8 {
    match run() {
        Ok(()) => 0,
        Err(error) => {
            println!("captive: {error}");
            1
        }
    }
}

fn run() -> Result<(), Error> {
    let mut sbm = Sbm::builder().no_budget().report(false).build()?;
    for _ in 0..CALLS {
        match sbm.call(spin, ()) {
            Err(Error::Canceled { .. }) => sbm.reset()?,
            Err(error) => return Err(error),
            Ok(_) => return Err(Error::Garbled),
        }
        // What the supervisor ended is as good as new; it may end this as well.
        match sbm.call(answer, ()) {
            Ok(value) if value.assume_checked() == 41 => {}
            Ok(_) => return Err(Error::Garbled),
            Err(Error::Canceled { .. }) => sbm.reset()?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

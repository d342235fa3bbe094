// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client that ends the calls of another one, the program `captive`, whose functions never end by themselves.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

use core::time::Duration;

use harness::{Test, Verdict, Why, check, expect::works, tests};
use sbm::{Env, Errno, Error, Sbm};

sbm::main!(main);

const TESTS: &[Test] = tests![
    a_client_that_it_may_not_end_the_calls_of_is_an_error,
    a_call_of_ones_own_is_not_ended_from_within,
    the_calls_of_another_client_are_ended_and_it_goes_on,
];

fn main(env: &'static Env) -> u8 {
    harness::run(env, &[TESTS])
}

fn a_client_that_it_may_not_end_the_calls_of_is_an_error() -> Verdict {
    for name in ["nobody", "", "captiv", "captive "] {
        let refused = sbm::cancel(name).err();
        check!(refused == Some(Error::Server(Errno::Perm)), "{name:?}: {refused:?}");
    }
    Ok(())
}

fn a_call_of_ones_own_is_not_ended_from_within() -> Verdict {
    // It waits for the server and for no sandbox: there is nothing to end.
    sbm::cancel("supervisor")?;
    works(&mut Sbm::builder().report(false).build()?)
}

/// The other program ends by itself once enough of its calls were ended, each with the error that it expects.
fn the_calls_of_another_client_are_ended_and_it_goes_on() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    for _ in 0..2000 {
        match sbm::cancel("captive") {
            Ok(()) => {}
            Err(Error::Server(Errno::Invalid)) => return works(&mut sbm),
            Err(error) => return Err(error.into()),
        }
        works(&mut sbm)?;
        sbm::sleep(Duration::from_millis(1))?;
    }
    Err(Why::new(format_args!("the other client's calls do not end")))
}

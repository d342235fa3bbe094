// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ends other clients at random points of their lives, as often as they are started again.
//!
//! They begin with nothing or end at once by themselves, which leaves fewer lives to be ended than the description gives
//! them. The root task compares what is free with what was before the first of them, when the last one has gone.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

use core::time::Duration;

use harness::{Random, Test, Verdict, check, expect::works, same, tests};
use sbm::{Env, Errno, Error, Sbm};

sbm::main!(main);

const TESTS: &[Test] = tests![
    a_client_that_it_may_not_end_is_an_error,
    a_client_that_faults_has_ended_when_it_has_no_life_left,
    a_client_is_ended_at_random_points_a_thousand_times_and_begins_anew,
    another_one_of_the_same_program_has_lives_of_its_own,
];

/// Lives of a client, as the description gives them to it.
const LIVES: u32 = 1000;
const LIVES_OF_OTHER: u32 = 100;

fn main(env: &'static Env) -> u8 {
    harness::run(env, &[TESTS])
}

/// Ends a client, and says whether it was there.
fn kill(name: &str) -> Verdict<bool> {
    match sbm::kill(name) {
        Ok(()) => Ok(true),
        Err(Error::Server(Errno::Invalid)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn a_client_that_it_may_not_end_is_an_error() -> Verdict {
    for name in ["ends", "nobody", ""] {
        let refused = sbm::kill(name).err();
        check!(refused == Some(Error::Server(Errno::Perm)), "{name:?}: {refused:?}");
    }
    Ok(())
}

fn a_client_that_faults_has_ended_when_it_has_no_life_left() -> Verdict {
    sbm::sleep(Duration::from_millis(500))?;
    check!(!kill("fragile")?, "it is still there");
    works(&mut Sbm::builder().report(false).build()?)
}

/// Ends a client as long as it is there, with pauses in which it works, and returns how often.
fn end_all_lives(name: &str, random: &mut Random, most: u32) -> Verdict<u32> {
    let mut ended = 0;
    while ended <= most && kill(name)? {
        ended += 1;
        let micros = random.below(4000);
        if !micros.is_multiple_of(8) {
            sbm::sleep(Duration::from_micros(micros))?;
        }
    }
    Ok(ended)
}

fn a_client_is_ended_at_random_points_a_thousand_times_and_begins_anew() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    same!(end_all_lives("mortal", &mut Random::new(7), LIVES)?, LIVES);
    check!(!kill("mortal")?, "it has a life more than the description says");
    works(&mut sbm)
}

fn another_one_of_the_same_program_has_lives_of_its_own() -> Verdict {
    same!(end_all_lives("other", &mut Random::new(8), LIVES_OF_OTHER)?, LIVES_OF_OTHER);
    works(&mut Sbm::builder().report(false).build()?)
}

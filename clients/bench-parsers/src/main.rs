// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures parsers of real formats: as plain calls, and in a sandbox that asks for what it needs.
//!
//! Apart from the program `bench`, since these need a heap and input, which would weigh on the rows that begin at boot. The
//! arguments are the same, but for `profile`. The first input file is a policy of AppArmor, the second an image of ext4.
#![no_std]
#![cfg_attr(not(test), no_main)]

extern crate alloc;

#[path = "../../bench/src/clock.rs"]
#[allow(dead_code, reason = "what the program `bench` alone uses")]
mod clock;
mod image;
mod policy;

use sbm::{Env, Error, println};

use clock::Runs;

sbm::main!(main, heap = 1 << 19);

fn main(env: &'static Env) -> u8 {
    match run(env) {
        Ok(()) => 0,
        Err(error) => {
            println!("{}: {error}", env.name());
            1
        }
    }
}

fn run(env: &'static Env) -> Result<(), Error> {
    let mut runs = Runs::of(env);
    let mut inputs = env.inputs();
    let (Some(policy), Some(image)) = (inputs.next(), inputs.next()) else {
        println!("{}: hand in a policy and an image", env.name());
        return Ok(());
    };
    policy::run(&policy, &mut runs)?;
    image::run(image.bytes, &mut runs)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The smallest client: one function, called in a sandbox, and one that goes wrong.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sbm::{Env, Error, Sbm, Tainted, copy_in, copy_out, println};

sbm::main!(main);

/// Counts the words of a text: runs in the sandbox.
fn count_words(text: &[u8], longest: &mut u64) -> u32 {
    let words = text.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    *longest = words.clone().map(|word| word.len() as u64).max().unwrap_or(0);
    u32::try_from(words.count()).unwrap_or(u32::MAX)
}

/// Reads the byte at an address that the input names: runs in the sandbox, and faults there.
fn follow(address: usize) -> u8 {
    // Not what one should do with input, which is what the sandbox is for.
    #[expect(unsafe_code, reason = "a bug, on purpose")]
    // SAFETY: none. The sandbox contains it.
    unsafe {
        (address as *const u8).read_volatile()
    }
}

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
    println!("hello from {}, a client of the sandbox service", env.name());
    let mut sbm = Sbm::new()?;
    let mut longest = Tainted::<u64>::zeroed();
    let text = b"this text is read in a sandbox that cannot write it";
    let count = sbm.call(count_words, (copy_in(&text[..]), copy_out(&mut longest)))?.assume_checked();
    println!("the sandbox counted {count} words, the longest of {} bytes", longest.assume_checked());
    match sbm.call(follow, (0xdead_b000_usize,)) {
        Ok(byte) => println!("the sandbox read {}, which it should not have", byte.assume_checked()),
        Err(error) => println!("the sandbox was stopped, and its caller goes on: {error}"),
    }
    sbm.reset()?;
    let count = sbm.call(count_words, (copy_in(&text[..]), copy_out(&mut longest)))?.assume_checked();
    println!("after a reset it counts {count} words again");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_on_the_host_as_well() {
        let mut longest = 0;
        assert_eq!(count_words(b" one  three", &mut longest), 2);
        assert_eq!(longest, 5);
        println!("what is printed here is seen with --nocapture");
    }
}

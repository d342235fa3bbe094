// SPDX-License-Identifier: MIT OR Apache-2.0
//! One operation between two functions at which a debugger can stop, to log what it executes.
//!
//! `docs/performance.md` says how. An argument `profile:NAME` runs the operation of that name a few times, the last one
//! between [`profile_begin`] and [`profile_end`].

use sbm::{Error, Sbm, println};

const TIMES: usize = 4;

/// Makes the second function another than the first, so that the linker does not fold them into one.
const END: u32 = 1;

#[expect(unsafe_code, reason = "a name that a debugger finds")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn profile_begin() {
    core::hint::black_box(());
}

#[expect(unsafe_code, reason = "a name that a debugger finds")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn profile_end() {
    core::hint::black_box(END);
}

fn fault() {
    crate::faults::read_null();
}

/// Has the server keep spares of other shapes, so that the next sandbox is made anew.
fn fill_spares() {
    let others: [Result<Sbm, Error>; 4] =
        core::array::from_fn(|pages| Sbm::builder().stack((pages + 30) * 4096).build());
    drop(others);
}

fn build() -> Result<Sbm, Error> {
    Sbm::builder().report(false).room_in(1, 8192).room_out(2, 8192).build()
}

pub(crate) fn run(name: &str) -> Result<(), Error> {
    let mut sbm = Sbm::builder().report(false).build()?;
    for time in 0..TIMES {
        let last = time == TIMES - 1;
        let begin = || {
            if last {
                profile_begin()
            }
        };
        let end = || {
            if last {
                profile_end()
            }
        };
        match name {
            "null" => {
                begin();
                sbm.call(|| (), ())?;
                end();
            }
            "copy" => {
                let mut output = [0u8; 64];
                begin();
                sbm.call(|_: &[u8], _: &mut [u8]| (), (sbm::copy_in(&[1u8; 64][..]), sbm::copy_out(&mut output[..])))?;
                end();
            }
            "fault" => {
                begin();
                let _ = sbm.call(fault, ());
                end();
                sbm.reset()?;
                sbm.call(|| (), ())?;
            }
            "init" => {
                drop(build()?);
                fill_spares();
                begin();
                let made = build()?;
                end();
                drop(made);
            }
            "destroy" => {
                // One more spare than there is room for: the oldest goes.
                fill_spares();
                let made = build()?;
                begin();
                drop(made);
                end();
            }
            "warm" => {
                let made = build()?;
                drop(made);
                begin();
                build()?.call(|| (), ())?;
                end();
            }
            _ => println!("bench: there is nothing to profile by the name {name}"),
        }
    }
    Ok(())
}

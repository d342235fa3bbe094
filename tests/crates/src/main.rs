// SPDX-License-Identifier: MIT OR Apache-2.0
//! Crates of the registry, unchanged, each in a sandbox on real input: they find what they find on the host.
//!
//! | crate | does |
//! | --- | --- |
//! | `memchr` | finds bytes and words |
//! | `minipng` | decodes a picture |
//! | `miniz_oxide` | inflates, deflates and inflates |
//! | `regex` | finds the links of the README |
//! | `roxmltree` | reads a drawing |
//! | `ruzstd` | decompresses |
//! | `serde_json` | reads figures and writes them again |
//! | `sha2` | hashes |
//! | `toml` | reads this tree's `Cargo.lock` |
//! | `x509-cert` | reads a certificate and writes it again |
//!
//! `memchr`, `sha2` and `roxmltree`, which uses the first, note in a static what the CPU can do. They run where they have
//! statics of their own, and are stopped elsewhere; with the argument `stop` the first of them is, for the host tool's tests.
//!
//! `build.rs` has the host compute what is expected, with the same functions: those of `work`.
#![no_std]
#![no_main]
#![allow(clippy::result_large_err, reason = "why a test failed is a line of text, and made once")]

extern crate alloc;

mod work;

use alloc::string::String;

use harness::{Test, Verdict, Why, check, same};
use sbm::{Builder, Env, Error, Region, Sbm, copy_in};

use work::Work;

// More than it needs: a program can have so many statics.
sbm::main!(main, heap = 12 << 20);

/// Bytes of a sandbox's heap, and of its stack.
const HEAP: usize = 2 << 20;
const STACK: usize = 512 * 1024;

/// What a crate does, and what it is to find.
struct Case {
    name: &'static str,
    work: Work,
    input: &'static [u8],
    expected: &'static str,
}

static CASES: [Case; 10] = include!(concat!(env!("OUT_DIR"), "/cases.rs"));

/// Runs a case: in a sandbox.
fn run(case: usize, input: &[u8]) -> Result<String, String> {
    (CASES[case].work)(input)
}

/// Begins a sandbox with room for what crates do.
fn roomy() -> Builder {
    Sbm::builder().heap(HEAP).stack(STACK)
}

/// Compares what the crate of this number finds.
fn finds<const CASE: usize>() -> Verdict {
    let case = &CASES[CASE];
    let builder = if STATICS.contains(&CASE) { roomy().private_statics() } else { roomy() };
    let mut sbm = builder.build()?;
    // A second time, in what the first one left behind, and after a reset.
    for _ in 0..2 {
        let found = sbm.call(run, (CASE, copy_in(case.input).at_end()))?.assume_checked();
        check!(found.as_deref() == Ok(case.expected), "{}", found.unwrap_or_else(|error| error));
    }
    sbm.reset()?;
    let found = sbm.call(run, (CASE, copy_in(case.input)))?.assume_checked();
    check!(found.as_deref() == Ok(case.expected), "after a reset: {}", found.unwrap_or_else(|error| error));
    Ok(())
}

/// Damaged input is an error of the crate's, or ends its call. `serde_json` looks for the place with `memchr`.
fn refuses_what_is_cut_short() -> Verdict {
    for (number, case) in CASES.iter().enumerate() {
        let mut sbm = roomy().private_statics().report(false).build()?;
        let half = &case.input[..case.input.len() / 2];
        match sbm.call(run, (number, copy_in(half).at_end())) {
            Ok(found) => check!(found.assume_checked().as_deref() != Ok(case.expected), "{} of a half", case.name),
            Err(error) => check!(matches!(error, Error::Panic(_) | Error::NoRoom { .. }), "{}: {error}", case.name),
        }
    }
    Ok(())
}

/// A crate that notes in a static what the CPU can do is stopped when it touches it, and its caller goes on.
fn statics_stop_who_has_none_of_its_own() -> Verdict {
    for number in STATICS {
        let case = &CASES[number];
        let mut sbm = roomy().report(false).build()?;
        let Err(Error::Fault { region, .. }) = sbm.call(run, (number, copy_in(case.input))) else {
            return Err(Why::new(format_args!("{} does not touch a static", case.name)));
        };
        same!(region, Region::ClientData);
    }
    Ok(())
}

/// What a sandbox finds out about the CPU is known to nobody else.
fn what_one_has_noted_another_one_does_not_know() -> Verdict {
    let case = &CASES[MEMCHR];
    let mut with = roomy().private_statics().build()?;
    let found = with.call(run, (MEMCHR, copy_in(case.input)))?.assume_checked();
    check!(found.as_deref() == Ok(case.expected));
    check!(run(MEMCHR, case.input).as_deref() == Ok(case.expected), "in the client");
    statics_stop_who_has_none_of_its_own()
}

/// An allocation without a heap is an error that says so.
fn needs_a_heap() -> Verdict {
    let mut sbm = Sbm::builder().stack(STACK).report(false).build()?;
    match sbm.call(run, (JSON, copy_in(CASES[JSON].input))) {
        Err(Error::NoRoom { heap: 0, .. }) => Ok(()),
        Err(error) => Err(Why::new(format_args!("{error}"))),
        Ok(_) => Err(Why::new(format_args!("it went without a heap"))),
    }
}

/// The cases whose crates have statics that they write.
const STATICS: [usize; 3] = [MEMCHR, 1, 8];

/// The case of `memchr`.
const MEMCHR: usize = 0;

/// The case of `serde_json`.
const JSON: usize = 3;

const TESTS: &[Test] = &[
    Test { name: "memchr_finds_what_it_finds_on_the_host", run: finds::<MEMCHR> },
    Test { name: "sha2_finds_what_it_finds_on_the_host", run: finds::<1> },
    Test { name: "regex_finds_what_it_finds_on_the_host", run: finds::<2> },
    Test { name: "serde_json_finds_what_it_finds_on_the_host", run: finds::<JSON> },
    Test { name: "x509_cert_finds_what_it_finds_on_the_host", run: finds::<4> },
    Test { name: "minipng_finds_what_it_finds_on_the_host", run: finds::<5> },
    Test { name: "miniz_oxide_finds_what_it_finds_on_the_host", run: finds::<6> },
    Test { name: "ruzstd_finds_what_it_finds_on_the_host", run: finds::<7> },
    Test { name: "roxmltree_finds_what_it_finds_on_the_host", run: finds::<8> },
    Test { name: "toml_finds_what_it_finds_on_the_host", run: finds::<9> },
    Test { name: "refuses_what_is_cut_short", run: refuses_what_is_cut_short },
    Test { name: "statics_stop_who_has_none_of_its_own", run: statics_stop_who_has_none_of_its_own },
    Test { name: "what_one_has_noted_another_one_does_not_know", run: what_one_has_noted_another_one_does_not_know },
    Test { name: "needs_a_heap", run: needs_a_heap },
];

/// Lets the report of a crate that is stopped be seen.
fn stop() -> Result<(), Error> {
    let case = &CASES[MEMCHR];
    roomy().build()?.call(run, (MEMCHR, copy_in(case.input))).map(drop)
}

fn main(env: &'static Env) -> u8 {
    if env.arguments().contains(&"stop") {
        return u8::from(stop().is_err());
    }
    harness::run(env, &[TESTS])
}

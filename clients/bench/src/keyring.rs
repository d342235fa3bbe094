// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OpenPGP parser on one keyring: as a plain call, and in a sandbox.
//!
//! All rows parse the same bytes with the same function, and end with the keys as values of the client's. Those of a
//! sandbox must be those of the plain call.

use core::hint::black_box;

use sbm::{Env, Error, Sbm, Tainted, copy_in};
use sbm_pgp::{Keyring, ParseError, parse};

use crate::{
    RUNS,
    clock::{Runs, failed},
    measure,
};

/// The rows, which say why they are missing in the place of the first.
const ROWS: [&str; 3] = ["pgp_plain", "pgp_sandboxed", "pgp_sandboxed_mapped"];

/// What is parsed where the host hands nothing in.
const CARRIED: &[u8] = include_bytes!("../../pgp/testdata/demo.pgp");

/// Bytes of the sandbox's heap.
const HEAP: usize = 1 << 20;

pub(crate) fn run(env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    if !ROWS.iter().any(|row| runs.wants(row)) {
        return Ok(());
    }
    let file = env.inputs().next();
    let bytes = file.map_or(CARRIED, |file| file.bytes);
    let Ok(expected) = parse(bytes) else {
        failed(ROWS[0], "the parser refuses the keyring");
        return Ok(());
    };
    measure(runs, ROWS[0], RUNS, || black_box(parse(black_box(bytes))).map(drop).map_err(|_| Error::Garbled))?;
    let mut sbm = Sbm::builder().report(false).heap(HEAP).room_in(1, bytes.len()).build()?;
    same(sbm.call(parse, (copy_in(bytes).at_end(),))?, &expected)?;
    measure(runs, ROWS[1], RUNS, || sbm.call(parse, (copy_in(bytes).at_end(),)).map(black_box).map(drop))?;
    if let Some(file) = file {
        let mut sbm = Sbm::builder().report(false).heap(HEAP).build()?;
        same(sbm.call(parse, (file.map(),))?, &expected)?;
        measure(runs, ROWS[2], RUNS, || sbm.call(parse, (file.map(),)).map(black_box).map(drop))?;
    }
    Ok(())
}

/// Compares what came out of a sandbox with what a plain call finds.
fn same(answer: Tainted<Result<Keyring, ParseError>>, expected: &Keyring) -> Result<(), Error> {
    if answer.assume_checked().is_ok_and(|keyring| keyring == *expected) { Ok(()) } else { Err(Error::Garbled) }
}

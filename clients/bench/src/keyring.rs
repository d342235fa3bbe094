// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OpenPGP parser on one keyring: as a plain call, and in a sandbox.
//!
//! All rows parse the same bytes with the same function, and end with the records where the client can read them. The
//! records of a sandbox must be those of the plain call.

use core::hint::black_box;

use sbm::{Env, Error, InputFile, Sbm, Tainted, copy_in, copy_out, shared_out};
use sbm_pgp::{Options, ParseError, parse_keyring, scratch_bound};
use static_cell::ConstStaticCell;

use crate::{
    RUNS,
    clock::{Runs, failed},
    measure,
};

/// The rows, which say why they are missing in the place of the first.
const ROWS: [&str; 3] = ["pgp_plain", "pgp_sandboxed", "pgp_sandboxed_mapped"];

/// What is parsed where the host hands nothing in.
const CARRIED: &[u8] = include_bytes!("../../pgp/testdata/demo.pgp");

/// Bytes for armored blocks, decoded, and for records: enough for keyrings of 80 KiB.
const ROOM: usize = 64 * 1024;

/// Bytes of the sandbox's stack, as `pgp-keys` has it.
const STACK: usize = 8 * 1024;

static SCRATCH: ConstStaticCell<[u8; ROOM]> = ConstStaticCell::new([0; ROOM]);
static RECORDS: ConstStaticCell<[u8; ROOM]> = ConstStaticCell::new([0; ROOM]);
static EXPECTED: ConstStaticCell<[u8; ROOM]> = ConstStaticCell::new([0; ROOM]);

/// Parses a keyring: runs in the client and in the sandbox.
fn parse(keyring: &[u8], scratch: &mut [u8], records: &mut [u8]) -> Result<u32, u64> {
    parse_keyring(keyring, scratch, records, Options::default()).map_err(ParseError::to_raw)
}

pub(crate) fn run(env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    if !ROWS.iter().any(|row| runs.wants(row)) {
        return Ok(());
    }
    let file = env.inputs().next();
    let keyring = file.map_or(CARRIED, |file| file.bytes);
    let (scratch, records) = (scratch_bound(keyring.len()), (keyring.len() / 8).max(4096));
    let (Some(scratch_bytes), Some(expected), Some(records)) = (
        SCRATCH.try_take().and_then(|bytes| bytes.get_mut(..scratch)),
        EXPECTED.try_take().and_then(|bytes| bytes.get_mut(..records)),
        RECORDS.try_take().and_then(|bytes| bytes.get_mut(..records)),
    ) else {
        failed(ROWS[0], "the keyring is larger than 80 KiB");
        return Ok(());
    };
    let Ok(length) = used(parse(keyring, scratch_bytes, expected)) else {
        failed(ROWS[0], "the parser refuses the keyring");
        return Ok(());
    };
    measure(runs, ROWS[0], RUNS, || used(black_box(parse)(black_box(keyring), scratch_bytes, expected)).map(drop))?;
    let expected = &expected[..length];
    copied(runs, keyring, scratch, records)?;
    same(runs, ROWS[1], records, expected)?;
    if let Some(file) = file {
        mapped(runs, &file, scratch, records)?;
        same(runs, ROWS[2], records, expected)?;
    }
    Ok(())
}

/// The keyring copied in, the records copied out.
fn copied(runs: &mut Runs, keyring: &[u8], scratch: usize, records: &mut [u8]) -> Result<(), Error> {
    let mut builder = Sbm::builder().report(false).stack(STACK).room_in(1, keyring.len()).room_out(3, records.len());
    let scratch = builder.output(scratch);
    let mut sbm = builder.build()?;
    measure(runs, ROWS[1], RUNS, || {
        let arguments = (copy_in(keyring).at_end(), shared_out(scratch), copy_out(&mut *records).at_end());
        sbm.call(parse, arguments).and_then(answer)
    })
}

/// The keyring read where it lies, the records copied out.
fn mapped(runs: &mut Runs, file: &InputFile, scratch: usize, records: &mut [u8]) -> Result<(), Error> {
    let mut builder = Sbm::builder().report(false).stack(STACK).room_out(3, records.len());
    let scratch = builder.output(scratch);
    let mut sbm = builder.build()?;
    measure(runs, ROWS[2], RUNS, || {
        let arguments = (file.map(), shared_out(scratch), copy_out(&mut *records).at_end());
        sbm.call(parse, arguments).and_then(answer)
    })
}

/// Takes the answer of a sandbox if it is a success.
fn answer(answer: Tainted<Result<u32, u64>>) -> Result<(), Error> {
    answer.transpose().map(drop).map_err(|_| Error::Garbled)
}

/// Takes the answer of a plain call if it is a success: the bytes used.
fn used(answer: Result<u32, u64>) -> Result<usize, Error> {
    answer.map(|used| used as usize).map_err(|_| Error::Garbled)
}

/// Compares what came out of a sandbox with what a plain call finds.
fn same(runs: &Runs, row: &str, records: &[u8], expected: &[u8]) -> Result<(), Error> {
    if !runs.wants(row) || records.starts_with(expected) { Ok(()) } else { Err(Error::Garbled) }
}

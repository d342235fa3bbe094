// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader of AppArmor's policies on one policy of four profiles: as a plain call, and in a sandbox.

use alloc::vec::Vec;
use core::hint::black_box;

use sbm::{Env, Error, Sbm, copy_in};
use sbm_apparmor::{Caller, NoIds, Profile, unpack};

use crate::{RUNS, clock::Runs, measure};

const ROWS: [&str; 2] = ["apparmor_plain", "apparmor_sandboxed"];

/// The policy, made of `sample.aa` beside it for Linux 6.1.
const POLICY: &[u8] = include_bytes!("../../apparmor/testdata/sample.policy");

/// Bytes of the sandbox's heap.
const HEAP: usize = 1 << 20;

/// Hands out ids from 1.
struct Ids(u32);

impl Caller for Ids {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        self.0 += 1;
        Ok(self.0)
    }
}

/// Reads a policy: runs in the client and in the sandbox.
fn read(policy: &[u8]) -> Result<Vec<Profile>, sbm_apparmor::Error> {
    unpack(policy, &mut Ids(0))
}

pub(crate) fn run(_: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    if !ROWS.iter().any(|row| runs.wants(row)) {
        return Ok(());
    }
    let expected = read(POLICY).map_err(|_| Error::Garbled)?;
    measure(runs, ROWS[0], RUNS, || black_box(read(black_box(POLICY))).map(drop).map_err(|_| Error::Garbled))?;
    let mut sbm = Sbm::builder().report(false).heap(HEAP).room_in(1, POLICY.len()).build()?;
    if sbm.call(read, (copy_in(POLICY),))?.assume_checked() != Ok(expected) {
        return Err(Error::Garbled);
    }
    measure(runs, ROWS[1], RUNS, || sbm.call(read, (copy_in(POLICY),)).map(black_box).map(drop))
}

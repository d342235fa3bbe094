// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader of AppArmor's policies on a policy of four profiles, whose ids are the caller's.

use alloc::vec::Vec;
use core::hint::black_box;

use sbm::{Error, InputFile, Proxy, Sbm, serve};
use sbm_apparmor::{Caller, NoIds, Profile, unpack};

use crate::clock::{Runs, measure, single};

const ROWS: [&str; 3] = ["apparmor_plain", "apparmor_sandboxed", "apparmor_requests"];

/// Runs of a row.
const RUNS: usize = 200;

/// Bytes of the sandbox's heap.
const HEAP: usize = 1 << 20;

/// What the sandbox can ask for.
#[sbm::service]
trait Ids {
    fn allocate(&mut self) -> u32;
}

/// Hands out ids from 1 on.
#[derive(Default)]
struct Counter(u32);

impl Ids for Counter {
    fn allocate(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Where the reader gets its ids, on either side.
struct From<T>(T);

impl<T: Ids> Caller for From<T> {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        Ok(self.0.allocate())
    }
}

type Answer = Result<Vec<Profile>, sbm_apparmor::Error>;

/// Reads a policy: runs in the sandbox.
fn read(policy: &[u8], ids: Proxy<dyn Ids>) -> Answer {
    unpack(policy, &mut From(ids))
}

pub(crate) fn run(file: &InputFile, runs: &mut Runs) -> Result<(), Error> {
    if !ROWS.iter().any(|row| runs.wants(row)) {
        return Ok(());
    }
    let plain = || unpack(black_box(file.bytes), &mut From(Counter::default())).map_err(|_| Error::Garbled);
    let expected = plain()?;
    measure(runs, ROWS[0], RUNS, || plain().map(drop))?;
    let mut sbm = Sbm::builder().report(false).heap(HEAP).build()?;
    let mut asked = 0;
    let mut sandboxed = || {
        let mut ids = Counter::default();
        let profiles = sbm.call(read, (file.map(), serve::<dyn Ids>(&mut ids)))?;
        asked = ids.0;
        Ok(profiles)
    };
    if sandboxed()?.assume_checked().as_ref() != Ok(&expected) {
        return Err(Error::Garbled);
    }
    measure(runs, ROWS[1], RUNS, || sandboxed().map(black_box).map(drop))?;
    if runs.wants(ROWS[2]) {
        single(ROWS[2], "requests", asked.into());
    }
    Ok(())
}

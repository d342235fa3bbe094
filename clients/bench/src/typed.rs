// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed values: what it costs to write them on one side and read them on the other.

use core::hint::black_box;

use heapless::{String, Vec};
use sbm::{Env, Error, Sbm, value};
use serde::{Deserialize, Serialize};

use crate::{RUNS, clock::Runs, measure};

/// Takes 32 bytes of postcard.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    id: u64,
    kind: Kind,
    name: String<20>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Sized(u8),
}

type Records<const N: usize> = Vec<Record, N>;

fn records<const N: usize>() -> Records<N> {
    let name = String::try_from("a name of 19 bytes.").unwrap_or_default();
    (0..N).map(|_| black_box(Record { id: u64::MAX, kind: Kind::Sized(1), name: name.clone() })).collect()
}

fn take<const N: usize>(records: Records<N>) -> u32 {
    u32::from(black_box(&records).first().is_some_and(|record| !record.name.is_empty()))
}

fn give<const N: usize>() -> Records<N> {
    records()
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    rows::<32>(runs, ["typed_argument_1k", "typed_result_1k"])?;
    rows::<512>(runs, ["typed_argument_16k", "typed_result_16k"])
}

fn rows<const N: usize>(runs: &mut Runs, [argument, result]: [&str; 2]) -> Result<(), Error> {
    let mut sbm = Sbm::builder().report(false).stack(128 * 1024).build()?;
    let values = records::<N>();
    measure(runs, argument, RUNS / 4, || sbm.call(take::<N>, (value(&values),)).map(drop))?;
    measure(runs, result, RUNS / 4, || {
        let given = sbm.call(give::<N>, ())?;
        black_box(&given);
        Ok(())
    })
}

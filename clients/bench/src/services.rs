// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services: a request of a running function, from one to the next.

use sbm::{Env, Error, Proxy, Sbm, serve};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now},
};

#[sbm::service]
trait Numbers {
    fn next(&mut self, number: u64) -> u64;
    fn block(&mut self, number: u64, into: &mut [u8]) -> Result<(), ()>;
}

/// Takes the time between one request and the next.
struct Clock<'r> {
    runs: &'r mut Runs,
    start: u64,
    asked: usize,
}

impl Clock<'_> {
    fn tick(&mut self) {
        self.asked += 1;
        if self.asked > WARM_UP {
            self.runs.add(self.start);
        }
        self.start = now();
    }
}

impl Numbers for Clock<'_> {
    fn next(&mut self, number: u64) -> u64 {
        self.tick();
        number + 1
    }

    fn block(&mut self, number: u64, into: &mut [u8]) -> Result<(), ()> {
        self.tick();
        into.fill(number as u8);
        Ok(())
    }
}

fn ask(count: u64, mut numbers: Proxy<dyn Numbers>) -> u64 {
    (0..count).fold(0, |number, _| numbers.next(number))
}

fn read(count: u64, mut numbers: Proxy<dyn Numbers>) -> Result<u8, ()> {
    let mut block = [0; 4096];
    for number in 0..count {
        numbers.block(number, &mut block)?;
    }
    Ok(block[0])
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    let mut sbm = Sbm::builder().report(false).stack(16 * 1024).build()?;
    let count = runs.times(RUNS);
    for (name, blocks) in [("service_round_trip", false), ("service_block_4k", true)] {
        if !runs.wants(name) {
            continue;
        }
        let requests = (WARM_UP + count) as u64;
        let mut clock = Clock { runs: &mut *runs, start: 0, asked: 0 };
        if blocks {
            sbm.call(read, (requests, serve::<dyn Numbers>(&mut clock))).map(drop)?;
        } else {
            sbm.call(ask, (requests, serve::<dyn Numbers>(&mut clock))).map(drop)?;
        }
        runs.print(name);
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sandbox with a heap: set up, used, and put back.

use alloc::{boxed::Box, vec};
use core::{hint::black_box, mem};

use sbm::{Env, Error, Sbm};

use crate::{
    RUNS, WARM_UP,
    clock::{Runs, now},
    measure,
};

/// Heaps, by name: the bytes, and how many runs there are.
const SIZES: [(&str, usize, usize); 3] =
    [("64k", 64 * 1024, RUNS / 10), ("1m", 1024 * 1024, RUNS / 50), ("16m", 16 * 1024 * 1024, RUNS / 100)];

fn null() {}

/// Uses most of a heap, a page of it after the other: a byte in each.
fn use_all(heap: usize) {
    let mut bytes = Box::<[u8]>::new_uninit_slice(heap - heap / 16);
    for byte in bytes.iter_mut().step_by(4096) {
        byte.write(1);
    }
    mem::forget(bytes);
}

fn allocate(times: usize) {
    for _ in 0..times {
        drop(black_box(vec![1_u8; 24]));
    }
}

fn sandbox(heap: usize, stack: usize) -> Result<Sbm, Error> {
    Sbm::builder().report(false).heap(heap).stack(stack * 4096).build()
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    for (size, heap, count) in SIZES {
        lives(runs, ["heap_init_", "heap_first_use_"].map(|step| name(step, size)), heap, count)?;
        let mut sbm = sandbox(heap, 2)?;
        sbm.call(use_all, (heap,))?;
        // With the call after it, as the rows of sandboxes without a heap.
        measure(runs, name("heap_reset_", size), count, || {
            sbm.reset()?;
            sbm.call(null, ()).map(drop)
        })?;
    }
    snapshots(runs)?;
    // Beside the call without any; both have touched their heap.
    let mut sbm = sandbox(64 * 1024, 2)?;
    measure(runs, "heap_allocate_0", RUNS, || sbm.call(allocate, (0_usize,)).map(drop))?;
    measure(runs, "heap_allocate_10", RUNS, || sbm.call(allocate, (10_usize,)).map(drop))
}

/// Sandboxes made anew: until they are set up, and their first call, which uses the heap.
fn lives(runs: &mut Runs, rows: [&str; 2], heap: usize, count: usize) -> Result<(), Error> {
    let mut stack = 0;
    for (which, row) in rows.into_iter().enumerate() {
        if !runs.wants(row) {
            continue;
        }
        for run in 0..WARM_UP + runs.times(count) {
            // More shapes than the server keeps spares of.
            stack = (stack + 1) % 6;
            let start = now();
            let mut sbm = sandbox(heap, stack + 2)?;
            let made = now();
            sbm.call(use_all, (heap,))?;
            let times = [start, made, now()];
            if run >= WARM_UP {
                runs.push(times[which + 1] - times[which]);
            }
        }
        runs.print(row);
    }
    Ok(())
}

/// Returns the name of a row; there are few.
fn name(step: &str, size: &str) -> &'static str {
    let rows = [
        "heap_init_64k",
        "heap_init_1m",
        "heap_init_16m",
        "heap_first_use_64k",
        "heap_first_use_1m",
        "heap_first_use_16m",
        "heap_reset_64k",
        "heap_reset_1m",
        "heap_reset_16m",
    ];
    let is_it = |row: &&str| row.strip_prefix(step) == Some(size);
    rows.into_iter().find(is_it).unwrap_or("?")
}

/// Snapshots and resets to them, by how many pages there are of the heap.
fn snapshots(runs: &mut Runs) -> Result<(), Error> {
    let rows = [("snapshot_4", "snapshot_reset_4", 16 * 1024), ("snapshot_64", "snapshot_reset_64", 256 * 1024)];
    for (take, reset, heap) in rows {
        if runs.wants(take) {
            for run in 0..WARM_UP + runs.times(RUNS / 20) {
                let mut sbm = sandbox(heap, 2)?;
                sbm.call(use_all, (heap - heap / 8,))?;
                let start = now();
                sbm.snapshot()?;
                if run >= WARM_UP {
                    runs.add(start);
                }
            }
            runs.print(take);
        }
        let mut sbm = sandbox(heap, 2)?;
        sbm.call(use_all, (heap - heap / 8,))?;
        sbm.snapshot()?;
        measure(runs, reset, RUNS / 10, || {
            sbm.reset()?;
            sbm.call(null, ()).map(drop)
        })?;
    }
    Ok(())
}

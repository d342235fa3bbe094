// SPDX-License-Identifier: MIT OR Apache-2.0
//! A list of 512 nodes that a function has built: walked where it lies, and as a typed result.

use alloc::{boxed::Box, vec::Vec};
use core::hint::black_box;

use sbm::{Env, Error, Far, Sbm};

use crate::{RUNS, clock::Runs, measure};

const NODES: u64 = 512;

/// One element of a list.
#[repr(C)]
#[derive(Debug, Clone, Copy, sbm::Pod)]
struct Node {
    id: u64,
    value: u64,
    next: Option<Far<Node>>,
}

/// Builds the list, or returns the one that an earlier call has built.
fn build(first: Option<Far<Node>>) -> Option<Far<Node>> {
    first.or_else(|| {
        let link = |next, id| Some(Far::of(Box::leak(Box::new(Node { id, value: black_box(id), next }))));
        (0..NODES).rev().fold(None, link)
    })
}

fn list() -> Vec<(u64, u64)> {
    (0..NODES).map(|id| (id, black_box(id))).collect()
}

pub(crate) fn run(_env: &'static Env, runs: &mut Runs) -> Result<(), Error> {
    let mut sbm = Sbm::builder().heap(64 * 1024).walked().report(false).build()?;
    let first = sbm.call(|| build(None), ())?.far();
    measure(runs, "walk_512", RUNS / 4, || {
        let mut walk = sbm.walk(NODES as u32)?;
        let (mut sum, mut at) = (0, first);
        while let Some(pointer) = at {
            let node = walk.get(pointer)?.assume_checked();
            sum += node.value;
            at = node.next;
        }
        black_box(sum);
        Ok(())
    })?;
    measure(runs, "walk_512_as_result", RUNS / 4, || {
        let list = sbm.call(list, ())?.check(|list| list.len() == NODES as usize)?;
        black_box(list.iter().map(|(_, value)| value).sum::<u64>());
        Ok(())
    })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The root task's allocators: a million allocations and frees, driven by requests.
//!
//! What is counted, and how often: to make a sandbox takes a block of untyped memory, a range of capability slots and a
//! range of addresses; to add buffers takes the same three again. To destroy it gives all of them back. The splits and
//! joins of blocks in between, each of which is a retype or a revoke, are not counted. Sizes are mixed, and sandboxes
//! end in another order than they began. One that has been added to is not kept ready: its end is a real one.

use harness::{Random, Test, Verdict, Why, check, same, server::request, tests};
use sbm::println;
use sbm_abi::{BufferAccess, BufferSpec, Handle, Request, Response, Spec, limits::MAX_GROWTHS};

use crate::stock::loses_nothing;

pub(crate) const TESTS: &[Test] = tests![a_million_allocations_and_frees_lose_nothing];

/// Allocations and frees, each counted.
const OPERATIONS: u32 = 1_000_000;
/// Rounds in which they are done.
const ROUNDS: u32 = 10;
/// What one sandbox, or one addition to it, takes: a block, slots, addresses.
const EACH: u32 = 3;
/// Sandboxes at once.
const ALIVE: usize = 24;

#[derive(Debug, Clone, Copy)]
struct Alive {
    handle: Handle,
    grown: usize,
}

#[derive(Debug, Default)]
struct Counts {
    allocations: u32,
    frees: u32,
}

fn a_million_allocations_and_frees_lose_nothing() -> Verdict {
    let mut counts = Counts::default();
    let mut rounds = 0;
    while counts.allocations + counts.frees < OPERATIONS {
        loses_nothing(|_| {
            rounds += 1;
            // The same work each time, so that it can come to rest.
            steps(&mut Random::new(0xa110c), &mut counts, OPERATIONS / ROUNDS)
        })?;
    }
    same!(counts.allocations, counts.frees, "allocations, of as many frees");
    println!("soak: {} allocations and {} frees in {rounds} rounds", counts.allocations, counts.frees);
    Ok(())
}

/// Makes, grows and destroys sandboxes until so many operations are done, and then destroys all.
fn steps(random: &mut Random, counts: &mut Counts, operations: u32) -> Verdict {
    let mut places: [Option<Alive>; ALIVE] = [None; ALIVE];
    let end = counts.allocations + counts.frees + operations;
    while counts.allocations + counts.frees < end {
        let place = &mut places[random.index(ALIVE)];
        match place {
            Some(alive) if alive.grown < MAX_GROWTHS && random.below(24) > 0 => grow(alive, random, counts)?,
            Some(alive) => {
                destroy(*alive, counts)?;
                *place = None;
            }
            None => {
                let mut alive = init(random, counts)?;
                grow(&mut alive, random, counts)?;
                *place = Some(alive);
            }
        }
    }
    places.iter().flatten().try_for_each(|alive| destroy(*alive, counts))
}

fn spec(random: &mut Random) -> BufferSpec {
    let access = if random.below(2) == 0 { BufferAccess::ReadOnly } else { BufferAccess::ReadWrite };
    // Mostly a page, now and then more: sizes that split blocks at every height.
    let pages = match random.below(64) {
        0 => 1 + random.below(64),
        1..8 => 1 + random.below(6),
        _ => 1,
    };
    BufferSpec::new(u32::try_from(pages).unwrap_or(1), access)
}

fn init(random: &mut Random, counts: &mut Counts) -> Result<Alive, Why> {
    // Of a stack that nothing else here has, so that none stands ready.
    let mut shape = Spec { stack_pages: 3, ..Spec::default() };
    if random.below(2) == 0 {
        let _ = shape.buffers.push(spec(random));
    }
    match request(&Request::Init(shape))? {
        Response::Ready { handle, used: false, .. } => {
            counts.allocations += EACH;
            Ok(Alive { handle, grown: 0 })
        }
        other => Err(Why::new(format_args!("no new sandbox: {other:?}"))),
    }
}

fn grow(alive: &mut Alive, random: &mut Random, counts: &mut Counts) -> Verdict {
    let buffers = [spec(random)].into_iter().collect();
    let response = request(&Request::Grow { handle: alive.handle, buffers })?;
    check!(matches!(response, Response::Grown { .. }), "no growth {}: {response:?}", alive.grown);
    alive.grown += 1;
    counts.allocations += EACH;
    Ok(())
}

fn destroy(alive: Alive, counts: &mut Counts) -> Verdict {
    let response = request(&Request::Destroy(alive.handle))?;
    check!(response == Response::Done, "not destroyed: {response:?}");
    counts.frees += EACH * u32::try_from(1 + alive.grown).unwrap_or(0);
    Ok(())
}

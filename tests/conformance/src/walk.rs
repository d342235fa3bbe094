// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a function has built in its heap, read by the client where it lies.

use alloc::{boxed::Box, string::String, vec::Vec};

use harness::{Test, Verdict, check, expect::works, raw, same, tests};
use sbm::{Builder, Errno, Error, Far, FarSlice, Isolation, Region, Sbm, Tainted, WalkError, copy_in, shared_out};
use sbm_abi::limits::HEAP_OFFSET;

pub(crate) const TESTS: &[Test] = tests![
    a_list_is_walked_where_it_lies,
    a_tree_with_text_is_walked_where_it_lies,
    pointers_to_nothing_are_none,
    what_was_built_is_there_until_a_reset,
    a_walked_heap_of_a_warm_sandbox_is_pristine,
    a_walked_heap_has_guards_that_are_named,
    a_walk_ends_after_its_steps,
    pointers_of_an_earlier_life_are_checked_like_others,
    a_walk_needs_a_heap_that_is_walked,
    nothing_is_walked_after_an_aborted_call,
    a_snapshot_of_a_walked_heap_is_what_a_reset_returns_to,
    a_walked_heap_has_no_room_beyond_its_end,
    walked_heaps_out_of_limits_are_refused,
];

const KIB: usize = 1024;

/// One element of a list.
#[repr(C)]
#[derive(Debug, Clone, Copy, sbm::Pod)]
struct Node {
    value: u64,
    next: Option<Far<Node>>,
}

/// A folder: how often it was seen, its name, and what is in it.
#[repr(C)]
#[derive(Debug, Clone, Copy, sbm::Pod)]
struct Folder {
    name: FarSlice<u8>,
    inside: FarSlice<Folder>,
}

// Functions that run in sandboxes, or in the client.

/// Builds a list of numbers up to `length`, the first one first.
fn build_list(length: u64) -> Option<Far<Node>> {
    (0..length).rev().fold(None, |next, value| Some(Far::of(Box::leak(Box::new(Node { value, next })))))
}

/// Reads lines of paths, and builds a tree of their folders.
fn build_tree(paths: &[u8]) -> Far<Folder> {
    let text = String::from_utf8_lossy(paths);
    let paths: Vec<Vec<&str>> = text.lines().map(|line| line.split('/').collect()).collect();
    Far::of(Box::leak(Box::new(folder("", &paths, 0))))
}

fn folder(name: &str, paths: &[Vec<&str>], depth: usize) -> Folder {
    let mut inside = Vec::new();
    for group in paths.chunk_by(|one, next| one.get(depth) == next.get(depth)) {
        if let Some(name) = group[0].get(depth) {
            inside.push(folder(name, group, depth + 1));
        }
    }
    Folder { name: FarSlice::of(String::from(name).leak().as_bytes()), inside: FarSlice::of(inside.leak()) }
}

/// Names what does not lie in a heap.
fn name_statics() -> Far<[u8; 4]> {
    Far::of(b"text")
}

fn heap_word() -> u64 {
    raw::argument_page_word(HEAP_OFFSET as usize)
}

/// Counts the words of the heap that are not zero.
fn leftovers() -> usize {
    let (start, pages) = (heap_word() as usize & 0xffff_ffff, heap_word() as usize >> 32);
    (start..start + pages * 4096).step_by(8).filter(|address| raw::read_word(*address) != 0).count()
}

fn read_at(address: usize) -> u8 {
    raw::read(address)
}

fn allocate(bytes: usize) -> usize {
    alloc::vec![1_u8; bytes].len()
}

fn sandbox() -> Result<Sbm, Error> {
    builder().build()
}

fn builder() -> Builder {
    Sbm::builder().heap(64 * KIB).walked().report(false)
}

/// Adds the values of a list up, and counts them.
fn add_up(sbm: &Sbm, first: Tainted<Option<Far<Node>>>, steps: u32) -> Result<(u64, u32), Error> {
    let mut walk = sbm.walk(steps)?;
    let (mut sum, mut count, mut at) = (0, 0, first.far());
    while let Some(pointer) = at {
        let node = walk.get(pointer)?.check(|node| node.value < 1000)?;
        sum += node.value;
        count += 1;
        at = node.next;
    }
    Ok((sum, count))
}

/// Writes a tree as text: names in brackets of what is in them.
fn write_tree(sbm: &Sbm, root: Far<Folder>) -> Result<String, Error> {
    let mut walk = sbm.walk(100)?;
    let mut text = String::new();
    let mut open = alloc::vec![(root, 0_usize)];
    let (mut name, mut inside) = ([0; 32], [Folder { name: FarSlice::of(&[]), inside: FarSlice::of(&[]) }; 8]);
    while let Some((at, depth)) = open.pop() {
        let folder = walk.get(at)?.assume_checked();
        text.push_str(&" ".repeat(depth));
        text.push_str(walk.text(folder.name, &mut name)?.check(|name| name.is_ascii())?);
        text.push('\n');
        let count = walk.slice(folder.inside, &mut inside)?.assume_checked().len();
        open.extend((0..count).rev().filter_map(|index| Some((folder.inside.get(index)?, depth + 1))));
    }
    Ok(text)
}

fn a_list_is_walked_where_it_lies() -> Verdict {
    for isolation in [Isolation::None, Isolation::Strong] {
        let mut sbm = builder().isolation(isolation).build()?;
        for length in [0, 1, 2, 500] {
            let first = sbm.call(build_list, (length,))?;
            same!(add_up(&sbm, first, 500)?, ((0..length).sum(), length as u32), "{isolation:?}");
        }
    }
    Ok(())
}

fn a_tree_with_text_is_walked_where_it_lies() -> Verdict {
    let paths = b"etc/passwd\nusr/bin/ls\nusr/bin/sh\nusr/lib\nvar";
    let tree = "\n etc\n  passwd\n usr\n  bin\n   ls\n   sh\n  lib\n var\n";
    for isolation in [Isolation::None, Isolation::Strong] {
        let mut sbm = builder().isolation(isolation).build()?;
        let root = sbm.call(build_tree, (copy_in(&paths[..]),))?.far();
        same!(write_tree(&sbm, root)?.as_str(), tree, "{isolation:?}");
    }
    Ok(())
}

fn pointers_to_nothing_are_none() -> Verdict {
    let mut sbm = sandbox()?;
    let first = sbm.call(build_list, (0_u64,))?;
    check!(first.far().is_none());
    let root = sbm.call(build_tree, (copy_in(&b""[..]),))?.far();
    let root = sbm.walk(1)?.get(root)?.assume_checked();
    same!((root.name.len(), root.inside.len()), (0, 0));
    check!(root.inside.get(0).is_none());
    Ok(())
}

fn what_was_built_is_there_until_a_reset() -> Verdict {
    let mut sbm = sandbox()?;
    let first = sbm.call(build_list, (100_u64,))?;
    works(&mut sbm)?;
    sbm.call(build_list, (100_u64,))?;
    same!(add_up(&sbm, first, 100)?, (4950, 100), "after other calls");
    sbm.reset()?;
    same!(add_up(&sbm, first, 100)?, (0, 1), "zeros are a list of one 0");
    same!(sbm.call(leftovers, ())?.assume_checked(), 0);
    let first = sbm.call(build_list, (7_u64,))?;
    same!(add_up(&sbm, first, 7)?, (21, 7), "the next list");
    Ok(())
}

fn a_walked_heap_of_a_warm_sandbox_is_pristine() -> Verdict {
    for round in 0..4 {
        let mut sbm = sandbox()?;
        same!(sbm.call(leftovers, ())?.assume_checked(), 0, "round {round}");
        sbm.call(build_list, (100_u64,))?;
    }
    Ok(())
}

fn a_walked_heap_has_guards_that_are_named() -> Verdict {
    let mut sbm = sandbox()?;
    let word = sbm.call(heap_word, ())?.assume_checked() as usize;
    let (start, end) = (word & 0xffff_ffff, (word & 0xffff_ffff) + 64 * KIB);
    same!(word >> 32, 16);
    same!(sbm.call(read_at, (end - 1,))?.assume_checked(), 0);
    for address in [start - 1, end] {
        let result = sbm.call(read_at, (address,));
        check!(matches!(result, Err(Error::Fault { region: Region::HeapGuard, .. })), "{address:#x}: {result:?}");
        sbm.reset()?;
    }
    Ok(())
}

fn a_walk_ends_after_its_steps() -> Verdict {
    let mut sbm = sandbox()?;
    let first = sbm.call(build_list, (100_u64,))?;
    same!(add_up(&sbm, first, 100)?, (4950, 100));
    same!(add_up(&sbm, first, 99), Err(Error::Walk(WalkError::Steps { limit: 99 })));
    same!(add_up(&sbm, first, 0), Err(Error::Walk(WalkError::Steps { limit: 0 })));
    works(&mut sbm)
}

fn pointers_of_an_earlier_life_are_checked_like_others() -> Verdict {
    let mut one = sandbox()?;
    let first = one.call(build_list, (10_u64,))?;
    let Some(address) = first.far().map(Far::address) else { return Err(harness::Why::new(format_args!("no list"))) };
    let two = sandbox()?;
    let outside = Error::Walk(WalkError::Outside { address, bytes: 16 });
    same!(add_up(&two, first, 10), Err(outside.clone()), "another sandbox's");
    drop(one);
    drop(two);
    let mut small = Sbm::builder().heap(16 * KIB).walked().report(false).build()?;
    let constant = small.call(name_statics, ())?.far();
    let outside = WalkError::Outside { address: constant.address(), bytes: 4 };
    check!(matches!(small.walk(1)?.get(constant), Err(error) if error == outside), "the program's constants");
    Ok(())
}

fn a_walk_needs_a_heap_that_is_walked() -> Verdict {
    for builder in [Sbm::builder().walked(), Sbm::builder().guarded()] {
        let error = builder.report(false).build().err();
        same!((error.as_ref().map(Error::errno), error), (Some(Errno::Invalid), Some(Error::NoHeap)));
    }
    for builder in [Sbm::builder(), Sbm::builder().heap(64 * KIB)] {
        let sbm = builder.report(false).build()?;
        let error = sbm.walk(1).map(drop);
        same!(error, Err(Error::Walk(WalkError::NoHeap)));
        same!(error.map_err(|error| error.errno()), Err(Errno::Invalid));
    }
    Ok(())
}

fn nothing_is_walked_after_an_aborted_call() -> Verdict {
    let mut sbm = sandbox()?;
    let first = sbm.call(build_list, (10_u64,))?;
    let result = sbm.call(read_at, (0_usize,));
    check!(matches!(result, Err(Error::Fault { .. })));
    same!(add_up(&sbm, first, 10).map_err(|error| error.errno()), Err(Errno::Fault));
    sbm.reset()?;
    works(&mut sbm)
}

fn a_snapshot_of_a_walked_heap_is_what_a_reset_returns_to() -> Verdict {
    let before = sbm::usage()?;
    let mut sbm = sandbox()?;
    let first = sbm.call(build_list, (100_u64,))?;
    sbm.snapshot()?;
    same!(sbm.snapshot(), Err(Error::Kept), "a second one");
    for round in 0..3 {
        let second = sbm.call(build_list, (50_u64,))?;
        same!(add_up(&sbm, second, 50)?, (1225, 50), "round {round}");
        sbm.reset()?;
        same!(add_up(&sbm, first, 100)?, (4950, 100), "round {round}");
        same!(add_up(&sbm, second, 50)?, (0, 1), "round {round}: gone");
    }
    drop(sbm);
    let after = sbm::usage()?;
    check!(after.sandboxes == before.sandboxes, "{} sandboxes, before {}", after.sandboxes, before.sandboxes);
    let mut next = sandbox()?;
    same!(next.call(leftovers, ())?.assume_checked(), 0, "in the next life");
    Ok(())
}

fn a_walked_heap_has_no_room_beyond_its_end() -> Verdict {
    // Its size is whole pages, not a power of two.
    let mut sbm = Sbm::builder().heap(100_000).walked().report(false).build()?;
    same!(sbm.call(heap_word, ())?.assume_checked() >> 32, 25);
    same!(sbm.call(allocate, (90_000_usize,))?.assume_checked(), 90_000);
    let error = Error::NoRoom { bytes: 200_000, heap: 25 * 4096 };
    same!(sbm.call(allocate, (200_000_usize,)).map(Tainted::assume_checked), Err(error));
    sbm.reset()?;
    same!(sbm.call(allocate, (90_000_usize,))?.assume_checked(), 90_000);
    Ok(())
}

fn walked_heaps_out_of_limits_are_refused() -> Verdict {
    let result = Sbm::builder().heap(usize::MAX).walked().report(false).build();
    check!(matches!(result, Err(Error::Heap { bytes: usize::MAX, .. })), "not refused");
    // The heap is one of the buffers that a sandbox is set up with.
    let mut builder = Sbm::builder().heap(16 * KIB).walked().report(false);
    let buffers = core::array::from_fn::<_, 7, _>(|_| builder.output(64));
    let mut sbm = builder.build()?;
    same!(sbm.call(fill, (shared_out(buffers[6]),))?.assume_checked(), 4096);
    let first = sbm.call(build_list, (10_u64,))?;
    same!(add_up(&sbm, first, 10)?, (45, 10));
    let mut builder = Sbm::builder().heap(16 * KIB).walked().report(false);
    let _: [_; 8] = core::array::from_fn(|_| builder.output(64));
    check!(matches!(builder.build(), Err(Error::Argument { why: sbm::Unfit::Buffers { limit: 8 }, .. })));
    Ok(())
}

fn fill(output: &mut [u8]) -> usize {
    output.fill(1);
    output.len()
}

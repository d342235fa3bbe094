// SPDX-License-Identifier: MIT OR Apache-2.0
//! What plans say, and that no file makes planning panic
#![allow(clippy::unwrap_used)]

mod common;

use common::{CODE, DATA, Elf, Header, R, W, limits};
use proptest::prelude::*;
use sbm_loader::{ElfError, Limits, LoadPlan, Part, PartKind};
use sbm_objects::SizeBits;

const PAGE: SizeBits = SizeBits::of::<12>();

/// A part's content as its frames hold it.
fn content(part: &Part<'_>, frame: SizeBits) -> Vec<u8> {
    let mut out = Vec::new();
    for address in part.range().step_by(frame.size() as usize) {
        let mut page = vec![0; frame.size() as usize];
        for (offset, bytes) in part.in_frame(address, frame) {
            page[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        out.extend(page);
    }
    out
}

#[test]
fn parts_are_whole_frames_around_their_segments() {
    let file = Elf::valid().bytes();
    let plan = LoadPlan::new(&file, &limits()).unwrap();
    assert_eq!(plan.entry(), CODE + 0x180);
    assert_eq!(plan.code().range(), CODE..CODE + 0x20_0000);
    assert_eq!(plan.data().range(), DATA..DATA + 0x4000);
}

#[test]
fn a_program_without_data_has_an_empty_data_part() {
    let file = Elf::with(|elf| elf.headers.truncate(1)).bytes();
    let plan = LoadPlan::new(&file, &limits()).unwrap();
    assert!(plan.data().range().is_empty() && plan.data().pieces().is_empty());
}

#[test]
fn frames_hold_the_bytes_of_the_file_and_zeroes() {
    let file = Elf::with(|elf| {
        elf.length = 0x3000;
        elf.headers[1] = Header { offset: 0x300, ..Header::load(R | W, DATA + 0x300, 0x2100, 0x5000) };
        elf.headers.push(Header::load(R | W, DATA + 0x6000, 0x10, 0x20));
    })
    .bytes();
    let plan = LoadPlan::new(&file, &limits()).unwrap();
    let mut expected = vec![0; 0x7000];
    expected[0x300..0x2400].copy_from_slice(&file[0x300..0x2400]);
    expected[0x6000..0x6010].copy_from_slice(&file[..0x10]);
    assert_eq!(content(plan.data(), PAGE), expected);
    assert_eq!(content(plan.code(), SizeBits::of::<21>())[..0x201], [&file[..0x200], &[0]].concat());
}

#[test]
fn frames_outside_a_part_get_nothing() {
    let file = Elf::valid().bytes();
    let plan = LoadPlan::new(&file, &limits()).unwrap();
    let elsewhere = [0, CODE, DATA - 0x1000, DATA + 0x1000, u64::MAX];
    assert!(elsewhere.into_iter().all(|address| plan.data().in_frame(address, PAGE).next().is_none()));
}

#[test]
fn a_frame_that_reaches_out_of_the_window_on_either_side_is_refused() {
    let file = Elf::valid().bytes();
    let with = |window| LoadPlan::new(&file, &Limits { window, ..limits() }).map(drop);
    let (start, end) = (CODE, DATA + 0x4000);
    assert_eq!(with(start..end), Ok(()));
    // Data ends at DATA + 0x3200, in the frame that these windows cut.
    assert_eq!(with(start..end - 1), Err(ElfError::OutsideWindow { segment: 1 }));
    let data_first = Elf::with(|elf| {
        elf.headers[1].address = CODE + 0x200;
        elf.headers[0].address = DATA;
        elf.entry = DATA;
    })
    .bytes();
    let with = |window| LoadPlan::new(&data_first, &Limits { window, ..limits() }).map(drop);
    assert_eq!(with(CODE..0x1000_0000), Ok(()));
    assert_eq!(with(CODE + 1..0x1000_0000), Err(ElfError::OutsideWindow { segment: 1 }));
}

#[test]
fn errors_say_what_and_where() {
    let too_large = |part| ElfError::TooLarge { part, bytes: 8, limit: 4 }.to_string();
    assert_eq!(too_large(PartKind::Code), "code takes 8 bytes, more than 4");
    assert_eq!(too_large(PartKind::Data), "data takes 8 bytes, more than 4");
    assert_eq!(ElfError::Overlap { first: 1, second: 2 }.to_string(), "segments 1 and 2 overlap");
    let entry = ElfError::EntryNotCode { entry: 0x40_0000 };
    assert_eq!(entry.to_string(), "entry point 0x400000 is in no executable segment");
}

/// Checks what a plan promises.
fn check(plan: &LoadPlan<'_>) {
    let limits = limits();
    let (code, data) = (plan.code().range(), plan.data().range());
    assert!(code.contains(&plan.entry()));
    assert!(code.end <= data.start || data.end <= code.start || data.is_empty());
    for (part, frame, limit) in
        [(plan.code(), limits.code_frame, limits.code_bytes), (plan.data(), limits.data_frame, limits.data_bytes)]
    {
        let range = part.range();
        assert!(frame.aligns(range.start) && frame.aligns(range.end) && range.end - range.start <= limit);
        assert!(range.is_empty() || limits.window.start <= range.start && range.end <= limits.window.end);
        assert!(part.pieces().iter().all(|piece| range.start <= piece.address && piece.end() <= range.end));
        let placed: usize =
            range.step_by(frame.size() as usize).flat_map(|f| part.in_frame(f, frame)).map(|p| p.1.len()).sum();
        assert_eq!(placed, part.pieces().iter().map(|piece| piece.bytes.len()).sum::<usize>());
    }
}

/// Values that sit on the edges of checks.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..0x400,
        (0u64..0x800).prop_map(|page| page << 12),
        (0u64..0x90).prop_map(|frame| frame << 21),
        (0u32..64, -2i64..3).prop_map(|(bit, near)| (1u64 << bit).wrapping_add_signed(near)),
        (0u64..3).prop_map(|near| u64::MAX - near),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let kind = prop_oneof![6 => Just(1u32), 1 => 0u32..8, 1 => any::<u32>()];
    (kind, 0u32..8, word(), word(), word(), word(), word()).prop_map(
        |(kind, flags, offset, address, file_size, memory_size, align)| Header {
            kind,
            flags,
            offset,
            address,
            file_size,
            memory_size,
            align,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(plan) = LoadPlan::new(&bytes, &limits()) { check(&plan) }
    }

    #[test]
    fn files_with_changed_bytes_never_panic(changes in prop::collection::vec((0usize..0x280, any::<u8>()), 1..8)) {
        let mut bytes = Elf::valid().bytes();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        if let Ok(plan) = LoadPlan::new(&bytes, &limits()) { check(&plan) }
    }

    #[test]
    fn random_headers_never_panic_and_accepted_ones_keep_the_promises(
        headers in prop::collection::vec(header(), 0..6), entry in word(), length in 0usize..0x1000,
    ) {
        let bytes = Elf::with(|elf| {
            elf.headers.truncate(1);
            elf.headers.extend(headers);
            elf.length = length.max(elf.length);
            if entry % 2 == 0 { elf.entry = entry }
        }).bytes();
        if let Ok(plan) = LoadPlan::new(&bytes, &limits()) { check(&plan) }
    }
}

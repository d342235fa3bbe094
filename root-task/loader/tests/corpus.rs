// SPDX-License-Identifier: MIT OR Apache-2.0
//! A corpus of ELF files: each is named `<expected outcome>--<what it is>.elf`
//!
//! Files made here are compared with what lies in `tests/corpus`; `UPDATE_CORPUS=1 cargo test -p sbm-loader` writes
//! them. Any other file put there by hand is tried as well.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::{CODE, DATA, Elf, Header, LOAD, R, W, X, limits, outcome};
use sbm_loader::LoadPlan;

fn with(change: impl FnOnce(&mut Elf)) -> Elf {
    Elf::with(change)
}

/// Code, a writable segment in the next frame, and constants after it; of the middle one, part is read-only after
/// relocation.
fn relro(address: u64, size: u64) -> Elf {
    with(|e| {
        e.headers[1] = Header::load(R | W, DATA, 0x10, 0x1000);
        e.headers[2] = Header { kind: 0x6474_e552, ..Header::load(R, address, 0, size) };
        e.headers.push(Header::load(R, DATA + 0x20_0000, 0, 0x1000));
    })
}

/// Every case that is made by the builder.
fn cases() -> Vec<(&'static str, Elf)> {
    let segment = |flags, address, memory| {
        with(|e| e.headers.push(Header { align: 1, ..Header::load(flags, address, 0, memory) }))
    };
    vec![
        ("ok--code-and-data", Elf::valid()),
        ("ok--code-only", with(|e| e.headers.truncate(1))),
        ("ok--unaligned-segment", with(|e| e.headers[1].align = 0)),
        ("ok--empty-segment-anywhere", segment(0, 0x10, 0)),
        ("ok--entry-at-last-byte", with(|e| e.entry = CODE + 0x1ff)),
        ("ok--data-in-last-page", segment(R | W, DATA + 0xf000, 0x1000)),
        ("ok--two-segments-in-one-page", segment(R | W, DATA, 0x200)),
        ("ok--unknown-segment-type", with(|e| e.headers[2].kind = 0x6fff_ffff)),
        (
            "ok--data-before-code",
            with(|e| {
                (e.headers[0].address, e.entry) = (CODE + 0x40_0000, CODE + 0x40_0000);
            }),
        ),
        ("ok--read-only-after-relocation-among-code", relro(DATA, 0x1000)),
        ("shared-frame--partly-read-only-after-relocation", relro(DATA, 0xfff)),
        ("shared-frame--partly-read-only-after-relocation-at-start", relro(DATA + 1, 0xfff)),
        ("writable-code--read-only-after-relocation", {
            let mut elf = relro(DATA, 0x1000);
            elf.headers[1].flags |= X;
            elf
        }),
        ("malformed--empty", with(|e| e.length = 0)),
        ("not-elf--magic", with(|e| e.magic = *b"\x7fELG")),
        ("not-elf--ident-version", with(|e| e.ident_version = 2)),
        ("not-elf--version", with(|e| e.version = 0)),
        ("not-64-bit--class-32", with(|e| (e.class, e.header_offset) = (1, 0))),
        ("not-64-bit--class-unknown", with(|e| e.class = 3)),
        ("not-little-endian--big", with(|e| e.endian = 2)),
        ("not-little-endian--unknown", with(|e| e.endian = 0)),
        ("malformed--header-cut-short", with(|e| e.length = 63)),
        ("malformed--program-headers-cut-short", with(|e| e.length = 64 + 2 * 56)),
        ("malformed--no-program-headers", with(|e| e.header_offset = 0)),
        ("malformed--program-headers-past-end", with(|e| e.header_offset = 0x1000)),
        ("malformed--program-header-offset-wraps", with(|e| e.header_offset = u64::MAX - 8)),
        ("malformed--program-header-size", with(|e| e.header_size = 32)),
        ("malformed--program-header-size-zero", with(|e| e.header_size = 0)),
        ("entry-not-code--header-count-in-section-table", with(|e| e.header_count = Some(0xffff))),
        ("not-executable--shared-object", with(|e| e.kind = 3)),
        ("not-executable--relocatable", with(|e| e.kind = 1)),
        ("wrong-machine--i386", with(|e| e.machine = 3)),
        ("wrong-machine--aarch64", with(|e| e.machine = 183)),
        (
            "too-many-segments--headers",
            with(|e| {
                e.headers.resize(33, Header { kind: 4, ..Header::load(R, 0, 0, 0) });
                e.length = 0x800;
            }),
        ),
        (
            "too-many-segments--loaded",
            with(|e| {
                e.headers.extend((0..7).map(|n| Header::load(R | W, DATA + 0x4000 + n * 0x1000, 0, 0x1000)));
            }),
        ),
        ("not-static--interpreter", with(|e| e.headers[2].kind = 3)),
        ("not-static--dynamic-section", with(|e| e.headers[2].kind = 2)),
        ("thread-locals--template", with(|e| e.headers[2].kind = 7)),
        ("cut-short--by-one-byte", with(|e| e.length = 0x27f)),
        ("cut-short--offset-past-end", with(|e| e.headers[1].offset = 0x1200)),
        ("cut-short--offset-wraps", with(|e| e.headers[1].offset = u64::MAX - 0xdff)),
        (
            "cut-short--file-size-huge",
            with(|e| {
                (e.headers[1].file_size, e.headers[1].memory_size) = (u64::MAX, u64::MAX);
            }),
        ),
        ("larger-in-file--by-one-byte", with(|e| e.headers[0].memory_size = 0x1ff)),
        ("larger-in-file--no-memory", with(|e| e.headers[1].memory_size = 0)),
        ("misaligned--no-power-of-two", with(|e| e.headers[0].align = 0x1001)),
        ("misaligned--address-and-offset-differ", with(|e| e.headers[1].offset = 0x1ff)),
        ("misaligned--align-largest", with(|e| e.headers[0].align = 1 << 63 | 1)),
        (
            "address-wraps--to-zero",
            with(|e| {
                (e.headers[1].address, e.headers[1].memory_size) = (0xffff_ffff_ffff_f200, 0xe00);
            }),
        ),
        ("address-wraps--memory-size-huge", with(|e| e.headers[1].memory_size = u64::MAX)),
        ("outside-window--null-page", segment(R, 0, 0x1000)),
        ("outside-window--below", segment(R, CODE - 1, 1)),
        ("outside-window--above", segment(R | W, 0x1000_0000, 1)),
        ("outside-window--across-end", segment(R | W, 0x0fff_f000, 0x1001)),
        ("outside-window--non-canonical", segment(R | W, 0x8000_0000_0000, 0x1000)),
        ("outside-window--kernel", segment(R | W, 0xffff_ffff_8000_0000, 0x1000)),
        ("not-readable--code", with(|e| e.headers[0].flags = X)),
        ("not-readable--data", with(|e| e.headers[1].flags = W)),
        ("not-readable--no-rights", segment(0, DATA + 0x8000, 0x1000)),
        ("writable-code--one-segment", with(|e| e.headers[0].flags = R | W | X)),
        ("writable-code--data-executable", with(|e| e.headers[1].flags = R | W | X)),
        ("overlap--same-segment-twice", with(|e| e.headers.push(e.headers[0].clone()))),
        ("overlap--data-over-code", segment(R | W, CODE + 0x1ff, 1)),
        ("overlap--inside", segment(R | W, DATA + 0x1000, 1)),
        ("overlap--around", segment(R | W, DATA, 0x8000)),
        (
            "shared-frame--data-after-code",
            with(|e| {
                (e.headers[1].address, e.headers[1].offset) = (CODE + 0x1000, 0);
            }),
        ),
        ("shared-frame--data-at-end-of-code-frame", segment(R | W, DATA - 1, 1)),
        ("shared-frame--data-between-code", segment(R, DATA + 0x20_0000, 0x1000)),
        ("shared-frame--constants-after-data", segment(R, DATA + 0x8000, 0x1000)),
        ("too-large--code", segment(R, CODE + 0xa0_0000, 0x1000)),
        ("too-large--data-by-one-byte", segment(R | W, DATA + 0xf000, 0x1001)),
        ("too-large--data-far-apart", segment(R | W, 0x0fff_f000, 0x1000)),
        ("entry-not-code--zero", with(|e| e.entry = 0)),
        ("entry-not-code--past-end", with(|e| e.entry = CODE + 0x200)),
        ("entry-not-code--data", with(|e| e.entry = DATA + 0x200)),
        ("entry-not-code--constants", with(|e| e.headers[0].flags = R)),
        ("entry-not-code--no-segments", with(|e| e.headers.retain(|header| header.kind != LOAD))),
    ]
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

#[test]
fn the_corpus_holds_what_the_builder_makes() {
    for (name, elf) in cases() {
        let path = directory().join(name).with_extension("elf");
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            std::fs::write(&path, elf.bytes()).unwrap();
        }
        assert!(std::fs::read(&path).is_ok_and(|bytes| bytes == elf.bytes()), "{name}: run with UPDATE_CORPUS=1");
    }
}

#[test]
fn every_file_has_the_outcome_in_its_name() {
    let (mut outcomes, mut wrong) = (BTreeSet::new(), Vec::new());
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = name.split_once("--").unwrap().0;
        let bytes = std::fs::read(&path).unwrap();
        let result = LoadPlan::new(&bytes, &limits()).map(drop);
        if outcome(&result) != expected {
            wrong.push(format!("{name}: {result:?}"));
        }
        outcomes.insert(outcome(&result));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(outcomes.len(), 21, "an outcome has no file: {outcomes:?}");
}

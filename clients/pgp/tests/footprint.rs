// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the parser needs of its surroundings, seen in the linked program: code, constants and a heap.
//!
//! Builds the crate in `footprint`, in which a program is nothing but the sandboxed function, and looks at the file: no
//! writable data (a sandbox has none, so a counter or a cached CPU detection would fault), no function from outside but the
//! memory functions, and no way to panic but those of `alloc` and of checked indices.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

use elf::ElfBytes;
use elf::abi::{SHF_ALLOC, SHF_WRITE, SHN_UNDEF};
use elf::endian::LittleEndian;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "-C relocation-model=static -C relro-level=off -C link-arg=-nostartfiles -C link-arg=-nostdlib \
    -C link-arg=-static -C link-arg=-no-pie -C link-arg=-Wl,--gc-sections,-e,sandboxed";

fn build() -> Vec<u8> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("footprint/Cargo.toml");
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("footprint");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--locked", "--target", TARGET, "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", FLAGS)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target_dir.join(TARGET).join("release/footprint")).unwrap()
}

#[test]
fn parser_is_code_and_constants_only() {
    let bytes = build();
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).unwrap();

    let (sections, names) = file.section_headers_with_strtab().unwrap();
    let (sections, names) = (sections.unwrap(), names.unwrap());
    let both = u64::from(SHF_ALLOC | SHF_WRITE);
    for section in sections.iter().filter(|section| section.sh_flags & both == both && section.sh_size > 0) {
        let name = names.get(section.sh_name as usize).unwrap();
        // Addresses of the memory functions: marked writable, but never written in a static program. A linker script
        // puts them to the constants.
        assert_eq!(name, ".got", "{} bytes of writable data in {name}", section.sh_size);
    }

    let (symbols, names) = file.symbol_table().unwrap().expect("not stripped");
    let mut found = false;
    for symbol in symbols.iter() {
        let name = names.get(symbol.st_name as usize).unwrap();
        found |= name == "sandboxed";
        for bad in ["unwrap_failed", "expect_failed", "len_mismatch", "cpufeatures"] {
            assert!(!name.contains(bad), "{name}");
        }
        assert!(name.is_empty() || symbol.st_shndx != SHN_UNDEF, "{name} comes from outside");
    }
    assert!(found);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel's ELF file says about itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::elf::{EM_X86_64, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{FileKind, LittleEndian, Object as _, ObjectSymbol as _};

/// Why a file is no kernel for a 64-bit PC.
#[derive(Debug, thiserror::Error)]
pub enum KernelImageError {
    /// The file cannot be read.
    #[error("{} cannot be read ({cause})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no ELF file, or is cut off.
    #[error("{} is no whole ELF file", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
    },
    /// The file is for another machine, or was converted to a 32-bit file.
    #[error("{} is no 64-bit x86 ELF file", path.display())]
    Machine {
        /// The file.
        path: PathBuf,
    },
}

/// A kernel's ELF file, or the one that it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// The physical address of the first byte, once it is loaded; the end, if nothing is.
    pub start: u64,
    /// The physical address after the last byte.
    pub end: u64,
    /// The size of each function and variable that has a name; none in a file that was stripped.
    pub symbols: BTreeMap<String, u64>,
}

impl KernelImage {
    /// Reads the headers and symbols of a kernel.
    ///
    /// # Errors
    /// When the file is no 64-bit ELF file for x86.
    pub fn read(path: &Path) -> Result<Self, KernelImageError> {
        let bytes = fs::read(path).map_err(|cause| KernelImageError::Unreadable { path: path.to_owned(), cause })?;
        let not_elf = || KernelImageError::NotElf { path: path.to_owned() };
        let machine = || KernelImageError::Machine { path: path.to_owned() };
        match FileKind::parse(&*bytes) {
            Ok(FileKind::Elf64) => {}
            Ok(FileKind::Elf32) => return Err(machine()),
            _ => return Err(not_elf()),
        }
        let file = ElfFile64::<LittleEndian>::parse(&*bytes).map_err(|_| not_elf())?;
        if file.elf_header().e_machine(LittleEndian) != EM_X86_64 {
            return Err(machine());
        }
        let (mut first, mut end) = (u64::MAX, 0);
        for segment in file.elf_program_headers() {
            if segment.p_type(LittleEndian) == PT_LOAD {
                let (start, size) = (segment.p_paddr(LittleEndian), segment.p_memsz(LittleEndian));
                first = first.min(start);
                end = end.max(start.checked_add(size).ok_or_else(not_elf)?);
            }
        }
        let named = file.symbols().filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.size())));
        Ok(Self { start: first.min(end), end, symbols: named.collect() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Returns an ELF file with one segment of `size` bytes at the physical address `start`.
    pub(crate) fn kernel(start: u64, size: u64) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        // 64 bits, little-endian, version 1.
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[18..20].copy_from_slice(&EM_X86_64.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&PT_LOAD.to_le_bytes());
        bytes[88..96].copy_from_slice(&start.to_le_bytes());
        bytes[104..112].copy_from_slice(&size.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<KernelImage, KernelImageError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel.elf");
        fs::write(&path, bytes).unwrap();
        KernelImage::read(&path)
    }

    #[test]
    fn it_is_known_where_a_kernel_lies() {
        assert_eq!(
            read(&kernel(0x10_0000, 0x84_0000)).unwrap(),
            KernelImage { start: 0x10_0000, end: 0x94_0000, symbols: BTreeMap::new() }
        );
    }

    #[test]
    fn a_file_for_another_machine_is_refused() {
        let mut bytes = kernel(0, 0);
        bytes[18] = 183;
        assert!(matches!(read(&bytes), Err(KernelImageError::Machine { .. })));
    }

    #[test]
    fn a_32_bit_file_is_refused() {
        let mut bytes = kernel(0, 0);
        bytes[4] = 1;
        assert!(matches!(read(&bytes), Err(KernelImageError::Machine { .. })));
    }

    #[test]
    fn a_cut_or_lying_file_is_refused() {
        assert!(matches!(read(b"MZ"), Err(KernelImageError::NotElf { .. })));
        assert!(matches!(read(&kernel(0, 0)[..100]), Err(KernelImageError::NotElf { .. })));
        assert!(matches!(read(&kernel(u64::MAX, 2)), Err(KernelImageError::NotElf { .. })));
    }
}

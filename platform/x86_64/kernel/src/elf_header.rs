// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a kernel's ELF file says about itself.
//!
//! Read by hand: three fields of the header, and two of each program header, are no reason for a library.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"\x7fELF";
const CLASS_64: u8 = 2;
const MACHINE_X86_64: u16 = 62;
const SEGMENT_LOAD: u32 = 1;

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

/// A kernel's ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// The physical address after the kernel's last byte, once it is loaded.
    pub end: u64,
}

impl KernelImage {
    /// Reads the headers of a kernel.
    ///
    /// # Errors
    /// When the file is no 64-bit ELF file for x86.
    pub fn read(path: &Path) -> Result<Self, KernelImageError> {
        let bytes = fs::read(path).map_err(|cause| KernelImageError::Unreadable { path: path.to_owned(), cause })?;
        let not_elf = || KernelImageError::NotElf { path: path.to_owned() };
        if field::<4>(&bytes, 0) != Some(MAGIC) {
            return Err(not_elf());
        }
        let machine = field(&bytes, 18).map(u16::from_le_bytes).ok_or_else(not_elf)?;
        if bytes.get(4) != Some(&CLASS_64) || machine != MACHINE_X86_64 {
            return Err(KernelImageError::Machine { path: path.to_owned() });
        }
        Self::from_segments(&bytes).ok_or_else(not_elf)
    }

    /// Finds the end of the last segment; none if a header lies outside the file.
    fn from_segments(bytes: &[u8]) -> Option<Self> {
        let table = usize::try_from(u64::from_le_bytes(field(bytes, 32)?)).ok()?;
        let size = usize::from(u16::from_le_bytes(field(bytes, 54)?));
        let count = usize::from(u16::from_le_bytes(field(bytes, 56)?));
        let mut end = 0;
        for index in 0..count {
            let header = table.checked_add(index.checked_mul(size)?)?;
            if u32::from_le_bytes(field(bytes, header)?) == SEGMENT_LOAD {
                let physical = u64::from_le_bytes(field(bytes, header.checked_add(24)?)?);
                let in_memory = u64::from_le_bytes(field(bytes, header.checked_add(40)?)?);
                end = end.max(physical.checked_add(in_memory)?);
            }
        }
        Some(Self { end })
    }
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Returns an ELF file with one segment of `size` bytes at the physical address `start`.
    pub(crate) fn kernel(start: u64, size: u64) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = CLASS_64;
        bytes[18..20].copy_from_slice(&MACHINE_X86_64.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&SEGMENT_LOAD.to_le_bytes());
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
    fn the_end_of_a_kernel_is_known() {
        assert_eq!(read(&kernel(0x10_0000, 0x84_0000)).unwrap(), KernelImage { end: 0x94_0000 });
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The registry package that carries the source of seL4 5.0.0.
//!
//! Cargo downloads the package because this crate names it under `cfg(any())`, and never compiles it. What is built
//! is unpacked from the package file itself, not from the folder that cargo unpacked: so the checksum covers exactly
//! the bytes that become a kernel.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

/// The name of the package that carries the source.
pub const SOURCE_PACKAGE: &str = "sel4-sys";

/// The version of that package.
pub const SOURCE_PACKAGE_VERSION: &str = "0.0.28";

/// The SHA-256 checksum of the package file, in hexadecimal.
pub const SOURCE_SHA256: &str = "b42578af4c4eb8468e57beaabecc86541ac3a94eca1e92a611457b71f6034822";

/// The folder inside the package that holds the kernel.
const SOURCE_FOLDER: &str = "seL4";

/// Why the source of the default kernel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Cargo.lock cannot be read.
    #[error("{} cannot be read ({cause}); run this from a complete checkout", path.display())]
    LockUnreadable {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Cargo.lock does not pin the package.
    #[error("{} has no entry for {SOURCE_PACKAGE} {SOURCE_PACKAGE_VERSION}; restore the file", path.display())]
    NotLocked {
        /// The lock file.
        path: PathBuf,
    },
    /// Cargo.lock pins another package of that name and version.
    #[error(
        "{} pins {SOURCE_PACKAGE} {SOURCE_PACKAGE_VERSION} to checksum {found}, not {SOURCE_SHA256}; restore the file",
        path.display()
    )]
    LockedChecksum {
        /// The lock file.
        path: PathBuf,
        /// The checksum found there.
        found: String,
    },
    /// The package file is not where cargo keeps it.
    #[error("{} cannot be read ({cause}); run `cargo fetch`", path.display())]
    PackageUnreadable {
        /// Where the package file is expected.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The package file is not the one that was pinned.
    #[error("{} has checksum {found}, not {SOURCE_SHA256}; delete it and run `cargo fetch`", path.display())]
    PackageChecksum {
        /// The package file.
        path: PathBuf,
        /// Its checksum.
        found: String,
    },
    /// The package cannot be unpacked.
    #[error("the kernel source cannot be unpacked to {} ({cause}); check the free space there", path.display())]
    Unpack {
        /// Where it was being unpacked to.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// The package file, known to be the pinned one when it was opened.
#[derive(Debug)]
pub struct SourcePackage {
    bytes: Vec<u8>,
}

impl SourcePackage {
    /// Opens the package whose unpacked manifest is `manifest`, and verifies it against `lock_file` and the pin here.
    ///
    /// Cargo keeps `registry/src/<index>/<name>-<version>/Cargo.toml` beside
    /// `registry/cache/<index>/<name>-<version>.crate`.
    ///
    /// # Errors
    /// When the lock file does not pin the package, or the package file is missing or is another one.
    pub fn open(manifest: &Path, lock_file: &Path) -> Result<Self, SourceError> {
        let lock = fs::read_to_string(lock_file)
            .map_err(|cause| SourceError::LockUnreadable { path: lock_file.to_owned(), cause })?;
        match locked_checksum(&lock) {
            None => return Err(SourceError::NotLocked { path: lock_file.to_owned() }),
            Some(found) if found != SOURCE_SHA256 => {
                return Err(SourceError::LockedChecksum { path: lock_file.to_owned(), found: found.to_owned() });
            }
            Some(_) => {}
        }
        Self::read(&package_file(manifest))
    }

    fn read(path: &Path) -> Result<Self, SourceError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|cause| SourceError::PackageUnreadable { path: path.to_owned(), cause })?;
        let found = sha256(&[&bytes]);
        if found == SOURCE_SHA256 {
            Ok(Self { bytes })
        } else {
            Err(SourceError::PackageChecksum { path: path.to_owned(), found })
        }
    }

    /// Unpacks the kernel's folder to `destination`, which is created; the manual is left out.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn unpack(&self, destination: &Path) -> Result<(), SourceError> {
        let unpack = || -> io::Result<()> {
            let mut archive = tar::Archive::new(GzDecoder::new(self.bytes.as_slice()));
            for entry in archive.entries()? {
                let mut entry = entry?;
                if let Some(inside) = kernel_path(&entry.path()?) {
                    let target = destination.join(inside);
                    if let Some(folder) = target.parent() {
                        fs::create_dir_all(folder)?;
                    }
                    entry.unpack(target)?;
                }
            }
            Ok(())
        };
        unpack().map_err(|cause| SourceError::Unpack { path: destination.to_owned(), cause })
    }
}

/// Returns the SHA-256 checksum of some parts, one after the other, in hexadecimal.
pub(crate) fn sha256(parts: &[&[u8]]) -> String {
    let mut hash = hmac_sha256::Hash::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns where a file of the package lies in the kernel's source, if it belongs to it.
fn kernel_path(path: &Path) -> Option<PathBuf> {
    let mut parts = path.components();
    let _package_folder = parts.next()?;
    if parts.next()? != Component::Normal(SOURCE_FOLDER.as_ref()) {
        return None;
    }
    let inside: PathBuf = parts.as_path().to_owned();
    let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    let wanted = plain && !inside.as_os_str().is_empty() && !inside.starts_with("manual");
    wanted.then_some(inside)
}

/// Returns where cargo keeps the package file that it unpacked to the folder of `manifest`.
fn package_file(manifest: &Path) -> PathBuf {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let index = folder.parent().unwrap_or(Path::new(""));
    let registry = index.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let name = format!("{SOURCE_PACKAGE}-{SOURCE_PACKAGE_VERSION}.crate");
    registry.join("cache").join(index.file_name().unwrap_or_default()).join(name)
}

/// Returns the checksum that a lock file gives the package.
fn locked_checksum(lock: &str) -> Option<&str> {
    let field = |block: &'_ str, name: &str| -> Option<(usize, usize)> {
        let start = block.find(&format!("\n{name} = \""))? + name.len() + 5;
        let end = block[start..].find('"')? + start;
        Some((start, end))
    };
    lock.split("[[package]]").find_map(|block| {
        let value = |name| field(block, name).map(|(start, end)| &block[start..end]);
        let ours = value("name") == Some(SOURCE_PACKAGE) && value("version") == Some(SOURCE_PACKAGE_VERSION);
        if ours { value("checksum") } else { None }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"sel4-sys\"\nversion = \"0.0.28\"\nsource = \"registry\"\n\
                        checksum = \"abc\"\n\n[[package]]\nname = \"sel4-sys\"\nversion = \"0.1.0\"\n";

    #[test]
    fn the_checksum_is_the_standard_one() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&[b"a", b"bc"]), expected);
    }

    #[test]
    fn the_pinned_package_is_found_in_the_lock_file() {
        assert_eq!(locked_checksum(LOCK), Some("abc"));
    }

    #[test]
    fn another_version_in_the_lock_file_is_not_taken_for_it() {
        assert_eq!(locked_checksum(&LOCK.replace("0.0.28", "0.0.27")), None);
    }

    #[test]
    fn a_lock_file_with_another_checksum_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("Cargo.lock");
        fs::write(&lock, LOCK).unwrap();
        let error = SourcePackage::open(Path::new("/r/src/index/sel4-sys-0.0.28/Cargo.toml"), &lock).unwrap_err();
        assert!(matches!(error, SourceError::LockedChecksum { found, .. } if found == "abc"));
    }

    #[test]
    fn a_package_file_with_other_bytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sel4-sys-0.0.28.crate");
        fs::write(&file, "something else").unwrap();
        assert!(matches!(SourcePackage::read(&file), Err(SourceError::PackageChecksum { .. })));
    }

    #[test]
    fn the_package_file_lies_in_the_cache_of_the_same_index() {
        let file = package_file(Path::new("/home/u/.cargo/registry/src/index-1/sel4-sys-0.0.28/Cargo.toml"));
        assert_eq!(file, Path::new("/home/u/.cargo/registry/cache/index-1/sel4-sys-0.0.28.crate"));
    }

    #[test]
    fn only_the_kernel_is_unpacked() {
        let inside = |path| kernel_path(Path::new(path));
        assert_eq!(inside("sel4-sys-0.0.28/seL4/src/util.c"), Some(PathBuf::from("src/util.c")));
        assert_eq!(inside("sel4-sys-0.0.28/lib.rs"), None);
        assert_eq!(inside("sel4-sys-0.0.28/seL4/manual/manual.tex"), None);
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_not_unpacked() {
        assert_eq!(kernel_path(Path::new("sel4-sys-0.0.28/seL4/../../x")), None);
    }
}

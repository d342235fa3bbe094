// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comparison with e2fsprogs' debugfs, on images of several kinds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod images;

use std::path::{Path, PathBuf};
use std::{fs, panic, thread};

use images::{DAMAGES, KINDS, Listed, list, text};
use sbm_ext4::{Blocks, Disk, Entry, Error, Image, Kind, OutOfReach, Windows};
use sha2::{Digest as _, Sha256};

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ext4").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// An image in memory, which the parser wants to keep.
#[derive(Clone)]
struct Bytes(std::sync::Arc<Vec<u8>>);

impl Disk for Bytes {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), OutOfReach> {
        (&self.0[..]).read(at, into)
    }

    fn len(&mut self) -> u64 {
        self.0.len() as u64
    }
}

impl Bytes {
    fn of(path: &Path) -> Self {
        Self(fs::read(path).unwrap().into())
    }
}

/// Brings an entry into debugfs' terms.
fn listed(entry: &Entry) -> Listed {
    let kind = match entry.kind {
        Kind::File => 0o10,
        Kind::Directory => 0o4,
        Kind::Symlink => 0o12,
        Kind::Special(letter) => panic!("{letter} is not in the tree"),
    };
    Listed {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        mode: kind << 12 | u32::from(entry.mode),
        user: entry.user,
        group: entry.group,
        size: (entry.kind != Kind::Directory).then_some(entry.size),
    }
}

/// Compares all below a directory, whose files debugfs has written to `dump`.
fn compare(image: &Image, file: &Path, dump: &Path, directory: &[u8], counted: &mut [usize; 3]) {
    let entries = image.list(directory).unwrap();
    let ours: Vec<_> = entries.iter().map(listed).collect();
    let mut sorted = ours.clone();
    sorted.sort();
    // debugfs has no way to be told of a name that is not UTF-8.
    let name = std::str::from_utf8(directory).unwrap();
    assert_eq!(sorted, list(file, name).unwrap(), "{name} of {}", file.display());
    for entry in &entries {
        let path = [directory, if directory == b"/" { &b""[..] } else { b"/" }, &entry.name].concat();
        let dumped = dump.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&path[1..]));
        match entry.kind {
            Kind::Directory => {
                counted[0] += 1;
                compare(image, file, dump, &path, counted);
            }
            Kind::Symlink => {
                counted[1] += 1;
                let target = fs::read_link(&dumped).unwrap();
                assert_eq!(Some(std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str())), entry.target.as_deref());
            }
            Kind::File => {
                counted[2] += 1;
                if path == b"/sparse" && file.ends_with("ext2.img") {
                    // The parser takes a hole as large as a whole block of the list for damage, where files have no extents.
                    assert!(matches!(image.sha256(&path), Err(Error::Corrupt(_))));
                    continue;
                }
                let expected = fs::read(&dumped).unwrap();
                assert_eq!(image.sha256(&path).unwrap(), *Sha256::digest(&expected), "{}", dumped.display());
                for at in [0, 5000, expected.len().saturating_sub(3)] {
                    let mut piece = vec![0; 10_000];
                    let len = image.read(&path, at as u64, &mut piece).unwrap();
                    assert_eq!(piece[..len], expected[at.min(expected.len())..][..len], "{} at {at}", dumped.display());
                    assert_eq!(len, expected.len().saturating_sub(at).min(10_000), "{} at {at}", dumped.display());
                }
            }
            Kind::Special(_) => panic!("there is no such file in the tree"),
        }
    }
}

#[test]
fn images_read_as_debugfs_reads_them() {
    thread::scope(|scope| {
        for kind in &KINDS {
            scope.spawn(|| {
                let folder = folder(kind.name);
                let file = images::make(&folder, kind).unwrap();
                let dump = folder.join("dump");
                if dump.exists() {
                    fs::remove_dir_all(&dump).unwrap();
                }
                fs::create_dir_all(&dump).unwrap();
                images::debugfs(&file, &[format!("rdump / \"{}\"", text(&dump))], false).unwrap();
                let image = Image::open(Bytes::of(&file)).unwrap();
                let mut counted = [0; 3];
                compare(&image, &file, &dump, b"/", &mut counted);
                assert!(counted[0] >= 9 && counted[1] == 5 && counted[2] > 1500, "{counted:?}");
                let tree = image.tree().unwrap();
                assert_eq!(tree.len(), counted.iter().sum::<usize>());
                for disk in [Image::open(Windows::new(Bytes::of(&file))), Image::open(Blocks(Bytes::of(&file)))] {
                    let disk = disk.unwrap();
                    assert_eq!(disk.tree().unwrap(), tree);
                    assert_eq!(disk.sha256(b"/large").unwrap(), image.sha256(b"/large").unwrap());
                }
                fs::remove_dir_all(&dump).unwrap();
            });
        }
    });
}

#[test]
fn links_are_followed_and_paths_that_are_none_refused() {
    let file = images::make(&folder("links"), &KINDS[3]).unwrap();
    let image = Image::open(Bytes::of(&file)).unwrap();
    let hello = image.sha256(b"/hello").unwrap();
    assert_eq!(image.sha256(b"/links/near"), Ok(hello));
    assert_eq!(image.sha256(b"/links/far"), image.sha256(b"/deep/er/and/deeper/file"));
    assert_eq!(image.list(b"/links/folder/and").map(|list| list.len()), Ok(1));
    assert_eq!(image.list(b"/hello").map(|list| list[0].name.clone()), Ok(b"hello".to_vec()));
    for (path, error) in [
        (&b"/links/broken"[..], Error::NotFound),
        (b"/links/self", Error::TooManySymlinks),
        (b"/nowhere", Error::NotFound),
        (b"/hello/there", Error::NotADirectory),
        (b"/deep", Error::IsADirectory),
        (b"hello", Error::Path),
        (b"", Error::Path),
        (b"/a\0b", Error::Path),
    ] {
        assert_eq!(image.sha256(path), Err(error), "{path:?}");
    }
}

#[test]
fn files_in_their_inodes_are_incompatible() {
    let file = folder("inline").join("inline.img");
    let _ = fs::remove_file(&file);
    images::run("mke2fs", &["-q", "-F", "-t", "ext4", "-O", "inline_data", text(&file), "2M"], &[0]).unwrap();
    assert!(matches!(Image::open(Bytes::of(&file)), Err(Error::Incompatible(_))));
}

#[test]
fn damage_is_an_error() {
    let bare = images::make(&folder("damages"), &KINDS[3]).unwrap();
    for damage in DAMAGES.iter().filter(|damage| !damage.endless) {
        let file = images::damage(&bare, damage).unwrap();
        let outcome = panic::catch_unwind(|| {
            let image = Image::open(Bytes::of(&file))?;
            match damage.shows {
                Some(path) => image.sha256(path.as_bytes()).map(|_| ()),
                None => image.tree().map(|_| ()),
            }
        });
        // A panic ends a sandbox as well, but here it would be news.
        let error = outcome.unwrap_or_else(|_| panic!("{}: the parser panics", damage.name));
        assert!(error.is_err(), "{} is not noticed", damage.name);
        println!("{}: {}", damage.name, error.unwrap_err());
    }
}

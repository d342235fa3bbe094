// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images for the tests: made by e2fsprogs from a tree of files, and damaged by hand.
//!
//! `cargo xtask test` uses the same ones for the suite `ext4`.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian has the programs: a folder that is in PATH for root only.
const PROGRAMS: &str = "/usr/sbin";

/// A kind of image.
pub struct Kind {
    pub name: &'static str,
    arguments: &'static [&'static str],
    /// Whether large directories get an index.
    indexed: bool,
    size: &'static str,
}

/// One of each kind that the parser has code for.
pub const KINDS: [Kind; 4] = [
    Kind { name: "ext4", arguments: &["-t", "ext4"], indexed: true, size: "24M" },
    Kind {
        name: "ext4-1k",
        arguments: &["-t", "ext4", "-b", "1024", "-O", "^64bit,^flex_bg"],
        indexed: true,
        size: "24M",
    },
    Kind { name: "ext2", arguments: &["-t", "ext2", "-b", "1024"], indexed: false, size: "24M" },
    Kind { name: "bare", arguments: &["-t", "ext4", "-O", "^has_journal,^metadata_csum"], indexed: false, size: "24M" },
];

/// Runs a program of e2fsprogs and returns what it printed.
///
/// # Errors
/// What went wrong.
pub fn run(program: &str, arguments: &[&str], good: &[i32]) -> Result<Vec<u8>, String> {
    let path = Path::new(PROGRAMS).join(program);
    // The zone and the language of its output.
    let output =
        Command::new(path).args(arguments).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program} (package e2fsprogs): {error}"))?;
    if output.status.code().is_some_and(|code| good.contains(&code)) {
        Ok(output.stdout)
    } else {
        Err(format!("{program} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
    }
}

/// Returns a name of a file in lines for other programs.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Makes bytes that differ from place to place.
fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Makes the tree that images are made from.
fn make_tree(root: &Path) -> io::Result<()> {
    for folder in ["empty", "deep/er/and/deeper", "many", "links", "\u{fc}n\u{ef}c\u{f6}de \u{65e5}\u{672c}"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("hello"), "Hello, disk!\n")?;
    fs::write(root.join("nothing"), "")?;
    fs::write(root.join("large"), pattern(3_000_001, 1))?;
    fs::write(root.join("deep/er/and/deeper/file"), pattern(5000, 2))?;
    fs::write(root.join("\u{fc}n\u{ef}c\u{f6}de \u{65e5}\u{672c}/\u{1f512}"), "locked\n")?;
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"no \xff utf-8")), "bytes\n")?;
    fs::write(root.join("x".repeat(255)), "long name\n")?;
    // So many islands that their list is a tree of its own, and a hole of many blocks behind them.
    let mut islands = File::create(root.join("islands"))?;
    for number in 0..400_u32 {
        islands.seek(SeekFrom::Start(u64::from(number) * 8192))?;
        islands.write_all(&pattern(4096, number))?;
    }
    let mut sparse = File::create(root.join("sparse"))?;
    sparse.seek(SeekFrom::Start(6_000_000))?;
    sparse.write_all(b"far away")?;
    sparse.set_len(9_000_000)?;
    for number in 0..1500 {
        fs::write(root.join(format!("many/file number {number}")), format!("{number}\n"))?;
    }
    let far = "../".repeat(20) + "deep/er/and/deeper/file";
    let links = [
        ("near", "../hello"),
        ("far", far.as_str()),
        ("folder", "../deep/er"),
        ("broken", "nowhere"),
        ("self", "self"),
    ];
    for (name, target) in links {
        std::os::unix::fs::symlink(target, root.join("links").join(name))?;
    }
    Ok(())
}

/// Makes an image of a kind in a folder.
///
/// # Errors
/// What went wrong.
pub fn make(folder: &Path, kind: &Kind) -> Result<PathBuf, String> {
    let tree = folder.join(format!("{}-tree", kind.name));
    let failed = |error: io::Error| format!("{}: {error}", tree.display());
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(failed)?;
    }
    fs::create_dir_all(&tree).and_then(|()| make_tree(&tree)).map_err(failed)?;
    let image = folder.join(format!("{}.img", kind.name));
    // An old one would keep what the new one does not write.
    let _ = fs::remove_file(&image);
    let arguments =
        [&["-q", "-F", "-N", "2048", "-d", text(&tree)], kind.arguments, &[text(&image), kind.size]].concat();
    run("mke2fs", &arguments, &[0])?;
    if kind.indexed {
        // It corrects nothing but orders directories anew, and says so by its exit code.
        run("e2fsck", &["-f", "-y", "-D", text(&image)], &[0, 1])?;
    }
    fs::remove_dir_all(&tree).map_err(failed)?;
    Ok(image)
}

/// Runs commands of debugfs on an image; what they print.
///
/// # Errors
/// What went wrong.
pub fn debugfs(image: &Path, commands: &[String], writes: bool) -> Result<String, String> {
    let list = image.with_extension("commands");
    fs::write(&list, commands.join("\n") + "\n").map_err(|error| error.to_string())?;
    let writes: &[&str] = if writes { &["-w"] } else { &[] };
    let output = run("debugfs", &[writes, &["-f", text(&list), text(image)]].concat(), &[0])?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// A file as debugfs lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub name: String,
    /// Kind and permissions.
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    /// Bytes; none for directories.
    pub size: Option<u64>,
}

/// Lists a directory with debugfs, by name.
///
/// # Errors
/// What went wrong, or the line that is not understood.
pub fn list(image: &Path, directory: &str) -> Result<Vec<Listed>, String> {
    let text = debugfs(image, &[format!("ls -p \"{directory}\"")], false)?;
    let mut files = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('/')) {
        let read = || -> Option<Listed> {
            let fields: Vec<_> = line.split('/').collect();
            let [_, _, mode, user, group, name, size, ""] = fields[..] else { return None };
            let mode = u32::from_str_radix(mode, 8).ok()?;
            let (user, group) = (user.parse().ok()?, group.parse().ok()?);
            Some(Listed { name: name.to_owned(), mode, user, group, size: size.parse().ok() })
        };
        let file = read().ok_or_else(|| format!("debugfs' line is not understood: {line}"))?;
        // Room for entries that is not used has no name.
        if !matches!(file.name.as_str(), "" | "." | "..") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// A way to damage an image, with the file whose reading shows it; none for a list of the tree.
pub struct Damage {
    pub name: &'static str,
    pub shows: Option<&'static str>,
    /// Whether the parser would go on for ever, or take more memory than a machine has.
    pub endless: bool,
    commands: &'static [&'static str],
    /// Bytes that are written: where, and what.
    bytes: &'static [(u64, &'static [u8])],
    /// Bytes that are left of it.
    keep: Option<u64>,
}

const INTACT: Damage = Damage { name: "", shows: None, endless: false, commands: &[], bytes: &[], keep: None };

/// Where the super block is.
const SUPER: u64 = 1024;

/// Damage to the image of the kind `bare`, which has no checksums that would show it early.
pub const DAMAGES: [Damage; 11] = [
    Damage { name: "empty", keep: Some(0), ..INTACT },
    Damage { name: "cut in the super block", keep: Some(SUPER + 100), ..INTACT },
    Damage { name: "cut in the middle", keep: Some(1 << 20), ..INTACT },
    Damage { name: "no magic number", bytes: &[(SUPER + 0x38, &[0, 0])], ..INTACT },
    Damage { name: "blocks of 2 GiB", endless: true, bytes: &[(SUPER + 0x18, &[21])], ..INTACT },
    Damage { name: "inodes of no size", bytes: &[(SUPER + 0x58, &[0, 0])], ..INTACT },
    Damage { name: "no inodes in a group", bytes: &[(SUPER + 0x28, &[0, 0, 0, 0])], ..INTACT },
    Damage { name: "links to themselves", shows: Some("/links/self"), ..INTACT },
    Damage {
        name: "file of 1 TiB",
        shows: Some("/large"),
        endless: true,
        commands: &["sif /large size 0x10000000000"],
        ..INTACT
    },
    Damage {
        name: "directories in a circle",
        endless: true,
        commands: &["link / /empty/a", "link / /empty/b", "link / /empty/c", "link / /empty/d"],
        ..INTACT
    },
    Damage { name: "extents far out", shows: Some("/hello"), commands: &["sif /hello block[5] 0x7fffffff"], ..INTACT },
];

/// Damages a copy of an image.
///
/// # Errors
/// What went wrong.
pub fn damage(image: &Path, damage: &Damage) -> Result<PathBuf, String> {
    let copy = image.with_file_name(format!("{}.img", damage.name));
    let write = || -> io::Result<File> {
        fs::copy(image, &copy)?;
        let mut file = File::options().write(true).open(&copy)?;
        for (at, bytes) in damage.bytes {
            file.seek(SeekFrom::Start(*at))?;
            file.write_all(bytes)?;
        }
        Ok(file)
    };
    let file = write().map_err(|error| format!("{}: {error}", copy.display()))?;
    if !damage.commands.is_empty() {
        let commands: Vec<_> = damage.commands.iter().map(|&command| command.to_owned()).collect();
        debugfs(&copy, &commands, true)?;
    }
    damage.keep.map_or(Ok(()), |len| file.set_len(len)).map_err(|error| error.to_string())?;
    Ok(copy)
}

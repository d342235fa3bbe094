// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `ext4`: what the client of that name reads in images that are made here.
//!
//! Directories and files must be those that e2fsprogs' `debugfs` finds. Damaged images must be errors, those too that keep
//! the parser busy for ever.

use std::fs;
use std::path::Path;

use super::{Tally, guest::Guest};
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::Ending;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// Images, as the tests of the library have them.
#[path = "../../../clients/ext4/tests/images/mod.rs"]
mod images;

use images::{DAMAGES, Damage, KINDS};

/// The client.
const PROGRAM: &str = "ext4";

/// Boots the guest for each command, and counts a test for each.
pub(super) fn run(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let guest = Guest { workspace, image, options };
    let folder = workspace.target().join("ext4");
    let made = fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()));
    let made = made.and_then(|()| Ok((images::make(&folder, &KINDS[0])?, images::make(&folder, &KINDS[3])?)));
    let (sound, bare) = match made {
        Ok(made) => made,
        Err(why) => {
            tally.tell(PROGRAM, "images_are_made", Err(why));
            return Ok(tally);
        }
    };
    for (name, directory) in [("lists_the_root_as_debugfs_does", "/"), ("lists_many_files_as_debugfs_does", "/many")] {
        tally.tell(PROGRAM, name, listed(&guest, &sound, directory)?);
    }
    tally.tell(PROGRAM, "a_file_has_the_hash_of_what_debugfs_writes", hashed(&guest, &sound, "/large")?);
    tally.tell(PROGRAM, "a_sparse_file_has_it_too", hashed(&guest, &sound, "/sparse")?);
    tally.tell(PROGRAM, "a_link_is_followed_to_a_text", printed(&guest, &sound)?);
    for damage in &DAMAGES {
        let name = format!("damage_is_an_error_{}", damage.name.replace(' ', "_"));
        tally.tell(PROGRAM, &name, refused(&guest, &bare, damage)?);
    }
    Ok(tally)
}

fn run_on(guest: &Guest<'_>, disk: &Path, command: &[&str]) -> Result<(Vec<String>, Ending), Failure> {
    guest.boot(PROGRAM, command, vec![("disk".to_owned(), disk.to_owned())])
}

fn ended(ending: &Ending, lines: &[String]) -> Verdict {
    match ending {
        Ending::Success => Ok(()),
        other => Err(format!("it ended as {other:?}, after: {}", lines.last().map_or("nothing", String::as_str))),
    }
}

/// Compares kind, permissions, owners, sizes and names of all files in a directory.
fn listed(guest: &Guest<'_>, disk: &Path, directory: &str) -> Result<Verdict, Failure> {
    let (lines, ending) = run_on(guest, disk, &["ls", directory])?;
    let expected = match images::list(disk, directory) {
        Ok(expected) => expected,
        Err(why) => return Ok(Err(why)),
    };
    Ok(ended(&ending, &lines).and_then(|()| {
        for file in &expected {
            let kind = match file.mode >> 12 {
                0o4 => 'd',
                0o12 => 'l',
                _ => '-',
            };
            let start = format!("{kind}{:04o} {:>5} {:>5} ", file.mode & 0o7777, file.user, file.group);
            let size = file.size.map(|size| format!(" {size} ")).unwrap_or_default();
            let is_it = |line: &&String| {
                let name = line.split(" -> ").next().unwrap_or_default();
                name.starts_with(&start) && name.ends_with(&format!(" {}", file.name)) && name.contains(&size)
            };
            if !lines.iter().any(|line| is_it(&line)) {
                return Err(format!("there is no line of {file:?}"));
            }
        }
        let found = lines.iter().filter(|line| line.starts_with(['-', 'd', 'l'])).count();
        if found == expected.len() { Ok(()) } else { Err(format!("{found} files of {}", expected.len())) }
    }))
}

fn hashed(guest: &Guest<'_>, disk: &Path, path: &str) -> Result<Verdict, Failure> {
    use sha2::{Digest as _, Sha256};
    let (lines, ending) = run_on(guest, disk, &["sha256", path])?;
    let dump = disk.with_extension("dump");
    let command = format!("dump {path} \"{}\"", images::text(&dump));
    let expected =
        images::debugfs(disk, &[command], false).and_then(|_| fs::read(&dump).map_err(|error| error.to_string()));
    Ok(ended(&ending, &lines).and(expected).and_then(|bytes| {
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if lines.contains(&digest) { Ok(()) } else { Err(format!("no line is {digest}, of {} bytes", bytes.len())) }
    }))
}

fn printed(guest: &Guest<'_>, disk: &Path) -> Result<Verdict, Failure> {
    let (lines, ending) = run_on(guest, disk, &["cat", "/links/near"])?;
    let found = lines.iter().any(|line| line == "Hello, disk!");
    Ok(ended(&ending, &lines).and_then(|()| if found { Ok(()) } else { Err("the text is not there".to_owned()) }))
}

fn refused(guest: &Guest<'_>, bare: &Path, damage: &Damage) -> Result<Verdict, Failure> {
    let disk = match images::damage(bare, damage) {
        Ok(disk) => disk,
        Err(why) => return Ok(Err(why)),
    };
    let command: &[&str] = match &damage.shows {
        Some(path) => &["sha256", path],
        None => &["tree"],
    };
    let (lines, ending) = run_on(guest, &disk, command)?;
    // What is left of it is not worth its room.
    let _ = fs::remove_file(&disk);
    let refusal = lines.iter().find(|line| line.starts_with(&format!("{PROGRAM}: ")));
    Ok(match (ending, refusal) {
        (Ending::Failure, Some(refusal)) if damage.endless == refusal.contains("did not finish") => Ok(()),
        (ending, refusal) => Err(format!("it ended as {ending:?} with {refusal:?}")),
    })
}

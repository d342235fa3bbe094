// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `pgp-keys`: what the client of that name lists, on every keyring that there is.
//!
//! The keyrings of the test data and of the system (`/usr/share/keyrings`) are listed in the guest and by GnuPG, and both
//! lists must say the same. What GnuPG does not read is compared with the listings beside the test data, and what no
//! program should read must be refused.

mod gpg;
mod listed;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::gpg::{Gpg, NoList};
use self::listed::{Certificate, certificates};
use super::{Tally, guest::Guest};
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::Ending;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// The client.
const PROGRAM: &str = "pgp-keys";

/// Where the system's keyrings are.
const SYSTEM: &str = "/usr/share/keyrings";

/// Keyrings for one boot: not more files than the root task takes.
const BATCH: usize = 32;

/// Test data that GnuPG 2 does not read: versions 3 and 6, the algorithms of RFC 9580, and packets that it skips.
const NOT_FOR_GPG: [&str; 7] = [
    "framing.pgp",
    "v3.pgp",
    "unusual.pgp",
    "rfc9580-a1-v4.asc",
    "rfc9580-a3-v6.asc",
    "rfc9580-a4-v6-secret.asc",
    "rfc9580-a5-v6-locked.asc",
];

/// Test data that is refused without a switch for a planted bug.
const CRAFTED: [&str; 2] = ["planted-bug.pgp", "planted-loop.pgp"];

/// Boots the guest as often as it takes, and counts one test for each keyring and five for the rest.
pub(super) fn run(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let data = workspace.root().join("clients/pgp/testdata");
    let guest = Guest { workspace, image, options };
    let mut tally = Tally::default();

    let boot = run_with(&guest, &[], &[])?;
    tally.tell(PROGRAM, "a_planted_bug_is_stopped_and_its_sandbox_used_again", planted_bug(&boot));
    tally.tell(PROGRAM, "a_parser_that_loops_is_stopped_where_it_loops", planted_loop(&boot));
    tally.tell(PROGRAM, "without_a_file_the_carried_keyring_is_listed", carried_keyring(&boot, &data));
    tally.tell(PROGRAM, "what_is_no_keyring_is_refused_in_one_line", refused(&guest, &data)?);
    tally.tell(PROGRAM, "a_list_for_which_there_is_no_room_is_refused_and_the_next_one_made", too_long(&guest, &data)?);

    let gpg = Gpg::new(&workspace.target().join("gpg-home"));
    let files: Vec<_> =
        files(&data).into_iter().filter(|file| !CRAFTED.iter().any(|name| file.ends_with(name))).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| NOT_FOR_GPG.iter().any(|name| file.ends_with(name)));
    compare(&guest, &ours, Expected::of_listing, &mut tally)?;
    let keyrings: Vec<_> = theirs.into_iter().chain(self::files(Path::new(SYSTEM))).collect();
    compare(&guest, &keyrings, |file| Expected::of_gpg(&gpg, file, file.starts_with(&data)), &mut tally)?;
    Ok(tally)
}

/// What the client printed, and how it ended.
struct Boot {
    lines: Vec<String>,
    ending: Ending,
}

fn run_with(guest: &Guest<'_>, arguments: &[&str], files: &[PathBuf]) -> Result<Boot, Failure> {
    let inputs = files.iter().enumerate().map(|(number, path)| (name(number, path), path.clone())).collect();
    let (lines, ending) = guest.boot(PROGRAM, arguments, inputs)?;
    Ok(Boot { lines, ending })
}

impl Boot {
    /// Returns the objects that were printed of a file.
    fn objects(&self, name: &str) -> Result<Vec<Value>, String> {
        let objects = self.lines.iter().filter(|line| line.starts_with('{')).map(|line| {
            serde_json::from_str::<Value>(line).map_err(|error| format!("a line is no JSON ({error}): {line}"))
        });
        let objects: Vec<_> = objects.collect::<Result<_, _>>()?;
        Ok(objects.into_iter().filter(|object| object["file"] == name).collect())
    }

    /// Returns what the client said of a file that it did not list.
    fn refusal(&self, name: &str) -> Option<&str> {
        let start = format!("{PROGRAM}: {name}: ");
        self.lines.iter().find_map(|line| line.strip_prefix(&start))
    }

    fn ended(&self, expected: Ending) -> Verdict {
        let last = || self.lines.last().map_or("nothing", String::as_str);
        if self.ending == expected { Ok(()) } else { Err(format!("it ended as {:?}, after: {}", self.ending, last())) }
    }

    /// Finds lines in this order, each with all the parts; between them may be others.
    fn find(&self, wanted: &[&[&str]]) -> Verdict {
        let mut lines = self.lines.iter();
        for parts in wanted {
            if !lines.any(|line| parts.iter().all(|part| line.contains(part))) {
                return Err(format!("there is no line, or not in its place, with: {}", parts.join(", ")));
            }
        }
        Ok(())
    }
}

/// Names a file uniquely among those of a boot.
fn name(number: usize, path: &Path) -> String {
    format!("{number} {}", file_name(path))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn planted_bug(boot: &Boot) -> Verdict {
    boot.find(&[
        &["planted on purpose"],
        &["sandbox fault", "guard after argument 1", "copy_as_claimed (clients/pgp/src/planted.rs:"],
        &["only the sandbox was stopped"],
        &["parses demo.pgp again", "3 primary keys, 4 subkeys, 4 user ids"],
    ])?;
    boot.ended(Ending::Success)
}

fn planted_loop(boot: &Boot) -> Verdict {
    boot.find(&[
        &["never ends on planted-loop.pgp"],
        &["sandbox fault: over its time budget", "count_as_claimed (clients/pgp/src/planted.rs:"],
        &["it was stopped as well"],
        &["parses demo.pgp again"],
    ])
}

fn carried_keyring(boot: &Boot, data: &Path) -> Verdict {
    let listing = read_text(&data.join("listings/demo.pgp.txt"))?;
    let lines: Vec<[&str; 1]> = listing.lines().map(|line| [line]).collect();
    let lines: Vec<&[&str]> = lines.iter().map(<[&str; 1]>::as_slice).collect();
    boot.find(&lines)
}

/// Hands everything malformed to the client, and one sound keyring after each batch.
fn refused(guest: &Guest<'_>, data: &Path) -> Result<Verdict, Failure> {
    let mut malformed = files(&data.join("malformed"));
    malformed.extend(CRAFTED.map(|name| data.join(name)));
    if malformed.len() <= CRAFTED.len() {
        return Ok(Err("the test data is missing".to_owned()));
    }
    for batch in malformed.chunks(BATCH - 1) {
        let sound = data.join("demo.pgp");
        let all: Vec<_> = batch.iter().chain([&sound]).cloned().collect();
        let boot = run_with(guest, &["--json"], &all)?;
        let verdict = batch.iter().enumerate().try_for_each(|(number, path)| {
            let name = name(number, path);
            boot.refusal(&name).ok_or_else(|| format!("{name} is not refused"))?;
            if boot.objects(&name)?.is_empty() { Ok(()) } else { Err(format!("{name} is refused and listed")) }
        });
        let verdict = verdict.and_then(|()| boot.ended(Ending::Failure)).and_then(|()| {
            let listed = boot.objects(&name(batch.len(), &sound))?.len();
            if listed == 3 {
                Ok(())
            } else {
                Err(format!("{listed} of 3 keys of a sound keyring are listed after them"))
            }
        });
        if verdict.is_err() {
            return Ok(verdict);
        }
    }
    Ok(Ok(()))
}

/// Hands a keyring of 40,000 user ids to the client, whose heap holds fewer, and a sound one after it.
fn too_long(guest: &Guest<'_>, data: &Path) -> Result<Verdict, Failure> {
    let (long, sound) = (guest.workspace.target().join("long-list.pgp"), data.join("demo.pgp"));
    let made = fs::read(&sound).and_then(|keyring| fs::write(&long, [keyring, [0xcd, 0].repeat(40_000)].concat()));
    if let Err(error) = made {
        return Ok(Err(format!("{}: {error}", long.display())));
    }
    let boot = run_with(guest, &["--json"], &[long.clone(), sound.clone()])?;
    let refusal = boot.refusal(&name(0, &long)).unwrap_or("nothing");
    let listed = boot.objects(&name(1, &sound)).map(|objects| objects.len());
    Ok(match (refusal.contains("a result of 1,9"), listed) {
        (true, Ok(3)) => boot.ended(Ending::Failure),
        (_, listed) => Err(format!("of the long list is said: {refusal}; of the other are listed: {listed:?}")),
    })
}

/// What is expected of a keyring.
enum Expected {
    /// These certificates.
    List(Vec<Certificate>),
    /// Nothing: the other side cannot tell, for this reason.
    Unknown(String),
    /// The other side should be able to tell and is not.
    Missing(String),
}

impl Expected {
    /// Reads the listing beside a file of the test data.
    fn of_listing(file: &Path) -> Self {
        let listing = file.with_file_name("listings").join(format!("{}.json", file_name(file)));
        let objects = read_text(&listing).and_then(|text| {
            let objects = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>();
            objects.map_err(|error| error.to_string())
        });
        match objects.and_then(|objects| certificates(&objects)) {
            Ok(list) => Self::List(list),
            Err(why) => Self::Missing(why),
        }
    }

    fn of_gpg(gpg: &Gpg, file: &Path, must: bool) -> Self {
        match gpg.show_keys(file) {
            Ok(list) => Self::List(list),
            Err(NoList::Refused(why)) if !must => Self::Unknown(format!("gpg refuses it: {why}")),
            Err(NoList::Refused(why) | NoList::Unreadable(why)) => Self::Missing(why),
        }
    }
}

/// Lists keyrings in the guest and compares each list with what is expected.
fn compare(
    guest: &Guest<'_>,
    keyrings: &[PathBuf],
    expected: impl Fn(&Path) -> Expected,
    tally: &mut Tally,
) -> Result<(), Failure> {
    for batch in keyrings.chunks(BATCH) {
        let boot = run_with(guest, &["--json"], batch)?;
        for (number, path) in batch.iter().enumerate() {
            let name = name(number, path);
            let test = format!("lists_{}", file_name(path));
            let listed = match boot.refusal(&name) {
                Some(refusal) => Err(refusal.to_owned()),
                None => boot.objects(&name).and_then(|objects| certificates(&objects)),
            };
            match (listed, expected(path)) {
                (Ok(listed), Expected::List(expected)) => tally.tell(PROGRAM, &test, same(&listed, &expected)),
                (Err(why), Expected::List(_) | Expected::Missing(_)) => tally.tell(PROGRAM, &test, Err(why)),
                (Ok(_), Expected::Missing(why)) => tally.tell(PROGRAM, &test, Err(why)),
                (_, Expected::Unknown(why)) => say!("note: {} is not compared, {why}", path.display()),
            }
        }
    }
    Ok(())
}

fn same(listed: &[Certificate], expected: &[Certificate]) -> Verdict {
    if let Some((listed, expected)) = listed.iter().zip(expected).find(|(listed, expected)| listed != expected) {
        return Err(format!("it lists {listed:?}, expected is {expected:?}"));
    }
    match (listed.len(), expected.len()) {
        (0, _) => Err("it lists nothing".to_owned()),
        (listed, expected) if listed != expected => Err(format!("it lists {listed} certificates of {expected}")),
        _ => Ok(()),
    }
}

/// Returns the files directly in a folder, sorted; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let read =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect() };
    let mut files = read().unwrap_or_default();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

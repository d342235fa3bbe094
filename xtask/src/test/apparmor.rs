// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `apparmor`: what the client of that name lists, on all profiles of Debian's packages.
//!
//! The guest's objects must be those that the same reader makes on the host, and their names those that `apparmor_parser`
//! tells. Policies cut short and changed must be refused, each in one line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sbm_apparmor::{Caller, NoIds, Profile, listing, unpack};

use super::{Tally, guest::Guest};
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::Ending;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// The client.
const PROGRAM: &str = "apparmor";

/// Where Debian's packages have their profiles.
const FOLDERS: [&str; 2] = ["/etc/apparmor.d", "/usr/share/apparmor/extra-profiles"];

const COMPILER: &str = "/usr/sbin/apparmor_parser";

/// Policies for one boot.
const BATCH: usize = 32;

/// A policy, and what is expected of it.
struct Policy {
    /// A name of its own.
    name: String,
    path: PathBuf,
    bytes: Vec<u8>,
    /// The profiles' names as the compiler tells them, sorted.
    names: Vec<String>,
}

/// Boots the guest as often as it takes, and counts a test for each batch.
pub(super) fn run(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let guest = Guest { workspace, image, options };
    let folder = workspace.target().join("apparmor");
    let policies = match compile_all(&workspace.root().join("clients/apparmor/testdata/sample.aa"), &folder) {
        Ok(policies) => policies,
        Err(why) => {
            tally.tell(PROGRAM, "policies_are_compiled", Err(why));
            return Ok(tally);
        }
    };
    for (number, batch) in policies.chunks(BATCH).enumerate() {
        let name = format!("profiles_are_listed_as_on_the_host_and_named_as_the_compiler_does_{number}");
        tally.tell(PROGRAM, &name, listed(&guest, batch)?);
    }
    if let Some(sample) = policies.first() {
        tally.tell(PROGRAM, "a_list_for_people_has_a_line_for_each_thing", text(&guest, sample)?);
        tally.tell(
            PROGRAM,
            "what_is_cut_short_or_changed_is_refused_and_the_next_policy_listed",
            refused(&guest, sample, &folder)?,
        );
    }
    Ok(tally)
}

/// Compiles the sample and all profiles of the packages.
fn compile_all(sample: &Path, folder: &Path) -> Result<Vec<Policy>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut texts = Vec::new();
    for folder in FOLDERS {
        let entries: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
        let entries = entries.map_err(|error| format!("{folder}: {error}"))?;
        texts.extend(entries.iter().map(fs::DirEntry::path).filter(|path| path.is_file() && !path.ends_with("README")));
    }
    texts.sort();
    texts.insert(0, sample.to_owned());
    let each = |(number, text): (usize, PathBuf)| {
        let name = format!("{number} {}", text.file_name().unwrap_or_default().to_string_lossy());
        let bytes = compiler(&["-Q", "-S", "-K"], &text)?;
        let path = folder.join(&name);
        fs::write(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let names = compiler(&["-N"], &text)?;
        let mut names: Vec<_> = String::from_utf8_lossy(&names).lines().map(str::to_owned).collect();
        names.sort();
        Ok(Policy { name, path, bytes, names })
    };
    texts.into_iter().enumerate().map(each).collect()
}

fn compiler(arguments: &[&str], text: &Path) -> Result<Vec<u8>, String> {
    let output = Command::new(COMPILER).arg("-q").args(arguments).arg(text).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{COMPILER}: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("it refuses {}: {}", text.display(), String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Hands out ids as the client does: from 1, for all policies of a boot.
struct Ids(u32);

impl Caller for Ids {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        let id = self.0;
        self.0 += 1;
        Ok(id)
    }
}

fn run_with(guest: &Guest<'_>, arguments: &[&str], files: &[(&str, &Path)]) -> Result<(Vec<String>, Ending), Failure> {
    guest.boot(PROGRAM, arguments, files.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect())
}

fn listed(guest: &Guest<'_>, batch: &[Policy]) -> Result<Verdict, Failure> {
    let files: Vec<_> = batch.iter().map(|policy| (policy.name.as_str(), policy.path.as_path())).collect();
    let (lines, ending) = run_with(guest, &["--json"], &files)?;
    let mut ids = Ids(1);
    let mut objects = lines.iter().filter(|line| line.starts_with('{'));
    let verdict = batch.iter().try_for_each(|policy| {
        let profiles = unpack(&policy.bytes, &mut ids).map_err(|error| format!("{}: {error}", policy.name))?;
        let mut names: Vec<_> = profiles.iter().map(|profile| lossy(&profile.full_name())).collect();
        names.sort();
        if names != policy.names {
            return Err(format!("{} has {names:?}, the compiler says {:?}", policy.name, policy.names));
        }
        same(policy, &profiles, &mut objects)
    });
    Ok(verdict.and_then(|()| match ending {
        Ending::Success if objects.next().is_some() => Err("there are more objects than profiles".to_owned()),
        Ending::Success => Ok(()),
        other => Err(format!("it ended as {other:?}, after: {}", lines.last().map_or("nothing", String::as_str))),
    }))
}

/// Compares the guest's objects of a policy with those that are made here.
fn same<'a>(policy: &Policy, profiles: &[Profile], objects: &mut impl Iterator<Item = &'a String>) -> Verdict {
    let mut expected = String::new();
    listing::write_json(&mut expected, Some(&policy.name), profiles).map_err(|error| error.to_string())?;
    expected.lines().try_for_each(|expected| match objects.next() {
        Some(object) if object == expected => Ok(()),
        other => Err(format!("it lists {other:?}, expected is {expected}")),
    })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn text(guest: &Guest<'_>, sample: &Policy) -> Result<Verdict, Failure> {
    let (lines, _) = run_with(guest, &[], &[(&sample.name, &sample.path)])?;
    let wanted =
        ["policy 0 sample.aa", "profile sample (complain", "  capability ", "  rlimit      nofile 1024", "  sha256 "];
    Ok(wanted.iter().try_for_each(|start| {
        let found = lines.iter().any(|line| line.starts_with(start));
        if found { Ok(()) } else { Err(format!("no line begins with: {start}")) }
    }))
}

/// Hands damaged copies of a policy to the client, and the sound one last.
fn refused(guest: &Guest<'_>, sample: &Policy, folder: &Path) -> Result<Verdict, Failure> {
    let damaged: Result<Vec<_>, String> = (0..BATCH - 1)
        .map(|number| {
            let mut bytes = sample.bytes.clone();
            // A place in the first third, where all kinds of elements are, and one anywhere.
            let place = number * bytes.len() / BATCH;
            if number % 2 == 0 {
                bytes.truncate(place)
            } else {
                bytes.splice(place / 3..=place / 3, [0xee; 9]).for_each(drop)
            }
            let path = folder.join(format!("damaged {number}"));
            fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((format!("damaged {number}"), path))
        })
        .collect();
    let damaged = match damaged {
        Ok(damaged) => damaged,
        Err(why) => return Ok(Err(why)),
    };
    let mut files: Vec<_> = damaged.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
    files.push((&sample.name, &sample.path));
    let (lines, ending) = run_with(guest, &["--json"], &files)?;
    let is_refused =
        |name: &str| lines.iter().any(|line| line.starts_with(&format!("{PROGRAM}: {name}: not listed: ")));
    if let Some((name, _)) = damaged.iter().find(|(name, _)| !is_refused(name)) {
        return Ok(Err(format!("{name} is not refused")));
    }
    let listed = lines.iter().filter(|line| line.starts_with('{')).count();
    Ok(match (ending, listed) {
        (Ending::Failure, 4) => Ok(()),
        (ending, listed) => Err(format!("{listed} of 4 profiles are listed after them, and it ended as {ending:?}")),
    })
}

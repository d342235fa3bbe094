// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `disk`: what a full one comes to. One line, and nothing is left that a later run takes for whole.
//!
//! Each case calls this tool as a user does, in a mount namespace of its own, in which one folder is a file system that is
//! small; `/dev/full` is one that is full from the beginning.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{DISK, Tally, failures};
use crate::cli::TestOptions;
use crate::kernel;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// Which folder is small.
#[derive(Clone, Copy)]
enum Small {
    /// The target folder, which a variable names.
    Target,
    /// The folder for temporary files.
    Temporary,
    /// A folder of what is made for the chosen kernel, in the target folder.
    Made(&'static str),
}

/// A call that must fail.
struct Case {
    name: &'static str,
    small: Small,
    /// Options of the small file system.
    size: &'static str,
    arguments: &'static [&'static str],
    error: &'static [&'static str],
    /// Makes room, and has the same call succeed.
    again: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "a_full_disk_is_told_by_the_first_that_needs_it",
        small: Small::Target,
        size: "size=64k",
        arguments: &["run", "hello"],
        error: &["free"],
        again: false,
    },
    Case {
        name: "a_disk_that_gets_full_while_clients_are_built_is_told_in_one_line",
        small: Small::Target,
        size: "size=9m",
        arguments: &["run", "hello"],
        error: &["a client did not build; the disk of the target folder", "CARGO_TARGET_DIR"],
        again: false,
    },
    Case {
        name: "a_program_of_which_a_part_has_room_is_told_and_copied_again",
        small: Small::Made("programs"),
        size: "size=1m",
        arguments: &["run", "hello"],
        error: &["/programs/", "No space left on device", "check the free space there"],
        again: true,
    },
    Case {
        name: "an_image_that_has_no_room_is_told_and_made_again",
        small: Small::Made("image"),
        size: "size=64k",
        arguments: &["run", "hello"],
        error: &["objcopy", "No space left on device", "free some space there"],
        again: true,
    },
    // Before the next one, after which the root task is built again.
    Case {
        name: "a_full_folder_for_temporary_files_is_told",
        small: Small::Temporary,
        size: "size=4k,nr_inodes=1",
        arguments: &["run", "hello"],
        error: &["a temporary file cannot be written", "check the free space in"],
        again: false,
    },
    Case {
        name: "an_iso_that_has_no_room_is_told_and_made_again",
        small: Small::Made("image"),
        size: "size=4m",
        arguments: &["image", "hello"],
        error: &["grub-mkrescue failed (No space left on device); free some space there"],
        again: true,
    },
];

/// Calls that write a result, each with the file that is full.
const RESULTS: &[(&str, &[&str])] = &[
    (
        "a_description_that_has_no_room_is_told",
        &["system", "--check", "clients/hello/system.toml", "--write", "/dev/full"],
    ),
    ("measurements_that_have_no_room_are_told", &["bench", "sbm_call_null", "--json", "/dev/full"]),
];

/// What a shell runs in the mount namespace: the small file system's options and folder, whether to try again, and the call.
const SCRIPT: &str = r#"
    size=$1 folder=$2 again=$3; shift 3
    mount -t tmpfs -o "$size" none "$folder" || exit
    "$@"; status=$?
    [ "$again" = true ] || exit "$status"
    [ "$status" != 0 ] && mount -o remount,size=1g "$folder" || exit 0
    "$@" >/dev/null 2>&1 || echo "error: with room it ends with $?" >&2
    exit "$status"
"#;

/// Runs all cases.
pub(super) fn run(workspace: &Workspace, options: &TestOptions) -> Tally {
    let mut tally = Tally::default();
    for (name, arguments) in RESULTS {
        let outcome = call(workspace, options, arguments);
        let error = ["/dev/full cannot be written", "No space left on device"];
        tell(&mut tally, name, outcome.and_then(|output| failures::check(&error, &[], &output)));
    }
    let outcome = full_output(workspace, options);
    tell(&mut tally, "results_that_nobody_has_room_for_are_told", outcome);
    let cases = CASES.iter().map(|case| case.name).chain([EARLY]);
    if let Err(why) = can_mount() {
        for name in cases {
            say!("test {DISK}::{name} ... skipped: {why}");
            tally.skipped += 1;
        }
        return tally;
    }
    tell(&mut tally, EARLY, early(workspace));
    for case in CASES {
        let outcome = call_on(workspace, options, case).map_err(|error| error.to_string());
        tell(&mut tally, case.name, outcome.and_then(|output| failures::check(case.error, &[], &output)));
    }
    tally
}

fn tell(tally: &mut Tally, name: &str, verdict: Verdict) {
    tally.tell(DISK, name, verdict);
}

fn call(workspace: &Workspace, options: &TestOptions, arguments: &[&str]) -> Result<Output, String> {
    // Two of the verbs know nothing of kernels.
    let config = options.kernel.kernel_config.filter(|_| !arguments.contains(&"system"));
    let mut command = failures::prepare(workspace, arguments, config).map_err(|error| error.to_string())?;
    command.output().map_err(|error| error.to_string())
}

/// Has standard output full, which nothing but the tool's own lines reaches.
fn full_output(workspace: &Workspace, options: &TestOptions) -> Verdict {
    let run = || -> Result<Output, Box<dyn Error>> {
        let full = OpenOptions::new().write(true).open("/dev/full")?;
        Ok(failures::prepare(workspace, &["run", "hello"], options.kernel.kernel_config)?.stdout(full).output()?)
    };
    let output = run().map_err(|error| error.to_string())?;
    failures::check(&["standard output cannot be written", "check the free space there"], &[], &output)
}

/// The case in which nothing is tried.
const EARLY: &str = "a_disk_that_is_full_already_is_told_before_anything_is_built";

/// Calls the script that begins by looking for room.
fn early(workspace: &Workspace) -> Verdict {
    let run = || -> Result<Output, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let mut command = isolated("size=1m", folder.path(), false);
        command.arg(workspace.root().join("x")).args(["run", "hello"]).env("CARGO_TARGET_DIR", folder.path());
        Ok(command.output()?)
    };
    let output = run().map_err(|error| error.to_string())?;
    failures::check(&["has 1 MiB left, too few to build", "CARGO_TARGET_DIR"], &[], &output)
}

/// Makes the call of a case.
fn call_on(workspace: &Workspace, options: &TestOptions, case: &Case) -> Result<Output, Box<dyn Error>> {
    let (scratch, empty) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (folder, variable): (PathBuf, _) = match case.small {
        Small::Target => (empty.path().to_owned(), Some("CARGO_TARGET_DIR")),
        Small::Temporary => (empty.path().to_owned(), Some("TMPDIR")),
        Small::Made(name) => {
            (workspace.target().join("guest").join(kernel::chosen_name(&options.kernel)?).join(name), None)
        }
    };
    let call = failures::prepare(workspace, case.arguments, options.kernel.kernel_config)?;
    let mut command = isolated(case.size, &folder, case.again);
    // In the shell's place `/proc/self/exe` would be the shell.
    let tool = scratch.path().join("tool");
    fs::copy(super::TOOL, &tool)?;
    command.arg(&tool).args(call.get_args()).current_dir(workspace.root());
    for (name, value) in call.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.envs(variable.map(|name| (name, &folder)));
    Ok(command.output()?)
}

/// Begins a command in a mount namespace with a small file system: the call is to follow.
fn isolated(size: &str, folder: &Path, again: bool) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", SCRIPT, "sh", size]).arg(folder).arg(again.to_string());
    command.stdin(Stdio::null());
    command
}

/// Tells whether this host lets a user mount something in a namespace.
fn can_mount() -> Verdict {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let output = isolated("size=64k", folder.path(), false).arg("true").output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("this host mounts nothing ({})", text.lines().next_back().unwrap_or("no message")))
        }
        Err(cause) => Err(format!("unshare cannot be started ({cause})")),
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `image`: an image that carries its program, an input file and an argument, booted by the lines it is printed
//! with.

use std::env;
use std::error::Error;
use std::process::{Command, Output, Stdio};

use super::{IMAGE, failures};
use crate::cli::TestOptions;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// The client, its input file in the checkout, and its argument.
const CARRIED: [&str; 5] = ["pgp-keys", "--input", "clients/pgp/testdata/demo.pgp", "--", "--json"];

/// What the client prints of each of its three keys.
const KEY: &str = "{\"file\":\"clients/pgp/testdata/demo.pgp\"";

/// QEMU's exit code where the guest reports success.
const SUCCESS: i32 = 33;

/// How the image is booted: which of the lines is pasted, and what is added to it.
struct Boot {
    name: &'static str,
    line: usize,
    added: &'static str,
}

const BOOTS: &[Boot] = &[
    Boot { name: "the_line_boots_as_pasted_and_ends", line: 0, added: "" },
    Boot { name: "the_iso_boots_as_pasted_and_ends", line: 1, added: "" },
    // Then the root task takes it for none, as on a PC.
    Boot { name: "the_iso_boots_without_fw_cfg", line: 1, added: " -global fw_cfg_io.dma_enabled=off" },
];

/// Makes the image and boots it.
pub(super) fn run(workspace: &Workspace, options: &TestOptions) -> Tally {
    let mut tally = Tally::default();
    let mut tell = |name: &str, outcome: Result<(), Box<dyn Error>>| {
        match &outcome {
            Ok(()) => say!("test {IMAGE}::{name} ... ok"),
            Err(why) => say!("test {IMAGE}::{name} ... FAILED: {why}"),
        }
        tally.count(outcome.is_ok());
    };
    let lines = match make(workspace, options) {
        Ok(lines) => lines,
        Err(why) => {
            tell("an_image_carries_what_it_runs", Err(why));
            return tally;
        }
    };
    for boot in BOOTS {
        let line = lines.get(boot.line).map_or("", String::as_str);
        tell(boot.name, paste(line, boot.added, options.timeout));
    }
    tally
}

/// Returns what `image` prints.
fn make(workspace: &Workspace, options: &TestOptions) -> Result<Vec<String>, Box<dyn Error>> {
    let arguments = [&["image"], &CARRIED[..]].concat();
    let Output { status, stdout, stderr } =
        failures::prepare(workspace, &arguments, options.kernel.kernel_config)?.output()?;
    if !status.success() {
        return Err(String::from_utf8_lossy(&stderr).lines().last().unwrap_or("no message").to_owned().into());
    }
    Ok(String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect())
}

/// Has a shell run a line, in a folder that has nothing to do with it.
fn paste(line: &str, added: &str, seconds: u64) -> Result<(), Box<dyn Error>> {
    let line = match line.strip_suffix(')') {
        Some(start) => format!("{start}{added})"),
        None => format!("{line}{added}"),
    };
    let mut shell = Command::new("timeout");
    shell.arg(seconds.to_string()).args(["sh", "-c", &line]).current_dir(env::temp_dir()).stdin(Stdio::null());
    let output = shell.output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let keys = printed.lines().filter(|line| line.contains(KEY)).count();
    match (output.status.code(), keys) {
        (Some(SUCCESS), 3) => Ok(()),
        (code, keys) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = printed.lines().chain(said.lines()).last().unwrap_or("nothing").to_owned();
            Err(format!("exit code {code:?} and {keys} keys of 3; the last line is: {last}").into())
        }
    }
}

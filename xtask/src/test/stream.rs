// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite `stream`: a list that is larger than its sandbox, added up in there, as `dpkg-query` knows it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{STREAM, Tally, guest::Guest};
use crate::cli::TestOptions;
use crate::failure::Failure;
use crate::image::Image;
use crate::qemu::Ending;
use crate::tally::Verdict;
use crate::workspace::Workspace;

/// The list of the host's own packages.
const LIST: &str = "/var/lib/dpkg/status";

/// How often the list is handed out: it is then larger than anything that a sandbox can have.
const TIMES: u64 = 32;

/// Bytes that the client asks for at once.
const AHEAD: u64 = 4096;

/// Boots the guest once.
pub(super) fn run(workspace: &Workspace, image: &Image, options: &TestOptions) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    let name = "a_list_larger_than_its_sandbox_is_added_up_as_dpkg_does";
    let path = PathBuf::from(LIST);
    if !path.is_file() {
        say!("test {STREAM}::{name} ... skipped: this host has no {LIST}");
        tally.skipped += 1;
        return Ok(tally);
    }
    let guest = Guest { workspace, image, options };
    let (lines, ending) = guest.boot(STREAM, &[&format!("times={TIMES}")], vec![("list".to_owned(), path)])?;
    tally.tell(STREAM, name, compare(&lines, &ending));
    Ok(tally)
}

fn compare(lines: &[String], ending: &Ending) -> Verdict {
    let bytes = std::fs::metadata(LIST).map_err(|error| error.to_string())?.len() * TIMES;
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Installed-Size}\n"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("dpkg-query: {error}"))?;
    let sizes = String::from_utf8_lossy(&output.stdout);
    let packages = sizes.lines().count() as u64 * TIMES;
    let installed = sizes.lines().filter_map(|size| size.parse::<u64>().ok()).sum::<u64>() * TIMES;
    // One more tells that there are no more.
    let requests = bytes.div_ceil(AHEAD) + 1;
    let expected = format!("{packages} packages, {installed} KiB installed, in {bytes} bytes and {requests} requests");
    match ending {
        Ending::Success if lines.contains(&expected) => Ok(()),
        ending => Err(format!("it ended as {ending:?} with {:?} and not: {expected}", lines.last())),
    }
}

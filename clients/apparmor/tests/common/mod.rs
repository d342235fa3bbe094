// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies for the tests: compiled by `apparmor_parser`, which `cargo xtask test` installs, or made by hand.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod stream;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sbm_apparmor::{Caller, Error, NoIds, Profile, unpack};

const PARSER: &str = "/usr/sbin/apparmor_parser";

/// The features of Linux 6.1, which Debian's package `apparmor` brings along.
pub const FEATURES: &str = "/usr/share/apparmor-features/features";

/// Where Debian's packages have their profiles.
const FOLDERS: [&str; 2] = ["/etc/apparmor.d", "/usr/share/apparmor/extra-profiles"];

/// Hands out ids from 1.
#[derive(Default)]
pub struct Ids(u32);

impl Caller for Ids {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        self.0 += 1;
        Ok(self.0)
    }
}

/// Reads a policy.
pub fn read(policy: &[u8]) -> Result<Vec<Profile>, Error> {
    unpack(policy, &mut Ids::default())
}

pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn parser(arguments: &[&str], file: &Path) -> Vec<u8> {
    let output = Command::new(PARSER).args(arguments).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{PARSER} (package apparmor): {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "apparmor_parser refuses {}: {error}", file.display());
    output.stdout
}

/// Compiles a text, for the kernel that runs here or for one with these features.
pub fn compile(file: &Path, features: Option<&Path>) -> Vec<u8> {
    let features = features.map(|features| features.to_str().unwrap());
    let features: Vec<_> = features.into_iter().flat_map(|features| ["-M", features]).collect();
    parser(&[&["-q", "-Q", "-S", "-K"], &features[..]].concat(), file)
}

/// Returns the names of a text's profiles, as the compiler tells them.
pub fn names(file: &Path) -> Vec<Vec<u8>> {
    let text = parser(&["-q", "-N"], file);
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Returns the texts of all profiles of Debian's packages.
pub fn packaged() -> Vec<PathBuf> {
    let mut files = vec![];
    for folder in FOLDERS {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder} (package apparmor-profiles): {error}"));
        files.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file() && !path.ends_with("README")),
        );
    }
    files.sort();
    files
}

/// Returns the sample, compiled for Linux 6.1.
pub fn sample() -> &'static [u8] {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| compile(&testdata("sample.aa"), Some(Path::new(FEATURES))))
}

/// Runs something for each of many things, on all processors.
pub fn on_all<T: Sync>(things: &[T], run: impl Fn(&T) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let run = &run;
            scope.spawn(move || things.iter().skip(first).step_by(threads).for_each(run));
        }
    });
}

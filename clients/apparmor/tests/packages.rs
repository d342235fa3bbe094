// SPDX-License-Identifier: MIT OR Apache-2.0
//! Comparison with `apparmor_parser`, on all profiles of Debian's packages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::iter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{FEATURES, compile, names, on_all, packaged, read};

/// Profiles that the packages of Debian 12 have at least.
const AT_LEAST: usize = 150;

#[test]
fn names_are_those_that_the_compiler_tells() {
    let seen = AtomicUsize::new(0);
    on_all(&packaged(), |file| {
        let mut expected = names(file);
        expected.sort();
        // For the kernel that runs here, and some of them for Linux 6.1.
        let newer = Some(Path::new(FEATURES)).filter(|_| file.starts_with("/etc/apparmor.d"));
        for features in iter::once(None).chain(newer.map(Some)) {
            let policy = compile(file, features);
            let profiles = read(&policy).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let mut found: Vec<_> = profiles.iter().map(sbm_apparmor::Profile::full_name).collect();
            found.sort();
            assert_eq!(found, expected, "{}", file.display());
            for profile in &profiles {
                let parent = profile.parent().map(<[u8]>::to_vec);
                assert!(parent.is_none_or(|parent| found.contains(&parent)), "{}", profile.name);
                assert!(profile.file_rules.as_ref().is_none_or(|rules| rules.dfa.states > 1));
            }
            seen.fetch_add(profiles.len(), Ordering::Relaxed);
        }
    });
    let seen = seen.into_inner();
    assert!(seen >= AT_LEAST, "the packages apparmor-profiles and apparmor-profiles-extra are there: {seen} profiles");
}

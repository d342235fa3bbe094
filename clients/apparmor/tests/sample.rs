// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the reader finds in a policy whose text is known.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{compile, read, sample, testdata};
use sbm_apparmor::{Mode, Network, Profile, Rlimit, Text, listing, names};

/// Bits of the types of sockets.
const STREAM: u16 = 1 << 1;
const DGRAM: u16 = 1 << 2;
const RAW: u16 = 1 << 3;
const ALL: u16 = 0b100_0111_1110;
/// The same without the one that a rule has to name.
const USUAL: u16 = ALL & !(1 << 6);

fn by_name<'a>(profiles: &'a [Profile], name: &str) -> &'a Profile {
    profiles.iter().find(|profile| profile.full_name() == name.as_bytes()).unwrap()
}

#[test]
fn all_that_the_text_says_is_listed() {
    let profiles = read(sample()).unwrap();
    assert_eq!(profiles.len(), 4);
    let main = by_name(&profiles, "sample");
    assert_eq!((main.mode, main.audit, main.hat, main.parent()), (Mode::Complain, true, false, None));
    assert_eq!(main.path_flags, Some(0x4));
    let set = |bits: &[u32]| bits.iter().map(|bit| 1_u64 << bit).sum::<u64>();
    assert_eq!(main.capabilities.allow, set(&[12, 19, 40]));
    assert_eq!(main.capabilities.audit & set(&[19]), set(&[19]));
    assert_eq!(main.rlimits, [Rlimit { resource: 7, limit: 1024 }, Rlimit { resource: 9, limit: 2 << 30 }]);
    let rules = main.file_rules.as_ref().unwrap();
    assert_eq!(rules.transitions, [Text::new(b"sample//tool"), Text::new(b"helper")]);
    assert!(main.attachment_rules.is_some() && main.class_rules.is_some());

    let hat = by_name(&profiles, "sample//hat");
    assert_eq!((hat.hat, hat.parent()), (true, Some(&b"sample"[..])));
    let tool = by_name(&profiles, "sample//tool");
    assert_eq!((tool.hat, tool.parent()), (false, Some(&b"sample"[..])));

    let elsewhere = by_name(&profiles, ":space://elsewhere");
    assert_eq!((elsewhere.mode, &elsewhere.namespace), (Mode::Unconfined, &Some(Text::new(b"space"))));
    let mut xattrs = elsewhere.xattrs.clone();
    xattrs.sort();
    assert_eq!(xattrs, [Text::new(b"security.tagged"), Text::new(b"user.kind")]);
}

#[test]
fn network_rules_are_found_in_the_table_of_states() {
    let profiles = read(sample()).unwrap();
    let found = |profile: &str, family: u16| {
        let network = &by_name(&profiles, profile).network;
        network.iter().find(|network| network.family == family).map(|network| (network.allow, network.audit))
    };
    let (unix, inet, inet6, netlink, packet) = (1, 2, 10, 16, 17);
    assert_eq!(found("sample", inet).map(|found| found.0), Some(STREAM));
    assert_eq!(found("sample", inet6).map(|found| found.0), Some(DGRAM));
    assert_eq!(found("sample", netlink).map(|found| found.0), Some(USUAL));
    assert_eq!(found("sample", unix), Some((USUAL, USUAL)));
    assert!(found("sample", packet).is_none_or(|found| found.0 == 0));
    assert_eq!(found("sample//hat", inet), None);
    let all = by_name(&profiles, "sample//tool").network.iter().filter(|network| network.allow == ALL).count();
    assert_eq!(all, names::FAMILIES.len());
}

#[test]
fn network_rules_of_older_kernels_are_read() {
    let policy = compile(&testdata("sample.aa"), Some(&testdata("features-of-2-6")));
    let profiles = read(&policy).unwrap();
    let main = by_name(&profiles, "sample");
    assert!(main.network.contains(&Network { family: 2, allow: STREAM, audit: 0, quiet: 0 }));
    assert!(main.network.iter().any(|network| network.family == 17 && network.quiet & RAW != 0));
}

#[test]
fn lists_say_what_was_found() {
    let profiles = read(sample()).unwrap();
    let mut text = String::new();
    listing::write_text(&mut text, &profiles).unwrap();
    for line in [
        "profile sample (complain, audit, attach_disconnected) id ",
        "  network     inet stream",
        "  rlimit      nofile 1024",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let mut json = String::new();
    listing::write_json(&mut json, Some("f"), &profiles).unwrap();
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 4);
    assert!(objects.iter().all(|object| object["file"] == "f"));
    let tool = objects.iter().find(|object| object["name"] == "sample//tool").unwrap();
    assert_eq!((&tool["parent"], &tool["mode"]), (&"sample".into(), &"enforce".into()));
    assert_eq!(tool["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn profiles_travel_by_postcard() {
    let profiles = read(sample()).unwrap();
    let bytes = postcard::to_allocvec(&profiles).unwrap();
    assert_eq!(postcard::from_bytes::<Vec<Profile>>(&bytes).unwrap(), profiles);
}

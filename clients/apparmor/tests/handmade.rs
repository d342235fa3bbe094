// SPDX-License-Identifier: MIT OR Apache-2.0
//! Elements that no compiler of Debian 12 writes, and tables of states that break one rule each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::stream::{Maker, Tables};
use common::{Ids, read};
use sbm_apparmor::{Caller, DfaFault, Mode, NoIds, Profile, Reason, Text, unpack};

const DIFFERENCE: u32 = 1 << 31;
const OUT_OF_BAND: u32 = 1 << 29;

/// A table of states that nothing is wrong with.
fn sound() -> Tables {
    Tables::new(3).lead(1, b'/', 2)
}

fn header() -> Maker {
    Maker::default().u32("version", 5)
}

fn flags(maker: Maker, bits: u32, mode: u32) -> Maker {
    maker.open("flags").u32("", bits).u32("", mode).u32("", 0).close()
}

/// Starts a profile that has its flags and capabilities.
fn begun() -> Maker {
    let begun = flags(header().open("profile").string("", b"made"), 0, 0);
    begun.u32("", 1).u32("", 0).u32("", 0).u32("", 0)
}

fn one(maker: Maker) -> Profile {
    let [profile] = read(&maker.0).unwrap().try_into().unwrap();
    profile
}

fn refusal(maker: &Maker) -> Reason {
    read(&maker.0).unwrap_err().reason
}

fn fault_of(tables: &Tables) -> Option<DfaFault> {
    match read(&begun().blob("aadfa", &tables.blob()).close().0) {
        Ok(_) => None,
        Err(sbm_apparmor::Error { reason: Reason::Dfa(fault), .. }) => Some(fault),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_smallest_profile_is_read() {
    let profile = one(begun().close());
    assert_eq!((profile.name, profile.mode), (Text::new(b"made"), Mode::Enforce));
    assert_eq!((profile.class_rules, profile.file_rules, profile.version), (None, None, 5));
}

#[test]
fn strings_that_may_be_missing_are_read() {
    let front = header().open("profile").string("", b":space:made").string("rename", b"old").string("attach", b"/a*");
    let front = front.blob("aadfa", &sound().blob()).u32("", 3).string("disconnected", b"/gone");
    let profile = one(flags(front, 7, 2).u32("path_flags", 8).u32("", 0).u32("", 0).u32("", 0).u32("", 0).close());
    let texts = [profile.namespace, profile.rename, profile.attachment, profile.disconnected];
    assert_eq!(texts, ["space", "old", "/a*", "/gone"].map(|text| Some(Text::new(text.as_bytes()))));
    assert_eq!((profile.hat, profile.debug, profile.mode, profile.path_flags), (true, [true; 2], Mode::Kill, Some(8)));
    assert_eq!(profile.attachment_rules.map(|(_, len)| len), Some(3));
}

#[test]
fn labels_data_and_extended_capabilities_are_read() {
    let maker = begun().open("capsx").u32("", 2).u32("", 4).close();
    let maker = maker.open("secmark").array("", 1).u8(1).u8(0).string("", b"label").end_array().close();
    let maker = maker.open("data").string("", b"key").blob("", b"four").string("", b"bare").close();
    let profile = one(maker.close());
    assert_eq!(profile.capabilities.extended, 2 | 4 << 32);
    assert_eq!(profile.secmark.len(), 1);
    let data: Vec<_> = profile.data.iter().map(|data| (data.key.as_bytes(), data.len)).collect();
    assert_eq!(data, [(&b"key"[..], 4), (b"bare", 0)]);
}

/// Adds a permission; each is the place of a word and what it is.
fn permission(maker: Maker, words: &[(usize, u32)]) -> Maker {
    let word = |place| words.iter().find(|(at, _)| *at == place).map_or(0, |(_, word)| *word);
    (0..14).fold(maker, |maker, place| maker.u32("", word(place)))
}

/// Makes class rules with a table of two permissions, the second of these words, and one transition.
fn with_permission(words: &[(usize, u32)], accept: u32) -> Maker {
    let mut tables = sound();
    tables.accept = vec![0, accept, 0];
    tables.accept2 = vec![];
    let maker = begun().open("policydb").open("perms").u32("version", 1).array("", 2);
    let maker = permission(permission(maker, &[]), words).end_array().close().blob("aadfa", &tables.blob());
    let maker = maker.open("xtable").array("", 1).string("", b"next").end_array().close();
    maker.close().close()
}

#[test]
fn a_table_of_permissions_is_read() {
    let (allow, audit, transition) = ((1, 0xff), (8, 1), (11, 0x0800_0000));
    let rules = one(with_permission(&[allow, audit, transition], 1)).class_rules.unwrap();
    assert_eq!((rules.permissions, rules.transitions), (Some(2), vec![Text::new(b"next")]));
}

#[test]
fn permissions_that_contradict_themselves_are_refused() {
    let (allow, deny, subtree, cond, kill, complain, prompt, hide) = (1, 2, 3, 4, 5, 6, 7, 10);
    let contradictions = [
        &[(allow, 1), (deny, 1)][..],
        &[(subtree, 1)],
        &[(cond, 1), (deny, 1)],
        &[(kill, 1), (allow, 1)],
        &[(complain, 1), (allow, 1)],
        &[(prompt, 1), (deny, 1)],
        &[(complain, 1), (prompt, 1)],
        &[(hide, 1), (allow, 1)],
    ];
    for words in contradictions {
        assert_eq!(refusal(&with_permission(words, 1)), Reason::Contradiction, "{words:?}");
        let half: Vec<_> = words.iter().take(words.len() - 1).copied().collect();
        assert!(read(&with_permission(&half, 1).0).is_ok(), "{half:?}");
    }
}

#[test]
fn permissions_name_only_what_is_in_a_table() {
    for (place, word) in [(11, 0x0800_0001), (12, 1), (13, 1)] {
        assert_eq!(refusal(&with_permission(&[(place, word)], 1)), Reason::Index, "{place}");
    }
    assert_eq!(refusal(&with_permission(&[], 2)), Reason::Index);
    assert_eq!(refusal(&begun().open("perms").u32("version", 2).array("", 0)), Reason::Permissions);
}

#[test]
fn transitions_with_a_namespace_have_one_zero() {
    let read = |name: &[u8]| {
        let maker = begun().blob("aadfa", &sound().blob());
        read(&maker.open("xtable").array("", 1).string("", name).end_array().close().close().0)
    };
    let transitions = read(b":space\0next").unwrap().pop().unwrap().file_rules.unwrap().transitions;
    assert_eq!(transitions, [Text::new(b":space:next")]);
    for name in [&b"a\0b"[..], b" a", b":", b":\0a", b":a\0b\0c"] {
        assert_eq!(read(name).unwrap_err().reason, Reason::Transitions, "{name:?}");
    }
}

#[test]
fn file_rules_name_only_transitions_that_there_are() {
    // The first one of the table, for the owner and for everybody else.
    for accept in [4 << 10, 4 << 24] {
        let mut tables = sound();
        tables.accept[1] = accept;
        let maker = begun().blob("aadfa", &tables.blob());
        assert_eq!(refusal(&maker.clone().close()), Reason::NamedTransition);
        let named = maker.open("xtable").array("", 1).string("", b"next").end_array().close();
        assert!(read(&named.close().0).is_ok());
    }
}

#[test]
fn each_rule_for_tables_of_states_is_kept() {
    assert_eq!(fault_of(&sound()), None);
    let changed = |change: &dyn Fn(&mut Tables)| {
        let mut tables = sound();
        change(&mut tables);
        fault_of(&tables)
    };
    assert_eq!(changed(&|tables| tables.flags = 4), Some(DfaFault::Flags));
    assert_eq!(changed(&|tables| tables.accept2.clear()), Some(DfaFault::Missing));
    assert_eq!(changed(&|tables| tables.check.clear()), Some(DfaFault::Missing));
    assert_eq!(changed(&|tables| tables.accept.push(0)), Some(DfaFault::Lengths));
    assert_eq!(changed(&|tables| tables.check.push(0)), Some(DfaFault::Lengths));
    assert_eq!(fault_of(&Tables::new(1)), Some(DfaFault::TooFewStates));
    assert_eq!(changed(&|tables| tables.default[2] = 3), Some(DfaFault::DefaultState));
    assert_eq!(changed(&|tables| tables.next[0] = 3), Some(DfaFault::Transition));
    assert_eq!(changed(&|tables| tables.check[255] = 3), Some(DfaFault::Transition));
    assert_eq!(changed(&|tables| tables.base[1] = 1), Some(DfaFault::Bounds));
    assert_eq!(changed(&|tables| tables.base[1] = 1 << 30), Some(DfaFault::StateFlags));
    assert_eq!(changed(&|tables| tables.base[1] = DIFFERENCE), Some(DfaFault::StateFlags));
    assert_eq!(changed(&|tables| tables.base[1] = OUT_OF_BAND), Some(DfaFault::StateFlags));
}

#[test]
fn states_without_a_character_have_room_for_it() {
    let with = |base: u32| {
        let mut tables = sound();
        tables.flags = 2;
        tables.next.push(0);
        tables.check.push(0);
        tables.base[2] = OUT_OF_BAND | base;
        fault_of(&tables)
    };
    assert_eq!((with(1), with(0)), (None, Some(DfaFault::StateFlags)));
}

/// Makes tables in which each state is the difference to the next one, and the last one to this.
fn chain(states: usize, last: u32) -> Tables {
    let mut tables = Tables::new(states);
    tables.flags = 1;
    tables.base.iter_mut().skip(1).for_each(|base| *base = DIFFERENCE);
    tables.default = (1..).take(states).collect();
    tables.default[states - 1] = last;
    tables
}

#[test]
fn differences_do_not_refer_to_each_other_in_a_circle() {
    assert_eq!(fault_of(&chain(5, 0)), None);
    for last in 1..5 {
        assert_eq!(fault_of(&chain(5, last)), Some(DfaFault::Circle), "to {last}");
    }
}

#[test]
fn work_is_linear_in_the_input() {
    // Were each chain followed from each of its states, this would be 10^12 steps.
    let start = Instant::now();
    assert_eq!(fault_of(&chain(1_000_000, 0)), None);
    let class_rules = begun().open("policydb").blob("aadfa", &chain(100_000, 0).blob()).close().close();
    assert!(read(&class_rules.0).is_ok());
    assert!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
}

#[test]
fn a_number_of_entries_is_a_claim() {
    for name in ["xattrs", "secmark"] {
        assert!(read(&begun().open(name).array("", u16::MAX).0).is_err());
    }
    assert_eq!(refusal(&begun().open("rlimits").u32("", 0).array("", 17)), Reason::Rlimits);
    assert_eq!(refusal(&begun().array("net_allowed_af", u16::MAX).u16(1)), Reason::Network);
    assert!(read(&begun().open("rlimits").u32("", 0).array("", 1).u64(1).end_array().close().close().0).is_ok());
}

#[test]
fn headers_are_checked() {
    assert_eq!(refusal(&Maker::default()), Reason::Empty);
    assert_eq!(refusal(&Maker::default().u32("", 5)), Reason::NoVersion);
    for version in [0, 4, 10] {
        assert_eq!(refusal(&Maker::default().u32("version", version)), Reason::Version);
    }
    assert_eq!(refusal(&header()), Reason::NoProfile);
    assert_eq!(refusal(&header().string("namespace", b"")), Reason::Namespace);
    for name in [&b""[..], b"  ", b":space", b":space:", b"\0a"] {
        assert_eq!(refusal(&header().open("profile").string("", name)), Reason::Name, "{name:?}");
    }
    assert_eq!(refusal(&flags(header().open("profile").string("", b"a"), 0, 5)), Reason::Mode);
    let complains = Maker::default().u32("version", 0x805).open("profile").string("", b"a");
    let complains = flags(complains, 0, 0).u32("", 0).u32("", 0).u32("", 0).u32("", 0).close();
    assert_eq!(one(complains).mode, Mode::Complain);
}

#[test]
fn one_error_refuses_the_whole_policy() {
    let two = begun().close().bytes(&begun().close().0);
    assert_eq!(read(&two.0).unwrap().len(), 2);
    assert_eq!(refusal(&two.bytes(&[0])), Reason::NoProfile);
}

#[test]
fn a_caller_without_ids_is_an_error() {
    struct Two(u32);
    impl Caller for Two {
        fn allocate_id(&mut self) -> Result<u32, NoIds> {
            self.0 = self.0.checked_sub(1).ok_or(NoIds)?;
            Ok(self.0)
        }
    }
    let profile = begun().close().0;
    assert!(unpack(&profile.repeat(2), &mut Two(2)).is_ok());
    assert_eq!(unpack(&profile.repeat(3), &mut Two(2)).unwrap_err().reason, Reason::NoId);
    let ids: Vec<_> =
        unpack(&profile.repeat(2), &mut Ids::default()).unwrap().iter().map(|profile| profile.id).collect();
    assert_eq!(ids, [1, 2]);
}

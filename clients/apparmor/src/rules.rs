// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules: a table of states with what belongs to it, and what a profile may do with sockets by them.

use alloc::vec::Vec;

use crate::dfa::{DfaFault, States};
use crate::error::{Error, Reason};
use crate::names::{FAMILIES, SOCKETS};
use crate::profile::{Network, Rules};
use crate::stream::{Kind, Stream};
use crate::text::Text;

/// Where a table of states starts unless told otherwise. State 0 permits nothing.
const START: u32 = 1;

/// The class of the rules for sockets.
const CLASS_NETWORK: u8 = 14;

/// The only version of the table of permissions.
const PERMISSIONS_VERSION: u32 = 1;

/// An entry of the table of permissions.
#[derive(Clone, Copy, Debug, Default)]
struct Permission {
    allow: u32,
    deny: u32,
    subtree: u32,
    cond: u32,
    kill: u32,
    complain: u32,
    prompt: u32,
    audit: u32,
    quiet: u32,
    hide: u32,
    transition: u32,
    tag: u32,
    label: u32,
}

impl Permission {
    fn unpack(stream: &mut Stream<'_>) -> Option<Self> {
        // The first word is not used.
        stream.u32(None)?;
        let mut word = || stream.u32(None);
        Some(Self {
            allow: word()?,
            deny: word()?,
            subtree: word()?,
            cond: word()?,
            kill: word()?,
            complain: word()?,
            prompt: word()?,
            audit: word()?,
            quiet: word()?,
            hide: word()?,
            transition: word()?,
            tag: word()?,
            label: word()?,
        })
    }

    /// Tells whether it allows what it otherwise refuses.
    const fn contradicts_itself(&self) -> bool {
        let decided = self.allow | self.deny;
        self.allow & (self.deny | self.kill | self.hide) != 0
            || self.subtree & !self.allow != 0
            || decided & (self.cond | self.complain | self.prompt) != 0
            || self.complain & self.prompt != 0
    }

    /// Tells whether everything that it names is in a table of `len` transitions.
    const fn is_within(&self, len: u32) -> bool {
        is_transition_within(self.transition, len)
            && (self.tag == 0 || self.tag < len)
            && (self.label == 0 || self.label < len)
    }
}

/// Tells whether the transition of a permission, if it is one of the table, is in one of `len` entries.
const fn is_transition_within(transition: u32, len: u32) -> bool {
    const TYPE: u32 = 0x0c00_0000;
    const TABLE: u32 = 0x0800_0000;
    const INDEX: u32 = 0x00ff_ffff;
    transition & TYPE != TABLE || transition & INDEX < len
}

/// Rules as they lie in the policy.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet<'a> {
    states: States<'a>,
    /// Where class rules start.
    start: u32,
    /// Where file rules start.
    file_start: u32,
    permissions: Option<Vec<Permission>>,
    transitions: Vec<Text>,
}

impl<'a> RuleSet<'a> {
    /// Reads rules, if there are any.
    pub(crate) fn unpack(stream: &mut Stream<'a>) -> Result<Option<Self>, Error> {
        let front = stream.at();
        let permissions = permissions(stream)?;
        let before = stream.at();
        let Some(blob) = stream.blob(Some("aadfa")).filter(|blob| !blob.is_empty()) else {
            // An empty one counts as none, and then something else is missing.
            return if stream.at() == before { Ok(None) } else { Err(Reason::Dfa(DfaFault::Header).at(before)) };
        };
        let states = States::new(blob, permissions.is_none())
            .map_err(|fault| Reason::Dfa(fault).at(stream.at() - blob.len()))?;
        let start = stream.u32(Some("start")).unwrap_or(START);
        let file_start = stream.u32(Some("dfa_start")).unwrap_or(START);
        if !(states.has(start) && states.has(file_start)) {
            return Err(Reason::Start.at(stream.at()));
        }
        let transitions = transitions(stream)?;
        let rules = Self { states, start, file_start, permissions, transitions };
        rules.verify_permissions().map_err(|reason| reason.at(front))?;
        Ok(Some(rules))
    }

    /// Returns how many transitions there are.
    fn count(&self) -> u32 {
        u32::try_from(self.transitions.len()).unwrap_or(u32::MAX)
    }

    fn verify_permissions(&self) -> Result<(), Reason> {
        let Some(permissions) = &self.permissions else { return Ok(()) };
        if permissions.iter().any(Permission::contradicts_itself) {
            return Err(Reason::Contradiction);
        }
        let known = |accept: u32| (accept as usize) < permissions.len();
        if permissions.iter().all(|entry| entry.is_within(self.count())) && self.states.accepts().all(known) {
            Ok(())
        } else {
            Err(Reason::Index)
        }
    }

    /// Checks that file rules with permissions in the table of states name only transitions that there are: an owner's in
    /// the lower half of 28 bits, everybody else's in the upper one.
    pub(crate) fn verify_file_rules(&self) -> Result<(), Reason> {
        if self.permissions.is_some() {
            return Ok(());
        }
        // The first ones of 16 are not in the table: none, unconfined, the program's own name, and that as a child.
        let count = self.count();
        let known = |half: u32| (half >> 10 & 0xf).checked_sub(4).is_none_or(|index| index < count);
        if self.states.accepts().all(|accept| known(accept) && known(accept >> 14)) {
            Ok(())
        } else {
            Err(Reason::NamedTransition)
        }
    }

    pub(crate) fn into_class_rules(self) -> Rules {
        let start = self.start;
        self.into_rules(start)
    }

    pub(crate) fn into_file_rules(self) -> Rules {
        let start = self.file_start;
        self.into_rules(start)
    }

    fn into_rules(self, start: u32) -> Rules {
        let permissions = self.permissions.map(|entries| u16::try_from(entries.len()).unwrap_or(u16::MAX));
        Rules { dfa: self.states.shape().clone(), start, permissions, transitions: self.transitions }
    }

    /// Lists what is said of sockets, by asking for each family and type.
    pub(crate) fn network(&self) -> Vec<Network> {
        let path = |state: u32, characters: &[u8]| {
            // State 0 leads nowhere.
            characters.iter().try_fold(state, |state, character| match self.states.step(state, *character) {
                0 => None,
                next => Some(next),
            })
        };
        let Some(class) = path(self.start, &[CLASS_NETWORK, 0]) else { return Vec::new() };
        let families = (0..).zip(FAMILIES).filter_map(|(family, _)| {
            let state = path(class, &[u8::try_from(family).ok()?])?;
            let mut network = Network { family, allow: 0, audit: 0, quiet: 0 };
            for (socket, _) in SOCKETS {
                if let Some(state) = path(state, &[0, socket]) {
                    let [allow, audit, quiet] = self.permission(state);
                    network.allow |= u16::from(allow != 0) << socket;
                    network.audit |= u16::from(audit != 0) << socket;
                    network.quiet |= u16::from(quiet != 0) << socket;
                }
            }
            (network.allow | network.audit | network.quiet != 0).then_some(network)
        });
        families.collect()
    }

    /// Returns what a state of the class rules allows, has told, and leaves untold.
    fn permission(&self, state: u32) -> [u32; 3] {
        let (accept, accept2) = self.states.accept(state);
        if let Some(permissions) = &self.permissions {
            let entry = permissions.get(accept as usize).copied().unwrap_or_default();
            return [entry.allow, entry.audit, entry.quiet];
        }
        // Seven bits of permissions for an owner and seven for everybody else, which class rules use as fourteen.
        let both = |lower: u32, upper: u32| lower & 0x7f | (upper & 0x7f) << 7;
        [both(accept, accept >> 14), both(accept2, accept2 >> 14), both(accept2 >> 7, accept2 >> 21)]
    }
}

/// Reads the table of permissions, if there is one.
fn permissions(stream: &mut Stream<'_>) -> Result<Option<Vec<Permission>>, Error> {
    let front = stream.at();
    if stream.element(Kind::Struct, Some("perms")).is_none() {
        return Ok(None);
    }
    let mut read = || -> Option<Vec<Permission>> {
        stream.u32(Some("version")).filter(|version| *version == PERMISSIONS_VERSION)?;
        let count = stream.array(None)?;
        // Collected one by one: the number is a claim until they are there.
        let entries = (0..count).map(|_| Permission::unpack(stream)).collect::<Option<Vec<_>>>()?;
        stream.ends()?;
        Some(entries)
    };
    match read() {
        Some(entries) => Ok(Some(entries)),
        None => Err(Reason::Permissions.at(front)),
    }
}

/// Reads the table of transitions; none is an empty one.
fn transitions(stream: &mut Stream<'_>) -> Result<Vec<Text>, Error> {
    if stream.element(Kind::Struct, Some("xtable")).is_none() {
        return Ok(Vec::new());
    }
    let malformed = |stream: &Stream<'_>| Reason::Transitions.at(stream.at());
    let count = stream.array(None).ok_or_else(|| malformed(stream))?;
    let mut names = Vec::new();
    for _ in 0..count {
        let name = stream.string(None).and_then(transition).ok_or_else(|| malformed(stream))?;
        names.push(name);
    }
    stream.ends().ok_or_else(|| malformed(stream))?;
    Ok(names)
}

/// Reads the name of a transition: a zero between namespace and profile becomes the colon that it stands for.
fn transition(name: &[u8]) -> Option<Text> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0);
    let zeros = name.iter().filter(|byte| **byte == 0).count();
    match name {
        [first, ..] if is_space(first) => None,
        [b':'] | [b':', 0, ..] => None,
        [b':', ..] if zeros <= 1 => {
            let plain: Vec<u8> = name.iter().map(|byte| if *byte == 0 { b':' } else { *byte }).collect();
            Some(Text::new(&plain))
        }
        _ if zeros == 0 => Some(Text::new(name)),
        _ => None,
    }
}

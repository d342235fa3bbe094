// SPDX-License-Identifier: MIT OR Apache-2.0
//! Printing of profiles, as text for people and as JSON for programs.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use serde::Serialize;

use crate::dfa::Dfa;
use crate::names::{CAPABILITIES, FAMILIES, PATH_FLAGS, RESOURCES, SOCKETS};
use crate::profile::{Network, Profile, Rules};
use crate::text::Text;

/// Writes a few lines for each profile.
///
/// ```text
/// profile a//child (enforce)
///   file rules  1216 states, 4 differences, 2711 transitions, 40312 bytes
///   sha256      5d7e...
/// ```
///
/// # Errors
/// Whatever `out` returns.
pub fn write_text(out: &mut impl Write, profiles: &[Profile]) -> fmt::Result {
    profiles.iter().try_for_each(|profile| write_profile(out, profile))
}

fn write_profile(out: &mut impl Write, profile: &Profile) -> fmt::Result {
    write!(out, "profile {} ({}", Text::new(&profile.full_name()), profile.mode.name())?;
    flags(profile).iter().try_for_each(|flag| write!(out, ", {flag}"))?;
    writeln!(out, ") id {}", profile.id)?;
    let names = [("rename", &profile.rename), ("attachment", &profile.attachment)];
    for (what, name) in names.into_iter().chain([("disconnected", &profile.disconnected)]) {
        if let Some(name) = name {
            writeln!(out, "  {what:<11} {name}")?;
        }
    }
    for (what, set) in capabilities(profile) {
        if !set.is_empty() {
            writeln!(out, "  {what:<11} {}", set.join(" "))?;
        }
    }
    // Families that are treated alike stand on one line.
    for alike in profile.network.chunk_by(|one, other| masks(one) == masks(other)) {
        let families: Vec<_> = alike.iter().map(|network| family(network.family)).collect();
        write!(out, "  network     {}", families.join(","))?;
        let masks = alike.first().map(masks).unwrap_or_default();
        for (what, types) in ["", "audit: ", "quiet: "].into_iter().zip(masks) {
            if types != 0 {
                write!(out, " {what}{}", sockets(types).join(" "))?;
            }
        }
        writeln!(out)?;
    }
    for rlimit in &profile.rlimits {
        writeln!(out, "  rlimit      {} {}", resource(rlimit.resource), rlimit.limit)?;
    }
    for xattr in &profile.xattrs {
        writeln!(out, "  xattr       {xattr}")?;
    }
    for secmark in &profile.secmark {
        let (deny, audit) = (if secmark.deny { "deny " } else { "" }, if secmark.audit { "audit " } else { "" });
        writeln!(out, "  secmark     {audit}{deny}{}", secmark.label)?;
    }
    let attachment = profile.attachment_rules.as_ref().map(|(rules, _)| rules);
    let rules = [("attach dfa", attachment), ("class rules", profile.class_rules.as_ref())];
    for (what, rules) in rules.into_iter().chain([("file rules", profile.file_rules.as_ref())]) {
        if let Some(Rules { dfa, transitions, .. }) = rules {
            let Dfa { bytes, states, differences, transitions: moves, .. } = dfa;
            writeln!(
                out,
                "  {what:<11} {states} states, {differences} differences, {moves} transitions, {bytes} bytes"
            )?;
            for name in transitions {
                writeln!(out, "  transition  {name}")?;
            }
        }
    }
    for data in &profile.data {
        writeln!(out, "  data        {} {} bytes", data.key, data.len)?;
    }
    writeln!(out, "  sha256      {}", digits(&profile.hash))
}

/// Writes one line of JSON for each profile; `file`, if there is one, is its first member.
///
/// # Errors
/// Whatever `out` returns.
pub fn write_json(out: &mut impl Write, file: Option<&str>, profiles: &[Profile]) -> fmt::Result {
    profiles.iter().try_for_each(|profile| {
        let object = serde_json::to_string(&Object::new(file, profile)).map_err(|_| fmt::Error)?;
        writeln!(out, "{object}")
    })
}

/// A profile's object.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    /// As `apparmor_parser -N` prints it.
    name: String,
    namespace: Option<String>,
    parent: Option<String>,
    id: u32,
    sha256: String,
    offset: u32,
    bytes: u32,
    version: u16,
    mode: &'static str,
    flags: Vec<&'static str>,
    rename: Option<String>,
    attachment: Option<String>,
    disconnected: Option<String>,
    capabilities: Sets,
    network: Vec<Sockets>,
    rlimits: Vec<Limit>,
    xattrs: Vec<String>,
    secmark: Vec<Label>,
    attachment_rules: Option<Tables<'a>>,
    class_rules: Option<Tables<'a>>,
    file_rules: Option<Tables<'a>>,
    data: Vec<Carried>,
}

#[derive(Serialize)]
struct Sets {
    allow: Vec<String>,
    audit: Vec<String>,
    quiet: Vec<String>,
    extended: Vec<String>,
}

#[derive(Serialize)]
struct Sockets {
    family: String,
    allow: Vec<String>,
    audit: Vec<String>,
    quiet: Vec<String>,
}

#[derive(Serialize)]
struct Limit {
    resource: String,
    limit: u64,
}

#[derive(Serialize)]
struct Label {
    label: String,
    audit: bool,
    deny: bool,
}

#[derive(Serialize)]
struct Tables<'a> {
    #[serde(flatten)]
    dfa: &'a Dfa,
    start: u32,
    permissions: Option<u16>,
    named_transitions: Vec<String>,
}

#[derive(Serialize)]
struct Carried {
    key: String,
    bytes: u32,
}

impl<'a> Object<'a> {
    fn new(file: Option<&'a str>, profile: &'a Profile) -> Self {
        let text = |text: &Option<Text>| text.as_ref().map(Text::to_lossy);
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let [(_, allow), (_, audit), (_, quiet), (_, extended)] = capabilities(profile);
        Self {
            file,
            name: lossy(&profile.full_name()),
            namespace: text(&profile.namespace),
            parent: profile.parent().map(lossy),
            id: profile.id,
            sha256: digits(&profile.hash),
            offset: profile.place.offset,
            bytes: profile.place.len,
            version: profile.version,
            mode: profile.mode.name(),
            flags: flags(profile),
            rename: text(&profile.rename),
            attachment: text(&profile.attachment),
            disconnected: text(&profile.disconnected),
            capabilities: Sets { allow, audit, quiet, extended },
            network: profile
                .network
                .iter()
                .map(|network| Sockets {
                    family: family(network.family),
                    allow: sockets(network.allow),
                    audit: sockets(network.audit),
                    quiet: sockets(network.quiet),
                })
                .collect(),
            rlimits: profile
                .rlimits
                .iter()
                .map(|rlimit| Limit { resource: resource(rlimit.resource), limit: rlimit.limit })
                .collect(),
            xattrs: profile.xattrs.iter().map(Text::to_lossy).collect(),
            secmark: profile
                .secmark
                .iter()
                .map(|mark| Label { label: mark.label.to_lossy(), audit: mark.audit, deny: mark.deny })
                .collect(),
            attachment_rules: profile.attachment_rules.as_ref().map(|(rules, _)| Tables::new(rules)),
            class_rules: profile.class_rules.as_ref().map(Tables::new),
            file_rules: profile.file_rules.as_ref().map(Tables::new),
            data: profile.data.iter().map(|data| Carried { key: data.key.to_lossy(), bytes: data.len }).collect(),
        }
    }
}

impl<'a> Tables<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            dfa: &rules.dfa,
            start: rules.start,
            permissions: rules.permissions,
            named_transitions: rules.transitions.iter().map(Text::to_lossy).collect(),
        }
    }
}

fn flags(profile: &Profile) -> Vec<&'static str> {
    let [debug1, debug2] = profile.debug;
    let own = [(profile.hat, "hat"), (profile.audit, "audit"), (debug1, "debug"), (debug2, "debug2")];
    let path = profile.path_flags.unwrap_or_default();
    let paths = PATH_FLAGS.iter().map(|(bit, name)| (path & bit != 0, *name));
    own.into_iter().chain(paths).filter_map(|(set, name)| set.then_some(name)).collect()
}

/// Returns the sets of capabilities, each with what it is.
fn capabilities(profile: &Profile) -> [(&'static str, Vec<String>); 4] {
    let names = |set: u64| named(set, |number| CAPABILITIES.get(number).copied());
    let sets = profile.capabilities;
    [
        ("capability", names(sets.allow)),
        ("cap audit", names(sets.audit)),
        ("cap quiet", names(sets.quiet)),
        ("cap extend", names(sets.extended)),
    ]
}

const fn masks(network: &Network) -> [u16; 3] {
    [network.allow, network.audit, network.quiet]
}

/// Returns the names of types; `all` if it is every one that has a name.
fn sockets(types: u16) -> Vec<String> {
    let every = SOCKETS.iter().fold(0_u16, |every, (number, _)| every | 1 << number);
    if types & every == every {
        return Vec::from([String::from("all")]);
    }
    named(types.into(), |number| SOCKETS.iter().find(|(value, _)| usize::from(*value) == number).map(|(_, name)| *name))
}

/// Returns the names of a set's bits, or their numbers where they have no name.
fn named(set: u64, name: impl Fn(usize) -> Option<&'static str>) -> Vec<String> {
    (0..64).filter(|number| set >> number & 1 != 0).map(|number| or_number(name(number), number)).collect()
}

fn or_number(name: Option<&str>, number: usize) -> String {
    let mut text = String::new();
    // A string takes whatever is written to it.
    let _ = match name {
        Some(name) => text.write_str(name),
        None => write!(text, "{number}"),
    };
    text
}

fn family(number: u16) -> String {
    or_number(FAMILIES.get(usize::from(number)).copied(), number.into())
}

fn resource(number: u8) -> String {
    or_number(RESOURCES.get(usize::from(number)).copied(), number.into())
}

fn digits(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // As above.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

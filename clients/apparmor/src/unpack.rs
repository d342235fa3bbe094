// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader: from a policy to its profiles.
//!
//! The order of the elements is the kernel's, and so is what may be missing.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Reason};
use crate::names::RESOURCES;
use crate::profile::{Capabilities, Data, Mode, Network, Place, Profile, Rlimit, Secmark};
use crate::rules::RuleSet;
use crate::stream::{Kind, Stream};
use crate::text::Text;

/// Versions of the interface that the kernel reads, in the bits that say so.
const VERSIONS: core::ops::RangeInclusive<u32> = 5..=9;
const VERSION_BITS: u32 = 0x3ff;
/// The bit that makes all profiles behind it complain.
const COMPLAIN: u32 = 0x800;

/// The bits of the first word of flags.
const HAT: u32 = 1;
const DEBUG: [u32; 2] = [2, 4];

/// What the reader asks of whoever called it.
pub trait Caller {
    /// Returns an id that no other profile has.
    ///
    /// # Errors
    /// [`NoIds`] if there is none.
    fn allocate_id(&mut self) -> Result<u32, NoIds>;

    /// Returns SHA-256 of a profile: of the version in four bytes, and of the profile's bytes.
    fn hash(&mut self, version: u32, profile: &[u8]) -> [u8; 32] {
        hash(version, profile)
    }
}

/// There is no id left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoIds;

/// Returns SHA-256 of a profile, as the kernel tells it.
pub fn hash(version: u32, profile: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(version.to_le_bytes()).chain_update(profile).finalize().into()
}

/// Reads all profiles of a policy.
///
/// # Errors
/// What is wrong with the policy, and where. Nothing of it is used then, as in the kernel.
pub fn unpack(policy: &[u8], caller: &mut impl Caller) -> Result<Vec<Profile>, Error> {
    if u32::try_from(policy.len()).is_err() {
        return Err(Reason::TooLarge.at(0));
    }
    let mut stream = Stream::new(policy);
    let mut header = Header::first(&mut stream)?;
    let mut profiles = Vec::new();
    loop {
        profiles.push(profile(&mut stream, &header, caller)?);
        if stream.is_at_end() {
            return Ok(profiles);
        }
        header.next(&mut stream)?;
    }
}

/// What stands before profiles, and holds until something else does.
struct Header {
    version: u32,
    namespace: Option<Text>,
}

impl Header {
    fn first(stream: &mut Stream<'_>) -> Result<Self, Error> {
        if stream.is_at_end() {
            return Err(Reason::Empty.at(0));
        }
        let version = stream.u32(Some("version")).ok_or(Reason::NoVersion.at(0))?;
        let mut header = Self { version, namespace: None };
        header.rest(stream)?;
        Ok(header)
    }

    fn next(&mut self, stream: &mut Stream<'_>) -> Result<(), Error> {
        if let Some(version) = stream.u32(Some("version")) {
            self.version = version;
        }
        self.rest(stream)
    }

    fn rest(&mut self, stream: &mut Stream<'_>) -> Result<(), Error> {
        if !VERSIONS.contains(&(self.version & VERSION_BITS)) {
            return Err(Reason::Version.at(stream.at()));
        }
        if let Some(name) = stream.string(Some("namespace")) {
            let name = Text::up_to_zero(name);
            if name.as_bytes().is_empty() {
                return Err(Reason::Namespace.at(stream.at()));
            }
            // A later one is told by the kernel and not used.
            self.namespace.get_or_insert(name);
        }
        Ok(())
    }
}

/// Makes an error of what is not there, where it should be.
fn need<T>(stream: &Stream<'_>, found: Option<T>, reason: Reason) -> Result<T, Error> {
    found.ok_or_else(|| reason.at(stream.at()))
}

/// Takes a string that may be missing.
fn optional(stream: &mut Stream<'_>, name: &str) -> Option<Text> {
    stream.string(Some(name)).map(Text::up_to_zero)
}

fn profile(stream: &mut Stream<'_>, header: &Header, caller: &mut impl Caller) -> Result<Profile, Error> {
    let offset = stream.at();
    let start = stream.element(Kind::Struct, Some("profile"));
    need(stream, start, Reason::NoProfile)?;
    let name = stream.string(None).and_then(Name::new);
    let Name { namespace, name } = need(stream, name, Reason::Name)?;
    let rename = optional(stream, "rename");
    let attachment = optional(stream, "attach");
    let attachment_rules = match RuleSet::unpack(stream)? {
        Some(rules) => {
            let len = stream.u32(None);
            Some((rules.into_file_rules(), need(stream, len, Reason::AttachmentLength)?))
        }
        None => None,
    };
    let disconnected = optional(stream, "disconnected");
    let Flags { mode, hat, debug, audit } = flags(stream, header.version)?;
    let path_flags = stream.u32(Some("path_flags"));
    let capabilities = capabilities(stream)?;
    let xattrs = list(stream, "xattrs", |stream| stream.string(None).map(Text::up_to_zero));
    let xattrs = need(stream, xattrs, Reason::Xattrs)?;
    let rlimits = rlimits(stream);
    let rlimits = need(stream, rlimits, Reason::Rlimits)?;
    let sockets = sockets(stream);
    let sockets = need(stream, sockets, Reason::Network)?;
    let secmark = list(stream, "secmark", |stream| {
        let (audit, deny) = (stream.u8()? != 0, stream.u8()? != 0);
        Some(Secmark { audit, deny, label: Text::up_to_zero(stream.string(None)?) })
    });
    let secmark = need(stream, secmark, Reason::Secmark)?;
    let class_rules = class_rules(stream)?;
    let at = stream.at();
    let file_rules = RuleSet::unpack(stream)?;
    if let Some(rules) = &file_rules {
        rules.verify_file_rules().map_err(|reason| reason.at(at))?;
    }
    let data = data(stream);
    let data = need(stream, data, Reason::Data)?;
    let end = stream.element(Kind::StructEnd, None);
    need(stream, end, Reason::End)?;
    let bytes = stream.since(offset);
    Ok(Profile {
        id: caller.allocate_id().map_err(|NoIds| Reason::NoId.at(offset))?,
        hash: caller.hash(header.version, bytes),
        place: Place { offset: count(offset), len: count(bytes.len()) },
        version: u16::try_from(header.version & VERSION_BITS).unwrap_or_default(),
        namespace: namespace.or_else(|| header.namespace.clone()),
        name,
        rename,
        attachment,
        attachment_rules,
        disconnected,
        mode,
        hat,
        audit,
        debug,
        path_flags,
        capabilities,
        xattrs,
        rlimits,
        secmark,
        network: sockets.unwrap_or_else(|| class_rules.as_ref().map(RuleSet::network).unwrap_or_default()),
        class_rules: class_rules.map(RuleSet::into_class_rules),
        file_rules: file_rules.map(RuleSet::into_file_rules),
        data,
    })
}

/// Converts a place in, or a length of, a part of the policy, whose length was checked to fit.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A profile's name, and the namespace that it may begin with: `:namespace:name` or `:namespace://name`.
struct Name {
    namespace: Option<Text>,
    name: Text,
}

impl Name {
    fn new(bytes: &[u8]) -> Option<Self> {
        let text = bytes.split(|byte| *byte == 0).next()?.trim_ascii_start();
        let (namespace, name) = match text.strip_prefix(b":") {
            Some(behind) => {
                let mut parts = behind.splitn(2, |byte| *byte == b':');
                let (namespace, name) = (parts.next()?.trim_ascii_start(), parts.next()?);
                let name = name.strip_prefix(b"//").filter(|rest| !rest.is_empty()).unwrap_or(name);
                (Some(namespace).filter(|namespace| !namespace.is_empty()), name.trim_ascii_start())
            }
            None => (None, text),
        };
        (!name.is_empty()).then(|| Self { namespace: namespace.map(Text::new), name: Text::new(name) })
    }
}

struct Flags {
    mode: Mode,
    hat: bool,
    debug: [bool; 2],
    audit: bool,
}

fn flags(stream: &mut Stream<'_>, version: u32) -> Result<Flags, Error> {
    let start = stream.element(Kind::Struct, Some("flags"));
    need(stream, start, Reason::Flags)?;
    let bits = stream.u32(None);
    let bits = need(stream, bits, Reason::Flags)?;
    let at = stream.at();
    let mode = stream.u32(None);
    let mode = match need(stream, mode, Reason::Flags)? {
        1 => Mode::Complain,
        _ if version & COMPLAIN != 0 => Mode::Complain,
        0 => Mode::Enforce,
        2 => Mode::Kill,
        3 => Mode::Unconfined,
        4 => Mode::User,
        _ => return Err(Reason::Mode.at(at)),
    };
    let audit = stream.u32(None);
    let audit = need(stream, audit, Reason::Flags)? != 0;
    let end = stream.element(Kind::StructEnd, None);
    need(stream, end, Reason::Flags)?;
    Ok(Flags { mode, hat: bits & HAT != 0, debug: DEBUG.map(|bit| bits & bit != 0), audit })
}

fn capabilities(stream: &mut Stream<'_>) -> Result<Capabilities, Error> {
    // The fourth set is one that no kernel looks at.
    let words = |stream: &mut Stream<'_>| {
        let sets = [stream.u32(None)?, stream.u32(None)?, stream.u32(None)?];
        stream.u32(None)?;
        Some(sets.map(u64::from))
    };
    let lower = words(stream);
    let mut sets = need(stream, lower, Reason::Capabilities)?;
    if stream.element(Kind::Struct, Some("caps64")).is_some() {
        let upper = words(stream).and_then(|sets| stream.element(Kind::StructEnd, None).map(|()| sets));
        let upper = need(stream, upper, Reason::Capabilities)?;
        sets.iter_mut().zip(upper).for_each(|(set, upper)| *set |= upper << 32);
    }
    let mut extended = 0;
    if stream.element(Kind::Struct, Some("capsx")).is_some() {
        let mut read = || {
            let (lower, upper) = (stream.u32(None)?, stream.u32(None)?);
            stream.element(Kind::StructEnd, None)?;
            Some(u64::from(lower) | u64::from(upper) << 32)
        };
        let read = read();
        extended = need(stream, read, Reason::Capabilities)?;
    }
    let [allow, audit, quiet] = sets;
    Ok(Capabilities { allow, audit, quiet, extended })
}

/// Reads a structure that holds an array and nothing else; none is an empty one.
fn list<'a, T>(
    stream: &mut Stream<'a>,
    name: &str,
    mut entry: impl FnMut(&mut Stream<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    if stream.element(Kind::Struct, Some(name)).is_none() {
        return Some(Vec::new());
    }
    let count = stream.array(None)?;
    let entries = (0..count).map(|_| entry(stream)).collect::<Option<_>>()?;
    stream.ends()?;
    Some(entries)
}

/// Reads the resource limits: a word that says which there are, and the values of all.
fn rlimits(stream: &mut Stream<'_>) -> Option<Vec<Rlimit>> {
    if stream.element(Kind::Struct, Some("rlimits")).is_none() {
        return Some(Vec::new());
    }
    let mask = stream.u32(None)?;
    let count = stream.array(None).filter(|count| usize::from(*count) <= RESOURCES.len())?;
    let mut limits = Vec::new();
    for resource in (0..count).filter_map(|resource| u8::try_from(resource).ok()) {
        let limit = stream.u64()?;
        if mask >> resource & 1 != 0 {
            limits.push(Rlimit { resource, limit });
        }
    }
    stream.ends()?;
    Some(limits)
}

/// Reads network rules in the form that Linux had before the class rules, if they are there.
fn sockets(stream: &mut Stream<'_>) -> Option<Option<Vec<Network>>> {
    let Some(count) = stream.array(Some("net_allowed_af")) else { return Some(None) };
    let mut families = Vec::new();
    for family in 0..count {
        let network = Network { family, allow: stream.u16()?, audit: stream.u16()?, quiet: stream.u16()? };
        if network.allow | network.audit | network.quiet != 0 {
            families.push(network);
        }
    }
    stream.element(Kind::ArrayEnd, None)?;
    Some(Some(families))
}

/// Reads the class rules, if there are any.
fn class_rules<'a>(stream: &mut Stream<'a>) -> Result<Option<RuleSet<'a>>, Error> {
    if stream.element(Kind::Struct, Some("policydb")).is_none() {
        return Ok(None);
    }
    let rules = RuleSet::unpack(stream)?;
    let rules = need(stream, rules, Reason::NoDfa)?;
    let end = stream.element(Kind::StructEnd, None);
    need(stream, end, Reason::Policydb)?;
    Ok(Some(rules))
}

/// Reads what is carried for other programs: keys and bytes until the end.
fn data(stream: &mut Stream<'_>) -> Option<Vec<Data>> {
    if stream.element(Kind::Struct, Some("data")).is_none() {
        return Some(Vec::new());
    }
    let mut data = Vec::new();
    while let Some(key) = stream.string(None) {
        // A key without bytes is one with none.
        let len = stream.blob(None).map_or(0, <[u8]>::len);
        data.push(Data { key: Text::up_to_zero(key), len: count(len) });
    }
    stream.element(Kind::StructEnd, None)?;
    Some(data)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Profiles: plain data that says what a policy holds, without the tables of states themselves.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::dfa::Dfa;
use crate::text::Text;

/// What happens to an access that no rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It is allowed and told.
    Complain,
    /// It ends the task.
    Kill,
    /// The profile confines nothing.
    Unconfined,
    /// A program of the user's is asked.
    User,
}

impl Mode {
    /// Returns the word that the kernel has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
            Self::Kill => "kill",
            Self::Unconfined => "unconfined",
            Self::User => "user",
        }
    }
}

/// Where a profile lies in its policy, behind its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Bytes before it.
    pub offset: u32,
    /// Bytes of it.
    pub len: u32,
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its id, which the caller allocated.
    pub id: u32,
    /// SHA-256 of the version and the profile, as the kernel tells it in `sha256`.
    pub hash: [u8; 32],
    /// Where it lies.
    pub place: Place,
    /// Version of the interface that it is written for, 5 to 9.
    pub version: u16,
    /// The namespace that it is loaded into, if not the loader's own.
    pub namespace: Option<Text>,
    /// Its name, with those of the profiles that it is a part of before it.
    pub name: Text,
    /// The profile that it takes the place of, if not the one with its name.
    pub rename: Option<Text>,
    /// The programs that it is for, as the policy's text has them.
    pub attachment: Option<Text>,
    /// The same as a table of states, and the length of its longest fixed part.
    pub attachment_rules: Option<(Rules, u32)>,
    /// What stands before paths that lead nowhere.
    pub disconnected: Option<Text>,
    /// What happens to what is not allowed.
    pub mode: Mode,
    /// Whether it is a hat: a part of its parent that a task puts on by itself.
    pub hat: bool,
    /// Whether every access is told.
    pub audit: bool,
    /// The two flags for debugging.
    pub debug: [bool; 2],
    /// How paths are made out, in the kernel's bits.
    pub path_flags: Option<u32>,
    /// Capabilities.
    pub capabilities: Capabilities,
    /// Names of the extended attributes that the attachment looks at.
    pub xattrs: Vec<Text>,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Labels for packets.
    pub secmark: Vec<Secmark>,
    /// What sockets are allowed or told of, by address family.
    pub network: Vec<Network>,
    /// Rules by class: sockets, signals, mounts and others.
    pub class_rules: Option<Rules>,
    /// Rules for files.
    pub file_rules: Option<Rules>,
    /// What is carried for other programs.
    pub data: Vec<Data>,
}

impl Profile {
    /// Returns the profile's name as `apparmor_parser -N` prints it.
    pub fn full_name(&self) -> Vec<u8> {
        let parts = match &self.namespace {
            Some(namespace) => [&b":"[..], namespace.as_bytes(), b"://", self.name.as_bytes()],
            None => [&b""[..], b"", b"", self.name.as_bytes()],
        };
        parts.concat()
    }

    /// Returns the name of the profile that this one is a child or a hat of.
    ///
    /// The names are separated as the kernel does it, from the front: a name that is a path begins with a third slash.
    pub fn parent(&self) -> Option<&[u8]> {
        let name = self.name.as_bytes();
        let (mut end, mut at) = (None, 0);
        while let Some(len) = name.get(at..)?.windows(2).position(|two| two == b"//") {
            end = Some(at + len);
            at += len + 2;
        }
        name.get(..end?)
    }
}

/// Sets of capabilities, in the kernel's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Those that are allowed.
    pub allow: u64,
    /// Those whose use is told.
    pub audit: u64,
    /// Those whose refusal is not told.
    pub quiet: u64,
    /// Those that are mediated in a newer way.
    pub extended: u64,
}

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The resource's number.
    pub resource: u8,
    /// The most that a task may set.
    pub limit: u64,
}

/// A label for packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secmark {
    /// Whether it is told.
    pub audit: bool,
    /// Whether it is refused.
    pub deny: bool,
    /// The label.
    pub label: Text,
}

/// What is allowed to sockets of one address family: a bit for each type of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The family's number.
    pub family: u16,
    /// Types that are allowed.
    pub allow: u16,
    /// Types whose use is told.
    pub audit: u16,
    /// Types whose refusal is not told.
    pub quiet: u16,
}

/// Rules as a table of states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The table.
    pub dfa: Dfa,
    /// The state to start in.
    pub start: u32,
    /// Entries of the table of permissions; none where the permissions are in the table of states.
    pub permissions: Option<u16>,
    /// Profiles that a program's start may lead to.
    pub transitions: Vec<Text>,
}

/// Something that the policy carries for another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// What it is called.
    pub key: Text,
    /// Its bytes.
    pub len: u32,
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a policy is refused, and where.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::dfa::DfaFault;

/// A policy that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What is wrong.
    pub reason: Reason,
    /// Where in the policy it was noticed, in bytes from its start.
    pub offset: u32,
}

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It has no profile at all.
    Empty,
    /// It has more bytes than a place can name.
    TooLarge,
    /// It does not start with the version of the interface.
    NoVersion,
    /// The version of the interface is none from 5 to 9.
    Version,
    /// The namespace has no name.
    Namespace,
    /// No profile starts where one should.
    NoProfile,
    /// The profile has no name.
    Name,
    /// The table of permissions is malformed.
    Permissions,
    /// A table of states is malformed.
    Dfa(DfaFault),
    /// The class rules have no table of states.
    NoDfa,
    /// A start state is none of the table.
    Start,
    /// The table of transitions is malformed.
    Transitions,
    /// The length of the attachment's longest fixed part is missing.
    AttachmentLength,
    /// The flags are missing or malformed.
    Flags,
    /// The mode is none of the known ones.
    Mode,
    /// The capabilities are missing or malformed.
    Capabilities,
    /// The extended attributes are malformed.
    Xattrs,
    /// The resource limits are malformed.
    Rlimits,
    /// The older form of network rules is malformed.
    Network,
    /// The labels for packets are malformed.
    Secmark,
    /// The class rules are malformed.
    Policydb,
    /// The data for others are malformed.
    Data,
    /// The profile does not end where it should.
    End,
    /// A rule names a transition that is not in the table.
    NamedTransition,
    /// A permission contradicts another one.
    Contradiction,
    /// A rule or a permission names an entry that its table does not have.
    Index,
    /// The caller has no id for the profile.
    NoId,
}

impl Reason {
    /// Makes an error of this reason.
    pub(crate) fn at(self, offset: usize) -> Error {
        Error { reason: self, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no profile",
            Self::TooLarge => "more than 4 GiB",
            Self::NoVersion => "the version of the interface is missing",
            Self::Version => "the version of the interface is none from 5 to 9",
            Self::Namespace => "the namespace has no name",
            Self::NoProfile => "no profile starts here",
            Self::Name => "the profile has no name",
            Self::Permissions => "malformed table of permissions",
            Self::Dfa(fault) => return write!(f, "malformed table of states: {fault}"),
            Self::NoDfa => "the class rules have no table of states",
            Self::Start => "the start state is not in the table of states",
            Self::Transitions => "malformed table of transitions",
            Self::AttachmentLength => "the attachment's length is missing",
            Self::Flags => "malformed flags",
            Self::Mode => "unknown mode",
            Self::Capabilities => "malformed capabilities",
            Self::Xattrs => "malformed extended attributes",
            Self::Rlimits => "malformed resource limits",
            Self::Network => "malformed network rules",
            Self::Secmark => "malformed labels for packets",
            Self::Policydb => "malformed class rules",
            Self::Data => "malformed data",
            Self::End => "the profile does not end where it should",
            Self::NamedTransition => "a rule names a transition that is not in the table",
            Self::Contradiction => "a permission contradicts another one",
            Self::Index => "a rule or permission names an entry that is not in its table",
            Self::NoId => "the caller has no id left",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl core::error::Error for Error {}

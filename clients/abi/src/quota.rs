// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of a client's is used up, told with its figures.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Errno, limits::PAGE};

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resource {
    /// Sandboxes, spares included.
    Sandboxes,
    /// Pages of memory.
    Pages,
    /// Capability slots.
    Slots,
    /// Ranges of the client's own pages that are mapped into its sandboxes.
    Mappings,
}

/// A client was refused what it has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverQuota {
    /// Of what.
    pub resource: Resource,
    /// How much was asked for.
    pub requested: u32,
    /// How much the client has in use.
    pub used: u32,
    /// How much it may have.
    pub limit: u32,
    /// Whether its limit has room, but what there is belongs to other clients or is kept for them.
    pub kept: bool,
}

impl OverQuota {
    /// Returns the error: EDQUOT where the client's own limit is reached, ENOMEM where others have the rest.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        if self.kept { Errno::NoMemory } else { Errno::Quota }
    }
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = match self.resource {
            Resource::Sandboxes => ("sandboxes", 1),
            Resource::Pages => ("KiB of memory", u64::from(PAGE / 1024)),
            Resource::Slots => ("slots", 1),
            Resource::Mappings => ("mappings", 1),
        };
        let [requested, used, limit] = [self.requested, self.used, self.limit].map(|number| u64::from(number) * unit);
        write!(f, "{requested} {what} asked for, {used} of {limit} in use")?;
        if self.kept { f.write_str(", and the rest is others' or kept for them") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{format, string::ToString};

    use super::*;

    #[test]
    fn what_is_over_a_quota_is_told_in_words() {
        for (resource, said) in [
            (Resource::Sandboxes, "1 sandboxes asked for, 2 of 3 in use"),
            (Resource::Pages, "4 KiB of memory asked for, 8 of 12 in use"),
            (Resource::Slots, "1 slots asked for, 2 of 3 in use"),
            (Resource::Mappings, "1 mappings asked for, 2 of 3 in use"),
        ] {
            let over = OverQuota { resource, requested: 1, used: 2, limit: 3, kept: false };
            assert_eq!((over.to_string().as_str(), over.errno()), (said, Errno::Quota));
            let kept = OverQuota { kept: true, ..over };
            let longer = format!("{said}, and the rest is others' or kept for them");
            assert_eq!((kept.to_string(), kept.errno()), (longer, Errno::NoMemory));
        }
    }
}

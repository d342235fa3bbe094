// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client may have, and what it has.

use core::fmt;

use sbm_abi::limits::PAGE;

use crate::Free;

/// Pages and capability slots that something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Charge {
    /// Pages of memory.
    pub pages: u32,
    /// Capability slots.
    pub slots: u32,
}

impl Charge {
    /// Charges what the allocators hand out: powers of two.
    pub(crate) const fn of(pages: u32, slots: u32) -> Self {
        const fn power(number: u32) -> u32 {
            if number == 0 { 0 } else { number.next_power_of_two() }
        }
        Self { pages: power(pages), slots: power(slots) }
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self { pages: self.pages.saturating_add(other.pages), slots: self.slots.saturating_add(other.slots) }
    }

    pub(crate) const fn minus(self, other: Self) -> Self {
        Self { pages: self.pages.saturating_sub(other.pages), slots: self.slots.saturating_sub(other.slots) }
    }
}

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Sandboxes, spares included.
    Sandboxes,
    /// Pages of memory.
    Pages,
    /// Capability slots.
    Slots,
}

/// A quota has no room for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// Of what.
    pub resource: Resource,
    /// How much was asked for.
    pub requested: u32,
    /// How much is in use.
    pub used: u32,
    /// How much there may be.
    pub limit: u32,
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.resource {
            Resource::Sandboxes => "sandboxes",
            Resource::Pages => "pages",
            Resource::Slots => "slots",
        };
        let Self { requested, used, limit, .. } = self;
        write!(f, "{requested} {what} asked for, {used} of {limit} in use")
    }
}

/// What a client may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Sandboxes, spares included.
    pub sandboxes: u16,
    /// Pages and slots: sandboxes, spares included, with all their paging structures, and the client's own page tables
    /// for its arenas.
    pub limit: Charge,
    /// Destroyed sandboxes that are kept ready for the next `sbm_init` of the same shape.
    pub spares: u8,
}

impl Quota {
    /// Nothing at all.
    pub(crate) const NONE: Self = Self { sandboxes: 0, limit: Charge { pages: 0, slots: 0 }, spares: 0 };

    /// Divides what is free among `clients`, so that what one takes is not another one's.
    #[must_use]
    pub fn share(free: Free, sandboxes: u16, clients: u16) -> Self {
        let clients = clients.max(1);
        let pages = u32::try_from(free.bytes / u64::from(PAGE)).unwrap_or(u32::MAX);
        let limit = Charge { pages: pages / u32::from(clients), slots: free.slots / u32::from(clients) };
        Self { sandboxes: sandboxes / clients, limit, spares: 4 }
    }

    /// Tells whether there is room for `sandboxes` and `charge` beside what is in use.
    pub(crate) fn admits(
        &self,
        (sandboxes_used, used): (u16, Charge),
        sandboxes: u16,
        charge: Charge,
    ) -> Result<(), OverQuota> {
        let lines = [
            (Resource::Sandboxes, u32::from(sandboxes), u32::from(sandboxes_used), u32::from(self.sandboxes)),
            (Resource::Pages, charge.pages, used.pages, self.limit.pages),
            (Resource::Slots, charge.slots, used.slots, self.limit.slots),
        ];
        for (resource, requested, used, limit) in lines {
            if requested > limit.saturating_sub(used) {
                return Err(OverQuota { resource, requested, used, limit });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_no_more_than_there_is() {
        let free = Free { bytes: 4096 * 1001, slots: 103 };
        let quota = Quota::share(free, 4064, 3);
        assert_eq!(quota.limit, Charge { pages: 333, slots: 34 });
        assert_eq!((quota.sandboxes, quota.spares), (1354, 4));
        assert_eq!(Quota::share(free, 10, 0), Quota::share(free, 10, 1));
    }

    #[test]
    fn charges_are_rounded_up_as_the_allocators_do() {
        assert_eq!(Charge::of(0, 5), Charge { pages: 0, slots: 8 });
        assert_eq!(Charge::of(8, 9), Charge { pages: 8, slots: 16 });
    }

    #[test]
    fn each_quota_binds_at_its_limit_and_tells_the_figures() {
        let quota = Quota { sandboxes: 3, limit: Charge { pages: 10, slots: 20 }, spares: 0 };
        let used = (2, Charge { pages: 6, slots: 12 });
        assert_eq!(quota.admits(used, 1, Charge { pages: 4, slots: 8 }), Ok(()));
        let over = |resource, requested, used, limit| Err(OverQuota { resource, requested, used, limit });
        assert_eq!(quota.admits(used, 2, Charge::default()), over(Resource::Sandboxes, 2, 2, 3));
        assert_eq!(quota.admits(used, 0, Charge { pages: 5, slots: 0 }), over(Resource::Pages, 5, 6, 10));
        assert_eq!(quota.admits(used, 0, Charge { pages: 0, slots: 9 }), over(Resource::Slots, 9, 12, 20));
    }

    #[test]
    fn what_is_over_a_quota_is_told_in_words() {
        extern crate std;
        use std::string::ToString;

        for (resource, name) in
            [(Resource::Sandboxes, "sandboxes"), (Resource::Pages, "pages"), (Resource::Slots, "slots")]
        {
            let over = OverQuota { resource, requested: 1, used: 2, limit: 3 };
            assert_eq!(over.to_string(), std::format!("1 {name} asked for, 2 of 3 in use"));
        }
    }
}

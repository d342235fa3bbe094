// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client may have, and what it has.

use sbm_abi::{OverQuota, Resource};
use sbm_system::{Amounts, Promise, Terms};

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

    /// Returns the same with sandboxes.
    pub(crate) const fn with(self, sandboxes: u32) -> Amounts {
        Amounts { sandboxes, pages: self.pages, slots: self.slots }
    }

    pub(crate) const fn minus(self, other: Self) -> Self {
        Self { pages: self.pages.saturating_sub(other.pages), slots: self.slots.saturating_sub(other.slots) }
    }
}

/// What a client may have at once, and what is kept for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The most that it may have: spares, paging structures, and its own page tables for its arenas included.
    pub limit: Amounts,
    /// What nobody else gets.
    pub kept: Amounts,
    /// Ranges of its own pages that it may have mapped into its sandboxes.
    pub mappings: u32,
    /// Destroyed sandboxes that are kept ready for the next `sbm_init` of the same shape.
    pub spares: u8,
}

/// Spares of a client.
const SPARES: u8 = 4;

impl Quota {
    /// Nothing at all.
    pub(crate) const NONE: Self = Self { limit: NOTHING, kept: NOTHING, mappings: 0, spares: 0 };

    /// Makes a quota of what was promised.
    #[must_use]
    pub(crate) fn new(promise: Promise, terms: &Terms) -> Self {
        let mappings = terms.quota.mappings.unwrap_or(u32::MAX);
        Self { limit: promise.limit, kept: promise.kept, mappings, spares: SPARES }
    }
}

const NOTHING: Amounts = Amounts { sandboxes: 0, pages: 0, slots: 0 };

/// What a client has, and how far it can go: its limit, and of that what neither is another one's nor kept for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Its limit.
    pub(crate) limit: Amounts,
    /// What is there but for what others have or are promised.
    pub(crate) left: Amounts,
}

impl Room {
    /// Takes out of what is there what another client has, or is kept for it where that is more.
    pub(crate) fn leave(&mut self, used: Amounts, kept: Amounts) {
        let left = &mut self.left;
        left.sandboxes = left.sandboxes.saturating_sub(used.sandboxes.max(kept.sandboxes));
        left.pages = left.pages.saturating_sub(used.pages.max(kept.pages));
        left.slots = left.slots.saturating_sub(used.slots.max(kept.slots));
    }

    /// Tells whether there is room for `asked` beside what is in use.
    pub(crate) fn admits(&self, used: Amounts, asked: Amounts) -> Result<(), OverQuota> {
        let Self { limit, left } = self;
        let lines = [
            (Resource::Sandboxes, asked.sandboxes, used.sandboxes, limit.sandboxes, left.sandboxes),
            (Resource::Pages, asked.pages, used.pages, limit.pages, left.pages),
            (Resource::Slots, asked.slots, used.slots, limit.slots, left.slots),
        ];
        for (resource, requested, used, limit, left) in lines {
            let kept = requested <= limit.saturating_sub(used);
            if !kept || requested > left.saturating_sub(used) {
                return Err(OverQuota { resource, requested, used, limit, kept });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_are_rounded_up_as_the_allocators_do() {
        assert_eq!(Charge::of(0, 5), Charge { pages: 0, slots: 8 });
        assert_eq!(Charge::of(8, 9), Charge { pages: 8, slots: 16 });
    }

    const LIMIT: Amounts = Amounts { sandboxes: 3, pages: 10, slots: 20 };
    const USED: Amounts = Amounts { sandboxes: 2, pages: 6, slots: 12 };

    fn asked(sandboxes: u32, pages: u32, slots: u32) -> Amounts {
        Amounts { sandboxes, pages, slots }
    }

    #[test]
    fn each_quota_binds_at_its_limit_and_tells_the_figures() {
        let room = Room { limit: LIMIT, left: asked(100, 100, 100) };
        assert_eq!(room.admits(USED, asked(1, 4, 8)), Ok(()));
        let over = |resource, requested, used, limit| Err(OverQuota { resource, requested, used, limit, kept: false });
        assert_eq!(room.admits(USED, asked(2, 0, 0)), over(Resource::Sandboxes, 2, 2, 3));
        assert_eq!(room.admits(USED, asked(0, 5, 0)), over(Resource::Pages, 5, 6, 10));
        assert_eq!(room.admits(USED, asked(0, 0, 9)), over(Resource::Slots, 9, 12, 20));
    }

    #[test]
    fn what_is_another_ones_or_kept_for_it_is_not_taken() {
        let mut room = Room { limit: LIMIT, left: asked(10, 20, 40) };
        room.leave(asked(3, 10, 5), asked(7, 2, 4));
        room.leave(asked(0, 1, 20), asked(0, 0, 0));
        assert_eq!(room.left, asked(3, 9, 15));
        assert_eq!(room.admits(USED, asked(1, 3, 3)), Ok(()));
        let over = |resource, requested, used, limit| Err(OverQuota { resource, requested, used, limit, kept: true });
        assert_eq!(room.admits(USED, asked(0, 4, 0)), over(Resource::Pages, 4, 6, 10));
        assert_eq!(room.admits(USED, asked(0, 0, 4)), over(Resource::Slots, 4, 12, 20));
        room.leave(asked(1, 0, 0), asked(0, 0, 0));
        assert_eq!(room.admits(USED, asked(1, 0, 0)), over(Resource::Sandboxes, 1, 2, 3));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! One sandbox with its client: what is added to it, and who pays for that.

use sbm_abi::{BufferAccess, Layout, OverQuota, Pages, Resource, limits::MAX_MAPPINGS};
use sbm_system::Amounts;

use crate::{
    Charge, Exhausted, GrowError, MapError, Plan, Platform, Progress, Quota, Shortage, Table,
    arena::Arena,
    quota::Room,
    table::{Additions, Bundle, Client, Growth, Mapping, OWN, Sandbox, SandboxIndex},
};

/// A sandbox and its client.
pub(crate) struct Owned<'a, P: Platform> {
    pub(crate) index: SandboxIndex,
    pub(crate) client: &'a mut Client<P>,
    pub(crate) sandbox: &'a mut Sandbox<P>,
    pub(crate) additions: &'a mut Additions<P>,
    pub(crate) arena: &'a mut Arena<P::Part>,
}

impl<P: Platform> Owned<'_, P> {
    pub(crate) fn charge(&mut self, charge: Charge) {
        self.sandbox.charge = self.sandbox.charge.plus(charge);
        self.client.charge = self.client.charge.plus(charge);
    }

    pub(crate) fn refund(&mut self, charge: Charge) {
        self.sandbox.charge = self.sandbox.charge.minus(charge);
        self.client.charge = self.client.charge.minus(charge);
    }

    /// Adds buffers, if there is room for them now, and returns where, and whether all of their pages are there.
    pub(crate) fn grow(
        &mut self,
        platform: &mut P,
        room: &Room,
        layout: Layout<'_>,
    ) -> Result<(u32, Progress), GrowError> {
        let bits = layout.span_bits();
        let base = self.arena.reserve(bits)?;
        let made = self.grow_at(platform, room, layout.at(base));
        if made.is_err() {
            self.arena.release(base, bits);
        }
        made.map(|progress| (base, progress))
    }

    fn grow_at(&mut self, platform: &mut P, room: &Room, layout: Layout<'_>) -> Result<Progress, GrowError> {
        let plan = Plan::new(layout, 0, |table| self.additions.lacks(table)).ok_or(Exhausted)?;
        let (charge, tables) = plan.charges_of_growth();
        cover::<_, GrowError>(platform, self.client, self.arena, room, layout, charge.plus(tables).with(0))?;
        self.add_tables(platform, &plan.tables)?;
        let begun = platform.add_pages(&self.client.objects, &self.sandbox.objects, &plan);
        let begun = begun.and_then(|mut part| {
            let extended = platform.extend(&self.client.objects, &self.sandbox.objects, &mut part, &plan);
            undo(platform, part, extended)
        });
        let (part, progress) = begun.inspect_err(|_| self.drop_unused(platform))?;
        let growth = Growth { base: layout.base(), bits: layout.span_bits(), charge, part };
        // There is room: it was looked for before.
        let _ = self.additions.growths.push(growth);
        self.charge(charge);
        Ok(progress)
    }

    /// Maps pages of the client's own, if there is room for it now, and tells whether all are mapped.
    pub(crate) fn map(
        &mut self,
        platform: &mut P,
        room: &Room,
        pages: Pages,
        access: BufferAccess,
    ) -> Result<Progress, MapError> {
        if self.additions.mappings.is_full() {
            return Err(MapError::Full { limit: MAX_MAPPINGS });
        }
        // The kernel would silently put one mapping in the place of another.
        let overlaps =
            |other: &&Mapping<P::Part>| pages.address < other.pages.end() && other.pages.address < pages.end();
        if let Some(other) = self.additions.mappings.iter().find(overlaps) {
            return Err(MapError::Overlaps { other: other.pages });
        }
        let statics = self.sandbox.zones.statics.map(|(statics, _)| statics.pages());
        if let Some(other) = statics.filter(|it| pages.address < it.end() && it.address < pages.end()) {
            return Err(MapError::Overlaps { other });
        }
        let share = self.client.program.share(pages, access, |table| self.additions.lacks(table))?;
        let (charge, tables) = share.charges();
        let Quota { mappings: limit, .. } = self.client.quota;
        if self.client.mappings >= limit {
            let used = self.client.mappings;
            return Err(OverQuota { resource: Resource::Mappings, requested: 1, used, limit, kept: false }.into());
        }
        room.admits(self.client.used(), charge.plus(tables).with(0))?;
        self.add_tables(platform, &share.tables)?;
        let begun = platform.share(&self.client.objects, &self.sandbox.objects, &share);
        let begun = begun.and_then(|mut part| {
            let mapped = platform.extend_share(&self.client.objects, &self.sandbox.objects, &mut part, &share);
            undo(platform, part, mapped)
        });
        let (part, progress) = begun.inspect_err(|_| self.drop_unused(platform))?;
        // There is room: it was looked for above.
        let _ = self.additions.mappings.push(Mapping { pages, frames: share.frames(), part });
        self.client.mappings += 1;
        self.charge(charge);
        Ok(progress)
    }

    /// Adds paging structures: a page directory as a bundle of its own, since it can be needed longer than the page tables
    /// that it came with, which must not lie where large pages come later.
    pub(crate) fn add_tables(&mut self, platform: &mut P, tables: &[Table]) -> Result<(), Shortage> {
        let (directories, pages) = Table::divide(tables);
        for bundle in [directories, pages].into_iter().filter(|bundle| !bundle.is_empty()) {
            self.add_bundle(platform, bundle).inspect_err(|_| self.drop_unused(platform))?;
        }
        Ok(())
    }

    fn add_bundle(&mut self, platform: &mut P, tables: &[Table]) -> Result<(), Shortage> {
        let additions = &mut *self.additions;
        let room = additions.tables.capacity() - additions.tables.len();
        if tables.len() > room || additions.bundles.is_full() {
            return Err(Shortage::Exhausted);
        }
        let is_new = |name: &u8| additions.bundles.iter().all(|bundle| bundle.name != *name);
        let name = (0..OWN).find(is_new).ok_or(Exhausted)?;
        let part = platform.add_tables(&self.sandbox.objects, tables)?;
        // There is room for all: it was looked for above.
        let _ = additions.bundles.push(Bundle { name, part });
        additions.tables.extend(tables.iter().map(|table| (*table, name)));
        self.charge(Table::charge(tables));
        Ok(())
    }

    /// Takes paging structures back that nothing in the sandbox needs.
    pub(crate) fn drop_unused(&mut self, platform: &mut P) {
        while let Some((part, tables)) = self.additions.unused_bundle() {
            // Paging structures have no pages to be stripped of.
            platform.remove(part);
            #[expect(clippy::cast_possible_truncation, reason = "at most MAX_TABLES")]
            self.refund(Charge::of(tables as u32, tables as u32));
        }
    }
}

/// Gives a part back that did not get its first pages.
fn undo<P: Platform>(
    platform: &mut P,
    part: P::Part,
    begun: Result<Progress, Shortage>,
) -> Result<(P::Part, Progress), Shortage> {
    match begun {
        Ok(progress) => Ok((part, progress)),
        Err(shortage) => {
            platform.remove(part);
            Err(shortage)
        }
    }
}

/// Most paging structures that a client is given, or loses, in one go.
const COVERED_AT_ONCE: usize = 8;

/// What a client is charged for a paging structure of its arena.
pub(crate) const TABLE: Charge = Charge { pages: 1, slots: 1 };

/// Makes sure that there is room for what is asked, and gives the client the paging structures that it lacks to share
/// `layout`. It keeps them, and is charged for them, until large pages are to lie where they are: from 2 MiB on a span has
/// its regions for itself, so that nothing is left in them. Where it is about many, it is asked again for the rest.
pub(crate) fn cover<P: Platform, E: From<OverQuota> + From<Exhausted> + From<Shortage>>(
    platform: &mut P,
    client: &mut Client<P>,
    arena: &mut Arena<P::Part>,
    room: &Room,
    layout: Layout<'_>,
    asked: Amounts,
) -> Result<(), E> {
    room.admits(client.used(), asked)?;
    let mut changed = 0;
    let mut next = |client: &mut Client<P>| -> Result<(), Shortage> {
        if changed == COVERED_AT_ONCE {
            client.asks_again = true;
            return Err(Shortage::NotReady);
        }
        changed += 1;
        Ok(())
    };
    for table in Table::against(&layout) {
        if client.tables.has(table) {
            next(client)?;
            if let Some(at) = arena.tables.iter().position(|(there, _)| *there == table) {
                platform.remove(arena.tables.swap_remove(at).1);
            }
            client.tables.set(table, false);
            client.charge = client.charge.minus(TABLE);
        }
    }
    for table in Table::of_shared(&layout) {
        if !client.tables.has(table) {
            next(client)?;
            room.admits(client.used(), Amounts { pages: asked.pages + 1, slots: asked.slots + 1, ..asked })?;
            let part = platform.cover(&client.objects, table)?;
            // There is room for one of each.
            let _ = arena.tables.push((table, part));
            client.tables.set(table, true);
            client.charge = client.charge.plus(TABLE);
        }
    }
    if changed > COVERED_AT_ONCE / 2 {
        // What comes after it has a go of its own.
        client.asks_again = true;
        return Err(Shortage::NotReady.into());
    }
    Ok(())
}

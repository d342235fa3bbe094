// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong with a description, by itself: the same on both sides.

use core::ops::RangeInclusive;

use sbm_abi::limits::{MAX_BUDGET_MS, MAX_CLIENTS, MAX_MAPPINGS, MAX_SANDBOXES};

use crate::{Client, ClientSet, Key, OnEnd, Part, System, Why, Wrong};

/// Priorities of clients. The root task's is higher; above these and below it nothing runs.
pub const PRIORITIES: RangeInclusive<u8> = 1..=200;

/// Most weight of a share.
pub const MAX_SHARE: u16 = 1000;

/// Most bytes of a client's or a program's name.
pub const MAX_NAME: usize = 32;

/// Most bytes of a client's arguments and the names of its input files: they lie in one page with what else it starts
/// with.
pub const MAX_TEXT: usize = 3000;

/// Most capability slots: as many as the root task has.
pub const MOST_SLOTS: u64 = 1 << 18;

/// Most bytes, text and restarts that a number can ask for; what the machine has is looked at apart.
const MOST_BYTES: u64 = 1 << 40;
const MOST_CONSOLE: u64 = 1_000_000;
const MOST_RESTARTS: u64 = 1_000_000;

/// Tells whether a text can be a client's name: lines of the console begin with it.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_".contains(&letter);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits)
}

impl System<'_> {
    /// Finds what is wrong with the description: the first that is, in the order of clients and keys.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn check(&self, has_program: impl Fn(&str) -> bool) -> Result<(), Wrong> {
        if self.clients.is_empty() {
            return Err(Wrong {
                client: None,
                key: Key::Clients,
                why: Why::Range { found: 0, least: 1, most: MAX_CLIENTS as u64 },
            });
        }
        for (place, client) in self.clients.iter().enumerate() {
            let checked = self.check_client(place, client, &has_program);
            checked.map_err(|(key, why)| Wrong { client: Some(place), key, why })?;
        }
        Ok(())
    }

    fn check_client(
        &self,
        place: usize,
        client: &Client<'_>,
        has_program: &impl Fn(&str) -> bool,
    ) -> Result<(), (Key, Why)> {
        let terms = &client.terms;
        ensure(is_name(client.name), Key::Name, Why::NoName { limit: MAX_NAME })?;
        let earlier = self.clients[..place].iter().position(|other| other.name == client.name);
        earlier.map_or(Ok(()), |other| Err((Key::Name, Why::Taken { other })))?;
        ensure(has_program(client.program), Key::Program, Why::NoProgram)?;
        let names = self.inputs.iter().enumerate().filter(|(number, _)| client.has_input(*number));
        let text = client.arguments.iter().chain(names.map(|(_, name)| name)).map(|text| text.len() as u64 + 16).sum();
        range(Key::Arguments, text, 0, MAX_TEXT as u64)?;
        let named = u64::BITS - client.inputs.leading_zeros();
        ensure(named as usize <= self.inputs.len(), Key::Inputs, Why::NoInput { there: self.inputs.len() })?;
        range(Key::Priority, client.priority.into(), (*PRIORITIES.start()).into(), (*PRIORITIES.end()).into())?;
        range(Key::Share, terms.share.into(), 1, MAX_SHARE.into())?;
        let (quota, reserve) = (&terms.quota, &terms.reserve);
        let mappings = (MAX_MAPPINGS * MAX_SANDBOXES) as u64;
        for (part, quota, reserve, most) in [
            (Part::Sandboxes, quota.sandboxes.map(u64::from), reserve.sandboxes.map(u64::from), MAX_SANDBOXES as u64),
            (Part::Bytes, quota.bytes, reserve.bytes, MOST_BYTES),
            (Part::Slots, quota.slots.map(u64::from), reserve.slots.map(u64::from), MOST_SLOTS),
            (Part::Mappings, quota.mappings.map(u64::from), None, mappings),
        ] {
            range(Key::Quota(part), quota.unwrap_or(0), 0, most)?;
            range(Key::Reserve(part), reserve.unwrap_or(0), 0, quota.unwrap_or(most))?;
        }
        range(Key::Quota(Part::Console), quota.console.map_or(1, u64::from), 1, MOST_CONSOLE)?;
        range(Key::LongestBudget, terms.budget.limit_ms(), 1, MAX_BUDGET_MS)?;
        range(Key::DefaultBudget, terms.budget.default_ms.into(), 1, terms.budget.limit_ms())?;
        for (key, ClientSet(set)) in [(Key::Cancels, terms.cancels), (Key::Kills, terms.kills)] {
            let named = 8 - set.leading_zeros();
            ensure(named as usize <= self.clients.len(), key, Why::NoClient)?;
        }
        match terms.on_end {
            OnEnd::Stop | OnEnd::EndRun => Ok(()),
            OnEnd::Restart(times) => range(Key::OnEnd, times.into(), 1, MOST_RESTARTS),
        }
    }
}

fn ensure(holds: bool, key: Key, why: Why) -> Result<(), (Key, Why)> {
    if holds { Ok(()) } else { Err((key, why)) }
}

fn range(key: Key, found: u64, least: u64, most: u64) -> Result<(), (Key, Why)> {
    ensure((least..=most).contains(&found), key, Why::Range { found, least, most })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{DEFAULT_PROGRAM, MAX_BYTES};

    fn two() -> System<'static> {
        let mut system = System::standard();
        system.clients.push(Client::new("hello")).unwrap();
        system.inputs.push("ring.pgp").unwrap();
        system
    }

    fn wrong(change: impl Fn(&mut Client<'static>)) -> Option<(Key, Why)> {
        let mut system = two();
        change(&mut system.clients[1]);
        let known = |name: &str| ["hello", "pgp-keys"].contains(&name);
        let wrong = system.check(known).err()?;
        assert_eq!(wrong.client, Some(1));
        Some((wrong.key, wrong.why))
    }

    #[test]
    fn what_adds_up_is_taken() {
        assert_eq!(System::standard().check(|_| true), Ok(()));
        for change in [
            (|client| client.name = "a-name_2") as fn(&mut Client<'static>),
            |client| client.inputs = 1,
            |client| client.priority = *PRIORITIES.end(),
            |client| client.terms.share = MAX_SHARE,
            |client| client.terms.quota.sandboxes = Some(4064),
            |client| (client.terms.quota.bytes, client.terms.reserve.bytes) = (Some(4096), Some(4096)),
            |client| client.terms.quota.console = Some(1),
            |client| client.terms.budget.longest_ms = Some(3_600_000),
            |client| client.terms.cancels = ClientSet(0b11),
            |client| client.terms.kills = ClientSet(0b01),
            |client| client.terms.on_end = OnEnd::Restart(1),
            |client| client.terms.on_end = OnEnd::EndRun,
        ] {
            assert_eq!(wrong(change), None);
        }
    }

    #[test]
    fn a_system_without_clients_is_refused() {
        let mut system = two();
        system.clients.clear();
        let why = Why::Range { found: 0, least: 1, most: 8 };
        assert_eq!(system.check(|_| true), Err(Wrong { client: None, key: Key::Clients, why }));
    }

    #[test]
    fn what_does_not_add_up_is_refused_by_client_and_key() {
        let range = |found, least, most| Why::Range { found, least, most };
        let no_name = Why::NoName { limit: MAX_NAME };
        for (change, key, why) in [
            ((|client| client.name = "") as fn(&mut Client<'static>), Key::Name, no_name),
            (|client| client.name = "root-task: ", Key::Name, no_name),
            (|client| client.name = "a-name-of-more-than-32-characters", Key::Name, no_name),
            (|client| client.name = "pgp-keys", Key::Name, Why::Taken { other: 0 }),
            (|client| client.program = "hullo", Key::Program, Why::NoProgram),
            (
                |client| client.arguments.push(core::str::from_utf8(&[b'x'; 3000]).unwrap()).unwrap(),
                Key::Arguments,
                range(3016, 0, 3000),
            ),
            (|client| client.inputs = 2, Key::Inputs, Why::NoInput { there: 1 }),
            (|client| client.priority = 0, Key::Priority, range(0, 1, 200)),
            (|client| client.priority = 201, Key::Priority, range(201, 1, 200)),
            (|client| client.terms.share = 0, Key::Share, range(0, 1, 1000)),
            (|client| client.terms.share = 1001, Key::Share, range(1001, 1, 1000)),
            (|client| client.terms.quota.sandboxes = Some(4065), Key::Quota(Part::Sandboxes), range(4065, 0, 4064)),
            (|client| client.terms.quota.slots = Some(1 << 19), Key::Quota(Part::Slots), range(1 << 19, 0, 1 << 18)),
            (|client| client.terms.quota.bytes = Some(u64::MAX), Key::Quota(Part::Bytes), range(u64::MAX, 0, 1 << 40)),
            (|client| client.terms.quota.mappings = Some(16_257), Key::Quota(Part::Mappings), range(16_257, 0, 16_256)),
            (|client| client.terms.quota.console = Some(0), Key::Quota(Part::Console), range(0, 1, 1_000_000)),
            (|client| client.terms.reserve.sandboxes = Some(5000), Key::Reserve(Part::Sandboxes), range(5000, 0, 4064)),
            (
                |client| (client.terms.quota.bytes, client.terms.reserve.bytes) = (Some(1), Some(2)),
                Key::Reserve(Part::Bytes),
                range(2, 0, 1),
            ),
            (|client| client.terms.budget.default_ms = 0, Key::DefaultBudget, range(0, 1, 3_600_000)),
            (|client| client.terms.budget.longest_ms = Some(4999), Key::DefaultBudget, range(5000, 1, 4999)),
            (|client| client.terms.budget.longest_ms = Some(0), Key::LongestBudget, range(0, 1, 3_600_000)),
            (
                |client| client.terms.budget.longest_ms = Some(3_600_001),
                Key::LongestBudget,
                range(3_600_001, 1, 3_600_000),
            ),
            (|client| client.terms.cancels = ClientSet(0b100), Key::Cancels, Why::NoClient),
            (|client| client.terms.kills = ClientSet(0b1000_0000), Key::Kills, Why::NoClient),
            (|client| client.terms.on_end = OnEnd::Restart(0), Key::OnEnd, range(0, 1, 1_000_000)),
        ] {
            assert_eq!(wrong(change), Some((key, why)));
        }
    }

    #[test]
    fn a_description_with_a_changed_byte_is_another_one_or_none() {
        let mut system = System::standard();
        system.inputs.push("ring.pgp").unwrap();
        system.clients[0].arguments.push("--json").unwrap();
        system.clients.push(Client::new("hello")).unwrap();
        let mut bytes = [0; MAX_BYTES];
        let length = system.encode(&mut bytes).unwrap().len();
        let known = |name: &str| [DEFAULT_PROGRAM, "hello"].contains(&name);
        let mut refused = 0;
        for at in 0..length {
            for bit in 0..8 {
                let mut changed = bytes;
                changed[at] ^= 1 << bit;
                let other = System::decode(&changed[..length]).ok().filter(|other| other.check(known).is_ok());
                refused += u32::from(other.is_none());
                assert_ne!(other.as_ref(), Some(&system));
            }
        }
        assert!(refused > 300, "only {refused} of {} changes are refused", 8 * length);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine has, shared out: how much is kept for each client, and how much it may have at most.
//!
//! | a client's quota | its reserve | is kept for it | it may have |
//! | --- | --- | --- | --- |
//! | - | - | an equal share of what is promised to nobody | that |
//! | given | - | the quota | that |
//! | - | given | the reserve | what is kept for nobody else |
//! | given | given | the reserve | the quota, and of it what is kept for nobody else |
//!
//! So whoever says nothing, or only a limit, has what it may have, whatever others do; a reserve below the quota, or
//! without one, is how a client may take what others leave.

use heapless::Vec;
use sbm_abi::limits::{MAX_CLIENTS, PAGE};

use crate::{Key, Part, Terms, Why, Wrong};

/// Sandboxes, pages and slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Sandboxes.
    pub sandboxes: u32,
    /// Pages of memory.
    pub pages: u32,
    /// Capability slots.
    pub slots: u32,
}

/// What a client has been promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promise {
    /// Is kept for it.
    pub kept: Amounts,
    /// The most that it may have.
    pub limit: Amounts,
}

/// Shares out what the machine has, one promise for each client.
///
/// # Errors
/// [`Why::Sum`], with the first client whose promise goes beyond what there is.
pub fn divide<'a>(
    there: Amounts,
    terms: impl Iterator<Item = &'a Terms> + Clone,
) -> Result<Vec<Promise, MAX_CLIENTS>, Wrong> {
    let pages = |bytes: u64| u32::try_from(bytes / u64::from(PAGE)).unwrap_or(u32::MAX);
    let sandboxes = terms.clone().map(|terms| Asked { quota: terms.quota.sandboxes, reserve: terms.reserve.sandboxes });
    let bytes = terms.clone().map(|terms| Asked {
        quota: terms.quota.bytes.map(pages),
        reserve: terms.reserve.bytes.map(|bytes| u32::try_from(bytes.div_ceil(PAGE.into())).unwrap_or(u32::MAX)),
    });
    let slots = terms.map(|terms| Asked { quota: terms.quota.slots, reserve: terms.reserve.slots });
    let sandboxes = divide_one(there.sandboxes, sandboxes, Part::Sandboxes, 1)?;
    let pages = divide_one(there.pages, bytes, Part::Bytes, PAGE.into())?;
    let slots = divide_one(there.slots, slots, Part::Slots, 1)?;
    let all = sandboxes.into_iter().zip(pages).zip(slots);
    let amounts = |sandboxes, pages, slots| Amounts { sandboxes, pages, slots };
    Ok(all
        .map(|((sandboxes, pages), slots)| Promise {
            kept: amounts(sandboxes.0, pages.0, slots.0),
            limit: amounts(sandboxes.1, pages.1, slots.1),
        })
        .collect())
}

/// What a description says of one resource.
#[derive(Clone, Copy)]
struct Asked {
    quota: Option<u32>,
    reserve: Option<u32>,
}

/// Divides one resource, and returns what is kept and the limit of each client. `unit` is how much one of it is told as.
fn divide_one(
    there: u32,
    asked: impl Iterator<Item = Asked> + Clone,
    part: Part,
    unit: u64,
) -> Result<Vec<(u32, u32), MAX_CLIENTS>, Wrong> {
    let (mut promised, mut silent) = (0u64, 0u32);
    for (place, Asked { quota, reserve }) in asked.clone().enumerate() {
        let Some(own) = reserve.or(quota) else {
            silent += 1;
            continue;
        };
        promised = promised.saturating_add(own.into());
        if promised > there.into() {
            let key = if reserve.is_some() { Key::Reserve(part) } else { Key::Quota(part) };
            let why = Why::Sum { promised: promised.saturating_mul(unit), there: u64::from(there) * unit };
            return Err(Wrong { client: Some(place), key, why });
        }
    }
    let left = u64::from(there) - promised;
    let share = u32::try_from(left / u64::from(silent.max(1))).unwrap_or(u32::MAX);
    Ok(asked
        .map(|Asked { quota, reserve }| match (quota, reserve) {
            (None, None) => (share, share),
            (Some(quota), None) => (quota, quota),
            (quota, Some(reserve)) => (reserve, quota.unwrap_or(there)),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    fn terms(quota: Option<u32>, reserve: Option<u32>) -> Terms {
        let mut terms = Terms::DEFAULT;
        (terms.quota.slots, terms.reserve.slots) = (quota, reserve);
        terms
    }

    /// Divides a thousand slots, and returns what is kept and the limit of each client.
    fn slots(asked: &[(Option<u32>, Option<u32>)]) -> Result<Vec<(u32, u32), MAX_CLIENTS>, Wrong> {
        let all: Vec<_, MAX_CLIENTS> = asked.iter().map(|(quota, reserve)| terms(*quota, *reserve)).collect();
        let there = Amounts { sandboxes: 1, pages: 1, slots: 1000 };
        divide(there, all.iter()).map(|all| all.iter().map(|each| (each.kept.slots, each.limit.slots)).collect())
    }

    #[test]
    fn whoever_says_nothing_has_an_equal_share_of_what_is_left() {
        assert_eq!(slots(&[(None, None)]).unwrap(), [(1000, 1000)]);
        assert_eq!(slots(&[(None, None); 3]).unwrap(), [(333, 333); 3]);
        assert_eq!(
            slots(&[(None, None), (Some(100), None), (None, Some(300)), (None, None)]).unwrap(),
            [(300, 300), (100, 100), (300, 1000), (300, 300)]
        );
    }

    #[test]
    fn a_reserve_below_the_quota_leaves_the_rest_to_whoever_is_first() {
        assert_eq!(slots(&[(Some(900), Some(0)), (Some(900), Some(400))]).unwrap(), [(0, 900), (400, 900)]);
    }

    #[test]
    fn promises_above_what_there_is_are_refused_by_client_and_key() {
        assert!(slots(&[(Some(600), None), (None, Some(400))]).is_ok());
        let why = Why::Sum { promised: 1001, there: 1000 };
        let wrong = |key| Wrong { client: Some(1), key, why };
        assert_eq!(slots(&[(Some(600), None), (None, Some(401))]), Err(wrong(Key::Reserve(Part::Slots))));
        assert_eq!(slots(&[(Some(600), None), (Some(401), None)]), Err(wrong(Key::Quota(Part::Slots))));
        assert!(slots(&[(Some(600), Some(0)), (Some(900), Some(0))]).is_ok(), "limits alone may overlap");
    }

    #[test]
    fn bytes_are_whole_pages_and_told_as_bytes() {
        let mut terms = Terms::DEFAULT;
        (terms.quota.bytes, terms.reserve.bytes) = (Some(3 * 4096 + 5), Some(4097));
        let there = Amounts { sandboxes: 10, pages: 4, slots: 10 };
        let promise = divide(there, [&terms].into_iter()).unwrap()[0];
        assert_eq!((promise.kept.pages, promise.limit.pages), (2, 3));
        terms.reserve.bytes = Some(4 * 4096 + 1);
        let why = Why::Sum { promised: 5 * 4096, there: 4 * 4096 };
        let wrong = Wrong { client: Some(0), key: Key::Reserve(Part::Bytes), why };
        assert_eq!(divide(there, [&terms].into_iter()), Err(wrong));
    }

    proptest! {
        #[test]
        fn what_is_kept_adds_up_to_no_more_than_there_is(
            asked in proptest::collection::vec(any::<(Option<u16>, Option<u16>)>(), 1..=MAX_CLIENTS),
        ) {
            let asked: std::vec::Vec<_> = asked
                .into_iter()
                .map(|(quota, reserve)| (quota.map(u32::from), reserve.map(|it| u32::from(it) / 40)))
                .collect();
            if let Ok(all) = slots(&asked) {
                prop_assert!(all.iter().map(|(kept, _)| kept).sum::<u32>() <= 1000);
            }
        }
    }
}

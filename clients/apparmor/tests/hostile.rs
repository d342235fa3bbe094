// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies cut short and changed: errors, and nothing else.
//!
//! A change of what frames a policy must be refused. Any other change may be a policy too, and then it is another one: its
//! hash says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::stream::frame;
use common::{compile, on_all, packaged, sample, testdata};
use sbm_apparmor::{Caller, Error, NoIds, Profile, unpack};

/// Bytes of a policy from which on it is not cut within each table at every byte.
const MANY: usize = 5_000;

/// A caller with a hash that takes less time than SHA-256, and sees a changed byte as well.
struct Quick;

impl Caller for Quick {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        Ok(0)
    }

    fn hash(&mut self, version: u32, profile: &[u8]) -> [u8; 32] {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&profile.iter().fold(version.into(), mix).to_le_bytes());
        hash
    }
}

fn read(policy: &[u8]) -> Result<Vec<Profile>, Error> {
    unpack(policy, &mut Quick)
}

/// Returns the policies of all packages, and the sample for two kernels.
fn policies() -> Vec<(String, Vec<u8>)> {
    let mut policies = samples();
    policies.extend(packaged().iter().map(|file| (file.display().to_string(), compile(file, None))));
    policies
}

fn samples() -> Vec<(String, Vec<u8>)> {
    let old = compile(&testdata("sample.aa"), Some(&testdata("features-of-2-6")));
    vec![("sample".to_owned(), sample().to_vec()), ("sample for 2.6".to_owned(), old)]
}

#[test]
fn every_length_cut_short_is_an_error() {
    on_all(&policies(), |(name, policy)| {
        let ends: Vec<_> =
            read(policy).unwrap().iter().map(|profile| profile.place.offset + profile.place.len).collect();
        // Every length that ends in a frame, and every one at all unless there are very many.
        let step = 1 + policy.len() / MANY;
        for len in frame(policy).into_iter().chain((0..policy.len()).step_by(step)) {
            let is_whole = ends.iter().any(|end| *end as usize == len);
            assert_eq!(read(&policy[..len]).is_ok(), is_whole, "{name} cut to {len} bytes");
        }
    });
}

#[test]
fn every_changed_byte_of_the_frame_is_an_error() {
    on_all(&policies(), |(name, policy)| {
        let mut policy = policy.clone();
        for at in frame(&policy) {
            for bits in [0xff, 1, 0x80] {
                policy[at] ^= bits;
                assert!(read(&policy).is_err(), "{name} with byte {at} xor {bits:#x}");
                policy[at] ^= bits;
            }
        }
    });
}

#[test]
fn every_other_change_is_an_error_or_another_policy() {
    on_all(&samples(), |(name, policy)| {
        let original = read(policy).unwrap();
        let mut policy = policy.clone();
        for at in 0..policy.len() {
            policy[at] ^= 0xff;
            if let Ok(changed) = read(&policy) {
                assert_ne!(changed, original, "{name} with byte {at} changed");
            }
            policy[at] ^= 0xff;
        }
    });
}

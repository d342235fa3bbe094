// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists the profiles of AppArmor policies with a parser that runs in a sandbox.
//!
//! A policy is mapped into the sandbox, read-only, and read there as the kernel reads it; the profiles come back as values.
//! What they say is the parser's word, but for their ids: the parser asks for each, and they are those that it was given.
//!
//! Each profile's SHA-256 is computed in the sandbox, which has the profile before it: a service of the caller's would do
//! the same work a round trip later. It is the parser's word like the rest; who acts on it computes it anew.
//!
//! | argument | |
//! | --- | --- |
//! | `--json` | one object a line instead of text |
//!
//! Input files are policies, as `apparmor_parser -Q -S -K` writes them.
#![no_std]
#![cfg_attr(not(test), no_main)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, ops::Range, time::Duration};

use sbm::{Env, Error, InputFile, Proxy, Refused, Sbm, print, println, serve};
use sbm_apparmor::{Caller, NoIds, Profile, Text, listing, unpack};

sbm::main!(main, heap = 3 << 19);

/// Bytes of the sandbox's heap: for profiles, and for what a table of states takes while it is verified.
const HEAP: usize = 1 << 20;

/// Time for a policy. The largest that fits takes a second in an emulated machine.
const BUDGET: Duration = Duration::from_secs(10);

/// Most bytes of a policy's profiles, once they are here.
const RESULT: usize = 1 << 19;

/// Most profiles of a policy: each asks for an id.
const PROFILES: u32 = 10_000;

/// The arguments make no sense.
const USAGE: u8 = 2;

type Answer = Result<Vec<Profile>, sbm_apparmor::Error>;

/// What the sandbox can ask for.
#[sbm::service]
trait Ids {
    /// Returns an id that no other profile has, or none if all are given.
    fn allocate(&mut self) -> Option<u32>;
}

/// The ids that are free, on this program's side: all from one on.
struct Free {
    next: u32,
}

impl Ids for Free {
    fn allocate(&mut self) -> Option<u32> {
        let id = self.next;
        self.next = id.checked_add(1)?;
        Some(id)
    }
}

/// Ids, on the side of the sandbox.
struct Asked(Proxy<dyn Ids>);

impl Caller for Asked {
    fn allocate_id(&mut self) -> Result<u32, NoIds> {
        self.0.allocate().ok_or(NoIds)
    }
}

/// Reads a policy: runs in the sandbox.
fn read_policy(policy: &[u8], ids: Proxy<dyn Ids>) -> Answer {
    unpack(policy, &mut Asked(ids))
}

/// Why a policy is not listed.
enum Refusal {
    /// It is none.
    Policy(sbm_apparmor::Error),
    /// The sandbox could not be set up, or its function did not run to its end.
    Sandbox(Error),
    /// The sandbox returned profiles with other ids than it was given, or places outside the policy.
    Profiles,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Sandbox(error)
    }
}

impl From<Refused> for Refusal {
    fn from(_: Refused) -> Self {
        Self::Profiles
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => write!(f, "not listed: {error}"),
            Self::Sandbox(error) => write!(f, "not listed, its parser did not finish: {error}"),
            Self::Profiles => f.write_str("not listed, the sandbox returned what no parser returns"),
        }
    }
}

/// Reads a policy in a sandbox of its own. The ids of one that is not listed are free again.
fn parse(file: &InputFile, free: &mut Free) -> Result<Vec<Profile>, Refusal> {
    let mut ids = Free { next: free.next };
    let mut sbm = Sbm::builder().heap(HEAP).budget(BUDGET).result_limit(RESULT).request_limit(PROFILES).build()?;
    let profiles = match sbm.call(read_policy, (file.map(), serve::<dyn Ids>(&mut ids)))?.transpose() {
        Ok(profiles) => profiles.check(|profiles| are_sound(profiles, free.next..ids.next, file.bytes.len()))?,
        Err(error) => return Err(Refusal::Policy(error.assume_checked())),
    };
    *free = ids;
    Ok(profiles)
}

/// Checks what a listing relies on: the ids that were given, each once, and places that follow each other in the policy.
fn are_sound(profiles: &[Profile], given: Range<u32>, bytes: usize) -> bool {
    let mut end = 0_u64;
    !profiles.is_empty()
        && profiles.len() == given.len()
        && given.zip(profiles).all(|(id, profile)| {
            let start = u64::from(profile.place.offset);
            let follows = start >= end;
            end = start + u64::from(profile.place.len);
            profile.id == id && follows && end <= bytes as u64
        })
}

fn main(env: &'static Env) -> u8 {
    let mut json = false;
    for argument in env.arguments() {
        if *argument == "--json" {
            json = true;
        } else {
            println!("{}: unknown argument {}; known is --json", env.name(), Text::new(argument.as_bytes()));
            return USAGE;
        }
    }
    let mut free = Free { next: 1 };
    let mut status = 0;
    for file in env.inputs() {
        match parse(&file, &mut free) {
            Ok(profiles) => print_list(&file, &profiles, json),
            Err(refusal) => {
                println!("{}: {}: {refusal}", env.name(), Text::new(file.name.as_bytes()));
                status = 1;
            }
        }
    }
    status
}

fn print_list(file: &InputFile, profiles: &[Profile], json: bool) {
    let mut text = String::new();
    // A string takes whatever is written to it.
    let _ = if json {
        listing::write_json(&mut text, Some(file.name), profiles)
    } else {
        println!("policy {}, {} bytes, {} profiles", Text::new(file.name.as_bytes()), file.bytes.len(), profiles.len());
        listing::write_text(&mut text, profiles)
    };
    print!("{text}");
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client reaches for another one's sandboxes: it can neither name, call nor destroy them.
//!
//! The other one is the program `neighbour`, which runs beside this suite and fails if it is disturbed. Where it does
//! not run there is nobody to reach for, and these tests say so.

use core::sync::atomic::{AtomicBool, Ordering};

use harness::{Test, Verdict, Why, check, expect::works, raw, same, server::request, tests};
use sbm::{Env, Error, Region, Sbm};
use sbm_abi::{
    BufferAccess, BufferSpec, Errno, Handle, Request, Response, Spec,
    limits::{ARENA_BASE, ARENA_END, CLIENT_SANDBOX_SLOTS, MAX_SANDBOXES, PAGE},
};
use sel4::{MessageInfo, cap::Endpoint};

use crate::observer::Observer;

pub(crate) const TESTS: &[Test] = tests![
    a_neighbour_runs_beside_this_suite,
    no_handle_reaches_a_neighbours_sandbox,
    no_slot_reaches_a_neighbours_sandbox,
    no_address_of_a_neighbours_buffers_is_mapped,
    no_address_of_a_neighbours_buffers_can_be_mapped,
    a_neighbour_keeps_its_share_while_this_client_uses_its_own_up,
];

/// What the description of the system hands to this suite where a neighbour runs: nothing else tells.
const SIGN: &str = "system.toml";

/// Whether a neighbour runs.
static PRESENT: AtomicBool = AtomicBool::new(false);

/// Looks whether a neighbour runs.
pub(crate) fn look(env: &Env) {
    PRESENT.store(env.inputs().any(|input| input.name == SIGN), Ordering::Relaxed);
}

/// Tells whether another client runs.
pub(crate) fn present() -> bool {
    PRESENT.load(Ordering::Relaxed)
}

fn a_neighbour_runs_beside_this_suite() -> Verdict {
    check!(present(), "there is none; run it with --system tests/hostile/system.toml");
    Ok(())
}

fn no_handle_reaches_a_neighbours_sandbox() -> Verdict {
    let mut observer = Observer::new()?;
    for index in (0..).take(MAX_SANDBOXES + 32) {
        for generation in 0..4 {
            let handle = Handle::new(index, generation);
            let buffers = [BufferSpec::new(1, BufferAccess::ReadWrite)].into_iter().collect();
            for asked in [
                Request::Destroy(handle),
                Request::Grow { handle, buffers },
                Request::Map { handle, address: ARENA_BASE, pages: 1, access: BufferAccess::ReadOnly },
            ] {
                if is_own(handle) {
                    continue;
                }
                // Whether it is another client's or nobody's is not told.
                let answer = request(&asked)?;
                check!(answer == Response::Refused(Errno::BadHandle), "{asked:?} is answered with {answer:?}");
            }
        }
    }
    observer.undisturbed()
}

/// Tells whether a handle is this client's: it may look at its own.
pub(crate) fn is_own(handle: Handle) -> bool {
    matches!(request(&Request::Reset(handle)), Ok(Response::Done))
}

fn no_slot_reaches_a_neighbours_sandbox() -> Verdict {
    let mut observer = Observer::new()?;
    // Its own sandboxes get a message that is no call of theirs, so that they are reset afterwards.
    for slot in CLIENT_SANDBOX_SLOTS..1 << 13 {
        let nonsense = [u64::MAX / 3, u64::MAX / 5, 0, 0];
        let index = u16::try_from(slot - CLIENT_SANDBOX_SLOTS).unwrap_or(u16::MAX);
        let own = (0..64).any(|generation| is_own(Handle::new(index, generation)));
        if !own {
            Endpoint::from_bits(slot).nb_send_with_mrs(MessageInfo::new(0, 0, 0, 2), nonsense);
        }
    }
    observer.undisturbed()
}

// Functions that run in sandboxes.

fn read(address: usize) -> u8 {
    raw::read(address)
}

fn no_address_of_a_neighbours_buffers_is_mapped() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    let mut mapped = 0;
    for address in (ARENA_BASE..ARENA_END).step_by(0x4_1000) {
        match sbm.call(read, (address as usize,)) {
            Ok(_) => mapped += 1,
            Err(Error::Fault { region: Region::Guard | Region::StackGuard | Region::NotMapped, .. }) => sbm.reset()?,
            Err(other) => return Err(other.into()),
        }
    }
    // Its own argument page and stack at most.
    check!(mapped <= 3, "{mapped} addresses are mapped");
    works(&mut sbm)
}

fn no_address_of_a_neighbours_buffers_can_be_mapped() -> Verdict {
    let mut observer = Observer::new()?;
    let handle = match request(&Request::Init(Spec::default()))? {
        Response::Ready { handle, .. } => handle,
        other => return Err(Why::new(format_args!("no sandbox: {other:?}"))),
    };
    for address in (ARENA_BASE..ARENA_END).step_by(8 * PAGE as usize) {
        let asked = Request::Map { handle, address: address + PAGE, pages: 1, access: BufferAccess::ReadOnly };
        let response = request(&asked)?;
        check!(response == Response::Refused(Errno::Perm), "{address:#x}: {response:?}");
    }
    request(&Request::Destroy(handle))?;
    observer.undisturbed()
}

/// The neighbour fails if it is refused a sandbox meanwhile, or finds one of its own changed.
fn a_neighbour_keeps_its_share_while_this_client_uses_its_own_up() -> Verdict {
    let mut observer = Observer::new()?;
    let mut handles = [None; 64];
    for round in 0..3 {
        let buffers = [BufferSpec::new(1024, BufferAccess::ReadWrite); 2].into_iter().collect();
        let spec = Spec { buffers, ..Spec::default() };
        let mut refused = None;
        for place in &mut handles {
            match request(&Request::Init(spec.clone()))? {
                Response::Ready { handle, .. } => *place = Some(handle),
                Response::OverQuota(over) => refused = Some(over.errno()),
                other => return Err(Why::new(format_args!("an odd answer: {other:?}"))),
            }
            sel4::r#yield();
        }
        same!(refused, Some(Errno::Quota), "round {round}");
        observer.undisturbed()?;
        for place in &mut handles {
            if let Some(handle) = place.take() {
                same!(request(&Request::Destroy(handle))?, Response::Done);
            }
        }
    }
    // Spares of other shapes than before are what is left.
    same!(sbm::usage()?.sandboxes, 1, "sandboxes");
    observer.undisturbed()
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address-space ids: eight pools of 512, made when they are needed.

use sbm_server::Exhausted;
use sel4::{Error, cap, cap_type, init_thread::slot};

use crate::{
    cspace::{CSpace, Slot},
    memory::Memory,
};

const POOLS: usize = 8;
const POOL_BITS: u32 = 12;
/// Ids in one pool. Of the first, two are the kernel's: 0 is none, 1 the root task's.
const PER_POOL: u16 = 512;
const FIRST_POOL: u16 = PER_POOL - 2;

/// A reserved place in a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsidPool {
    place: usize,
    cap: cap::AsidPool,
}

impl AsidPool {
    /// Gives `vspace` an id.
    pub(crate) fn assign(self, vspace: cap::VSpace) -> Result<(), Error> {
        self.cap.asid_pool_assign(vspace)
    }
}

/// All pools: the boot pool and those made since, with their free ids.
#[derive(Debug)]
pub(crate) struct Asids {
    pools: [Option<(cap::AsidPool, u16)>; POOLS],
}

impl Asids {
    pub(crate) const fn new() -> Self {
        let mut pools = [None; POOLS];
        pools[0] = Some((slot::ASID_POOL.cap(), FIRST_POOL));
        Self { pools }
    }

    /// Finds a pool with a free id, or makes one.
    pub(crate) fn reserve(&mut self, memory: &mut Memory, cspace: CSpace) -> Result<AsidPool, Exhausted> {
        for (place, pool) in self.pools.iter_mut().enumerate() {
            if pool.is_none() {
                *pool = Some((make_pool(memory, cspace)?, PER_POOL));
            }
            if let Some((cap, free)) = pool
                && *free > 0
            {
                *free -= 1;
                return Ok(AsidPool { place, cap: *cap });
            }
        }
        Err(Exhausted)
    }

    /// Takes an id back; the kernel frees it with its address space.
    pub(crate) fn release(&mut self, pool: AsidPool) {
        if let Some((_, free)) = &mut self.pools[pool.place] {
            *free += 1;
        }
    }
}

/// Makes a pool, which stays.
fn make_pool(memory: &mut Memory, cspace: CSpace) -> Result<cap::AsidPool, Exhausted> {
    let (untyped, slots) = memory.block_and_slots(cspace, 1 << POOL_BITS, 1)?;
    let target = Slot(slots.first);
    let control = slot::ASID_CONTROL.cap();
    if control.asid_control_make_pool(untyped.slot().cap::<cap_type::Untyped>(), &cspace.path(target)).is_err() {
        memory.free_block(cspace, untyped);
        memory.free_slots(slots);
        return Err(Exhausted);
    }
    Ok(target.cap())
}

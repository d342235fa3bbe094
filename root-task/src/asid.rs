// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address-space ids: eight pools of 512, made when they are needed.

use sbm_server::Shortage;
use sel4::{Error, cap, init_thread::slot};

use crate::memory::Memory;

const POOLS: usize = 8;
const POOL_BITS: u32 = 12;
/// Ids in one pool. Of the first, two are the kernel's: 0 is none, 1 the root task's.
const PER_POOL: u16 = 512;
const FIRST_POOL: u16 = PER_POOL - 2;

/// A reserved id. [`Asids::release`] takes it back.
#[derive(Debug)]
#[must_use = "an id that is dropped is lost"]
pub(crate) struct Asid {
    number: usize,
    pool: cap::AsidPool,
}

impl Asid {
    /// Gives `vspace` the id.
    pub(crate) fn assign(&self, vspace: cap::VSpace) -> Result<(), Error> {
        self.pool.asid_pool_assign(vspace)
    }
}

/// All pools: the boot pool and those made since, with the number of their free ids.
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

    /// Returns how many pools can still be made, of a page and a slot each.
    pub(crate) fn unmade(&self) -> u32 {
        self.pools.iter().map(|pool| u32::from(pool.is_none())).sum()
    }

    /// Finds a pool with a free id, or makes one.
    pub(crate) fn reserve(&mut self, memory: &mut Memory) -> Result<Asid, Shortage> {
        for (number, pool) in self.pools.iter_mut().enumerate() {
            if pool.is_none() {
                *pool = Some((make_pool(memory)?, PER_POOL));
            }
            if let Some((cap, free)) = pool
                && *free > 0
            {
                *free -= 1;
                return Ok(Asid { number, pool: *cap });
            }
        }
        Err(Shortage::Exhausted)
    }

    /// Takes an id back; the kernel frees it with its address space.
    pub(crate) fn release(&mut self, asid: Asid) {
        if let Some((_, free)) = &mut self.pools[asid.number] {
            *free += 1;
        }
    }
}

/// Makes a pool, which stays.
fn make_pool(memory: &mut Memory) -> Result<cap::AsidPool, Shortage> {
    let block = memory.block(1 << POOL_BITS, 1)?;
    let pool = block.maker().asid_pool();
    if pool.is_err() {
        memory.free(block);
    }
    pool.map_err(|_| Shortage::Exhausted)
}

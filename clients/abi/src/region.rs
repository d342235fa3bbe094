// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names what lies at an address that a sandbox touched.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Pages,
    limits::{
        ARENA_BASE, ARENA_END, CLIENT_STACK_BASE, CLIENT_STACK_BYTES, CODE_BASE, HIGH_ARENA_BASE, INPUT_BASE,
        INPUT_END, LARGE_PAGE, PAGE,
    },
};

/// What lies at an address that a sandbox touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// The unmapped page before the buffer of argument N; 0 is a mailbox, for coded results and requests.
    GuardBefore(u8),
    /// The buffer of argument N: input that was written to, or code that was fetched from it.
    Argument(u8),
    /// The unmapped page after the buffer of argument N.
    GuardAfter(u8),
    /// Another unmapped page of the sandbox's arena.
    Guard,
    /// The argument page.
    Arguments,
    /// The sandbox's stack.
    Stack,
    /// The unmapped page below the sandbox's stack.
    StackGuard,
    /// The sandbox's heap.
    Heap,
    /// The unmapped page before or after the sandbox's heap.
    HeapGuard,
    /// The client's code and read-only data.
    ClientCode,
    /// The client's statics.
    ClientData,
    /// The client's stack.
    ClientStack,
    /// The unmapped page below the client's stack.
    ClientStackGuard,
    /// An input file of the client.
    ClientInput,
    /// Another page of the client: its IPC buffer or start information.
    ClientPrivate,
    /// Nothing.
    NotMapped,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuardBefore(0) => f.write_str("guard before a mailbox"),
            Self::Argument(0) => f.write_str("mailbox"),
            Self::GuardAfter(0) => f.write_str("guard after a mailbox"),
            Self::GuardBefore(n) => write!(f, "guard before argument {n}"),
            Self::Argument(n) => write!(f, "argument {n}"),
            Self::GuardAfter(n) => write!(f, "guard after argument {n}"),
            Self::Guard => f.write_str("guard"),
            Self::Arguments => f.write_str("argument page"),
            Self::Stack => f.write_str("stack"),
            Self::StackGuard => f.write_str("stack guard"),
            Self::Heap => f.write_str("heap"),
            Self::HeapGuard => f.write_str("heap guard"),
            Self::ClientCode => f.write_str("client code"),
            Self::ClientData => f.write_str("client data"),
            Self::ClientStack => f.write_str("client stack"),
            Self::ClientStackGuard => write!(f, "below the client's stack of {} KiB", CLIENT_STACK_BYTES / 1024),
            Self::ClientInput => f.write_str("client input"),
            Self::ClientPrivate => f.write_str("client private page"),
            Self::NotMapped => f.write_str("not mapped"),
        }
    }
}

/// Where a client's own program lies, to name what a sandbox hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientMap {
    /// First address after the code; it begins at [`CODE_BASE`].
    pub code_end: u32,
    /// First address of the writable data.
    pub data: u32,
    /// First address after the writable data.
    pub data_end: u32,
}

impl ClientMap {
    /// Tells whether an address lies in the code or the read-only data.
    #[must_use]
    pub const fn is_code(&self, address: u32) -> bool {
        CODE_BASE <= address && address < self.code_end
    }

    /// Names what of the client lies at `address`; everything else is [`Region::NotMapped`].
    #[must_use]
    pub fn region_of(&self, address: u64) -> Region {
        let within = |from: u32, to: u32| (u64::from(from)..u64::from(to)).contains(&address);
        if within(CODE_BASE, self.code_end) {
            Region::ClientCode
        } else if within(self.data, self.data_end) {
            Region::ClientData
        } else if within(CLIENT_STACK_BASE, CLIENT_STACK_BASE + CLIENT_STACK_BYTES) {
            Region::ClientStack
        } else if within(CLIENT_STACK_BASE - PAGE, CLIENT_STACK_BASE) {
            Region::ClientStackGuard
        } else if within(INPUT_BASE, INPUT_END) {
            Region::ClientInput
        } else if within(CLIENT_STACK_BASE + CLIENT_STACK_BYTES, ARENA_BASE) {
            Region::ClientPrivate
        } else {
            Region::NotMapped
        }
    }
}

/// Where the parts of a sandbox lie that a fault can be named after.
#[derive(Debug, Clone, Copy)]
pub struct SandboxMap<'a> {
    /// The argument page.
    pub arguments: Pages,
    /// The stack.
    pub stack: Pages,
    /// The buffers of the call, each with the number of its argument.
    pub buffers: &'a [(u8, Pages)],
    /// The heap.
    pub heap: Option<Pages>,
    /// The client.
    pub client: ClientMap,
}

impl SandboxMap<'_> {
    /// Names what lies at `address`. A guard page between two buffers belongs half to each.
    #[must_use]
    pub fn region_of(&self, address: u64) -> Region {
        const HALF: u64 = PAGE as u64 / 2;
        if self.arguments.contains(address) {
            return Region::Arguments;
        }
        if self.stack.contains(address) {
            return Region::Stack;
        }
        let below = |pages: Pages, reach: u64| {
            (u64::from(pages.address).saturating_sub(reach)..u64::from(pages.address)).contains(&address)
        };
        if below(self.stack, u64::from(PAGE)) {
            return Region::StackGuard;
        }
        let above =
            |pages: Pages, reach: u64| (u64::from(pages.end())..u64::from(pages.end()) + reach).contains(&address);
        for (number, pages) in self.buffers {
            if pages.contains(address) {
                return Region::Argument(*number);
            }
        }
        if self.heap.is_some_and(|heap| heap.contains(address)) {
            return Region::Heap;
        }
        for reach in [HALF, u64::from(PAGE)] {
            for (number, pages) in self.buffers {
                if above(*pages, reach) {
                    return Region::GuardAfter(*number);
                }
                if below(*pages, reach) {
                    return Region::GuardBefore(*number);
                }
            }
            if self.heap.is_some_and(|heap| above(heap, reach) || below(heap, reach)) {
                return Region::HeapGuard;
            }
        }
        let within = |from: u32, to: u32| (u64::from(from)..u64::from(to)).contains(&address);
        if within(ARENA_BASE, HIGH_ARENA_BASE) {
            return Region::Guard;
        }
        if within(HIGH_ARENA_BASE, ARENA_END) {
            // Most of it has nothing of the sandbox near.
            let near = |pages: Pages| {
                let reach = u64::from(LARGE_PAGE);
                pages.contains(address) || above(pages, reach) || below(pages, reach)
            };
            let fixed = [self.arguments, self.stack];
            let buffers = self.buffers.iter().map(|(_, pages)| *pages);
            let is_near = fixed.into_iter().chain(buffers).chain(self.heap).any(near);
            return if is_near { Region::Guard } else { Region::NotMapped };
        }
        self.client.region_of(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Pages = Pages { address: 0x1000_a000, count: 2 };
    const TWO: Pages = Pages { address: 0x1000_d000, count: 1 };
    const MAP: SandboxMap<'static> = SandboxMap {
        arguments: Pages { address: 0x1000_1000, count: 1 },
        stack: Pages { address: 0x1000_3000, count: 2 },
        buffers: &[(1, ONE), (3, TWO)],
        heap: Some(Pages { address: 0x1002_0000, count: 4 }),
        client: ClientMap { code_end: 0x30_0000, data: 0x40_0000, data_end: 0x40_2000 },
    };

    #[test]
    fn each_part_has_its_name() {
        for (address, region) in [
            (0x1000_1008, Region::Arguments),
            (0x1000_4fff, Region::Stack),
            (0x1000_2fff, Region::StackGuard),
            (0x1000_a000, Region::Argument(1)),
            (0x1000_9fff, Region::GuardBefore(1)),
            (0x1000_c000, Region::GuardAfter(1)),
            (0x1000_cff8, Region::GuardBefore(3)),
            (0x1000_e000, Region::GuardAfter(3)),
            (0x1001_0000, Region::Guard),
            (0x1001_efff, Region::Guard),
            (0x1001_f000, Region::HeapGuard),
            (0x1002_0000, Region::Heap),
            (0x1002_3fff, Region::Heap),
            (0x1002_4fff, Region::HeapGuard),
            (0x1002_5000, Region::Guard),
            (0x20_0000, Region::ClientCode),
            (0x40_1000, Region::ClientData),
            (u64::from(CLIENT_STACK_BASE), Region::ClientStack),
            (u64::from(INPUT_BASE), Region::ClientInput),
            (0, Region::NotMapped),
            (u64::MAX, Region::NotMapped),
        ] {
            assert_eq!(MAP.region_of(address), region, "{address:#x}");
        }
    }

    #[test]
    fn each_part_ends_where_the_next_one_begins() {
        use crate::limits::CLIENT_IPC_BUFFER;
        for (address, region) in [
            (0x1000_0fff, Region::Guard),
            (0x1000_1000, Region::Arguments),
            (0x1000_1fff, Region::Arguments),
            (0x1000_2000, Region::StackGuard),
            (0x1000_3000, Region::Stack),
            (0x1000_5000, Region::Guard),
            // Alone, a guard belongs to its buffer as a whole; between two, half to each.
            (0x1000_8fff, Region::Guard),
            (0x1000_9000, Region::GuardBefore(1)),
            (0x1000_bfff, Region::Argument(1)),
            (0x1000_c7ff, Region::GuardAfter(1)),
            (0x1000_c800, Region::GuardBefore(3)),
            (0x1000_dfff, Region::Argument(3)),
            (0x1000_efff, Region::GuardAfter(3)),
            (0x1000_f000, Region::Guard),
            (0x1f_ffff, Region::NotMapped),
            (0x2f_ffff, Region::ClientCode),
            (0x30_0000, Region::NotMapped),
            (0x40_0000, Region::ClientData),
            (0x40_1fff, Region::ClientData),
            (0x40_2000, Region::NotMapped),
            (u64::from(CLIENT_STACK_BASE - PAGE) - 1, Region::NotMapped),
            (u64::from(CLIENT_STACK_BASE - PAGE), Region::ClientStackGuard),
            (u64::from(CLIENT_STACK_BASE) - 1, Region::ClientStackGuard),
            (u64::from(CLIENT_STACK_BASE + CLIENT_STACK_BYTES) - 1, Region::ClientStack),
            (u64::from(CLIENT_STACK_BASE + CLIENT_STACK_BYTES), Region::ClientPrivate),
            (u64::from(CLIENT_IPC_BUFFER), Region::ClientPrivate),
            (u64::from(ARENA_BASE) - 1, Region::ClientPrivate),
            (u64::from(ARENA_BASE), Region::Guard),
            (u64::from(HIGH_ARENA_BASE) - 1, Region::Guard),
            (u64::from(HIGH_ARENA_BASE), Region::NotMapped),
            (u64::from(ARENA_END) - 1, Region::NotMapped),
            (u64::from(INPUT_END) - 1, Region::ClientInput),
            (u64::from(INPUT_END), Region::NotMapped),
        ] {
            assert_eq!(MAP.region_of(address), region, "{address:#x}");
        }
    }

    #[test]
    fn what_is_not_near_in_the_high_part_of_the_arenas_is_nothing() {
        const LARGE: Pages = Pages { address: HIGH_ARENA_BASE + 2 * LARGE_PAGE, count: 512 };
        let map = SandboxMap { buffers: &[(1, LARGE)], ..MAP };
        let start = u64::from(LARGE.address);
        let reach = u64::from(LARGE_PAGE);
        for (address, region) in [
            (start - reach - 1, Region::NotMapped),
            (start - reach, Region::Guard),
            (start - 1, Region::GuardBefore(1)),
            (start, Region::Argument(1)),
            (u64::from(LARGE.end()) + 5000, Region::Guard),
            (u64::from(LARGE.end()) + reach - 1, Region::Guard),
            (u64::from(LARGE.end()) + reach, Region::NotMapped),
        ] {
            assert_eq!(map.region_of(address), region, "{address:#x}");
        }
    }

    #[test]
    fn code_ends_where_the_client_says() {
        let end = MAP.client.code_end;
        for (address, is_code) in [
            (0, false),
            (CODE_BASE - 1, false),
            (CODE_BASE, true),
            (end - 1, true),
            (end, false),
            (end + 1, false),
            (MAP.client.data, false),
            (u32::MAX, false),
        ] {
            assert_eq!(MAP.client.is_code(address), is_code, "{address:#x}");
        }
    }

    #[test]
    fn regions_are_told_in_words() {
        extern crate std;
        use std::string::ToString;

        assert_eq!(Region::GuardBefore(2).to_string(), "guard before argument 2");
        assert_eq!(Region::NotMapped.to_string(), "not mapped");
    }

    proptest! {
        #[test]
        fn any_address_has_a_name(address: u64) {
            let _ = MAP.region_of(address);
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The function that runs in a sandbox, and nothing else; it is linked and looked at, never run.
#![no_std]
#![no_main]

use core::arch::naked_asm;

use sbm_pgp::{Options, ParseError, parse_keyring};

/// Parses a keyring; the entry point of the program, so that the linker keeps what it needs and no more.
// SAFETY: no other symbol of this program has this name.
#[unsafe(no_mangle)]
pub fn sandboxed(input: &[u8], scratch: &mut [u8], output: &mut [u8]) -> u64 {
    parse_keyring(input, scratch, output, Options::default()).map_or_else(ParseError::to_raw, u64::from)
}

/// Defines the memory functions that compiled code calls; a real program has them from elsewhere.
macro_rules! memory_functions {
    ($($name:ident)*) => {
        $(
            // SAFETY: never run; it only has to be there for the linker.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            extern "C" fn $name() {
                naked_asm!("ud2")
            }
        )*
    };
}

memory_functions!(memcpy memmove memset memcmp bcmp);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The function that runs in a sandbox, and nothing else; it is linked and looked at, never run.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::naked_asm;

use sbm_pgp::{Keyring, ParseError, parse};

/// Parses a keyring; the entry point of the program, so that the linker keeps what it needs and no more.
// SAFETY: no other symbol of this program has this name.
#[unsafe(no_mangle)]
pub fn sandboxed(input: &[u8]) -> Result<Keyring, ParseError> {
    parse(input)
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

/// The allocator, which a real program has from elsewhere as well.
struct Nothing;

// SAFETY: it never gives memory away.
unsafe impl GlobalAlloc for Nothing {
    #[inline(never)]
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static NOTHING: Nothing = Nothing;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

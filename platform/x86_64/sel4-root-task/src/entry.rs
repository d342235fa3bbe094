// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the kernel's jump to the program's `main`.

use sel4::{BootInfo, BootInfoPtr};

use crate::{exit::Termination, stack};

/// Starts a root task: `_start`, which [`root_task`](crate::root_task) makes, calls it on the new stack.
///
/// # Panics
/// Where the guard page cannot be unmapped, since the program would run without one.
///
/// # Safety
/// `bootinfo` is what the kernel passed in `rdi`. It is called once, on a stack above the page `guard`, which nothing
/// else uses.
#[expect(clippy::panic, reason = "there is no caller to tell")]
pub unsafe fn start<T: Termination>(
    bootinfo: *const BootInfo,
    guard: *const u8,
    main: impl FnOnce(&BootInfoPtr) -> T,
) -> ! {
    // SAFETY: the caller vouches for the pointer; the root task never unmaps that page.
    let bootinfo = unsafe { BootInfoPtr::new(bootinfo) };
    // SAFETY: the kernel says that it is this thread's buffer, and mapped it; nothing else knows of it yet.
    unsafe { sel4::set_ipc_buffer(bootinfo.ipc_buffer()) };
    if let Err(error) = stack::unmap_guard(&bootinfo, guard) {
        panic!("no guard page below the stack: {error:?}");
    }
    main(&bootinfo).report()
}

/// Defines `_start` and the stack of a root task. [`root_task`](crate::root_task) expands to it.
#[doc(hidden)]
#[macro_export]
macro_rules! declare_root_task {
    (main = $main:path) => {
        $crate::declare_root_task!(main = $main, stack_size = $crate::DEFAULT_STACK_SIZE);
    };
    (main = $main:path, stack_size = $stack_size:expr) => {
        const _: () = {
            static STACK: $crate::Stack<{ $stack_size }> = $crate::Stack::new();

            /// Takes the stack, and goes on in Rust. The kernel passes the boot information in `rdi`, and no stack.
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            unsafe extern "C" fn _start() -> ! {
                ::core::arch::naked_asm!(
                    "lea rsp, [rip + {stack} + {top}]",
                    "xor ebp, ebp",
                    "call {entry}",
                    "ud2",
                    stack = sym STACK,
                    top = const <$crate::Stack<{ $stack_size }>>::TOP,
                    entry = sym entry,
                )
            }

            extern "C" fn entry(bootinfo: *const $crate::BootInfo) -> ! {
                // SAFETY: `_start` calls this once, with what the kernel gave it and on the stack above the guard.
                unsafe { $crate::start(bootinfo, STACK.guard(), $main) }
            }
        };
    };
}

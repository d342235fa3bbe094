// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's start and end.
#![expect(unsafe_code, reason = "the IPC buffer, and the entry point's name")]

use sbm_abi::{Request, limits::CLIENT_IPC_BUFFER};

use super::{
    env::{Env, env},
    server,
};
use crate::{inside::entry::points, kernel::set_ipc_buffer};

/// Prepares the program and runs `main`; its result is the exit status.
#[doc(hidden)]
pub fn __start(main: fn(&'static Env) -> u8) -> ! {
    // SAFETY: the root task maps the IPC buffer there and sets it for this thread, the program's only one.
    unsafe { set_ipc_buffer(CLIENT_IPC_BUFFER as usize as *mut _) };
    let status = match server::request(&Request::Register(points())) {
        Ok(_) => main(env()),
        Err(_) => 1,
    };
    __exit(status)
}

/// Ends the client.
#[doc(hidden)]
pub fn __exit(status: u8) -> ! {
    loop {
        // The server does not answer: the thread is gone.
        let _ = server::request(&Request::Exit(status));
    }
}

/// Names the client's main function: `fn(&'static Env) -> u8`, whose result is the exit status.
///
/// On the host the program only says that it is one for the guest; the tests beside it run as anywhere.
#[cfg(not(sbm_guest))]
#[macro_export]
macro_rules! main {
    ($main:path, heap = $bytes:expr) => {
        const _: () = $crate::ClientHeap::<{ $bytes }>::FITS;
        $crate::main!($main);
    };
    ($main:path) => {
        const _: () = {
            const _: fn(&'static $crate::Env) -> u8 = $main;

            #[cfg(not(test))]
            #[unsafe(export_name = "main")]
            extern "C" fn not_here() -> i32 {
                $crate::__not_here()
            }
        };
    };
}

/// Says that a program was started where it cannot run.
#[cfg(not(sbm_guest))]
#[doc(hidden)]
pub fn __not_here() -> i32 {
    std::eprintln!("error: this program runs on seL4; start it with `cargo sbm run`, or `./x run` in SBM's own tree");
    2
}

/// Names the client's main function: `fn(&'static Env) -> u8`, whose result is the exit status.
///
/// With `heap = BYTES` the client allocates from a heap of that many bytes, which are part of its statics. Lists and texts in
/// results and requests are made there, and refused where it has none, as without the word. Sandboxes allocate each from their
/// own ([`Builder::heap`](crate::Builder::heap)).
#[cfg(sbm_guest)]
#[macro_export]
macro_rules! main {
    // Without a heap there is an allocator all the same, which gives nothing: another client may have a crate that both use
    // built with `alloc`.
    ($main:path) => {
        $crate::main!($main, heap = 0);
    };
    ($main:path, heap = $bytes:expr) => {
        #[global_allocator]
        static CLIENT_HEAP: $crate::ClientHeap<{ $bytes }> = $crate::ClientHeap::new();

        /// Entry point, with the stack that the root task set up.
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            $crate::__start($main)
        }
    };
}

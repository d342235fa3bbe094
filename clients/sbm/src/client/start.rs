// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's start and end.
#![expect(unsafe_code, reason = "the IPC buffer, and the entry point's name")]

use sbm_abi::{Request, limits::CLIENT_IPC_BUFFER};

use super::{
    env::{Env, env},
    server,
};
use crate::inside::entry::points;

/// Prepares the program and runs `main`; its result is the exit status.
#[doc(hidden)]
pub fn __start(main: fn(&'static Env) -> u8) -> ! {
    // SAFETY: the root task maps the IPC buffer there and sets it for this thread, the program's only one.
    unsafe { sel4::set_ipc_buffer(CLIENT_IPC_BUFFER as usize as *mut _) };
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
#[macro_export]
macro_rules! main {
    ($main:path) => {
        /// Entry point, with the stack that the root task set up.
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            $crate::__start($main)
        }
    };
}

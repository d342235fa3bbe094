// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a panic ends: in a sandbox the call, in the client the program.

use core::panic::PanicInfo;

use crate::{
    client::{console::write_line, env::env, start::__exit},
    inside::panic::{end_call, in_sandbox, place},
};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if in_sandbox() {
        end_call(info);
    }
    let (file, line) = place(info);
    write_line(format_args!("client panic: {} at {file}:{line} program={}", info.message(), env().program()));
    __exit(101)
}

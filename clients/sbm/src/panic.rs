// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a panic ends: in a sandbox the call, in the client the program.

use core::panic::PanicInfo;

use bytemuck::Zeroable;

use crate::{
    client::{
        console::write_line,
        env::env,
        start::__exit,
        trace::{Trace, own_stack},
    },
    error::Grouped,
    heap,
    inside::panic::{end_call, in_sandbox, is_about, place},
    records::Site,
};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if in_sandbox() {
        end_call(info);
    }
    // First, and here: what lies on the stack is looked at as far as a site has room for it.
    let mut site = Site::zeroed();
    site.note(env().map().code_end, own_stack().end() as usize);
    report(info, &site)
}

/// Reports a panic of the client, in one line that the host tool completes with function and line, and ends the client.
#[inline(never)]
fn report(info: &PanicInfo<'_>, site: &Site) -> ! {
    let trace = Trace::of_site(site, own_stack());
    let at = format_args!("program={} ip={:#x}{trace}", env().program(), site.ip);
    let (file, line) = place(info);
    match heap::missed() {
        // The panic's own place is the standard library's.
        [bytes, heap] if bytes > 0 && is_about(info, bytes) => {
            let (bytes, size) = (Grouped(bytes), Grouped(heap));
            let see = "see `heap` of sbm::main!";
            match heap {
                0 => write_line(format_args!("client panic: no heap to allocate {bytes} bytes from, {see} {at}")),
                _ => write_line(format_args!(
                    "client panic: no room for {bytes} bytes in its heap of {size}, {see} {at}"
                )),
            }
        }
        _ => write_line(format_args!("client panic: {} at {file}:{line} {at}", info.message())),
    }
    __exit(101)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The alternatives to a sandbox, measured in Linux.
//!
//! This is `/init` of an initramfs. `xtask` boots it under QEMU with `-icount shift=0,sleep=off`, where one guest
//! instruction is one tick of the TSC. It measures what a caller on Linux would use instead of a sandbox, prints one
//! `bench {json}` line for each row, and powers the machine off. A row that cannot be measured says why and does not
//! stop the others.
//!
//! ```text
//! calls      a helper process that is kept: pipe, futex, seccomp strict mode
//! processes  a process for each call, and what a fault costs
//! pgp        the OpenPGP parser in a forked and in a seccomp helper
//! parsers    readers of AppArmor's policies and of ext4 in a helper that asks for what it needs
//! ebpf       a program checked by the kernel
//! wasm       a function in a WebAssembly runtime
//! ```
//!
//! The order matters: a fork copies the tables of what its process has touched, so what needs much memory comes last.

use std::io::{self, Write as _};

mod calls;
mod checksum;
mod ebpf;
mod error;
mod helper;
mod parsers;
mod pgp;
mod processes;
mod rows;
mod wasm;

use rows::Row;

/// Measures the rows one after the other; each prints as soon as it is there.
const MEASUREMENTS: [fn() -> Row; 24] = [
    calls::getpid,
    calls::pipe_round_trip,
    calls::futex_round_trip,
    calls::seccomp_round_trip,
    processes::fork_call,
    processes::spawn_call,
    processes::fork_fault,
    processes::signal_fault,
    pgp::native,
    pgp::forked,
    pgp::confined,
    parsers::native_apparmor,
    parsers::apparmor,
    parsers::native_tree,
    parsers::tree_by_windows,
    parsers::tree_by_blocks,
    parsers::native_read,
    parsers::read_by_windows,
    parsers::read_by_blocks,
    ebpf::null,
    ebpf::checksum_1k,
    checksum::native_1k,
    wasm::null,
    wasm::checksum_1k,
];

fn main() -> io::Result<()> {
    processes::forget_handlers();
    let mut out = io::stdout();
    let kernel = rustix::system::uname();
    writeln!(out, "peers linux {}", kernel.release().to_string_lossy())?;
    for measure in MEASUREMENTS {
        writeln!(out, "bench {}", serde_json::to_string(&measure())?)?;
    }
    writeln!(out, "peers done")?;
    out.flush()?;
    // As an ordinary process, which is how the program is tried on a host, it just ends.
    if rustix::process::getpid().is_init() {
        rustix::system::reboot(rustix::system::RebootCommand::PowerOff)?;
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a row could not be measured.

use std::fmt;
use std::io;

/// What stopped a measurement.
#[derive(Debug)]
pub(crate) enum Error {
    /// A system call failed.
    System {
        /// The call, as the manual names it.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A child process ended in another way than the row expects.
    Child {
        /// How it ended.
        status: nix::sys::wait::WaitStatus,
    },
    /// A helper closed its pipe.
    HelperGone,
    /// The operation ran and returned something else than it must.
    WrongResult,
    /// The host has passed no keyring.
    NoKeyring,
    /// The parser does not read the keyring to its end.
    Keyring(sbm_pgp::ParseError),
    /// The assembler did not take an eBPF program.
    Assembly {
        /// The assembler's words.
        reason: String,
    },
    /// The WebAssembly runtime failed.
    Wasm(wasmtime::Error),
}

impl Error {
    /// Names the system call that failed, for use in `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { call, source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::System { call, source } => write!(f, "{call}: {source}"),
            Error::Child { status } => write!(f, "unexpected end of the child: {status:?}"),
            Error::HelperGone => write!(f, "the helper process is gone"),
            Error::WrongResult => write!(f, "wrong result"),
            Error::NoKeyring => write!(f, "no keyring in the initramfs"),
            Error::Keyring(error) => write!(f, "keyring refused: {error}"),
            Error::Assembly { reason } => write!(f, "eBPF assembler: {reason}"),
            Error::Wasm(error) => write!(f, "WebAssembly runtime: {error:#}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<wasmtime::Error> for Error {
    fn from(error: wasmtime::Error) -> Error {
        Error::Wasm(error)
    }
}

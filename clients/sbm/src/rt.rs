// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client's start and end: entry code, start information, panics and reports.
#![expect(unsafe_code, reason = "entry code and what the root task left in memory")]

use core::{cell::OnceCell, fmt::Write, panic::PanicInfo};

use sbm_abi::{
    ClientMap, Fault, Request, StartInfo,
    limits::{CLIENT_IPC_BUFFER, CLIENT_START_INFO, PAGE},
};

use crate::{Error, Page, entry, page::Mapped, server};

/// What a client was started with.
#[derive(Debug)]
pub struct Env(StartInfo<'static>);

/// An input file, mapped read-only.
#[derive(Debug, Clone, Copy)]
pub struct InputFile {
    /// Name, as the host gave it.
    pub name: &'static str,
    /// Contents.
    pub bytes: &'static [u8],
    pages: &'static [Page],
}

impl InputFile {
    /// Lets a sandbox read the file where it lies, without a copy.
    #[must_use]
    pub fn map(&self) -> Mapped<false> {
        crate::map_readonly(self.pages).first(self.bytes.len())
    }
}

impl Env {
    /// Returns the program's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name
    }

    /// Returns the arguments.
    #[must_use]
    pub fn arguments(&self) -> &[&'static str] {
        &self.0.arguments
    }

    /// Returns the input files.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = InputFile> + '_ {
        self.0.inputs.iter().map(|input| {
            let length = input.length as usize;
            // SAFETY: the server maps each input file, read-only, for the client's whole life, zeros up to the end of
            // its last page.
            let (bytes, pages) = unsafe {
                (
                    core::slice::from_raw_parts(input.address as *const u8, length),
                    core::slice::from_raw_parts(input.address as *const Page, length.div_ceil(PAGE as usize).max(1)),
                )
            };
            InputFile { name: input.name, bytes, pages }
        })
    }

    /// Returns what the time-stamp counter showed when the root task started.
    #[must_use]
    pub const fn boot_ticks(&self) -> u64 {
        self.0.boot_ticks
    }

    pub(crate) const fn map(&self) -> ClientMap {
        self.0.map
    }
}

struct Global(OnceCell<Env>);

// SAFETY: a client has one thread; sandboxes do not have this page.
unsafe impl Sync for Global {}

static ENV: Global = Global(OnceCell::new());

const NO_MAP: ClientMap = ClientMap { code_end: 0, data: 0, data_end: 0 };

pub(crate) fn env() -> &'static Env {
    ENV.0.get_or_init(|| {
        // SAFETY: the root task maps the page, read-only, for the client's whole life.
        let page = unsafe { core::slice::from_raw_parts(CLIENT_START_INFO as usize as *const u8, PAGE as usize) };
        let nothing = StartInfo {
            name: "?",
            map: NO_MAP,
            boot_ticks: 0,
            arguments: heapless::Vec::new(),
            inputs: heapless::Vec::new(),
        };
        Env(StartInfo::decode(page).unwrap_or(nothing))
    })
}

/// Prepares the program and runs `main`; its result is the exit status.
#[doc(hidden)]
pub fn __start(main: fn(&'static Env) -> u8) -> ! {
    // SAFETY: the root task maps the IPC buffer there and sets it for this thread, the program's only one.
    unsafe { sel4::set_ipc_buffer(CLIENT_IPC_BUFFER as usize as *mut _) };
    let status = match server::request(&Request::Register(entry::points())) {
        Ok(_) => main(env()),
        Err(_) => 1,
    };
    __exit(status)
}

/// Ends the client.
#[doc(hidden)]
pub fn __exit(status: u8) -> ! {
    loop {
        // The server does not answer: the thread is gone. Were it to, there is nothing better to do than to ask again.
        let _ = server::request(&Request::Exit(status));
    }
}

/// Reports a call that was aborted, in one line that the host tool completes with function and line.
pub(crate) fn report(error: &Error) {
    let name = env().name();
    match error {
        Error::Fault { fault: Fault { ip, .. }, .. } => {
            crate::println!("sandbox fault: {error} program={name} ip={ip:#x}");
        }
        Error::Panic(_) | Error::Garbled | Error::Server(_) => crate::println!("sandbox of {name}: {error}"),
    }
}

/// Writes text into bytes, and drops what does not fit.
struct Cut<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = &mut self.bytes[self.length..];
        let count = text.len().min(room.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (file, line) = info.location().map_or(("?", 0), |location| (location.file(), location.line()));
    if entry::in_sandbox() {
        entry::panic_in_sandbox(|bytes| {
            let mut cut = Cut { bytes, length: 0 };
            let _ = write!(cut, "{file}:{line}: {}", info.message());
            cut.length
        });
    }
    crate::println!("client panic: {} at {file}:{line} program={}", info.message(), env().name());
    __exit(101)
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text to the system's console.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use sbm_abi::limits::MAX_CONSOLE;

use super::server;
#[cfg(sbm_guest)]
use crate::inside::text;

/// Whether the program has begun a line and not ended it.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Gathers text and sends it in messages as long as they may be.
struct Console {
    bytes: [u8; MAX_CONSOLE],
    length: usize,
}

impl Console {
    const fn new() -> Self {
        Self { bytes: [0; MAX_CONSOLE], length: 0 }
    }

    fn flush(&mut self) {
        if let Some(last) = self.bytes[..self.length].last() {
            BEGUN.store(*last != b'\n', Ordering::Relaxed);
            // There is nobody to tell that the console does not take text.
            let _ = server::console(&self.bytes[..self.length]);
            self.length = 0;
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.length == MAX_CONSOLE {
                self.flush();
            }
            let (now, later) = rest.split_at(rest.len().min(MAX_CONSOLE - self.length));
            self.bytes[self.length..self.length + now.len()].copy_from_slice(now);
            self.length += now.len();
            rest = later;
        }
        Ok(())
    }
}

/// Prints to standard output: for tests on the host.
#[cfg(not(sbm_guest))]
pub fn print(arguments: fmt::Arguments<'_>) {
    std::print!("{arguments}");
}

/// Prints to the console, or in a called function by its caller. See [`print!`](crate::print!),
/// [`println!`](crate::println!).
#[cfg(sbm_guest)]
pub fn print(arguments: fmt::Arguments<'_>) {
    if text::is_called() {
        return text::print(arguments);
    }
    write(arguments);
}

/// Writes to the console. Only for code that runs in the client.
pub(crate) fn write(arguments: fmt::Arguments<'_>) {
    let mut console = Console::new();
    // Writing to the buffer cannot fail; a `Display` that does ends its own output.
    let _ = console.write_fmt(arguments);
    console.flush();
}

/// Writes a line that is the library's own, or a sandbox's: one that the program has begun ends first. Only for code that runs
/// in the client.
pub(crate) fn write_line(arguments: fmt::Arguments<'_>) {
    let begun = if BEGUN.load(Ordering::Relaxed) { "\n" } else { "" };
    write(format_args!("{begun}{arguments}\n"));
}

/// Prints to the system's console. A function in a sandbox prints by its caller, up to [`Builder::text_limit`]: its lines
/// say which sandbox they are of.
///
/// [`Builder::text_limit`]: crate::Builder::text_limit
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::print(::core::format_args!($($arg)*)) };
}

/// Prints a line to the system's console, as [`print!`](crate::print!) does.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => { $crate::print(::core::format_args!("{}\n", ::core::format_args!($($arg)*))) };
}

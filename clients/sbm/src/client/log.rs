// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facade `log`: its records are lines of text, of the client and of the functions that it calls.
//!
//! What the facade's macros read, how far to go and who takes the records, are statics of that crate. The linker script
//! puts them on a page of their own, which has nothing else and which a sandbox can read from here on. So what holds in the
//! client holds in its sandboxes, and nothing there can change it.
//!
//! It has to be asked for, since that page is a mapping: a sandbox with one is dearer to set up and to end. Nothing tells a
//! program that uses the facade from one that does not, before it runs: setting the facade's statics is a use of them.

use core::sync::atomic::{AtomicU32, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

/// Where the page is; 0 while sandboxes need not have it.
static PAGE: AtomicU32 = AtomicU32::new(0);

/// Prints records.
struct Printer;

impl Log for Printer {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        crate::println!("{} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Has records of the facade [`log`] printed up to a level: those of this program, and those of functions in
/// sandboxes that are set up from now on, as [`println!`](crate::println!) prints.
///
/// A logger that the program has set itself stays; it then runs in sandboxes as well. Each sandbox takes a mapping for it. In
/// one with [private statics](crate::Builder::private_statics), which has its own of the facade, the function calls this.
pub fn init_log(level: LevelFilter) {
    // Refused where there is one already.
    let _ = log::set_logger(&Printer);
    log::set_max_level(level);
    PAGE.store(page(), Ordering::Relaxed);
}

/// Returns the page that sandboxes need for the facade, if they do.
pub(super) fn wanted() -> Option<u32> {
    Some(PAGE.load(Ordering::Relaxed)).filter(|page| *page != 0)
}

/// Returns the address of what the facade reads.
#[cfg(sbm_guest)]
fn page() -> u32 {
    #[expect(unsafe_code, reason = "a symbol of the linker script")]
    unsafe extern "C" {
        // SAFETY: of no bytes; only where it lies is used.
        static __log_statics: [u8; 0];
    }
    u32::try_from((&raw const __log_statics).addr()).unwrap_or(0)
}

/// On the host there is none, and no sandbox.
#[cfg(not(sbm_guest))]
fn page() -> u32 {
    0
}

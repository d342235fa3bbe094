// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text for whoever watches.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicPtr, Ordering},
};

/// What prints a piece of text.
type Printer = fn(&str);

/// Address of a [`Printer`], or null.
static PRINTER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what prints. It gets pieces of lines, and must not panic.
pub fn set_printer(printer: fn(&str)) {
    PRINTER.store(printer as *mut (), Ordering::Relaxed);
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let printer = PRINTER.load(Ordering::Relaxed);
        if printer.is_null() {
            text.bytes().for_each(sel4::debug_put_char);
        } else {
            // SAFETY: `set_printer` alone stores here, addresses of such functions.
            let printer = unsafe { core::mem::transmute::<*mut (), Printer>(printer) };
            printer(text);
        }
        Ok(())
    }
}

/// Prints formatted text; [`println!`](macro@crate::println) calls it.
pub fn print_fmt(text: fmt::Arguments<'_>) {
    // The console never fails; a value that does not format loses its own text.
    let _ = Console.write_fmt(text);
}

/// Prints formatted text and ends the line.
pub(crate) fn println(text: fmt::Arguments<'_>) {
    print_fmt(text);
    print_fmt(format_args!("\n"));
}

/// Prints formatted text and ends the line.
#[macro_export]
macro_rules! println {
    () => { $crate::print_fmt(::core::format_args!("\n")) };
    ($($text:tt)*) => { $crate::print_fmt(::core::format_args!("{}\n", ::core::format_args!($($text)*))) };
}

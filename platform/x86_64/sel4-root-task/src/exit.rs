// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a root task ends: by returning from `main`, by [`exit`], or by a panic.

use core::{
    fmt::Debug,
    panic::PanicInfo,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};

use crate::print::{print_fmt, println};

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was to do.
    Success,
    /// It did not.
    Failure,
    /// It panicked.
    Panic,
}

/// What ends the program, as the exit function is passed.
type ExitFn = fn(Exit) -> !;

/// Address of an [`ExitFn`], or null.
static EXIT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what ends the program.
pub fn set_exit(exit: fn(Exit) -> !) {
    EXIT.store(exit as *mut (), Ordering::Relaxed);
}

/// Ends the program.
pub fn exit(how: Exit) -> ! {
    let exit = EXIT.load(Ordering::Relaxed);
    if exit.is_null() {
        sel4::init_thread::suspend_self()
    }
    // SAFETY: `set_exit` alone stores here, addresses of such functions.
    let exit = unsafe { core::mem::transmute::<*mut (), ExitFn>(exit) };
    exit(how)
}

/// A way to name the type of a function's result, and so `!`, which stable Rust lets nobody name.
#[doc(hidden)]
pub trait Output {
    /// The type of the result.
    type Output;
}

impl<T> Output for fn() -> T {
    type Output = T;
}

/// The type without values, of functions that do not return.
pub type Never = <fn() -> ! as Output>::Output;

/// What `main` may return.
pub trait Termination {
    /// Ends the program as the value says.
    fn report(self) -> !;
}

impl Termination for Never {
    fn report(self) -> ! {
        self
    }
}

impl Termination for () {
    fn report(self) -> ! {
        exit(Exit::Success)
    }
}

impl<T: Termination, E: Debug> Termination for Result<T, E> {
    fn report(self) -> ! {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                println(format_args!("error: {error:?}"));
                exit(Exit::Failure)
            }
        }
    }
}

/// Prints `panic: message at file:line` on one line, and ends the program.
#[cfg_attr(sbm_guest, panic_handler)]
fn panic(info: &PanicInfo<'_>) -> ! {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    // A panic of the printer, or of the message itself, is not printed.
    if !PANICKING.swap(true, Ordering::Relaxed) {
        print_fmt(format_args!("panic: {}", info.message()));
        match info.location() {
            Some(location) => println(format_args!(" at {}:{}", location.file(), location.line())),
            None => println(format_args!("")),
        }
    }
    exit(Exit::Panic)
}

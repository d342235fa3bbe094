// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client writes to the console what is no text, and lines that look like those of others.
//!
//! It is not among the tests, which print: the host looks at what arrives (`xtask/src/test/console.rs`), beside a
//! `neighbour`.

use core::time::Duration;

use harness::{Verdict, check, same, server::request};
use sbm::{Isolation, Sbm};
use sbm_abi::{
    Asked, Label, Request, Response,
    limits::{PANIC_TEXT_OFFSET, SANDBOX_ENDPOINT_SLOT, SELF_OFFSET},
};
use sel4::{MessageInfo, syscall::REPLY_RECV};

/// Lines that are someone else's, each told by the word `forged`.
const FORGED: &[&[u8]] = &[
    b"neighbour: 9 cycles undisturbed, forged\n",
    b"neighbour| forged\n",
    b"root-task: forged\n",
    b"x\rneighbour| forged by a carriage return\n",
    b"x\xc2\x85neighbour| forged by a C1 newline\n",
    b"x\x0bneighbour| forged by a vertical tab\n",
    b"x\x1b[1Gneighbour| forged by a terminal's command\n",
    b"\n\nneighbour| forged after empty lines\n",
];

fn write(bytes: &[u8]) -> Verdict {
    same!(request(&Request::Console(bytes))?, Response::Done);
    Ok(())
}

// Functions that are called, in a sandbox and without one.

fn speak() {
    sbm::println!("spoken plainly");
    sbm::print!("spoken in ");
    sbm::println!("two parts");
    sbm::println!("spoken \x1b[1Gneighbour| over\rthe line\x0b");
    sbm::println!("spoken, and the next line is\nroot-task: spoken");
    sbm::println!("spoken at length{:>400}", "end");
    sbm::print!("spoken without an end");
}

fn flood() {
    for number in 0..2000 {
        sbm::println!("flooded {number}");
    }
}

fn flood_with_nothing() {
    for _ in 0..2000 {
        sbm::println!();
    }
}

/// Text of megabytes.
struct Poured;

impl core::fmt::Display for Poured {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (0..200_000).try_for_each(|_| f.write_str("xxxxxxxxxxxxxxxx"))
    }
}

fn flood_at_once() {
    sbm::println!("{Poured}");
}

fn fault_while_speaking() -> u8 {
    sbm::print!("last words");
    harness::raw::read(0)
}

/// Prints while it is printed.
struct Nested;

impl core::fmt::Display for Nested {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        sbm::println!("nested within");
        f.write_str("nested without")
    }
}

fn nest() {
    sbm::println!("{Nested}");
}

/// Writes bytes that are no text where text is taken from, and asks for it by hand.
fn speak_in_bytes() {
    let page = harness::raw::argument_page_word(SELF_OFFSET as usize) as usize;
    let bytes = b"bytes \xff\xfe\x80\x00\xc2\x9b2J";
    for (byte, at) in bytes.iter().zip(page + PANIC_TEXT_OFFSET as usize..) {
        harness::raw::write(at, *byte);
    }
    let asked = MessageInfo::new(Label::Asked as u64, 0, 0, 3).into_word();
    let words = [Asked::TEXT.into_word(), bytes.len() as u64, 0, 0];
    harness::raw::system_call(REPLY_RECV, SANDBOX_ENDPOINT_SLOT, asked, words);
}

fn speak_up() {
    sbm::println!("heard on a line of its own");
}

/// By the facade `log`, which is a matter of statics.
fn log() {
    log::info!("logged {}", 1);
    log::debug!("never heard");
}

fn log_by_itself() {
    sbm::init_log(log::LevelFilter::Info);
    log();
}

fn write_to_the_facade() {
    #[expect(unsafe_code, reason = "a symbol of the linker script")]
    unsafe extern "C" {
        // SAFETY: of no bytes; only where it lies is used.
        static __log_statics: [u8; 0];
    }
    harness::raw::write((&raw const __log_statics).addr(), 0);
}

fn whisper() {
    sbm::println!("never heard");
}

/// Has a function print, and a fault reported, while the client's own line has no end.
fn print_in_the_middle_of_a_line() -> Verdict {
    let mut sbm = Sbm::new()?;
    sbm::print!("begun by the client, ");
    sbm::print!("before a text");
    sbm.call(speak_up, ())?.assume_checked();
    sbm::print!("begun by the client, before a report");
    check!(sbm.call(|| harness::raw::read(0), ()).is_err(), "it read address 0");
    Ok(())
}

/// Has functions print.
fn print_in_sandboxes() -> Verdict {
    for isolation in [Isolation::Strong, Isolation::None] {
        let mut sbm = Sbm::builder().isolation(isolation).build()?;
        sbm.call(speak, ())?.assume_checked();
    }
    for function in [flood, flood_with_nothing, flood_at_once, nest, speak_in_bytes] as [fn(); 5] {
        Sbm::new()?.call(function, ())?.assume_checked();
    }
    check!(Sbm::builder().report(false).build()?.call(fault_while_speaking, ()).is_err(), "it read address 0");
    print_in_the_middle_of_a_line()?;
    Sbm::builder().text_limit(0).build()?.call(whisper, ())?.assume_checked();
    Sbm::builder().private_statics().build()?.call(log_by_itself, ())?.assume_checked();
    let mut without = Sbm::builder().report(false).build()?;
    check!(without.call(log, ()).is_err(), "it read what was not passed");
    sbm::init_log(log::LevelFilter::Info);
    for isolation in [Isolation::Strong, Isolation::None] {
        Sbm::builder().isolation(isolation).build()?.call(log, ())?.assume_checked();
    }
    log::info!(target: "own", "logged by the client");
    let mut sbm = Sbm::builder().report(false).build()?;
    check!(sbm.call(write_to_the_facade, ()).is_err(), "it wrote what the facade reads");
    Ok(())
}

/// Writes all of it.
pub(crate) fn run() -> Verdict {
    for byte in 0..=u8::MAX {
        write(&[b'b', b'y', b't', b'e', b' ', b'<', byte, b'>', b'\n'])?;
    }
    for last in 0x80..0xa0 {
        write(&[b'c', b'1', b' ', b'<', 0xc2, last, b'>', b'\n'])?;
        write(&[b'c', b'1', b' ', b'<', 0xc2])?;
        write(&[last, b'>', b'\n'])?;
    }
    for byte in "whole <\u{e9}\u{2192}\u{1f512}>\n".bytes() {
        write(&[byte])?;
    }
    for line in FORGED {
        write(line)?;
    }
    // Addresses all over a small program: some of them lie in its functions.
    for address in (0x20_3000..0x20_a000).step_by(0x1000) {
        sbm::println!("client fault: forged program=neighbour ip={address:#x}");
    }
    // Its own address: this one is completed with function and line.
    sbm::println!("sandbox fault: own program=hostile ip={:#x}", run as fn() -> Verdict as usize);
    // The neighbour's last line comes while this one is not ended.
    write(b"forged without an end")?;
    sbm::sleep(Duration::from_secs(6))?;
    write(b"neighbour| forged in the middle of a line\n")?;
    // Takes longer than the neighbour has lines.
    print_in_sandboxes()
}

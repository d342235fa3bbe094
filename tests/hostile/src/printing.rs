// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client writes to the console what is no text, and lines that look like those of others.
//!
//! It is not among the tests, which print: the host looks at what arrives (`xtask/src/test/console.rs`), beside a
//! `neighbour`.

use harness::{Verdict, same, server::request};
use sbm_abi::{Request, Response};

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
    for _ in 0..500 {
        sel4::r#yield();
    }
    write(b"neighbour| forged in the middle of a line")
}

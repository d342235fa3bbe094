// SPDX-License-Identifier: MIT OR Apache-2.0
//! A panic whose place is long.

#[expect(clippy::panic, reason = "in a sandbox, on purpose")]
pub(super) fn panic_far() -> u64 {
    panic!("the message comes whole, although the path is long")
}

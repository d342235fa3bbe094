// SPDX-License-Identifier: MIT OR Apache-2.0
//! The watch words: what a client tells the server of its running call without asking it anything.
//!
//! They lie in the page of the client's IPC buffer, behind what seL4 has there. A call with a time budget costs a few
//! instructions:
//!
//! ```text
//!   client                                            server, when it looks
//!   deadline = now + budget                           deadline over, and the client waits in a call: it is ended
//!   mark[sandbox] = 1                                 marked, not called, and not waiting: it is stopped
//!   if deadline < next_look { Request::Arm }          next_look = when it looks again, if at all
//!   the call
//!   deadline = 0
//! ```
//!
//! The client writes the deadline before it reads when the server looks next, and the server writes that after it has
//! read the deadlines: one of them sees the other. What stands here is a client's bare word; it can end calls of that
//! client's own sandboxes, and nothing else.

/// Offset, in the page of the IPC buffer, of the deadline of the running call: a value of the time-stamp counter, or 0.
pub const DEADLINE_OFFSET: u32 = 1024;
/// Offset of when the server looks next: a value of the time-stamp counter, `u64::MAX` for never. The server writes it.
pub const NEXT_LOOK_OFFSET: u32 = 1032;
/// Offset of the marks: a byte for each sandbox that was called, at its index modulo [`MARKS`].
pub const MARKS_OFFSET: u32 = 2048;
/// Number of marks.
pub const MARKS: usize = 2048;

/// How often the server looks at least while a call has a budget: 20 times a second.
pub const LOOKS_PER_SECOND: u64 = 20;
/// How often the server looks at most, whatever stands in the words.
pub const MOST_LOOKS_PER_SECOND: u64 = 4000;
